"""What worker processes of a loader are asked for, and do: take a cache, load kernels, hand batches over uncopied."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import reduction, util
from typing import Any, get_args

from torch.utils.data import get_worker_info

from spora_db.errors import SporaError, unknown
from spora_db.files.garbage import collected_later
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.ranged import SINCE
from spora_db.images.cache import CacheChoice, ChunkCache, choose_cache, use_cache
from spora_db.loading.rows import PlanRows
from spora_db.loading.segments import SEGMENTS, Parcel, SegmentPool
from spora_db.loading.starting import StartMethod
from spora_db.selection.arguments import checked_bytes, checked_whole, own_number, wrong
from spora_db.standardization.standardize import warm_up

CACHE_BYTES = 2 * 2**30
WARMED = 8
"""Modalities whose kernels are loaded before the first batch, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker does first: takes its cache and loads the kernels, so that no batch waits for them.

    It reads remote files as those who began with it know them, over its share of the connections.
    """

    cache: ChunkCache
    segments: int
    since: Mapping[str, float] = field(default_factory=lambda: dict(SINCE))

    def __call__(self, worker: int) -> None:
        """Prepare worker number `worker`."""
        use_cache(self.cache)
        SINCE.update(self.since)
        if hasattr(reduction, "DupFd"):
            SEGMENTS[:] = [SegmentPool(self.segments)]
        info = get_worker_info()
        assert info is not None
        assert isinstance(info.dataset, PlanRows)
        NETWORK.share(info.num_workers)
        warm_up_for(info.dataset)


@dataclass(frozen=True, slots=True)
class HandOver:
    """A collate whose batches leave a worker without a copy."""

    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, samples: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever the collate makes
        """Return the batch, in a worker as a parcel."""
        batch = self.collate(samples)
        return Parcel(batch, SEGMENTS[-1]) if SEGMENTS else batch


def warm_up_for(dataset: PlanRows) -> None:
    """Compile or load the kernels for the first image of each modality, a few at most.

    One that cannot be read is left to its rows, which raise or are replaced.
    """
    modalities = dataset.plan.images.column("modality").to_pylist()
    for name in list(dict.fromkeys(modalities))[:WARMED] if dataset.standardize_on == "cpu" else ():
        with collected_later(), contextlib.suppress(SporaError, OSError):
            source = dataset.materializer.image(modalities.index(name))
            warm_up(source.transform, dtype=source.reader.dtype, precision=source.precision)


def worker_options(
    workers: int,
    *,
    cache: CacheChoice,
    cache_bytes: int,
    start_method: StartMethod | None,
    prefetch: int,
    timeout: float,
) -> dict[str, Any]:
    """Return the options of a loader whose workers keep `cache_bytes` of chunks together.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    UnknownNameError
        If there is no such start method.
    """
    workers = checked_whole(workers, at="loader(num_workers=", of="workers", least=0)
    prefetch = checked_whole(prefetch, at="loader(prefetch=", of="batches")
    cache_bytes = checked_bytes(cache_bytes, at="loader(cache_bytes=")
    if (seconds := own_number(timeout)) is None or seconds < 0:
        raise wrong(timeout, at="loader(timeout=", expected="seconds above 0, or 0 to wait for ever")
    if not isinstance(cache, str | os.PathLike):
        raise wrong(cache, at="loader(cache=", expected="'process', 'shared' or a folder")
    if start_method is not None and start_method not in get_args(StartMethod):
        raise unknown("start method", start_method, get_args(StartMethod))
    chosen = choose_cache(cache, cache_bytes=cache_bytes, processes=max(workers, 1))
    own = {"num_workers": workers, "cache": chosen}
    if not workers:
        return own
    util.get_temp_dir()  # for sockets; were it made by a worker, a killed worker would leave it behind
    return own | {
        "timeout": seconds,
        "persistent_workers": True,
        "prefetch_factor": prefetch,
        "start_method": start_method,
        "worker_init_fn": WorkerStart(cache=chosen, segments=prefetch + 3),
    }
