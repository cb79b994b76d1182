"""Batches of chosen rows in the order in which they are asked for; rows that cannot be read are told, not replaced."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from spora_db.arrays import Int64
from spora_db.errors import SporaError, reason
from spora_db.images.cache import CacheChoice, use_cache
from spora_db.loading.collates import CollateChoice, chosen_collate
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.failures import worker_errors
from spora_db.loading.sample import Sample
from spora_db.loading.starting import StartMethod, workers_start
from spora_db.loading.workers import CACHE_BYTES, HandOver, warm_up_for, worker_options


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBatch:
    """What was read of some rows.

    Attributes
    ----------
    rows
        The rows of the plan that were read, in order.
    batch
        What the collate made of them; None where none could be read.
    failed
        Rows that could not be read, each with the reason.
    """

    rows: tuple[int, ...]
    batch: Any
    failed: tuple[tuple[int, str], ...] = ()


class _Told(list[Sample]):
    """The samples of some rows, which these were, and those that could not be read."""

    rows: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


class ToldRows(PlanDataset):
    """The rows of a plan; with `listed`, one that cannot be read is told beside the others of its batch."""

    listed = False

    def __getitems__(self, positions: Sequence[int]) -> Sequence[Sample]:
        """Return the samples of several rows, for `Told`."""
        rows = tuple(map(int, positions))
        try:
            told = _Told(super().__getitems__(rows))
            told.rows = rows
        except (SporaError, OSError):
            if not self.listed:
                raise
            told = self._one_by_one(rows)
        return told

    def _one_by_one(self, rows: Sequence[int]) -> _Told:
        told, failed = _Told(), list[tuple[int, str]]()
        for row in rows:
            try:
                told.append(super().__getitems__([row])[0])
                told.rows = (*told.rows, row)
            except (SporaError, OSError) as error:
                failed.append((row, " ".join(f"{type(error).__name__}: {reason(error)}.".split())))
        told.failed = tuple(failed)
        return told


@dataclass(frozen=True, slots=True)
class Told:
    """A collate that hands on which rows a batch is of."""

    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, samples: Sequence[Any]) -> tuple[Any, tuple[int, ...], tuple[tuple[int, str], ...]]:
        """Return the batch, None of no samples, its rows, and those that failed."""
        assert isinstance(samples, _Told)
        return (self.collate(samples) if samples else None), samples.rows, samples.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReading:
    """How batches are read.

    Attributes
    ----------
    collate, num_workers, start_method, prefetch, timeout, cache, cache_bytes
        As `PlanDataset.loader` takes them.
    """

    collate: CollateChoice = "padded"
    num_workers: int = 0
    start_method: StartMethod | None = None
    prefetch: int = 2
    timeout: float = 0
    cache: CacheChoice = "process"
    cache_bytes: int = CACHE_BYTES

    def batches(self, dataset: ToldRows, wanted: Iterable[Int64]) -> Iterator[ReadBatch]:
        """Yield batches of rows in the order of `wanted`, which is asked for the next ones ahead of their reading.

        Raises
        ------
        SporaError, OSError
            A row cannot be read, and failures are not listed.
        WorkerError
            A worker cannot start, or ended.
        """
        options = worker_options(
            self.num_workers, cache=self.cache, cache_bytes=self.cache_bytes, start_method=self.start_method,
            prefetch=self.prefetch, timeout=self.timeout,
        )  # fmt: skip
        cache, method = options.pop("cache"), options.pop("start_method", None)
        if self.num_workers:
            start = workers_start(method)
            options |= {"multiprocessing_context": start.context(), "persistent_workers": False}
            if start.method == "fork":
                warm_up_for(dataset)
        else:
            use_cache(cache)
        loader = DataLoader[Any](
            dataset,
            batch_sampler=_Lists(wanted),
            collate_fn=HandOver(Told(chosen_collate(self.collate))),
            pin_memory=torch.cuda.is_available(),
            **options,
        )
        with worker_errors(loader):
            for batch, rows, failed in loader:
                yield ReadBatch(rows=tuple(rows), batch=batch, failed=tuple(failed))


@dataclass(frozen=True, slots=True)
class _Lists:
    """A batch sampler of batches that are known one after the other."""

    wanted: Iterable[Int64]

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.wanted:
            yield rows.tolist()
