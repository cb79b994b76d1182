import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lakes import PANEL, coordinates_image, write_lake, write_zarr
from spora_db import Catalog, SporaQuery, collate_list
from spora_db.errors import ImageNotFoundError, SporaError, TableError

SPEC = "quantile_clipping/uq_0.99_image"
UPPER = 1_000.0 + 1_000 * np.arange(len(PANEL))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("loading") / "lake")


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def raw(sample: dict) -> np.ndarray:
    """Return the raw pixels of a sample's place, from the formula that wrote them."""
    cohort, number = sample["dataset"], int(sample["tissue_id"][-4:])
    image = coordinates_image(len(PANEL), 96, 96, offset=17 * number + 5 * (cohort == "beta"))
    image = np.pad(image, ((0, 0), (0, 32), (0, 32)))
    row, col = sample["row"], sample["col"]
    names = [channel[0] for channel in PANEL]
    return image[[names.index(name) for name in sample["channel_names"]], row : row + 32, col : col + 32]


def test_a_tile_is_the_pixels_at_its_place(query):
    dataset = query.to_torch()
    assert len(dataset) == 72
    for position in (0, 5, 20, 35, 40, 71, -1):
        sample = dataset[position]
        assert sample["image"].dtype == torch.float32
        assert sample["image"].is_contiguous()
        assert np.array_equal(sample["image"].numpy(), raw(sample))
    assert set(sample) == {
        "image", "channel_names", "uniprot_ids", "marker_index", "dataset", "tissue_id", "modality", "mpp", "tile_id",
        "row", "col", "spec",
    }  # fmt: skip
    with pytest.raises(IndexError):
        dataset[72]


def test_channels_are_aligned_by_name_where_one_was_not_measured(query):
    sample = query.where("tissue_id = 'alpha_0002'").to_torch()[4]
    assert sample["channel_names"] == ["DNA", "CD8", "Bad", "Junk"]
    assert sample["uniprot_ids"] == [None, "P01732-2", "P62736", "not-an-id"]
    assert np.array_equal(sample["image"].numpy(), raw(sample))


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("choice", "names", "ids"),
    [
        ({}, ["DNA", "CD3e", "CD8", "Bad", "Junk"], [None, "P07766", "P01732-2", "P62736", "not-an-id"]),
        ({"kind": "qc_filtered"}, ["DNA", "CD3e", "CD8", "Junk"], [None, "P07766", "P01732-2", "not-an-id"]),
        ({"kind": "uniprot_filtered"}, ["CD3e", "CD8"], ["P07766", "P01732-2"]),
        (
            {"kind": "uniprot_filtered", "replace_nuclear_uniprot_ids": True},
            ["DNA", "CD3e", "CD8"],
            ["P68431", "P07766", "P01732-2"],
        ),
        ({"names": ["CD8", "P07766"]}, ["CD3e", "CD8"], ["P07766", "P01732-2"]),
    ],
)
def test_kinds_and_names_choose_channels_in_panel_order(query, choice, names, ids):
    sample = query.where("tissue_id = 'beta_0001'").channels(**choice).to_torch()[3]
    assert sample["channel_names"] == names
    assert sample["uniprot_ids"] == ids
    assert np.array_equal(sample["image"].numpy(), raw(sample))


@pytest.mark.parametrize("use_mean_std", [True, False])
def test_standardization_is_the_formula(query, use_mean_std):
    dataset = query.standardize(SPEC, use_mean_std=use_mean_std).to_torch()
    for position in (3, 30, 70):
        sample = dataset[position]
        names = [channel[0] for channel in PANEL]
        upper = UPPER[[names.index(name) for name in sample["channel_names"]]][:, None, None]
        expected = np.clip(raw(sample).astype(np.float64), 0, upper) / (upper + 1e-8)
        expected = (expected - 0.5) / (0.25 + 1e-8) if use_mean_std else expected
        assert np.abs(sample["image"].numpy() - expected).max() < 1e-5


def test_tiles_across_the_edge_are_padded_with_raw_zeros(lake):
    text = "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, 0 AS tile_id, 80 AS \"row\", 64 AS col"
    query = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0)
    sample = query.to_torch()[0]
    assert sample["image"].shape == (5, 32, 32)
    assert np.array_equal(sample["image"].numpy(), raw(sample))
    assert torch.allclose(query.standardize(SPEC).to_torch()[0]["image"][:, 20:], torch.tensor(-2.0))


def test_a_tile_outside_the_image_is_an_error_naming_it(lake):
    text = "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, 0 AS tile_id, 96 AS \"row\", 0 AS col"
    with pytest.raises(TableError, match=r"alpha_0000.*outside"):
        SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32).to_torch()[0]


@pytest.mark.parametrize(
    ("spec", "mean", "std"),
    [("identity", 0, 1), ("imagenet", 0.485, 0.229), (" imagenet/", 0.485, 0.229), ("hibou", 0.7068, 0.195)],
)
def test_brightfield_presets(lake, spec, mean, std):
    sample = SporaQuery(lake).modality("he").tiles(size=32).standardize(spec).to_torch()[0]
    expected = (coordinates_image(3, 96, 96) % 251)[0, :32, :32] / 255.0
    assert sample["channel_names"] == ["red", "green", "blue"]
    assert np.abs(sample["image"][0].numpy() - (expected - mean) / std).max() < 1e-5


def test_whole_tissues(lake):
    dataset = SporaQuery(lake).modality("imc").tissues().to_torch()
    assert len(dataset) == 8
    assert np.array_equal(dataset[4]["image"].numpy(), coordinates_image(5, 96, 96, offset=5))


def test_several_modalities_give_a_sample_each(lake):
    dataset = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).to_torch()
    both, alone = dataset[0], dataset[2 * 9]
    assert list(both) == ["imc", "he"]
    assert both["he"]["image"].shape == (3, 32, 32)
    assert (both["imc"]["row"], both["imc"]["tissue_id"]) == (both["he"]["row"], both["he"]["tissue_id"])
    assert list(alone) == ["imc"]


def test_further_columns_come_with_the_sample(query):
    sample = query.select("cancer_type", "X..spots").to_torch()[9]
    assert (sample["cancer_type"], sample["X..spots"]) == ("LUAD", 1.0)


@pytest.mark.some(2)
@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_workers_of_any_kind_after_the_parent_read_and_queried(lake, query, method):
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT count(*) FROM tiles").fetchall()[0][0] > 0
        dataset = query.sample(24, by="dataset").standardize(SPEC).to_torch()
        expected = [dataset[i]["image"] for i in range(24)]
        loader = DataLoader(
            dataset,
            batch_size=5,
            num_workers=2,
            collate_fn=collate_list,
            multiprocessing_context=multiprocessing.get_context(method),
            timeout=120,
        )
        found = [sample["image"] for batch in loader for sample in batch]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_dataset_pickles_without_its_open_files(query):
    dataset = query.to_torch()
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0]["image"], dataset[0]["image"])
    assert len(pickle.dumps(dataset)) < 60_000


def test_an_image_that_fits_neither_panel_is_an_error_naming_the_files(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    write_zarr(path, coordinates_image(3, 96, 96))
    with pytest.raises(TableError, match=r"3 channels.*channels_per_tissue\.parquet.*channels\.parquet"):
        SporaQuery(lake).modality("imc").tiles(size=32).to_torch()[0]


def test_an_image_may_hold_the_full_panel(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=3)
    path = lake / "alpha/imc/1_0mpp/images/alpha_0002.ome.zarr"
    write_zarr(path, coordinates_image(5, 96, 96, offset=34))
    sample = SporaQuery(lake).modality("imc").tiles(size=32).where("tissue_id = 'alpha_0002'").to_torch()[0]
    assert sample["channel_names"] == ["DNA", "CD8", "Bad", "Junk"]
    assert np.array_equal(sample["image"].numpy(), raw(sample))


def test_absent_chunks_are_errors_unless_asked_for(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    image = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    for shard in sorted(path for path in image.rglob("*") if path.is_file() and path.suffix != ".json"):
        shard.unlink()
    query = SporaQuery(lake).modality("imc").tiles(size=32)
    with pytest.raises(ImageNotFoundError, match="alpha_0000"):
        query.to_torch()[0]
    assert (query.to_torch(missing_chunks="zeros")[0]["image"] == 0).all()
    with pytest.raises(ImageNotFoundError, match="alpha_0000"):  # white is no value of a multiplex image
        query.to_torch(missing_chunks="white")[0]


def test_absent_chunks_of_brightfield_can_be_white(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    image = lake / "alpha/he/1_0mpp/images/alpha_0000.ome.zarr"
    for shard in sorted(path for path in image.rglob("*") if path.is_file() and path.suffix != ".json"):
        shard.unlink()
    query = SporaQuery(lake).modality("he").tissues().standardize("identity")
    assert (query.to_torch(missing_chunks="zeros")[0]["image"] == 0).all()
    assert (query.to_torch(missing_chunks="white")[0]["image"] == 1).all()


def test_unusable_channels_are_dropped_or_kept_with_a_warning(tmp_path):
    import pandas as pd

    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=2)
    file = lake / f"alpha/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    table = pd.read_parquet(file)
    table.loc["alpha_0001", "CD8"] = 0.0
    table.to_parquet(file)
    query = SporaQuery(lake).modality("imc").tiles(size=32).standardize(SPEC)
    assert query.to_torch()[0]["channel_names"] == ["DNA", "CD3e", "CD8", "Bad", "Junk"]
    assert query.to_torch()[9]["channel_names"] == ["DNA", "CD3e", "Bad", "Junk"]
    with pytest.warns(UserWarning, match="CD8"):
        kept = query.standardize(SPEC, disable_quantile_mask=True).to_torch()
    assert len(kept[9]["channel_names"]) == 5
    table.drop(index="alpha_0001").to_parquet(file)
    with pytest.raises(SporaError, match="alpha_0001"):
        query.to_torch()
