"""Where a loader spends its time, and the one change that would help most."""

import cProfile
import itertools
import pstats
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import spora_db
from spora_db.errors import ArgumentError, counted
from spora_db.files.processors import usable_cpus
from spora_db.images.cache import ChunkCache, cache_in_use, cache_info, use_cache
from spora_db.loading.batches import PanelBatchSampler, TileBatchSampler
from spora_db.loading.rows import PlanRows
from spora_db.loading.sampler import TileSampler
from spora_db.selection.arguments import own_number, wrong

STAGES = (
    ("images/files.py", "fetching"), ("files", "fetching"), ("images", "decoding"), ("masks", "decoding"),
    ("standardization", "standardizing"), ("kernels", "standardizing"), ("transforms", "transforming"),
    ("loading/transforming.py", "transforming"), ("", "collating"),
)  # fmt: skip
"""The stage of a module by how its path in the package begins, the first that fits."""
NAMES = ("fetching", "decoding", "standardizing", "transforming", "collating")
PACKAGE = f"{Path(spora_db.__file__).parent}/"
Profiled = tuple[str, int, str]


class MeasuredLoader(Protocol):
    """What a `TileLoader` has."""

    dataset: PlanRows
    cache: ChunkCache
    num_workers: int
    collate_fn: Any
    _ordering: TileBatchSampler | PanelBatchSampler

    @property
    def tiles(self) -> TileSampler:
        """The order of the rows."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def _alike(self) -> Iterable[Any]:
        """Return a loader of the same batches, whose epoch is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderProfile:
    """Where a loader spends its time.

    Attributes
    ----------
    rows, seconds
        Rows that this process read while it was measured, and the wall time.
    stages
        Share of that time by stage: fetching (bytes from files), decoding, standardizing, transforming (of a
        `transform`) and collating (samples, fields, batches, the rest).
    waiting
        Share of that time in which this process computed nothing: it waited for a disk, a network or a processor.
    hits
        Share of decoded chunks that the cache had.
    decoded
        Bytes of pixels that were decoded.
    alone
        Rows per second of this process.
    together
        Rows per second of the loader with its workers; None without.
    handing_over
        Share of the workers' speed that is lost between them and this process, or for want of processors; None without.
    advice
        The one change that would help most.
    """

    rows: int
    seconds: float
    stages: Mapping[str, float]
    waiting: float
    hits: float
    decoded: int
    alone: float
    together: float | None
    handing_over: float | None
    advice: str

    def __str__(self) -> str:
        """Return a few lines."""
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.stages.items() if share >= 0.005)
        lines = [
            f"{counted(self.rows, 'row')} in {self.seconds:.1f} s, one process: {self.alone:,.1f} rows/s",
            f"{shares}; waiting {self.waiting:.0%} of it",
            f"chunks found decoded: {self.hits:.0%}; decoded: {self.decoded / 2**20:,.1f} MiB",
        ]
        if self.together is not None:
            lines.append(f"with workers: {self.together:,.1f} rows/s, {self.handing_over:.0%} lost in handing over")
        return "\n".join([*lines, f"What would help most: {self.advice}"])


def profile(loader: MeasuredLoader, *, seconds: float) -> LoaderProfile:
    """Measure a loader; see `TileLoader.profile`."""
    if not 0 < (own_number(seconds) or 0) < 3600:
        raise wrong(seconds, at="profile(seconds=", expected="a number of seconds above 0, such as 5")
    if not len(loader):
        raise ArgumentError(
            f"profile(): this loader has no batch to measure. Its epoch has {counted(len(loader.tiles), 'row')}, and "
            f"drop_last=True leaves out batches of fewer than batch_size={loader._ordering.batch_size}."
        )
    kept = cache_in_use()
    use_cache(loader.cache)
    try:
        return _measured(loader, seconds)
    finally:
        use_cache(kept)  # else a shared cache would outlive the loader whose workers share it


def _measured(loader: MeasuredLoader, seconds: float) -> LoaderProfile:
    batches = _batches(loader)
    _read(loader, next(batches))  # kernels and the first file are not part of the speed
    before, clock, processor = cache_info(), time.perf_counter(), time.process_time()
    measured, rows = cProfile.Profile(), 0
    share = seconds / 2 if loader.num_workers else seconds
    with measured:
        for batch in batches:
            _read(loader, batch)
            rows += len(batch)
            if time.perf_counter() - clock > share:
                break
    wall, busy, after = time.perf_counter() - clock, time.process_time() - processor, cache_info()
    asked = after.hits + after.misses - before.hits - before.misses
    alone = max(rows, 1) / wall
    together = _rate(loader, share) if loader.num_workers else None
    found: dict[str, Any] = {
        "stages": _stages(measured),
        "waiting": min(max(0.0, 1 - busy / wall), 1.0),
        "hits": (after.hits - before.hits) / asked if asked else 0.0,
        "together": together,
        "handing_over": None
        if together is None
        else max(0.0, 1 - together / (alone * min(loader.num_workers, usable_cpus()))),
    }
    return LoaderProfile(
        rows=rows, seconds=wall, decoded=after.bytes_decoded - before.bytes_decoded, alone=alone,
        advice=_advice(loader, found), **found,
    )  # fmt: skip


def _batches(loader: MeasuredLoader) -> Iterator[list[int]]:
    """Yield the batches of the epoch that is under way, over and over; the loader's own place in it stays."""
    order, ordering, epoch = loader.tiles.order(), loader._ordering, loader.tiles.epoch
    positions = np.arange(len(order))
    if isinstance(ordering, PanelBatchSampler):
        positions = np.flatnonzero(ordering.panels[order] == ordering.panels[order[0]])
    for start in itertools.cycle(range(0, len(positions), ordering.batch_size)):
        yield loader.tiles.drawn(epoch, positions[start : start + ordering.batch_size])


def _read(loader: MeasuredLoader, batch: list[int]) -> None:
    loader.collate_fn(loader.dataset.__getitems__(batch))


def _rate(loader: MeasuredLoader, seconds: float) -> float:
    """Return how many rows per second arrive from workers, once they run: those of a loader that is alike."""
    alike, size = loader._alike(), min(loader._ordering.batch_size, len(loader.tiles) / len(loader))
    arriving = itertools.chain.from_iterable(alike for _ in itertools.count())
    next(arriving)
    clock, batches = time.perf_counter(), 0
    for _ in arriving:
        batches += 1
        if time.perf_counter() - clock > seconds:
            break
    return batches * size / (time.perf_counter() - clock)


def _stages(measured: cProfile.Profile) -> dict[str, float]:
    """Share the time of every function out to stages: a library's is that of whoever calls it."""
    known: dict[Profiled, tuple[Any, ...]] = pstats.Stats(measured).stats  # type: ignore[attr-defined]
    shares: dict[Profiled, dict[str, float]] = {}

    def of(function: Profiled) -> dict[str, float]:
        if function not in shares:
            shares[function] = {}  # a function that calls itself adds nothing
            if function[0].startswith(PACKAGE):
                name = function[0].removeprefix(PACKAGE)
                shares[function] = {next(stage for begin, stage in STAGES if name.startswith(begin)): 1.0}
            else:
                callers = {caller: edge[3] for caller, edge in known.get(function, ((),) * 5)[4].items()}
                shares[function] = _mixed([(of(caller), weight) for caller, weight in callers.items()])
        return shares[function]

    mixed = _mixed([(of(function), entry[2]) for function, entry in known.items()])
    return {name: mixed.get(name, 0.0) for name in NAMES}


def _mixed(parts: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Return the shares of stages in several parts together, by weight."""
    total = sum(weight for shares, weight in parts if shares)
    mixed: dict[str, float] = {}
    for shares, weight in parts:
        for name, share in shares.items():
            mixed[name] = mixed.get(name, 0.0) + share * weight / total if total else share
    return mixed


AdviceRule = tuple[Callable[[MeasuredLoader, Mapping[str, Any]], bool], str]
ADVICE: tuple[AdviceRule, ...] = (
    (
        lambda loader, _: loader.num_workers == 0 and usable_cpus() > 1,
        "num_workers=2: nothing is read while the model computes",
    ),
    (
        lambda _, found: found["waiting"] > 0.4 and found["stages"]["fetching"] > 0.2,
        "files on a local disk, or more workers: most time goes by waiting for bytes",
    ),
    (
        lambda loader, found: found["stages"]["decoding"] > 0.4 and loader.tiles.rule.shuffle == "global",
        'shuffle="locality": chunks are decoded once per epoch, not once per tile',
    ),
    (
        lambda _, found: found["stages"]["decoding"] > 0.4 and found["hits"] < 0.9,
        'cache="shared", or more cache_bytes, unless this is a first epoch: few chunks were found decoded '
        "(dataset.explain() says how large they are)",
    ),
    (
        lambda _, found: found["stages"]["transforming"] > 0.4,
        "a quicker transform, or one of batches on the device (spora_db.transforms)",
    ),
    (
        lambda _, found: (found["handing_over"] or 0) > 0.4,
        "fewer workers, or smaller batches: they wait for each other or for a processor",
    ),
    (
        lambda loader, found: found["stages"]["standardizing"] > 0.4 and loader.dataset.standardize_on == "cpu",
        'standardize_on="device", or fewer channels: most time goes into standardizing',
    ),
)
"""Changes, the one that helps most first, each with when it does."""


def _advice(loader: MeasuredLoader, found: Mapping[str, Any]) -> str:
    more = "more workers, as many as there are processors; no stage stands out"
    enough = "nothing here: no stage stands out, and there are as many workers as processors"
    rest = more if loader.num_workers < usable_cpus() else enough
    return next((text for applies, text in ADVICE if applies(loader, found)), rest)
