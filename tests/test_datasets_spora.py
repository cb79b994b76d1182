import multiprocessing
import pickle
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from published_lake import write_published_lake
from spora_db import SporaQuery, register_standardizer
from spora_db.datasets import (
    ComposedImagingDataset,
    HEImagingDataset,
    MultiplexImagingDataset,
    SingleIHCImagingDataset,
    SporaDataset,
    collate_tissues,
    plain_samples,
)
from spora_db.errors import ArgumentError, QueryError
from spora_db.jobs import standardize_lake
from spora_db.loading.collates import collate_list
from spora_db.standardization import methods
from spora_db.standardization.specs import parse_spec

SPEC = "quantile_clipping/uq_0.99_image"
COHORTS = ["alpha", "beta"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("spora") / "lake")


@pytest.fixture(scope="module")
def many(lake):
    return SporaDataset(
        COHORTS, datasets_dir=lake, modalities=["imc", "he"], resolution=1, tile_size=32, verbose=False, seed=0,
        modality_kwargs={"imc": {"standardization": SPEC}, "mibi": {"standardization": SPEC}},
    )  # fmt: skip


def test_tiles_of_all_cohorts_with_all_their_modalities(many):
    assert len(many) == len(many.tile_index) == 72
    assert many.tile_index.columns.tolist() == ["global_tile_id", "dataset_name", "tissue_id", "tile_id", "row", "col"]
    assert many.tile_index["global_tile_id"].tolist() == list(range(72))
    assert many.tissue_index.iloc[2].tolist() == ["alpha", "alpha_0002", ("imc",)]
    assert many.modalities_by_dataset == {"alpha": ["imc", "he"], "beta": ["imc", "he"]}
    for position in (0, 20, 40, -1):
        row = many.tile_index.iloc[position]
        sample = many[position]
        again = many.get_tile_sample(
            dataset_name=row["dataset_name"], tissue_id=row["tissue_id"], tile_id=row["tile_id"]
        )
        assert (sample["dataset_name"], sample["tissue_id"], sample["tile_id"]) == tuple(row.iloc[1:4])
        assert list(sample["modalities"]) == list(again["modalities"])
        for name, tile in sample["modalities"].items():
            assert torch.equal(tile.image, again["modalities"][name].image)
            assert tile.image.shape[1:] == (32, 32)


def test_split_and_keywords_by_cohort(lake):
    dataset = SporaDataset(
        COHORTS, datasets_dir=lake, modalities="imc", tile_size=32, split="train",
        modality_kwargs={"imc": {"standardization": SPEC, "use_mean_std": False}},
        dataset_modality_kwargs={"beta": {"imc": {"standardization": "identity"}}, "gamma": {"imc": {}}},
    )  # fmt: skip
    assert len(dataset) == 36
    assert set(dataset.get_tissue_ids()) == {"alpha_0000", "alpha_0002", "beta_0000", "beta_0002"}
    assert dataset.get_tissue_ids("beta") == ["beta_0000", "beta_0002"]
    assert dataset.get_dataset("alpha").get_dataset("imc").standardizer.name == SPEC
    assert dataset.get_dataset("beta").get_dataset("imc").standardizer.name == "identity"
    assert 0 <= float(dataset[0]["modalities"]["imc"].image.min()) <= 1
    assert float(dataset[-1]["modalities"]["imc"].image.max()) > 1
    with pytest.raises(ArgumentError, match="standardization of imc"):
        dataset.query()


def test_a_cohort_without_the_modalities_is_left_out_with_a_warning(lake, tmp_path, caplog):
    own = write_published_lake(tmp_path / "lake")
    shutil.rmtree(own / "alpha/he")
    dataset = SporaDataset(COHORTS, datasets_dir=own, modalities=["he"], tile_size=32)
    assert list(dataset.datasets) == ["beta"]
    assert "alpha" in caplog.text


def drawn(dataset, count, column):
    table = dataset.tile_index.merge(
        pd.concat([d.all_tissue_metadata[~d.all_tissue_metadata.index.duplicated()] for d in dataset.datasets.values()])
        .reset_index()[["tissue_id", "cancer_type"]],
        on="tissue_id",
    )  # fmt: skip
    values = table[column].tolist()
    return Counter(values[position] for position in dataset.sampler(count))


@pytest.mark.some(2)
@pytest.mark.parametrize(("balance", "column"), [("dataset", "dataset_name"), ("cancer_type", "cancer_type")])
def test_balanced_sampling_draws_groups_equally_often(lake, many, balance, column):
    rows = many.tile_index[(many.tile_index["dataset_name"] == "alpha") | (many.tile_index["global_tile_id"] < 40)]
    rows = pd.concat([rows, many.tile_index.iloc[36:38]])
    options = {"datasets_dir": lake, "modalities": ["imc"], "tile_size": 32, "rows": rows, "seed": 3}
    plain, balanced = SporaDataset(COHORTS, **options), SporaDataset(COHORTS, balance=balance, **options)
    even = drawn(balanced, 4_000, column)
    assert len(even) == 2
    assert max(even.values()) < 1.1 * min(even.values())
    if balance == "dataset":
        uneven = drawn(plain, 4_000, column)
        assert uneven["alpha"] > 4 * uneven["beta"]
        names = Counter(balanced.sample_random_tile()["dataset_name"] for _ in range(200))
        assert 60 < names["beta"] < 140
        tissues = Counter(balanced.sample_random_tissue()["dataset_name"] for _ in range(60))
        assert tissues["beta"] > 15


def test_samplers_repeat_and_change_with_the_epoch(many):
    sampler = many.sampler(10)
    first = list(sampler)
    assert list(sampler) == first
    assert len(sampler) == len(first) == 10
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert len(many.sampler()) == 72


def test_random_draws_repeat(lake):
    def draws(seed):
        dataset = SporaDataset("alpha", datasets_dir=lake, modalities="imc", tile_size=32, seed=seed)
        return [dataset.sample_random()["tile_id"] for _ in range(12)]

    assert draws(4) == draws(4)
    assert draws(4) != draws(5)


def test_whole_tissues(lake):
    dataset = SporaDataset("alpha", datasets_dir=lake, modalities=["he", "ihc"], seed=1, kind="complete")
    assert dataset.modalities_by_dataset == {"alpha": ["he", "ihc_Ki67"]}
    sample = dataset[0]
    assert set(sample) == {"dataset_name", "tissue_id", "modalities"}
    assert sample["modalities"]["ihc_Ki67"].marker == "Ki67"
    assert sample["modalities"]["he"].image.shape == (3, 96, 96)
    drawn = dataset.sample_random(image_mode="HWC", preprocess=False)["modalities"]["he"].image
    assert drawn.shape == (96, 96, 3)
    assert "3 tissues" in repr(dataset)


def test_a_proper_torch_dataset_in_forked_workers(many):  # spawned ones: test_datasets_right.py
    expected = [many[position] for position in range(0, 72, 9)]
    loader = DataLoader(
        torch.utils.data.Subset(many, range(0, 72, 9)),
        batch_size=3,
        num_workers=2,
        collate_fn=collate_list,
        multiprocessing_context=multiprocessing.get_context("fork"),
        timeout=120,
    )
    found = [sample for batch in loader for sample in batch]
    for one, two in zip(found, expected, strict=True):
        assert one["tissue_id"] == two["tissue_id"]
        for name, tile in two["modalities"].items():
            assert torch.equal(one["modalities"][name].image, tile.image)


def test_collates(many):
    batch = collate_tissues([many[0], many[18], many[71]])
    assert batch["tissue_id"] == ["alpha_0000", "alpha_0002", "beta_0003"]
    assert batch["tile_id"] == [0, 0, 8]
    assert batch["modalities"]["he"]["sample"].tolist() == [0, 2]
    assert batch["modalities"]["he"]["image"].shape == (2, 3, 32, 32)
    assert [image.shape[0] for image in batch["modalities"]["imc"]["image"]] == [2, 1, 2]
    assert batch["modalities"]["imc"]["uniprot_ids"][1] == ["P01732-2"]
    samples = plain_samples([many[0], many[18]])
    assert samples[1]["imc"]["channel_names"] == ["CD8"]
    assert set(samples[1]) == {"imc"}
    same = collate_tissues([many[0], many[1]])["modalities"]["imc"]["image"]
    assert same.shape == (2, 2, 32, 32)


def places(query):
    table = query.to_arrow()
    columns = ["dataset", "tissue_id", *(["tile_id", "row", "col"] if query.selection.unit == "tile" else [])]
    return sorted(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def test_from_a_dataset_to_the_query_that_selects_the_same(lake):
    options = {"path": lake / "alpha", "resolution": 1, "tile_size": 32, "verbose": False}
    imc = MultiplexImagingDataset(
        "alpha", modality="imc", standardization=SPEC, split="train", label="label", labels_to_keep=["y"],
        filter_list=["median_filter"], filter_params={"median_filter": {"kernel_size": 5}}, **options,
    )  # fmt: skip
    he = HEImagingDataset("alpha", mean_std_type="hibou", label="score", label_type="regression", **options)
    ihc = SingleIHCImagingDataset("alpha", marker_name="Ki67", label="label", **options)
    for dataset, name in ((imc, "alpha_0000"), (he, "alpha_0000"), (ihc, "alpha_0000")):
        query = dataset.query()
        expected = [
            ("alpha", tissue, tile, *corner)
            for tissue in dataset.get_tissue_ids()
            for tile, corner in enumerate(dataset.tile_coordinates[tissue])
        ]
        assert places(query) == sorted(expected)
        sample = query.to_torch()[4]
        tile = dataset.get_tile(name, 4)
        assert torch.equal(sample["image"], tile.image)
    assert imc.query().to_torch()[0]["uniprot_ids"] == imc.get_tile("alpha_0000", 0).uniprot_ids.tolist()
    whole = HEImagingDataset("alpha", path=lake / "alpha", resolution=1)
    assert places(whole.query()) == [("alpha", tissue) for tissue in whole.get_tissue_ids()]


def test_from_composed_and_spora_datasets_to_the_query(lake, many):
    composed = ComposedImagingDataset(
        "alpha", path=lake / "alpha", modalities=["imc", "he"], resolution=1, tile_size=32, split="test",
        modality_kwargs={"imc": {"standardization": SPEC}, "he": {"mean_std_type": "hibou"}},
    )  # fmt: skip
    query = composed.query()
    assert {row[1] for row in places(query)} == {"alpha_0001", "alpha_0003"}
    assert len(places(query)) == 18
    sample = query.to_torch()[0]
    for name, tile in composed.get_composed_tile("alpha_0001", 0).modalities.items():
        assert torch.equal(sample[name]["image"], tile.image)
    columns = ["dataset_name", "tissue_id", "tile_id", "row", "col"]
    assert places(many.query()) == sorted(many.tile_index[columns].itertuples(index=False, name=None))
    dataset = many.query().to_torch()
    assert len(dataset) == 72
    assert torch.equal(dataset[40]["imc"]["image"], many[40]["modalities"]["imc"].image)


def test_from_a_query_to_a_spora_dataset_and_back(lake):
    query = (
        SporaQuery(lake)
        .modality("imc")
        .tiles(size=32, mpp=1.0)
        .where("cancer_type = 'LUAD' AND tile_id % 2 = 0")
        .channels(kind="qc_filtered", replace_nuclear_uniprot_ids=True)
        .standardize(SPEC, filters={"gaussian_blur": {"sigma": 2.0}})
        .sample(8, by="dataset", seed=1)
    )
    dataset = query.to_spora_dataset(seed=0, balance="dataset")
    plan = query.to_torch()
    assert len(dataset) == len(plan) == 8
    by_place = {(s["dataset"], s["tissue_id"], s["tile_id"]): s for s in plan}
    for sample in dataset:
        expected = by_place[sample["dataset_name"], sample["tissue_id"], sample["tile_id"]]
        tile = sample["modalities"]["imc"]
        assert torch.equal(tile.image, expected["image"])
        assert tile.channel_names.tolist() == expected["channel_names"]
        assert tile.uniprot_ids.tolist() == expected["uniprot_ids"]
    assert places(dataset.query()) == places(query)
    back = dataset.query().to_torch()
    assert all(torch.equal(one["image"], two["image"]) for one, two in zip(back, plan, strict=True))
    tissues = SporaQuery(lake).modality("he").tissues(mpp=1).where("dataset = 'beta'").standardize("hibou")
    assert len(tissues.to_spora_dataset()) == 3
    assert torch.equal(tissues.to_spora_dataset()[1]["modalities"]["he"].image, tissues.to_torch()[1]["image"])


def test_a_query_that_has_no_counterpart_says_so(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32)
    with pytest.raises(ArgumentError, match="names"):
        query.channels(names=["CD8"]).to_spora_dataset()
    with pytest.raises(QueryError, match="no tiles"):
        query.where("FALSE").to_spora_dataset()


def test_rows_of_ones_own(lake, many):
    rows = many.tile_index.iloc[[50, 3]].assign(row=5, col=7)
    dataset = SporaDataset(COHORTS, datasets_dir=lake, modalities=["imc"], tile_size=32, rows=rows)
    assert len(dataset) == 2
    alpha = dataset.get_dataset("alpha").get_dataset("imc")
    assert torch.equal(dataset[1]["modalities"]["imc"].image, alpha.get_tile_by_coordinates("alpha_0000", 5, 7).image)
    with pytest.raises(ArgumentError, match="tile_id"):
        SporaDataset(COHORTS, datasets_dir=lake, tile_size=32, rows=rows.drop(columns="tile_id"))


def clipped_root(values):
    return np.sqrt(np.maximum(values, 0))


def test_a_registered_standardizer_works_everywhere(tmp_path, monkeypatch):
    own = write_published_lake(tmp_path / "lake", names=("alpha",))
    register_standardizer("quantile_clipping_root", clipped_root)
    spec = "quantile_clipping_root/uq_0.9_image"
    standardize_lake(own, modality="imc", mpp=1.0, spec=parse_spec(spec))
    dataset = MultiplexImagingDataset(
        "alpha", path=own / "alpha", modality="imc", standardization=spec, resolution=1, tile_size=32
    )
    folder = own / "alpha/imc/1_0mpp/standardization" / spec
    raw = dataset.get_tissue("alpha_0001", preprocess=False)
    found = dataset.get_tissue("alpha_0001")
    names = found.channel_names.tolist()
    upper = pd.read_parquet(folder / "image_level_upper_quantiles.parquet").loc["alpha_0001", names].to_numpy()
    mean, std = (
        pd.read_parquet(folder / f"global_level_{kind}.parquet").iloc[0][names].to_numpy(float)[:, None, None]
        for kind in ("means", "stds")
    )
    expected = (np.sqrt(np.clip(raw.image.numpy().astype(float), 0, upper[:, None, None])) - mean) / (std + 1e-8)
    assert np.abs(found.image.numpy() - expected).max() < 1e-4
    applied, _ = dataset.standardizer.apply(raw.image, "alpha_0001", raw.measured_mask, raw.image_loading_mask)
    assert torch.allclose(applied, found.image, atol=1e-6)
    assert torch.equal(dataset.query().to_torch()[9]["image"], dataset.get_tile("alpha_0001", 0).image)
    tile, handed_over = dataset.get_tile("alpha_0001", 0).image, pickle.dumps((dataset, dataset.query().to_torch()))
    monkeypatch.setattr(methods, "_registered", {})  # as in a worker started by spawn
    copy, plan = pickle.loads(handed_over)
    assert torch.equal(copy.get_tile("alpha_0001", 0).image, tile)
    assert torch.equal(plan[9]["image"], tile)
