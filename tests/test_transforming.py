"""What a transform is handed, what becomes of what it returns and raises, and whose draws it gets."""

import functools
import inspect
import multiprocessing
import random

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, default_collate

from lakes import write_lake
from spora_db import SporaQuery, collate_list, collate_padded
from spora_db.errors import ArgumentError, SporaError
from spora_db.loading.drawn import Drawn
from spora_db.loading.draws import generator
from spora_db.loading.sample import Sample
from spora_db.loading.transforming import SampleTransform

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


OF_CHANNELS = ("marker_index", "channel_names", "uniprot_ids")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("transforms") / "lake")


@pytest.fixture(scope="module")
def query(lake):
    return SporaQuery(lake).modality("imc").tiles(size=32)


def drawn_number(sample, rng):
    return {**sample, "number": int(rng.integers(2**40))}


class Marks:
    """Callable, and with a method that is."""

    def __call__(self, sample):
        return {**sample, "number": -1}

    def mark(self, sample, rng):
        return drawn_number(sample, rng)

    @staticmethod
    def alone(sample):
        return {**sample, "number": -1}


def scaled(sample, *, by=1.0):
    return {**sample, "image": sample["image"] * by}


def jittered(sample, by, rng):
    return {**drawn_number(sample, rng), "by": by}


@functools.wraps(drawn_number)
def decorated(*args, **options):
    return drawn_number(*args, **options)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("function", "draws"),
    [
        (lambda sample: sample, False),
        (lambda sample, generator: drawn_number(sample, generator), True),
        (lambda sample, rng=None: drawn_number(sample, rng), True),
        (lambda sample, by=2, *, rng: jittered(sample, by, rng), True),
        (drawn_number, True),
        (decorated, True),
        (Marks(), False),
        (Marks().mark, True),
        (Marks.alone, False),
        (functools.partial(scaled, by=2.0), False),
        (functools.partial(jittered, by=3), True),
        (functools.partial(drawn_number, rng=None), True),
        (lambda sample, rng, /: drawn_number(sample, rng), True),
    ],
)
def test_how_many_arguments_a_function_takes_is_read_from_its_signature(query, function, draws):
    dataset = query.to_torch(transform=function)
    assert dataset.transform.takes_rng == draws
    sample = dataset[5]
    if draws:
        assert sample["number"] == generator(seed=0, epoch=0, position=5).integers(2**40)
    assert sample["tile_id"] == query.to_torch()[5]["tile_id"]


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("flip", ["'flip'", "f(sample, rng)"]),
        ([drawn_number], ["compose(f, g)"]),
        (Marks, ["an object of the class"]),
        (dict.fromkeys, ["expected a function f(sample) or f(sample, rng)"]),
        (torch.flip, ["flip: nothing tells", "no signature", "function of your own"]),
        (np.flip, ["flip(m, axis=None)", "one argument or two", "Name its second parameter rng"]),
        (lambda *args: args, ["<lambda>(*args)", "one argument or two"]),
        (torch.nn.ReLU(), ["ReLU(*args, **kwargs)", "one argument or two"]),
        (lambda: None, ["<lambda>()", "neither one argument nor two"]),
        (lambda a, b, c: a, ["<lambda>(a, b, c)", "neither one argument nor two"]),
        (lambda rng: rng, ["<lambda>(rng)", "expected a function"]),
        (lambda rng, sample: sample, ["<lambda>(rng, sample)", "expected a function"]),
        (functools.partial(drawn_number, rng=np.random.default_rng(0)), ["drawn_number has an rng already", "unbound"]),
    ],
)
def test_what_does_not_tell_is_refused_with_what_to_write(query, function, words):
    with pytest.raises(ArgumentError) as caught:
        query.to_torch(transform=function)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_one_call_gets_all_modalities_masks_and_columns_of_a_row(lake):
    seen = []
    query = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).select("age")
    dataset = query.to_torch(transform=lambda sample: seen.append(sample) or sample)
    found = dataset[0]
    assert [set(sample) for sample in seen] == [{"imc", "he"}]
    assert found["he"]["age"] == 40
    assert type(found) is type(found["imc"]) is Sample


@pytest.mark.parametrize(
    "image",
    [
        np.arange(12, dtype=np.uint16).reshape(3, 2, 2)[:, ::-1],
        np.broadcast_to(np.float16(2), (1, 2, 2)),
        np.asfortranarray(np.ones((2, 3, 4))),
    ],
)
def test_arrays_in_a_returned_sample_become_tensors(query, image):
    def change(sample):
        kept = {name: value for name, value in sample.items() if name not in OF_CHANNELS}
        return {**kept, "image": image, "masks": {"own": image[0] > 3}}

    sample = query.to_torch(transform=change)[0]
    assert type(sample) is Sample
    assert torch.equal(sample["image"], torch.from_numpy(image.copy()))
    assert torch.equal(sample["masks"]["own"], torch.from_numpy(image[0] > 3))
    assert collate_padded([sample, sample])["image"].shape == (2, *image.shape)


def test_anything_else_is_handed_to_the_collate_as_it_is(query):
    dataset = query.to_torch(transform=lambda sample: (sample["image"], sample["tile_id"]))
    image, tile = dataset[3]
    assert (image.shape, tile) == ((5, 32, 32), 3)
    with pytest.raises(ArgumentError, match=r"Received tuple to collate.*collate=torch\.utils\.data\.default_collate"):
        next(iter(dataset.loader(4)))
    images, tiles = next(iter(dataset.loader(4, collate=default_collate, shuffle="none")))
    assert (images.shape, tiles.tolist()) == ((4, 5, 32, 32), [0, 1, 2, 3])
    images, tiles = next(iter(DataLoader(dataset, batch_size=4)))
    assert (images.shape, tiles.tolist()) == ((4, 5, 32, 32), [0, 1, 2, 3])


def test_a_dict_of_a_sample_is_a_sample_to_a_plain_loader(query):
    dataset = query.to_torch(transform=lambda sample: {**sample, "number": sample["tile_id"] + 0.5})
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert (batch["presence"].shape, batch["number"].tolist()) == ((2, 5), [0.5, 1.5])


def test_no_sample_is_an_error(query):
    dataset = query.to_torch(transform=lambda sample: sample.update(seen=True))
    with pytest.raises(ArgumentError, match=r"transform=<lambda> returned None\. Return the sample") as caught:
        dataset[4]
    assert "row 4 of the plan: dataset alpha, tissue_id alpha_0000, tile_id 4" in caught.value.__notes__[0]


def failing(error):
    def fail(sample, rng):
        sample.clear()
        raise error

    return fail


class TwoWords(Exception):
    """An error whose constructor takes more than a message."""

    def __init__(self, one, two):
        super().__init__(one, two)


@pytest.mark.parametrize("on_error", ["raise", "replace"])
@pytest.mark.parametrize("error", [OSError("mine"), SporaError("mine"), KeyError("mine"), TwoWords("mine", 2)])
def test_its_errors_name_the_row_and_are_never_an_unreadable_file(query, lake, error, on_error, tmp_path, monkeypatch):
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path))
    dataset = query.to_torch(transform=failing(error), on_error=on_error)
    with pytest.raises(type(error), match="mine") as caught:
        dataset.__getitems__([Drawn(-1, seed=7, epoch=2, position=60)])
    assert caught.value is error
    assert "transform=fail, at row 71 of the plan, seed 7, epoch 2, position 60" in caught.value.__notes__[-1]
    del error.__notes__
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_worker_hands_on_which_row_it_was(query):
    def fail(sample):
        raise OSError(sample["tissue_id"])

    with pytest.raises(OSError, match="at row 0 of the plan: dataset alpha"):
        next(iter(DataLoader(query.to_torch(transform=fail), num_workers=1, batch_size=2)))


def with_channels(sample, places, fields):
    return {**sample, "image": sample["image"][places]} | {
        name: sample[name][places] if name == "marker_index" else [sample[name][place] for place in places]
        for name in fields
    }


@pytest.mark.parametrize("collate", ["padded", "packed", "panel"])
@pytest.mark.parametrize("places", [[1, 2], [0, 0, 1, 2, 2, 2]], ids=["fewer", "more"])
def test_channels_of_which_nothing_says_which_they_are_are_no_batch(query, collate, places):
    for left in OF_CHANNELS:
        kept = [name for name in OF_CHANNELS if name != left]
        changed = functools.partial(with_channels, places=places, fields=kept)
        loader = query.to_torch(transform=changed).loader(4, collate=collate)
        with pytest.raises(ArgumentError, match=rf"image has {len(places)} channels and its {left} \d"):
            next(iter(loader))


@pytest.mark.parametrize("collate", ["padded", "packed", "panel"])
def test_channels_that_a_transform_takes_have_their_own_markers(query, collate):
    places = [2, 0]
    chosen = query.to_torch(transform=lambda sample: with_channels(sample, places, OF_CHANNELS))
    batch = next(iter(chosen.loader(4, collate=collate)))
    plain = [sample for sample in query.to_torch() if sample["tissue_id"] in batch["tissue_id"]]
    of_row = {(sample["tissue_id"], sample["tile_id"]): sample for sample in plain}
    for k, key in enumerate(zip(batch["tissue_id"], batch["tile_id"].tolist(), strict=True)):
        image, markers = (
            batch[name][2 * k : 2 * k + 2] if collate == "packed" else batch[name][k]
            for name in ("image", "marker_index")
        )
        torch.testing.assert_close(image, of_row[key]["image"][places], rtol=0, atol=0)
        assert markers.tolist() == of_row[key]["marker_index"][places].tolist()


def test_a_substitute_is_transformed_with_the_draws_of_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    root = write_lake(tmp_path / "lake", names=("alpha",))
    (shard,) = (root / "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr/0/c/0").glob("0/1")
    shard.write_bytes(b"short")
    query = SporaQuery(root).modality("imc").tiles(size=32)
    dataset = query.to_torch(on_error="replace", transform=drawn_number)
    for position in range(9, 18):
        sample = dataset[position]
        assert sample["number"] == generator(seed=0, epoch=0, position=position).integers(2**40)
    assert sum(dataset[position]["substituted_for"] >= 0 for position in range(9, 18)) == 2


def pairs(batches):
    return [(sample["row"], sample["col"], sample["tissue_id"], sample["number"]) for b in batches for sample in b]


class InOrder(torch.utils.data.Sampler):
    """Rows of an order, as a sampler of this package yields them: of several epochs, each from a start on."""

    def __init__(self, rows, *runs):
        self.rows, self.runs = rows, runs

    def __iter__(self):
        for epoch, start in self.runs:
            for position in range(start, len(self.rows)):
                yield Drawn(self.rows[position], seed=4, epoch=epoch, position=position)


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("workers", "method"), [(0, None), (1, "fork"), (3, "fork"), pytest.param(1, "spawn", marks=pytest.mark.slow)]
)
def test_draws_are_the_same_whatever_the_workers_and_after_a_resume(query, workers, method):
    dataset = query.to_torch(transform=drawn_number)
    rows = np.random.default_rng(0).permutation(len(dataset))[:40].tolist()
    options = {"batch_size": 4, "num_workers": workers, "collate_fn": collate_list}
    options |= {"multiprocessing_context": multiprocessing.get_context(method)} if workers else {}
    found = pairs(DataLoader(dataset, sampler=InOrder(rows, (1, 0), (1, 21), (2, 0)), **options))
    first, resumed, second = found[:40], found[40:59], found[59:]
    assert [number for *_, number in first] == [
        int(generator(seed=4, epoch=1, position=i).integers(2**40)) for i in range(40)
    ]
    assert resumed == first[21:]
    assert [place for *place, _ in second] == [place for *place, _ in first]
    assert not {number for *_, number in first} & {number for *_, number in second}


@pytest.mark.some(2)
@pytest.mark.parametrize("collate", ["list", "padded", "packed", "panel"])
def test_a_loader_hands_on_where_each_row_stands(query, collate):
    dataset = query.to_torch(transform=drawn_number)
    options = {"batch_size": 8, "collate": collate, "seed": 5}

    def numbers(batches):
        return [
            [s["number"] for s in b] if isinstance(b, list) else torch.as_tensor(b["number"]).tolist() for b in batches
        ]

    alone = dataset.loader(**options)
    first, second = numbers(alone), numbers(alone)
    places = {int(generator(seed=5, epoch=0, position=i).integers(2**40)) for i in range(len(dataset))}
    assert {number for batch in first for number in batch} == places
    assert not {number for batch in second for number in batch} & places
    for workers in (1, 3):
        loader = dataset.loader(num_workers=workers, **options)
        assert [numbers(loader), numbers(loader)] == [first, second]
    begun, resumed = dataset.loader(num_workers=1, **options), dataset.loader(**options)
    batches = iter(begun)
    assert numbers([next(batches), next(batches)]) == first[:2]
    resumed.load_state_dict(begun.state_dict())
    assert numbers(resumed) == first[2:]
    halves = [numbers(dataset.loader(rank=rank, world_size=2, **options)) for rank in (0, 1)]
    assert {number for half in halves for batch in half for number in batch} == places


def test_draws_pass_through_datasets_that_count_on(query):
    dataset = query.to_torch(transform=drawn_number)
    both = ConcatDataset([dataset, dataset])
    batches = DataLoader(both, sampler=InOrder([0, 90, 3], (0, 0)), batch_size=3, collate_fn=collate_list)
    expected = [int(generator(seed=4, epoch=0, position=i).integers(2**40)) for i in range(3)]
    assert [number for *_, number in pairs(batches)] == expected


def whole(rows):
    return rows


def some(rows):
    return Subset(rows, [4, 2])


@pytest.mark.parametrize(("workers", "size", "wrap"), [(0, 2, whole), (0, 2, some), (1, 2, whole), (1, None, some)])
def test_row_numbers_alone_are_refused_before_the_first_batch(query, workers, size, wrap):
    options = {"batch_size": size, "num_workers": workers, "collate_fn": collate_list if size else None}
    loader = DataLoader(wrap(query.to_torch(transform=drawn_number)), shuffle=True, **options)
    with pytest.raises(ArgumentError, match=r"drawn_number takes an rng.*dataset\.loader\(.*TileSampler\(dataset\)"):
        next(iter(loader))
    assert next(iter(DataLoader(wrap(query.to_torch(transform=Marks())), shuffle=True, **options)))


def test_an_epoch_that_is_explained_beforehand_is_transformed_too(query):
    seen = []
    query.to_torch(transform=lambda sample, rng: seen.append(rng) or sample).explain(seconds=0)
    assert len(seen) > 1


def test_what_a_spawned_worker_cannot_be_sent_is_named(query):
    dataset = query.to_torch(transform=lambda sample: sample)
    context = multiprocessing.get_context("spawn")
    loader = DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context=context)
    with pytest.raises(ArgumentError, match=r"transform=<lambda> cannot be sent.*Define it with def"):
        iter(loader)
    forked = DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=collate_list)
    assert len(next(iter(forked))) == 2


def test_draws_are_uniform_and_unlike_those_beside_them():
    numbers = np.array([[generator(seed=s, epoch=e, position=p).random(2) for p in range(200)]
                        for s in range(3) for e in range(4)])  # fmt: skip
    counts = np.histogram(numbers[..., 0], bins=16, range=(0, 1))[0]
    expected = counts.sum() / 16
    assert ((counts - expected) ** 2 / expected).sum() < 37.7  # the 0.999 quantile of chi-square, 15 degrees
    joint = np.histogram2d(numbers[:, :-1, 0].ravel(), numbers[:, 1:, 0].ravel(), bins=4, range=[(0, 1)] * 2)[0]
    expected = joint.sum() / 16
    assert ((joint - expected) ** 2 / expected).sum() < 37.7
    assert len(np.unique(numbers)) == numbers.size


def test_a_generator_is_a_whole_one_and_touches_no_global_state():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    rng = generator(seed=-3, epoch=2**70, position=0)
    assert rng.permutation(5).tolist() == generator(seed=-3, epoch=2**70, position=0).permutation(5).tolist()
    rng.normal(size=3), rng.choice([1, 2]), rng.bytes(3)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert before == after


def test_it_reads_a_signature_once(monkeypatch):
    calls = []
    monkeypatch.setattr(inspect, "signature", lambda *args, real=inspect.signature: calls.append(1) or real(*args))
    transform = SampleTransform(drawn_number)
    for row in range(3):
        transform.of_row(Sample(image=torch.zeros(1, 1, 1)), row)
    assert len(calls) == 1
