"""The contract of a loader: of `TileLoader`, of a DataLoader with a `TileSampler`, and with a `PanelBatchSampler`."""

import itertools

import pytest
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from lakes import write_lake
from spora_db import PanelBatchSampler, SporaQuery, TileSampler
from spora_db.errors import WorkerError
from spora_db.loading.collates import collate_padded

BATCH = 10
ROWS = 72
FORK = {"start_method": "fork", "timeout": 120}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    lake = write_lake(tmp_path_factory.mktemp("contract") / "lake")
    return SporaQuery(lake).modality("imc").tiles(size=32).to_torch()


def plain(data, workers):
    order = TileSampler(data, block=BATCH)
    return DataLoader(data, batch_size=BATCH, sampler=order, num_workers=workers, collate_fn=collate_padded)


def panels(data, workers):
    batches = PanelBatchSampler(TileSampler(data), batch_size=BATCH)
    return DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=collate_padded)


KINDS = {
    "loader": lambda data, workers: data.loader(BATCH, num_workers=workers, **FORK),
    "loader of panels": lambda data, workers: data.loader(BATCH, num_workers=workers, collate="panel", **FORK),
    "plain": plain,
    "plain panels": panels,
}
OURS = ("loader", "loader of panels")
every_kind = pytest.mark.parametrize("kind", list(KINDS))
with_workers = pytest.mark.parametrize("workers", [0, 2])


def rows(batches):
    columns = ("dataset", "tissue_id", "tile_id")
    return [str(row) for batch in batches for row in zip(*(batch[name] for name in columns), strict=True)]


def expected(dataset, kind, epochs):
    """Return the rows of the first epochs, each by a loader that was asked for it."""
    found = []
    for epoch in range(epochs):
        loader = KINDS[kind](dataset, 0)
        loader.batch_sampler.sampler.set_epoch(epoch)
        found.append(rows(loader))
    assert len({tuple(own) for own in found}) == epochs
    assert {len(set(own)) for own in found} == {ROWS}
    return found


@pytest.mark.some(3)
@every_kind
@with_workers
def test_every_iteration_takes_the_next_epoch(dataset, kind, workers):
    epochs = expected(dataset, kind, 6)
    loader = KINDS[kind](dataset, workers)
    length = len(loader)
    assert rows(loader) == epochs[0]
    batches = iter(loader)  # as many batches as there are, without asking for one more
    assert rows(next(batches) for _ in range(length)) == epochs[1]
    del batches
    part = rows(itertools.islice(loader, 3))  # broken off
    assert part == epochs[2][: len(part)]
    assert rows(loader) == epochs[3]
    for _ in zip(range(2), loader, strict=False):
        pass
    assert rows(loader) == epochs[5]
    assert len(loader) == length == -(-ROWS // BATCH)


@pytest.mark.parametrize("kind", OURS)
@with_workers
def test_the_epoch_advances_when_its_last_batch_was_delivered(dataset, kind, workers):
    loader = KINDS[kind](dataset, workers)
    length = len(loader)
    for epoch in range(2):
        batches = iter(loader)
        for left in reversed(range(length)):
            next(batches)
            assert len(loader) == length
            assert (loader.epoch, loader.remaining) == ((epoch, left) if left else (epoch + 1, length))
        state = loader.state_dict()
        assert next(batches, None) is None
        assert (loader.epoch, loader.remaining, loader.state_dict()) == (epoch + 1, length, state)


REACH = [
    *itertools.product(OURS, ["", "sampler", "batch_sampler", "batch_sampler.sampler"]),
    *itertools.product(["plain"], ["sampler", "batch_sampler.sampler"]),
    *itertools.product(["plain panels"], ["batch_sampler", "batch_sampler.sampler"]),
]
"""What of a loader is ours: torch's own objects have no epoch."""


@pytest.mark.some(5)
@pytest.mark.parametrize(("kind", "reach"), REACH)
@with_workers
def test_whatever_a_framework_reaches_sets_the_one_epoch(dataset, kind, workers, reach):
    loader, epochs = KINDS[kind](dataset, workers), expected(dataset, kind, 3)
    for epoch in (2, 0, 0, 1):
        found = loader
        for name in reach.split(".") if reach else ():
            found = getattr(found, name)
        found.set_epoch(epoch)
        assert rows(loader) == epochs[epoch]
    if kind in OURS:
        objects = (loader, loader.sampler, loader.batch_sampler, loader.batch_sampler.sampler)
        assert [own.epoch for own in objects] == [2] * 4


@every_kind
def test_a_second_iterator_is_its_own(dataset, kind):
    epochs, loader = expected(dataset, kind, 2), KINDS[kind](dataset, 0)
    pairs = list(itertools.zip_longest(loader, loader))
    assert [rows(own for own in side if own) for side in zip(*pairs, strict=True)] == epochs


@pytest.mark.parametrize("kind", ["plain", "plain panels"])
def test_a_second_iterator_with_workers_of_its_own_is_its_own(dataset, kind):
    epochs, loader = expected(dataset, kind, 2), KINDS[kind](dataset, 1)
    pairs = list(itertools.zip_longest(loader, loader))
    assert [rows(own for own in side if own) for side in zip(*pairs, strict=True)] == epochs


@pytest.mark.parametrize("kind", OURS)
def test_an_iterator_whose_workers_were_taken_says_so(dataset, kind):
    epochs, loader = expected(dataset, kind, 2), KINDS[kind](dataset, 2)
    first, second = iter(loader), iter(loader)
    begun = [next(first)]
    assert rows([next(second)]) == epochs[1][: len(begun[0]["image"])]
    with pytest.raises(WorkerError, match=r"Another iterator of this loader has begun.*dataset\.loader"):
        next(first)
    finished = iter(loader)
    for _ in range(len(loader)):
        next(finished)
    next(iter(loader))
    assert next(finished, None) is None  # all of it was delivered


@pytest.mark.some(2)
@pytest.mark.parametrize("kind", OURS)
@with_workers
def test_a_state_goes_on_and_the_next_epoch_follows(dataset, kind, workers):
    epochs, length = expected(dataset, kind, 3), len(KINDS[kind](dataset, 0))
    for stop in (0, 1, 4, length):
        loader = KINDS[kind](dataset, workers)
        loader.set_epoch(1)
        before = rows(itertools.islice(loader, stop))
        state = loader.state_dict()
        for named in (False, True):
            again = KINDS[kind](dataset, 0)
            again.load_state_dict(state)
            if named:
                again.set_epoch(1)
            assert (again.epoch, len(again), again.remaining) == (1, length, length - stop)
            assert before + rows(again) == epochs[1]
            assert again.epoch == 2
            assert rows(again) == epochs[2]
        other = KINDS[kind](dataset, 0)
        other.load_state_dict(state)
        other.set_epoch(2)
        assert rows(other) == epochs[2]


def test_states_of_the_sampler_and_of_the_loader_are_one(dataset):
    loader = dataset.loader(BATCH)
    next(iter(loader))
    assert loader.state_dict() == loader.batch_sampler.state_dict() == loader.sampler.state_dict()
    assert loader.batch_sampler.state_dict(taken=2) == loader.sampler.state_dict(taken=2 * BATCH)
    assert isinstance(loader.sampler, DistributedSampler)


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_last_smaller_batch(dataset, drop_last):
    loader = dataset.loader(BATCH, drop_last=drop_last)
    assert len(loader) == len(list(loader)) == (7 if drop_last else 8)
    assert (loader.epoch, loader.remaining) == (1, len(loader))
    again = dataset.loader(BATCH, drop_last=drop_last)
    for _ in zip(range(len(loader)), again, strict=False):
        pass
    resumed = dataset.loader(BATCH, drop_last=drop_last)
    resumed.load_state_dict(again.state_dict())
    assert (list(resumed), resumed.epoch) == ([], 1)
