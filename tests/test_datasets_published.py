"""The published names, defaults, orders and types, as code written for that loader relies on them."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lakes import PANEL, coordinates_image
from published_lake import write_published_lake
from spora_db import build_standardizer, get_grid_tile
from spora_db.datasets import (
    BaseImagingDataset,
    ComposedImagingDataset,
    HEImagingDataset,
    IMCModality,
    MultiplexImagingDataset,
    SingleIHCImagingDataset,
    SporaDataset,
    get_modality_from_str,
    is_valid_modality_instance,
)
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.standardization.filters import FilterFactory

SPEC = "quantile_clipping/uq_0.99_image"
NAMES = [channel[0] for channel in PANEL]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("published") / "lake", names=("alpha",))


@pytest.fixture(scope="module")
def imc(lake):
    return MultiplexImagingDataset("alpha", "imc", SPEC, 1.0, lake / "alpha", 32, False)


@pytest.mark.parametrize(
    ("kind", "order"),
    {
        BaseImagingDataset: "name modality resolution path tile_size load_cell_metadata verbose label labels_to_keep "
        "label_modifying_fn label_type tile_strategy split",
        HEImagingDataset: "name resolution path load_cell_metadata verbose mean_std_type tile_size tile_strategy split",
        SingleIHCImagingDataset: "name marker_name resolution tile_size path load_cell_metadata verbose mean_std_type "
        "tile_strategy split",
        MultiplexImagingDataset: "name modality standardization resolution path tile_size verbose load_cell_metadata "
        "disable_quantile_mask filter_list use_mean_std return_uniprot_ids replace_nuclear_uniprot_ids tile_strategy "
        "split",
        ComposedImagingDataset: "name modalities tile_size resolution path verbose load_cell_metadata tile_strategy "
        "split",
        FilterFactory: "filters_to_apply filter_params",
    }.items(),
)
def test_positional_arguments_are_in_the_published_order(kind, order):
    parameters = inspect.signature(kind).parameters.values()
    assert [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD] == order.split()


def test_constructors_take_positional_arguments(lake, imc):
    composed = ComposedImagingDataset("alpha", ["imc", "he"], 32, 1.0, lake / "alpha", False)
    assert list(composed.get_composed_tile("alpha_0000", 1).modalities) == ["imc", "he"]
    he = HEImagingDataset("alpha", 1.0, lake / "alpha", True, False, "hibou", 32)
    assert (he.mean_std_type, he.tile_size, len(he.cell_metadata) > 0) == ("hibou", 32, True)
    assert SingleIHCImagingDataset("alpha", "Ki67", 1.0, 32, lake / "alpha").get_tile("alpha_0001", 2).kind == "tile"
    assert imc.get_tile("alpha_0000", 0).image.shape == (2, 32, 32)
    for kind, arguments in ((MultiplexImagingDataset, ("imc",)), (ComposedImagingDataset, (["imc"],))):
        with pytest.raises(ArgumentError, match="resolution"):
            kind("alpha", *arguments, path=lake / "alpha")


def test_kinds_have_the_published_defaults(imc):
    assert imc.get_channel_names("alpha_0000").tolist() == NAMES
    assert imc.get_uniprot_ids("alpha_0002").tolist() == [None, "P01732-2", "P62736", "not-an-id"]
    assert imc.get_tissue("alpha_0000").channel_names.tolist() == ["CD3e", "CD8"]
    assert imc.get_tissue_by_patient("p0", preprocess=False)[0].channel_names.tolist() == NAMES
    assert imc.quality_control_mask.tolist() == [True, True, True, False, True]
    assert imc.uniprot_mask.tolist() == [False, True, True, True, False]


MASKS = [
    ("complete", {"measured_mask": [True, False, False, True, False]}, ["DNA", "Bad"]),
    ("qc_filtered", {"measured_mask": [True, False, False, True, False]}, ["DNA"]),
    ("qc_filtered", {"qc_mask": [False, False, False, True, True]}, ["Bad", "Junk"]),
    ("uniprot_filtered", {"measured_mask": [True, True, False, True, False]}, ["CD3e"]),
    ("uniprot_filtered", {"qc_mask": [True, False, True, True, False]}, ["CD8", "Bad"]),
    ("uniprot_filtered", {"filtered_mask": [True, False, False, False, False], "qc_mask": [True] * 5}, ["DNA"]),
]


@pytest.mark.parametrize(("kind", "masks", "expected"), MASKS)
def test_masks_that_are_known_already_are_used(imc, kind, masks, expected):
    given = {name: np.array(mask) for name, mask in masks.items()}
    assert imc.get_channel_names("alpha_0000", kind=kind, **given).tolist() == expected
    ids = dict(zip(NAMES, (channel[2] for channel in PANEL), strict=True))
    assert imc.get_uniprot_ids("alpha_0000", kind, **given).tolist() == [ids[name] for name in expected]


def test_a_mask_over_something_else_than_the_panel_is_an_error(imc):
    with pytest.raises(ArgumentError, match="one truth value per channel of the panel, 5"):
        imc.get_channel_names("alpha_0002", measured_mask=np.ones(4, bool))


@pytest.mark.parametrize("name", ["selected_mask", "image_loading_mask"])
@pytest.mark.parametrize("convert", [torch.as_tensor, np.asarray, lambda x: np.asarray(x, np.uint16)])
def test_standardizers_answer_with_tensors(imc, name, convert):
    tissue = imc.get_tissue("alpha_0001", "complete", preprocess=False)
    image, kept = imc.standardizer.apply(
        convert(tissue.image), "alpha_0001", measured_mask=tissue.measured_mask, **{name: tissue.image_loading_mask}
    )
    assert type(image) is torch.Tensor
    assert torch.equal(image, imc.get_tissue("alpha_0001", "complete").image)
    assert kept.tolist() == [True] * 5
    with pytest.raises(ArgumentError, match="selected_mask"):
        imc.standardizer.apply(tissue.image, "alpha_0001", tissue.measured_mask)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bfloat16", "float16", "requires_grad", "parameter"])
@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (3, 8, 9), (8, 9), (0, 8, 9)])
def test_filters_answer_with_tensors_on_batches_too(shape, dtype):
    plain = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape) % 7
    given = {
        "requires_grad": plain.clone().requires_grad_(), "parameter": torch.nn.Parameter(plain.clone()),
    }.get(dtype)  # fmt: skip
    given = plain.to(getattr(torch, dtype)) if given is None else given
    factory = FilterFactory(["gaussian_blur", "median_filter"], {})
    found = factory.apply_filters(given)
    planes = [factory.apply_filters(plane.numpy()) for plane in plain.reshape(-1, 8, 9)]
    assert (type(found), found.dtype, found.shape) == (torch.Tensor, torch.float32, shape)
    assert torch.equal(found.reshape(-1, 8, 9), torch.stack(planes) if planes else plain)
    assert type(factory.apply_filters(plain.numpy())) is torch.Tensor


@pytest.mark.parametrize("given", [np.zeros(4), np.zeros((1, 1, 1, 4, 4)), np.zeros((4, 4), complex), np.array("a")])
def test_filters_refuse_what_is_no_image(given):
    with pytest.raises(ArgumentError, match=r"\(N, C, H, W\)"):
        FilterFactory(["median_filter"]).apply_filters(given)


def test_a_standardizer_tells_what_it_reads(imc, lake):
    standardizer, folder = imc.standardizer, lake / "alpha/imc/1_0mpp/standardization" / SPEC
    assert (standardizer.method, standardizer.quantile_level) == ("quantile_clipping", "image")
    assert standardizer.stats_dir == folder
    table = pd.read_parquet(folder / "image_level_upper_quantiles.parquet")
    assert standardizer.upper_quantiles.columns.tolist() == NAMES
    assert standardizer.upper_quantiles.loc["alpha_0003"].tolist() == table.loc["alpha_0003", NAMES].tolist()
    assert standardizer.lower_quantiles is None
    assert standardizer.means_df.to_numpy().tolist() == [[0.5] * 5]
    assert standardizer.stds_df.to_numpy().tolist() == [[0.25] * 5]
    plain = build_standardizer(standardization="identity", modality_dir=folder, channels_per_image=NAMES)
    assert (plain.method, plain.stats_dir, plain.upper_quantiles, plain.means_df) == ("identity", None, None, None)


def test_a_spora_dataset_keeps_its_arguments(lake):
    own = {"imc": {"standardization": SPEC}}
    dataset = SporaDataset(
        "alpha", datasets_dir=lake, modalities=["imc", "he"], resolution=1, modality_kwargs=own,
        dataset_modality_kwargs={"alpha": {"he": {"mean_std_type": "hibou"}}}, seed=0, verbose=False,
    )  # fmt: skip
    assert (dataset.resolution, dataset.resolution_dir) == (1, "1_0mpp")
    assert dataset.requested_modalities == ["imc", "he"]
    assert dataset.modality_kwargs == own
    assert dataset.dataset_modality_kwargs == {"alpha": {"he": {"mean_std_type": "hibou"}}}
    assert isinstance(dataset.rng, np.random.Generator)
    every = SporaDataset("alpha", datasets_dir=lake, verbose=False)
    assert (every.requested_modalities, every.modality_kwargs, every.dataset_modality_kwargs) == (None, {}, {})
    assert ComposedImagingDataset("alpha", ["imc"], resolution="1.0", path=lake / "alpha").resolution == "1.0"
    assert SporaDataset("alpha", datasets_dir=lake, modalities=IMCModality()).modalities_by_dataset == {
        "alpha": ["imc"]
    }


def corners(dataset, count=8):
    """Return where random tiles lie: the pixels of this lake say it."""
    values = [float(dataset.get_tile("alpha_0000", 0, preprocess=False).image[0, 0, 0]) for _ in range(count)]
    return [divmod(value, 100) for value in values]


class RandomTiles(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return corners(self.dataset, 1)[0]


def test_random_tiles_follow_the_global_generator_unless_seeded(lake):
    def dataset(seed=None):
        options = {"resolution": 1.0, "path": lake / "alpha", "tile_size": 20, "verbose": False, "seed": seed}
        return MultiplexImagingDataset("alpha", "imc", **options)

    free, seeded, drawn = dataset(), dataset(7), []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002 - what is tested
        drawn.append(corners(free))
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1
    np.random.seed(4)  # noqa: NPY002
    assert corners(free) != drawn[0]
    np.random.seed(3)  # noqa: NPY002
    assert corners(seeded) == corners(dataset(7)) != drawn[0]
    pairs = []
    for _ in range(2):
        torch.manual_seed(5)
        loader = DataLoader(RandomTiles(free), batch_size=4, num_workers=2, collate_fn=list)
        pairs.append(list(loader))
    assert pairs[0] == pairs[1]
    assert pairs[0][0] != pairs[0][1]


def test_the_smallest_tile_has_one_place(lake):
    whole = MultiplexImagingDataset("alpha", "imc", resolution=1.0, path=lake / "alpha", tile_size=96, verbose=False)
    tile = whole.get_tile("alpha_0000", 3, "complete", preprocess=False)
    assert np.array_equal(tile.image.numpy(), coordinates_image(5, 96, 96))


def test_modalities_of_a_union():
    assert get_modality_from_str("imc", union_type=IMCModality) == IMCModality()
    assert is_valid_modality_instance(IMCModality(), union_type=IMCModality)
    with pytest.raises(UnknownNameError, match="IMCModality"):
        get_modality_from_str("he", union_type=IMCModality)


def test_the_grid_has_its_published_tolerance():
    mask = np.zeros((64, 64), bool)
    mask[:26, :26] = True
    assert len(get_grid_tile(mask, 64)[0]) == 1
    assert len(get_grid_tile(mask, 64, tolerance=0.8)[0]) == 0


def test_a_standardizer_alone_goes_to_other_processes(imc):
    tissue = imc.get_tissue("alpha_0001", "complete", preprocess=False)
    arguments = (tissue.image, "alpha_0001", tissue.measured_mask, tissue.image_loading_mask)
    copy = pickle.loads(pickle.dumps(imc.standardizer))
    assert torch.equal(copy.apply(*arguments)[0], imc.standardizer.apply(*arguments)[0])
