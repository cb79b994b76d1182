"""One test per line of what the published loader does silently wrong or not at all."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lakes import PANEL, coordinates_image, write_zarr
from published_lake import rgb, write_published_lake
from spora_db.datasets import (
    ComposedImagingDataset,
    HEImagingDataset,
    MultiplexImagingDataset,
    SingleIHCImagingDataset,
    SporaDataset,
)
from spora_db.errors import StatisticsNotFoundError
from spora_db.standardization.filters import FilterFactory

SPEC = "quantile_clipping/uq_0.99_image"
NAMES = [channel[0] for channel in PANEL]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("right") / "lake")


@pytest.fixture
def own_lake(tmp_path):
    """Return a lake of one cohort that a test may change."""
    return write_published_lake(tmp_path / "lake", names=("alpha",))


def imc(lake, name="alpha", **options):
    options = {"resolution": 1.0, "tile_size": 32, "verbose": False, **options}
    return MultiplexImagingDataset(name=name, path=lake / name, modality="imc", **options)


def he(lake, name="alpha", **options):
    options = {"resolution": 1.0, "tile_size": 32, "verbose": False, **options}
    return HEImagingDataset(name=name, path=lake / name, **options)


def test_channels_are_aligned_by_name_whatever_the_order_of_columns(own_lake):
    before = imc(own_lake, standardization=SPEC)
    expected = before.get_tissue("alpha_0002", kind="complete")
    for file in (
        own_lake / "alpha/imc/channels_per_tissue.parquet",
        own_lake / f"alpha/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet",
    ):
        table = pd.read_parquet(file)
        table[table.columns[::-1]].to_parquet(file)
    dataset = imc(own_lake, standardization=SPEC)
    assert dataset.image_channel_map.columns.tolist() == dataset.channel_list["channel_name"].tolist() == NAMES
    assert dataset.image_channel_map.loc["alpha_0002"].tolist() == [True, False, True, True, True]
    found = dataset.get_tissue("alpha_0002", kind="complete")
    assert found.channel_names.tolist() == expected.channel_names.tolist() == ["DNA", "CD8", "Bad", "Junk"]
    assert torch.equal(found.image, expected.image)


def test_tiles_are_looked_up_by_tile_id_not_by_position(own_lake):
    file = own_lake / "alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet"
    pd.DataFrame(
        {"tissue_id": ["alpha_0000"] * 3, "tile_id": [9, 2, 5], "row": [64, 0, 32], "col": [1, 2, 3]}
    ).to_parquet(file)
    dataset = imc(own_lake)
    assert dataset.tile_coordinates == {"alpha_0000": [(0, 2), (32, 3), (64, 1)]}
    image = coordinates_image(5, 96, 96)
    for tile_id, (row, col) in {9: (64, 1), 2: (0, 2), 5: (32, 3)}.items():
        tile = dataset.get_tile("alpha_0000", tile_id, kind="complete", preprocess=False)
        assert np.array_equal(tile.image.numpy(), image[:, row : row + 32, col : col + 32])


@pytest.mark.some(2)
@pytest.mark.parametrize(("row", "col"), [(80, 0), (0, 90), (95, 95)])
def test_a_tile_is_always_exactly_tile_size(lake, row, col):
    image = np.pad(coordinates_image(5, 96, 96), ((0, 0), (0, 32), (0, 32)))[:, row : row + 32, col : col + 32]
    tile = imc(lake).get_tile_by_coordinates("alpha_0000", row, col, kind="complete", preprocess=False)
    assert np.array_equal(tile.image.numpy(), image)
    colours = np.pad(rgb(0), ((0, 0), (0, 32), (0, 32)))[:, row : row + 32, col : col + 32]
    tile = he(lake).get_tile_by_coordinates("alpha_0000", row, col, preprocess=False)
    assert np.array_equal(tile.image.numpy(), colours.astype(np.float32))


def test_a_changed_file_is_read_anew(own_lake):
    dataset, colours = imc(own_lake), he(own_lake)
    dataset.get_tissue("alpha_0000")
    colours.get_tissue("alpha_0000")
    write_zarr(own_lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr", coordinates_image(5, 64, 80, offset=3))
    write_zarr(own_lake / "alpha/he/1_0mpp/images/alpha_0000.ome.zarr", rgb(7, 64))
    found = dataset.get_tissue("alpha_0000", kind="complete", preprocess=False).image.numpy()
    assert np.array_equal(found, coordinates_image(5, 64, 80, offset=3))
    assert np.array_equal(colours.get_tissue("alpha_0000", preprocess=False).image.numpy(), rgb(7, 64))
    assert dataset._get_tissue_size("alpha_0000") == (5, 64, 80)


def test_changed_statistics_are_read_anew(own_lake):
    before = imc(own_lake, standardization=SPEC)
    raw = before.get_tissue("alpha_0001", kind="complete", preprocess=False)
    args = (raw.image, "alpha_0001", raw.measured_mask, raw.image_loading_mask)
    first, _ = before.standardizer.apply(*args)
    file = own_lake / f"alpha/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    (pd.read_parquet(file) * 2).to_parquet(file)
    os.utime(file, ns=(1, 1))
    after = imc(own_lake, standardization=SPEC)
    second, _ = after.standardizer.apply(*args)
    assert not torch.equal(first, second)
    assert torch.equal(second, after.get_tissue("alpha_0001", kind="complete").image)


def test_label_encoders_do_not_depend_on_split_or_row_order(own_lake):
    whole = imc(own_lake, label="label")
    file = own_lake / "alpha/metadata/tissues.parquet"
    for split in ("train", "test"):
        part = imc(own_lake, label="label", split=split)
        assert part.label_encoder == whole.label_encoder == {"x": 0, "y": 1, "z": 2}
        assert part.unique_labels.tolist() == ["x", "y", "z"]
        assert set(part.tissue_metadata["split"]) == {split}
    pd.read_parquet(file).iloc[::-1].to_parquet(file)
    assert imc(own_lake, label="label").label_encoder == whole.label_encoder


def test_masks_are_bool(lake):
    mask = imc(lake).get_tissue_mask("alpha_0000").mask
    assert mask.dtype == np.bool_
    assert mask.sum() == 72 * 96
    assert 0 < mask.mean() < 1


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("options", "tissues", "encoder"),
    [
        ({"label": "label"}, [0, 1, 3], {"x": 0, "y": 1, "z": 2}),
        ({"label": "label", "labels_to_keep": ["x", "z"]}, [1, 3], {"x": 0, "z": 1}),
        ({"label": "label", "label_modifying_fn": lambda text: text == "x"}, [0, 1, 3], {False: 0, True: 1}),
        ({"label": "grade"}, [0, 1, 2, 3], {0: 0, 1: 1, 2: 2}),
        ({"label": "grade", "labels_to_keep": [0, 2]}, [0, 2, 3], {0: 0, 2: 1}),
        ({"label": "score", "label_type": "regression"}, [0, 2, 3], None),
        ({"label": "score", "labels_to_keep": [2.0]}, [2], {2.0: 0}),
    ],
)
def test_labels_of_any_kind_with_and_without_a_choice(lake, options, tissues, encoder):
    dataset = imc(lake, **options)
    assert dataset.get_tissue_ids().tolist() == [f"alpha_{i:04d}" for i in tissues]
    assert dataset.label_encoder == encoder
    if encoder is None:
        assert dataset.unique_labels is None
        assert dataset.tissue_modality_metadata["score"].tolist() == [0.5, 2.0, 3.5]


def test_ihc_labels_work(lake):
    dataset = SingleIHCImagingDataset(
        name="alpha", path=lake / "alpha", marker_name="Ki67", resolution=1, label="label", labels_to_keep=["x"]
    )
    assert dataset.get_tissue_ids().tolist() == ["alpha_0001"]
    tissue = dataset.get_tissue("alpha_0001", preprocess=False)
    assert (tissue.marker, tissue.channels, tissue.kind) == ("Ki67", "RGB", "tissue")
    assert np.array_equal(tissue.image.numpy(), rgb(51))


@pytest.mark.some(2)
@pytest.mark.parametrize("preprocess", [True, False])
def test_hwc_is_chw_turned_with_and_without_preprocessing(lake, preprocess):
    ihc = SingleIHCImagingDataset(name="alpha", path=lake / "alpha", marker_name="ihc_Ki67", resolution=1, tile_size=32)
    for dataset in (imc(lake, standardization=SPEC), he(lake), ihc):
        chw = dataset.get_tissue("alpha_0001", preprocess=preprocess)
        hwc = dataset.get_tissue("alpha_0001", preprocess=preprocess, image_mode="HWC")
        assert chw.image.dtype == hwc.image.dtype == torch.float32
        assert torch.equal(hwc.image, chw.image.permute(1, 2, 0))
        tile = dataset.get_tile("alpha_0001", 3, preprocess=preprocess, image_mode="HWC")
        assert torch.equal(tile.image, chw.image[:, 32:64, :32].permute(1, 2, 0))


@pytest.mark.some(2)
@pytest.mark.parametrize("spec", ["quantile_clipping/uq_0.99_global", "quantile_clipping/uq_0.95_lq_0.05_image"])
@pytest.mark.parametrize(("name", "modality"), [("cohort_a", "imc"), ("cohort_b", "codex")])
def test_global_and_lower_quantile_specs_load(reference_lake, spec, name, modality):
    dataset = MultiplexImagingDataset(
        name=name, path=reference_lake / name, modality=modality, standardization=spec, resolution=1
    )
    folder = reference_lake / name / modality / "1_0mpp/standardization" / spec
    tissue = dataset.get_tissue(f"{name}_0001")
    raw = dataset.get_tissue(f"{name}_0001", preprocess=False)
    kept = np.isin(raw.channel_names.astype(str), tissue.channel_names.astype(str))

    def column(kind):
        level = "image" if "lq" in spec else "global"
        table = pd.read_parquet(folder / f"{level}_level_{kind}.parquet")
        row = table.loc[f"{name}_0001"] if level == "image" else table.iloc[0]
        return row[tissue.channel_names.tolist()].to_numpy(float)[:, None, None]

    lower = column("lower_quantiles") if "lq" in spec else 0.0
    upper, mean, std = column("upper_quantiles"), column("means"), column("stds")
    expected = (np.clip(raw.image.numpy()[kept], lower, upper) - lower) / (upper - lower + 1e-8)
    assert np.abs(tissue.image.numpy() - (expected - mean) / (std + 1e-8)).max() < 1e-4


@pytest.mark.some(2)
@pytest.mark.parametrize("filter_list", [["gaussian_blur"], ("gaussian_blur", "median_filter")])
def test_filters_and_their_parameters_work(lake, filter_list):
    params = {"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}
    plain = imc(lake, standardization=SPEC)
    dataset = imc(lake, standardization=SPEC, filter_list=filter_list, filter_params=params)
    default = imc(lake, standardization=SPEC, filter_list=filter_list)
    found = dataset.get_tissue("alpha_0001", kind="complete").image
    expected = FilterFactory(filter_list, params).apply_filters(plain.get_tissue("alpha_0001", kind="complete").image)
    assert torch.equal(found, expected)
    assert not torch.equal(found, default.get_tissue("alpha_0001", kind="complete").image)
    raw = dataset.get_tissue("alpha_0001", kind="complete", preprocess=False)
    assert torch.equal(raw.image, plain.get_tissue("alpha_0001", kind="complete", preprocess=False).image)
    applied, _ = dataset.standardizer.apply(raw.image, "alpha_0001", raw.measured_mask, raw.image_loading_mask)
    assert torch.equal(applied, found)
    wide = imc(lake, standardization=SPEC, filter_list=filter_list, filter_params=params, halo=True)
    tile = wide.get_tile_by_coordinates("alpha_0001", 5, 32, kind="complete").image
    assert torch.allclose(tile, found[:, 5:37, 32:64], atol=1e-5)
    alone = dataset.get_tile_by_coordinates("alpha_0001", 5, 32, kind="complete").image
    assert not torch.allclose(alone, tile, atol=1e-5)
    assert torch.equal(dataset.query().to_torch()[0]["image"], dataset.get_tile("alpha_0000", 0).image)


@pytest.mark.some(2)
@pytest.mark.parametrize("resolution", [1, 1.0, "1.0", "1_0mpp"])
def test_tissues_without_a_tile_size_at_any_spelling_of_the_resolution(lake, resolution):
    dataset = SporaDataset(["alpha", "beta"], datasets_dir=lake, resolution=resolution, sampling_unit="tissues")
    assert len(dataset) == 8
    assert dataset.tile_index is None
    assert dataset.resolution == resolution
    assert (dataset.resolution_dir, dataset.mpp) == ("1_0mpp", 1.0)
    assert list(dataset[0]["modalities"]) == ["he", "ihc_Ki67", "imc"]
    assert list(dataset[2]["modalities"]) == ["imc"]


class Draws(Dataset):
    """Draws from a SporaDataset in its workers, as training loops do."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return 16

    def __getitem__(self, index):
        sample = self.dataset.sample_random_tile()
        return torch.utils.data.get_worker_info().id, sample["tissue_id"], sample["tile_id"]


@pytest.mark.slow
def test_workers_draw_different_reproducible_samples(lake):
    def drawn(seed, epoch=0, context=None):
        dataset = SporaDataset(["alpha", "beta"], datasets_dir=lake, tile_size=32, seed=seed, verbose=False)
        dataset.set_epoch(epoch)
        loader = DataLoader(
            Draws(dataset), batch_size=4, num_workers=2, collate_fn=list, multiprocessing_context=context
        )
        by_worker = {0: [], 1: []}
        for worker, *place in (item for batch in loader for item in batch):
            by_worker[worker].append(tuple(place))
        return by_worker

    first = drawn(0)
    assert first[0] != first[1]
    assert drawn(0, context="spawn") == first
    assert drawn(0, epoch=1) != first
    unseeded = drawn(None)
    assert unseeded[0] != unseeded[1]


def test_int_and_str_patient_ids_both_match(lake):
    numbers, texts = imc(lake, "beta"), imc(lake, "alpha")
    assert numbers.patient_tissue_map[170] == numbers.patient_tissue_map["170"] == ["beta_0000", "beta_0001"]
    for patient_id in (171, "171", np.int64(171), 171.0):
        found = [tissue.tissue_id for tissue in numbers.get_tissue_by_patient(patient_id)]
        assert found == ["beta_0002", "beta_0003"]
    assert [tissue.tissue_id for tissue in texts.get_tissue_by_patient("p0")] == ["alpha_0000", "alpha_0001"]
    assert numbers.get_tissue_by_patient(999) == []
    composed = ComposedImagingDataset("beta", path=lake / "beta", modalities=["he", "imc"], resolution=1)
    found = composed.get_composed_tissue_by_patient(170)
    assert [(item.tissue_id, list(item.modalities)) for item in found] == [
        ("beta_0000", ["he", "imc"]),
        ("beta_0001", ["he", "imc"]),
    ]
    assert [item.tissue_id for item in composed.get_composed_tissue_by_patient("171")] == ["beta_0002", "beta_0003"]


@pytest.mark.parametrize("preprocess", [True, False])
def test_kind_is_tile_for_tiles(lake, preprocess):
    for dataset in (imc(lake), he(lake)):
        assert dataset.get_tile("alpha_0000", 0, preprocess=preprocess).kind == "tile"
        assert dataset.get_tile_by_coordinates("alpha_0000", 0, 0, preprocess=preprocess).kind == "tile"
        assert dataset.get_tissue("alpha_0000", preprocess=preprocess).kind == "tissue"


@pytest.mark.some(2)
@pytest.mark.parametrize("size", [40, 96, 128])
def test_without_a_tile_file_tiles_are_random_seeded_and_of_exact_size(lake, size):
    dataset = imc(lake, tile_size=size, seed=5)
    assert dataset.tile_coordinates is None
    image = np.pad(coordinates_image(5, 96, 96), ((0, 0), (0, 32), (0, 32)))
    tiles = [dataset.get_tile("alpha_0000", 0, kind="complete", preprocess=False).image.numpy() for _ in range(8)]
    again = imc(lake, tile_size=size, seed=5)
    assert all(
        np.array_equal(tile, again.get_tile("alpha_0000", 0, kind="complete", preprocess=False).image) for tile in tiles
    )
    for tile in tiles:
        row, col = divmod(int(tile[0, 0, 0]), 100)
        assert max(row, col) <= max(96 - size, 0)
        assert np.array_equal(tile, image[:, row : row + size, col : col + size])
    assert (len({tile[0, 0, 0] for tile in tiles}) > 1) == (size == 40)


def test_random_tiles_of_several_modalities_lie_at_one_place(lake):
    dataset = ComposedImagingDataset(
        "alpha", path=lake / "alpha", modalities=["imc", "he"], resolution=1, tile_size=40, seed=1
    )
    for _ in range(3):
        tile = dataset.get_composed_tile("alpha_0000", 0, kind="complete", preprocess=False).modalities
        row, col = divmod(int(tile["imc"].image[0, 0, 0]), 100)
        assert np.array_equal(tile["he"].image.numpy(), rgb(0)[:, row : row + 40, col : col + 40])


def test_one_tissue_without_statistics_is_an_error_for_that_tissue_only(own_lake):
    folder = own_lake / f"alpha/imc/1_0mpp/standardization/{SPEC}"
    file = folder / "image_level_upper_quantiles.parquet"
    pd.read_parquet(file).drop(index="alpha_0001").to_parquet(file)
    dataset = imc(own_lake, standardization=SPEC)
    assert dataset.get_tile("alpha_0000", 0).image.shape == (2, 32, 32)
    assert dataset.get_tissue("alpha_0001", preprocess=False).image.shape == (2, 96, 96)
    with pytest.raises(StatisticsNotFoundError, match=r"alpha_0001.*image_level_upper_quantiles\.parquet"):
        dataset.get_tile("alpha_0001", 0)


def test_channels_without_usable_statistics_are_dropped_or_kept_with_a_warning(own_lake):
    file = own_lake / f"alpha/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    table = pd.read_parquet(file)
    table.loc["alpha_0001", "CD8"] = 0.0
    table.to_parquet(file)
    dropped = imc(own_lake, standardization=SPEC).get_tissue("alpha_0001", kind="complete")
    assert dropped.channel_names.tolist() == ["DNA", "CD3e", "Bad", "Junk"]
    assert dropped.image_loading_mask.tolist() == [True, True, False, True, True]
    assert dropped.measured_mask.all()
    dataset = imc(own_lake, standardization=SPEC, disable_quantile_mask=True)
    with pytest.warns(RuntimeWarning, match=r"alpha_0001.*CD8"):
        kept = dataset.get_tissue("alpha_0001", kind="complete")
    assert kept.channel_names.tolist() == NAMES


def test_a_tissue_whose_channels_all_drop_has_none(own_lake):
    file = own_lake / f"alpha/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    (pd.read_parquet(file) * 0).to_parquet(file)
    tile = imc(own_lake, standardization=SPEC).get_tile("alpha_0000", 0)
    assert tile.image.shape == (0, 32, 32)
    assert tile.channel_names.tolist() == []


def test_samples_do_not_share_what_a_user_may_change(lake):
    dataset = imc(lake)
    first = dataset.get_tile("alpha_0000", 0)
    first.channel_names[:] = "gone"
    first.uniprot_ids[:] = "gone"
    first.image_loading_mask[:] = False
    first.measured_mask[:] = False
    first.image.zero_()
    second = dataset.get_tile("alpha_0000", 0)
    assert second.channel_names.tolist() == ["CD3e", "CD8"]
    assert second.uniprot_ids.tolist() == ["P07766", "P01732-2"]
    assert second.measured_mask.all()
    assert second.image_loading_mask.tolist() == [False, True, True, False, False]
    assert second.image.abs().sum() > 0


def test_a_dataset_pickles_with_its_label_function_applied(lake):
    dataset = imc(lake, standardization=SPEC, label="label", label_modifying_fn=lambda text: text.upper())
    expected = dataset.get_tile("alpha_0001", 4)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.get_tile("alpha_0001", 4).image, expected.image)
    assert copy.label_encoder == {"X": 0, "Y": 1, "Z": 2}
