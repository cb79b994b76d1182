import multiprocessing
import os
import pickle
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from cell_lakes import write_cells, write_mask, write_masks
from in_numpy import CLOSE, in_float64, region_of
from lakes import coordinates_image, write_lake
from spora_db import SporaQuery, collate_list
from spora_db.errors import ArgumentError, FileFormatError, MaskNotFoundError, UnknownNameError
from spora_db.loading.dataset import PlanDataset
from spora_db.plan.mask_parts import MASKS, MaskCache, cut, set_mask_cache_bytes
from spora_db.standardization.transform import Transform, rgb_transform

KINDS = ("tissue", "instances", "kind")
FOLDERS = {"tissue": "tissue_masks", "instances": "cell_masks/instances", "kind": "cell_masks/kind"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("masks") / "lake")


@pytest.fixture(scope="module")
def masks(lake: Path) -> dict[tuple[str, str, str], np.ndarray]:
    return write_masks(lake)


@pytest.fixture
def own(lake: Path, masks: object, tmp_path: Path) -> Path:
    """A lake of one's own, to break."""
    shutil.copytree(lake / "alpha", tmp_path / "lake/alpha")
    return tmp_path / "lake"


def file(lake: Path, kind: str, tissue: str = "alpha_0001") -> Path:
    return lake / "alpha/segmentations/1_0mpp" / FOLDERS[kind] / f"{tissue}.npz"


def expected(masks, sample, kind):
    """Return the region of a mask, cut from a padded copy."""
    mask = np.pad(masks[sample["dataset"], kind, sample["tissue_id"]], 64)
    row, col = sample["row"] + 64, sample["col"] + 64
    height, width = sample["image"].shape[1:]
    return mask[row : row + height, col : col + width]


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "build",
    [
        lambda q: q.modality("imc").tiles(size=32),
        lambda q: q.modality("he").tissues(),
        lambda q: q.modality("imc").cells(size=48, source="masks").sample(40, seed=1),
    ],
    ids=["tiles", "tissues", "cells"],
)
def test_masks_are_the_same_region_as_the_image(lake, masks, build):
    dataset = build(SporaQuery(lake)).with_masks(*KINDS).to_torch()
    for sample in (dataset[i] for i in range(len(dataset))):
        assert list(sample["masks"]) == list(KINDS)
        for kind, mask in sample["masks"].items():
            assert mask.dtype == (torch.bool if kind == "tissue" else torch.int32)
            assert mask.is_contiguous()
            assert np.array_equal(mask.numpy(), expected(masks, sample, kind))


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """Datasets of tiles, cells and tissues with masks and cells beside two modalities, and what these are."""
    lake = write_lake(tmp_path_factory.mktemp("batches") / "lake", names=("alpha",))
    masks = write_masks(lake)
    cells = write_cells(lake / "alpha", masks, names=("Pos_Y", "Pos_X"))
    query = SporaQuery(lake).modality("imc", "he").with_masks(*KINDS).with_cells("area").standardize(SPECS)
    plans = [own.plan() for own in (query.tiles(size=32), query.cells(size=24), query.tissues())]
    kinds = [{"dtype": name} for name in CLOSE] + [{"standardize_on": "device"}]
    return [PlanDataset(plan, **kind) for plan in plans for kind in kinds], masks, cells


SPECS = {"imc": "quantile_clipping/uq_0.99_image", "he": "imagenet"}
FORMULAS = {
    "imc": Transform(
        method="quantile_clipping", lower=np.zeros(5), upper=1000 * np.arange(1, 6), mean=np.full(5, 0.5),
        std=np.full(5, 0.25),
    ),
    "he": rgb_transform("imagenet", dtype="uint8"),
}  # fmt: skip


def check_image(sample, *, raw):
    """Compare an image with what numpy makes of the whole one."""
    name, number = sample["modality"], int(sample["tissue_id"][-4:])
    whole = coordinates_image(5, 96, 96, offset=17 * number) if name == "imc" else coordinates_image(3, 96, 96, number)
    pixels = region_of(
        whole if name == "imc" else whole % 251, sample["row"], sample["col"], *sample["image"].shape[1:]
    )
    if raw:
        assert np.array_equal(sample["image"].numpy(), pixels)
    else:
        close = CLOSE[str(sample["image"].dtype).removeprefix("torch.")]
        np.testing.assert_allclose(sample["image"].float(), in_float64(pixels, FORMULAS[name]), **close)


def check_alone(sample, alone):
    """Compare what a batch has with what a batch of one has."""
    assert torch.equal(sample["image"], alone["image"])
    assert all(torch.equal(sample["masks"][kind], alone["masks"][kind]) for kind in KINDS)
    assert all(torch.equal(sample["cells"][name], alone["cells"][name]) for name in ("cell_id", "area", "row", "col"))


@settings(deadline=None, max_examples=16)
@given(data=st.data())
def test_any_batch_is_cut_from_the_whole_and_that_of_its_rows_alone(batches, data):
    datasets, masks, cells = batches
    dataset = data.draw(st.sampled_from(datasets))
    rows = data.draw(st.lists(st.integers(0, len(dataset) - 1), min_size=1, max_size=6))
    read = dataset.__getitems__(rows)
    for place, modality in product(range(len(rows)), ("imc", "he")):
        sample = read[place][modality]
        check_alone(sample, dataset[rows[place]][modality])
        check_image(sample, raw=dataset.standardize_on == "device")
        for kind, mask in sample["masks"].items():
            assert np.array_equal(mask.numpy(), expected(masks, sample, kind))
        own, corner = cells[cells["tissue_id"] == sample["tissue_id"]], np.array([sample["row"], sample["col"]])
        places = (own[["row", "col"]].to_numpy() + np.array([0.25, -0.25])).astype(np.float32)
        first = np.where(corner == 0, -0.5, corner)  # a whole number is the centre of a pixel
        inside = ((places >= first) & (places < corner + sample["image"].shape[1:])).all(axis=1)
        assert sorted(sample["cells"]["cell_id"].tolist()) == sorted(own["cell_id"][inside])
        assert (sample["cells"]["area"] == 1.5 * sample["cells"]["cell_id"]).all()


def test_masks_beyond_the_edge_are_zero(lake, masks):
    text = "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, 0 AS tile_id, 80 AS \"row\", 90 AS col"
    query = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0).with_masks("instances", "tissue")
    sample = query.to_torch()[0]
    assert sample["masks"]["instances"].shape == (32, 32)
    assert np.array_equal(sample["masks"]["instances"].numpy(), expected(masks, sample, "instances"))
    assert not sample["masks"]["instances"][:, 6:].any()


def test_every_modality_gets_its_masks(lake, masks):
    sample = SporaQuery(lake).modality("imc", "he").tiles(size=32).with_masks("instances").to_torch()[4]
    assert torch.equal(sample["imc"]["masks"]["instances"], sample["he"]["masks"]["instances"])
    assert np.array_equal(sample["he"]["masks"]["instances"], expected(masks, sample["he"], "instances"))


def test_samples_own_their_masks(lake, masks):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).with_masks("tissue").to_torch()
    before = dataset[4]["masks"]["tissue"].clone()
    dataset[4]["masks"]["tissue"].fill_(value=False)
    assert torch.equal(dataset[4]["masks"]["tissue"], before)
    assert "masks" not in SporaQuery(lake).modality("imc").tiles(size=32).to_torch()[0]


def test_a_mask_is_decoded_once_for_all_tiles_of_its_tissue(lake, masks):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).with_masks("tissue", "kind").to_torch()
    MASKS.masks.clear()
    set_mask_cache_bytes(0)
    try:
        for position in range(18):  # two tissues of nine tiles
            dataset[position]
        assert MASKS.masks.misses == 4
        assert len(MASKS.masks) == 2
        set_mask_cache_bytes(2**20)
        for position in (*range(36), *range(36)):
            dataset[position]
        assert MASKS.masks.misses == 4 + 6  # two are still there
        assert MASKS.masks.held == sum(mask.nbytes for _, mask in MASKS.masks._values.values()) == 4 * 96 * 96 * 5
    finally:
        set_mask_cache_bytes(512 * 2**20)


def test_the_least_recently_used_mask_goes_first(tmp_path):
    cache = MaskCache(3 * 64 * 4)
    paths = [write_mask(tmp_path / f"{i}.npz", np.full((8, 8), i, np.uint8)) for i in range(4)]

    def get(i):
        return cache.get(paths[i], tissue=False, shape=(8, 8), image=Path("image"), kept=1)

    for i in (0, 1, 2, 0, 3):
        assert (get(i) == i).all()
    assert [Path(key[0]).stem for key in cache.masks._values] == ["2", "0", "3"]
    assert (cache.masks.misses, cache.masks.held) == (4, 3 * 64 * 4)
    with pytest.raises(ValueError, match="read-only"):
        get(0)[0] = 1
    with pytest.raises(ArgumentError, match="-1"):
        set_mask_cache_bytes(-1)


def test_a_mask_that_changes_is_read_anew(own):
    dataset = SporaQuery(own).modality("imc").tissues().with_masks("instances").to_torch()
    assert dataset[1]["masks"]["instances"].max() > 5
    write_mask(file(own, "instances"), np.full((96, 96), 5, np.int32))
    assert (dataset[1]["masks"]["instances"] == 5).all()


def test_a_mask_of_another_size_is_an_error_naming_both_files(own):
    path = write_mask(file(own, "kind"), np.zeros((96, 95), np.uint8))
    dataset = SporaQuery(own).modality("imc").tissues().with_masks("kind").to_torch()
    for _ in range(2):
        with pytest.raises(FileFormatError, match=r"96 x 95.*96 x 96") as caught:
            dataset[1]
        assert str(path) in str(caught.value)
        assert "alpha_0001.ome.zarr" in str(caught.value)


def test_absent_masks_are_an_error_when_the_plan_is_made_and_when_they_go(own):
    query = SporaQuery(own).modality("imc").tissues().with_masks("kind")
    dataset = query.to_torch()
    file(own, "kind").unlink()
    with pytest.raises(MaskNotFoundError, match="alpha_0001"):
        dataset[1]
    with pytest.raises(MaskNotFoundError, match=r"alpha_0001.*kind mask") as caught:
        query.plan()
    condition = str(caught.value).split('.where("')[1].split('")')[0]
    assert len(query.where(condition).to_torch()) == 3


@pytest.mark.parametrize(
    ("kinds", "error", "words"),
    [
        (("cell",), UnknownNameError, ["cell", "instances", "kind", "tissue"]),
        (("tissue", "instance"), UnknownNameError, ["Did you mean 'instances'?", "1.0 mpp"]),
        ((), ArgumentError, ["at least one"]),
    ],
)
def test_mistakes_are_named_with_what_exists(lake, masks, kinds, error, words):
    with pytest.raises(error) as caught:
        SporaQuery(lake).modality("imc").tiles(size=32).with_masks(*kinds).count()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_plan_says_which_masks_and_where(lake, masks, own):
    query = SporaQuery(lake / "alpha").modality("imc").tiles(size=32)
    plans = [query.plan(), *(query.with_masks(*kinds).plan() for kinds in (("tissue",), ("kind",), ("tissue", "kind")))]
    assert len({plan.hash for plan in plans}) == 4
    assert pickle.loads(pickle.dumps(plans[3])).hash == plans[3].hash
    assert SporaQuery(own).modality("imc").tiles(size=32).with_masks("tissue").plan().hash == plans[1].hash
    assert plans[1].masks.paths.column("tissue")[0].as_py() == (
        "alpha/segmentations/1_0mpp/tissue_masks/alpha_0000.npz"
    )
    assert len(plans[1].masks.paths) == 4


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_masks_without_the_lake(lake, masks, method):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).sample(12).with_masks(*KINDS).with_cells().to_torch()
    alone = [dataset[i] for i in range(12)]
    context = multiprocessing.get_context(method)
    loader = DataLoader(
        dataset, batch_size=5, num_workers=2, collate_fn=collate_list, multiprocessing_context=context, timeout=120
    )
    found = [sample for batch in loader for sample in batch]
    for one, other in zip(found, alone, strict=True):
        assert all(torch.equal(one["masks"][kind], other["masks"][kind]) for kind in KINDS)
        assert torch.equal(one["cells"]["cell_id"], other["cells"]["cell_id"])


def test_a_forked_child_starts_without_masks(lake, masks):
    SporaQuery(lake).modality("imc").tiles(size=32).with_masks("tissue").to_torch()[0]
    assert MASKS.masks.held > 0
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, str(MASKS.masks.held).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(receiving, 9) == b"0"
    os.close(receiving)
    os.close(sending)


@pytest.mark.parametrize(("row", "col"), [(0, 0), (-3, 2), (5, 7), (-20, 0), (9, 30), (-2, -2)])
def test_cut_is_a_slice_of_a_padded_copy(row, col):
    mask = np.arange(1, 71).reshape(7, 10)
    padded = np.pad(mask, 40)
    assert np.array_equal(
        cut(mask, row=row, col=col, height=6, width=5), padded[row + 40 : row + 46, col + 40 : col + 45]
    )
