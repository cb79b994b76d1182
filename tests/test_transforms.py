"""Shipped transforms against numpy and against the tissue itself: of samples and of batches, and what they draw."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch

from cell_lakes import centroids, write_cells, write_masks
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError
from spora_db.images import open_image, read_region
from spora_db.loading.collates import collate_packed, collate_padded, collate_panel
from spora_db.loading.device import standardize_batch
from spora_db.loading.draws import generator
from spora_db.loading.sample import Sample
from spora_db.transforms import (
    center_crop,
    channel_dropout,
    channel_shuffle,
    compose,
    crop,
    random_crop,
    random_flip,
    random_symmetry,
    symmetry,
)
from spora_db.transforms.square import after, undone

KINDS = ("tissue", "instances", "kind")
DTYPES = [torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float32]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = write_lake(tmp_path_factory.mktemp("transforms") / "lake")
    masks = write_masks(root)
    for name in ("alpha", "beta"):
        write_cells(root / name, masks)
    return root


@pytest.fixture(scope="module")
def both(lake):
    """Return tiles of two modalities with masks and cells; a third of the tissues lacks one of them."""
    query = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32)
    return query.with_masks(*KINDS).with_cells("cell_type", "area").to_torch()


@pytest.fixture(scope="module")
def tissue(lake):
    return SporaQuery(lake).modality("imc").tissues().with_masks(*KINDS).with_cells("area").to_torch()[1]


def oracle(planes, number):
    turned = np.rot90(planes, number % 4, (-2, -1))
    return np.flip(turned, -1) if number >= 4 else turned


def equal(one, other):
    """Tell whether two samples or batches hold the same, names and types of fields included."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and one.shape == other.shape
        return same and one.device == other.device and np.array_equal(bits(one), bits(other))
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return one == other


def bits(tensor):
    return tensor.cpu().contiguous().view(torch.uint8).numpy() if tensor.ndim else tensor.cpu().numpy()


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 4, 7), (3, 1, 6)])
def test_planes_are_turned_as_numpy_turns_them(number, dtype, shape):
    pixels = np.arange(np.prod(shape)).reshape(shape)
    sample = symmetry({"image": torch.from_numpy(pixels).to(dtype)}, number)
    assert sample["image"].dtype == dtype
    assert np.array_equal(sample["image"].to(torch.int64).numpy(), oracle(pixels, number))


@pytest.mark.parametrize("number", range(8))
def test_masks_and_cells_of_a_turned_tissue_are_those_of_its_picture(tissue, number):
    """Centroids are measured anew, by numpy, in the mask that was turned."""
    found = symmetry(tissue, number)
    assert found.keys() == tissue.keys() | {"symmetry"}
    assert np.array_equal(found["image"].numpy(), oracle(tissue["image"].numpy(), number))
    for kind in KINDS:
        assert np.array_equal(found["masks"][kind].numpy(), oracle(tissue["masks"][kind].numpy(), number))
    measured = centroids(found["masks"]["instances"].numpy()).set_index("cell_id")
    own = measured.loc[found["cells"]["cell_id"].numpy()]
    for axis in ("row", "col"):
        assert np.abs(found["cells"][axis].numpy() - own[axis].to_numpy()).max() < 1e-4
    kept = {"cell_id", "area", "categories"}
    assert equal({name: found["cells"][name] for name in kept}, {name: tissue["cells"][name] for name in kept})
    assert (found["row"], found["col"], found["symmetry"]) == (0, 0, number)


def test_symmetries_follow_each_other_as_numpy_says():
    planes = np.arange(15).reshape(3, 5)
    for first in range(8):
        for second in range(8):
            twice = oracle(oracle(planes, first), second)
            assert np.array_equal(twice, oracle(planes, after(first, second)))
            sample = symmetry(symmetry({"image": torch.from_numpy(planes[None])}, first), second)
            assert np.array_equal(sample["image"][0], twice)
            assert sample["symmetry"] == after(first, second)
        assert np.array_equal(oracle(oracle(planes, first), undone(first)), planes)
        assert len({oracle(planes, number).tobytes() + bytes(oracle(planes, number).shape) for number in range(8)}) == 8


def cells_within(lake, sample, *, row, col, height, width):
    """Return the ids of cells by brute force: those of the table whose true centroid lies in a region of the tissue."""
    masks = np.load(lake / sample["dataset"] / f"segmentations/1_0mpp/cell_masks/instances/{sample['tissue_id']}.npz")
    places = centroids(masks["mask"])
    inside = (places["row"] >= row) & (places["row"] < row + height)
    inside &= (places["col"] >= col) & (places["col"] < col + width)
    return set(places["cell_id"][inside])


@pytest.mark.some(4)
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("size", [(9, 20), (32, 5), (1, 1), (32, 32)])
def test_a_region_of_a_turned_tile_is_that_region_of_the_tissue(lake, both, number, size):
    rng = np.random.default_rng(number)
    for position in (0, 4, 13, 60):
        found = random_crop(*size)(symmetry(both[position], number), rng)
        upright = symmetry(found, undone(number))
        for modality, part in upright.items():
            height, width = part["image"].shape[-2:]
            assert sorted((height, width)) == sorted(size)
            name = f"{part['dataset']}/{modality}/1_0mpp/images/{part['tissue_id']}.ome.zarr"
            whole = read_region(open_image(lake / name))
            row, col = part["row"], part["col"]
            pixels = np.rint(part["image"].numpy() * (255 if modality == "he" else 1))
            assert np.array_equal(pixels, whole[:, row : row + height, col : col + width])
            region = {"row": row, "col": col, "height": height, "width": width}
            assert set(part["cells"]["cell_id"].tolist()) == cells_within(lake, part, **region)
            for kind in KINDS:
                folder = "tissue_masks" if kind == "tissue" else f"cell_masks/{kind}"
                path = lake / part["dataset"] / f"segmentations/1_0mpp/{folder}/{part['tissue_id']}.npz"
                mask = np.load(path)["mask"][row : row + height, col : col + width]
                assert np.array_equal(part["masks"][kind].numpy(), mask)
            sizes = {len(values) for name, values in part["cells"].items() if name != "categories"}
            assert sizes == {len(part["cells"]["cell_id"])}


def test_places_of_cells_count_from_the_corner_of_a_region(tissue):
    found = crop(symmetry(tissue, 5), row=7, col=40, height=30, width=50)
    measured = centroids(symmetry(tissue, 5)["masks"]["instances"].numpy()).set_index("cell_id")
    own = measured.loc[found["cells"]["cell_id"].numpy()]
    assert len(own) > 10
    assert np.abs(found["cells"]["row"].numpy() + 7 - own["row"].to_numpy()).max() < 1e-4
    assert np.abs(found["cells"]["col"].numpy() + 40 - own["col"].to_numpy()).max() < 1e-4


def test_the_middle_is_the_middle():
    sample = {"image": torch.arange(35).view(1, 5, 7), "row": 10, "col": 20}
    found = center_crop(3)(sample)
    assert np.array_equal(found["image"][0], np.arange(35).reshape(5, 7)[1:4, 2:5])
    assert (found["row"], found["col"]) == (11, 22)
    assert center_crop(5, 7)(sample)["image"].shape == (1, 5, 7)


def panel_of(part):
    """Return what says which plane is which, with a pixel of each plane beside it."""
    return list(
        zip(part["channel_names"], part["uniprot_ids"], part["marker_index"].tolist(),
            part["statistics"][:, 1].tolist(), part["image"][:, 3, 5].tolist(), strict=True)
    )  # fmt: skip


@pytest.fixture(scope="module")
def raw(lake):
    spec = {"imc": "quantile_clipping/uq_0.99_image", "he": "identity"}
    query = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).standardize(spec)
    return query.to_torch(standardize_on="device")


@pytest.mark.parametrize("change", [channel_shuffle, channel_dropout(0.5), channel_dropout(1.0, at_least=2)])
def test_channels_keep_their_names_numbers_and_pixels(raw, change):
    rng, seen = np.random.default_rng(0), set()
    for position in (0, 20, 50):
        sample = raw[position]
        before = panel_of(sample["imc"])
        assert len(set(before)) == len(before)
        for _ in range(5):
            found = change(sample, rng)
            now = panel_of(found["imc"])
            seen.add(tuple(now))
            assert set(now) <= set(before)
            if change is channel_shuffle:
                assert sorted(map(str, now)) == sorted(map(str, before))
            else:
                assert now == [channel for channel in before if channel in now]
                assert len(now) >= getattr(change, "at_least", 1)
            if "he" in sample:
                assert equal(found["he"], sample["he"])
    assert len(seen) > 10


def rngs(count):
    return [np.random.default_rng([8, i]) for i in range(count)]


CHANGES = {
    "symmetry": lambda samples, rng: random_symmetry(samples, rng),
    "flip": random_flip,
    "crop": random_crop(20, 9),
    "center": lambda samples, rng: center_crop(11)(samples),
    "dropout": channel_dropout(0.4),
    "shuffle": channel_shuffle,
    "all": compose(random_symmetry, random_crop(9), center_crop(5), channel_dropout(0.3), channel_shuffle),
}
COLLATES = {"padded": collate_padded, "packed": collate_packed, "panel": collate_panel(["CD8", "P07766", "DNA"])}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def there(batch):
    """Return a batch in which the planes that are there of every sample come first, as a collate would put them."""
    if "image" not in batch:
        return {
            name: there(part) if isinstance(part, dict) and "image" in part else part for name, part in batch.items()
        }
    if "presence" not in batch:
        return batch
    order = (~batch["presence"]).to(torch.int8).argsort(dim=1, stable=True)
    names = ("image", "presence", "marker_index", "statistics")
    width = int(batch["presence"].sum(1).max())
    found = {
        name: torch.stack([values[own] for values, own in zip(batch[name], order, strict=True)])[:, :width]
        for name in names
        if name in batch
    }
    return {**batch, **found}


def moved(value, device):
    if isinstance(value, dict):
        return type(value)({name: moved(part, device) for name, part in value.items()})
    return value.to(device) if isinstance(value, torch.Tensor) else value


@pytest.mark.some(3)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("source", ["both", "raw", "imc"])
def test_a_batch_becomes_what_its_samples_become(lake, request, source, change, collate, device):
    if source == "imc":
        query = SporaQuery(lake).modality("imc").tiles(size=32).with_masks("instances").with_cells("area")
        dataset = query.to_torch()
    else:
        dataset = request.getfixturevalue(source)
    samples = [dataset[position] for position in (0, 20, 50, 71)]
    batch = moved(COLLATES[collate](samples), device)
    if collate == "panel" and change == "dropout":
        return  # a panel has fewer channels than its samples, so fewer numbers are drawn: see the test below
    if collate == "panel" and change in ("shuffle", "all"):
        with pytest.raises(ArgumentError, match="collate_panel have one order"):
            channel_shuffle(batch, rngs(4))
        return
    before = copy.deepcopy(batch)
    found = CHANGES[change](batch, rngs(4))
    assert equal(batch, before)
    assert type(found) is type(batch)
    changed = [CHANGES[change](sample, rng) for sample, rng in zip(samples, rngs(4), strict=True)]
    expected = moved(COLLATES[collate](changed), device)
    names = (
        {"channel_names", "uniprot_ids"} if "presence" in str(batch.keys()) + str(batch.get("imc", {}).keys()) else ()
    )
    assert equal(without(there(found), names), without(there(expected), names))
    if names and collate == "padded":  # names stay beside the places of planes that are gone
        check_names(found, changed)


def test_channels_of_a_panel_become_absent_where_they_stand(raw):
    batch = COLLATES["panel"]([raw[position]["imc"] for position in (0, 20, 50)])
    batch["image"] += 1  # a channel that is there is not black
    assert batch["presence"].tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    found = channel_dropout(0.4)(batch, rngs(3))
    for i, rng in enumerate(rngs(3)):
        there = batch["presence"][i].clone()
        drawn = rng.random(int(there.sum()))
        there[there.clone()] = torch.from_numpy((drawn >= 0.4) | (drawn == drawn.max()))
        assert torch.equal(found["presence"][i], there)
        for name, empty in (("image", 0), ("marker_index", -1), ("statistics", 0)):
            assert torch.equal(found[name][i][there], batch[name][i][there])
            gone = batch["presence"][i] & ~there
            assert (found[name][i][gone] == empty).all()
    assert 0 < (found["presence"] != batch["presence"]).sum() < 8
    assert found["channel_names"] is batch["channel_names"]


def without(batch, names):
    if "image" not in batch:
        return {name: without(part, names) if isinstance(part, dict) else part for name, part in batch.items()}
    return {name: value for name, value in batch.items() if name not in names}


def check_names(found, changed):
    parts = [(found, changed)]
    if "image" not in found:
        places = {name: part["sample_index"].tolist() for name, part in found.items()}
        parts = [(part, [changed[i][name] for i in places[name]]) for name, part in found.items()]
    for batch, samples in parts:
        for i, sample in enumerate(samples):
            for field in ("channel_names", "uniprot_ids"):
                present = batch["presence"][i].tolist()
                names = [name for name, there in zip(batch[field][i], present, strict=False) if there]
                assert names == sample[field]


@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize("change", CHANGES)
def test_raw_batches_may_be_standardized_before_or_afterwards(raw, collate, change):
    if collate == "panel" and change in ("shuffle", "all"):
        return
    batch = COLLATES[collate]([raw[position] for position in (0, 13, 50)])
    found = standardize_batch(CHANGES[change](batch, rngs(3)), "cpu")
    expected = CHANGES[change](standardize_batch(batch, "cpu"), rngs(3))
    for modality in ("imc", "he"):
        assert torch.allclose(found[modality]["image"], expected[modality]["image"])
        assert found[modality].keys() == expected[modality].keys()


@pytest.mark.parametrize("change", CHANGES)
def test_one_generator_is_drawn_from_sample_after_sample(raw, change):
    samples = [raw[position]["imc"] for position in (0, 20, 50)]
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    found = CHANGES[change](collate_packed(samples), one)
    expected = collate_packed([CHANGES[change](sample, other) for sample in samples])
    assert equal(found, expected)
    listed = CHANGES[change](samples, np.random.default_rng(5))
    assert equal(collate_packed(listed), expected)


def test_a_generator_of_torch_gives_every_sample_draws_of_its_own():
    batch = {"image": torch.arange(64.0).view(64, 1, 1, 1).expand(64, 1, 6, 6) + torch.arange(36.0).view(6, 6)}
    found = [random_symmetry(batch, torch.Generator().manual_seed(seed))["symmetry"] for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert set(found[0].tolist()) == set(range(8))
    assert found[0].dtype == torch.int64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_what_it_is(lake, dtype):
    augment = pickle.loads(pickle.dumps(CHANGES["all"]))  # as a spawned worker gets it
    query = SporaQuery(lake).modality("imc").tiles(size=32).standardize("quantile_clipping/uq_0.99_image")
    found = query.to_torch(dtype=dtype, transform=augment)[20]
    expected = CHANGES["all"](query.to_torch(dtype=dtype)[20], generator(seed=0, epoch=0, position=20))
    assert equal(found, expected)
    assert found["image"].dtype == getattr(torch, dtype)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_was_handed_in_is_changed(both, change):
    sample = both[13]
    before = copy.deepcopy(sample)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    found = CHANGES[change](sample, np.random.default_rng(1))
    assert equal(sample, before)
    assert type(found) is type(found["imc"]) is Sample
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002


def chi_square(counts):
    counts = np.asarray(counts, float)
    return ((counts - counts.mean()) ** 2 / counts.mean()).sum()


def test_draws_are_equally_likely():
    rng, square = np.random.default_rng(0), {"image": torch.zeros(1, 4, 4)}
    numbers = [random_symmetry(square, rng)["symmetry"] for _ in range(4000)]
    assert chi_square(np.bincount(numbers, minlength=8)) < 24.3  # 0.999 of 7 degrees
    flips = np.bincount([random_flip(square, rng)["symmetry"] for _ in range(4000)], minlength=8)
    assert (flips[[1, 3, 5, 7]] == 0).all()
    assert chi_square(flips[[0, 2, 4, 6]]) < 16.3  # 3 degrees
    places = {"image": torch.arange(16).view(1, 4, 4)}
    corners = [int(random_crop(2, 3)(places, rng)["image"][0, 0, 0]) for _ in range(4000)]
    assert chi_square(np.bincount(corners, minlength=16)[[0, 1, 4, 5, 8, 9]]) < 20.5  # 5 degrees
    channels = {"image": torch.arange(3).view(3, 1, 1)}
    orders = [tuple(channel_shuffle(channels, rng)["image"].ravel().tolist()) for _ in range(3000)]
    assert chi_square(np.unique(orders, axis=0, return_counts=True)[1]) < 20.5
    many = {"image": torch.arange(20).view(20, 1, 1)}
    kept = np.zeros(20)
    for _ in range(1000):
        kept[channel_dropout(0.3)(many, rng)["image"].ravel().numpy()] += 1
    assert ((kept - 700) ** 2 / 210).sum() < 45.3  # 20 degrees


def test_two_shapes_and_places_are_not_taken_for_one_region():
    one = {"image": torch.zeros(1, 6, 6), "row": 0, "col": 0, "mpp": 1.0}
    for other in ({"mpp": 0.5}, {"row": 3}, {"symmetry": 2}, {"image": torch.zeros(1, 6, 7)}):
        sample = {"imc": one, "he": {**one, **other}}
        with pytest.raises(ArgumentError, match=r"imc 6 x 6 pixels from row 0, col 0 at mpp 1\.0; he"):
            random_symmetry(sample, np.random.default_rng(0))
    found = compose(random_crop(4), random_symmetry)(sample, np.random.default_rng(0))  # what both show
    assert {part["image"].shape for part in found.values()} == {(1, 4, 4)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda sample, rng: random_crop(7)(sample, rng), ["5 x 6", "7 x 7", "larger tiles"]),
        (lambda sample, rng: crop(sample, row=1, col=0, height=5, width=2), ["row 1", "5 x 6"]),
        (lambda sample, rng: symmetry(sample, 8), ["number=8", "0 to 7"]),
        (lambda sample, rng: random_crop(0), ["random_crop(0, None)", "pixels"]),
        (lambda sample, rng: center_crop("5"), ["center_crop('5', None)"]),
        (lambda sample, rng: channel_dropout(1.5), ["1.5", "between 0 and 1"]),
        (lambda sample, rng: random_flip(sample, 3), ["rng=3", "np.random.default_rng(0)"]),
        (lambda sample, rng: random_flip((sample, sample), [rng]), ["1 generators for 2 samples"]),
        (lambda sample, rng: symmetry([sample], [1, 2]), ["[1, 2] for 1 samples"]),
        (lambda sample, rng: random_flip(sample["image"], rng), ["Received Tensor", "query.to_torch()[0]"]),
        (lambda sample, rng: random_flip({"pixels": 1}, rng), ["dict of pixels", "no image"]),
        (lambda sample, rng: random_symmetry(collate_padded([sample]), rng), ["6 x 5", "random_flip"]),
        (lambda sample, rng: symmetry(collate_padded([sample] * 2), [0, 1]), ["5 x 6 and 6 x 5", "one batch"]),
        (lambda sample, rng: compose(), ["at least one"]),
        (lambda sample, rng: compose(random_flip)(sample), ["rng=None"]),
        (lambda sample, rng: compose(lambda sample: None)(sample), ["<lambda> returned None"]),
        (lambda sample, rng: compose(lambda *args: args), ["<lambda>(*args)"]),
    ],
)
def test_mistakes_are_named_with_what_to_write(call, words):
    with pytest.raises(ArgumentError) as caught:
        call({"image": torch.zeros(2, 5, 6)}, np.random.default_rng(0))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_composed_functions_draw_one_after_another_and_say_whether_they_draw(both):
    def own(sample):
        return {name: {**part, "image": part["image"].numpy() + 1} for name, part in sample.items()}

    augment = compose(random_symmetry, own, random_crop(8))
    rng, other = np.random.default_rng(2), np.random.default_rng(2)
    found = augment(both[5], rng)
    first = random_symmetry(both[5], other)
    changed = {name: {**part, "image": part["image"] + 1} for name, part in first.items()}
    assert equal(dict(found), dict(random_crop(8)(changed, other)))
    dataset = SporaQuery(both.plan.lake).modality("imc").tiles(size=32).to_torch
    assert dataset(transform=augment).transform.takes_rng
    assert not dataset(transform=compose(center_crop(8))).transform.takes_rng
    assert dataset(transform=compose(center_crop(8)))[3]["image"].shape == (5, 8, 8)
