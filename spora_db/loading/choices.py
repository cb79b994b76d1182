"""What `PlanDataset.loader` may be asked for: how batches are made, and by how many processes of which kind."""

from collections.abc import Callable, Sequence
from multiprocessing import util
from typing import Any, Literal, TypeAlias, get_args

from spora_db.errors import ArgumentError, unknown
from spora_db.images.cache import CacheChoice, choose_cache
from spora_db.loading.collates import collate_list, collate_packed, collate_padded
from spora_db.loading.starting import StartMethod
from spora_db.loading.workers import WorkerStart

Batching: TypeAlias = Literal["list", "padded", "packed", "panel"]
CollateChoice: TypeAlias = "Batching | Callable[[Sequence[Any]], Any]"
CACHE_BYTES = 2 * 2**30
COLLATES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "list": collate_list,
    "padded": collate_padded,
    "packed": collate_packed,
    "panel": collate_padded,
}


def chosen_collate(collate: CollateChoice) -> Callable[[Sequence[Any]], Any]:
    """Return the function of a choice.

    Raises
    ------
    UnknownNameError
        If there is no such choice.
    """
    if callable(collate):
        return collate
    if collate not in COLLATES:
        raise unknown("collate", collate, COLLATES)
    return COLLATES[collate]


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
    if workers < 0 or prefetch < 1:
        raise ArgumentError(
            f"loader(num_workers={workers}, prefetch={prefetch}): expected at least 0 workers, 1 batch ahead."
        )
    if not timeout >= 0:
        raise ArgumentError(f"loader(timeout={timeout}): expected seconds above 0, or 0 to wait for ever.")
    if start_method is not None and start_method not in get_args(StartMethod):
        raise unknown("start method", start_method, get_args(StartMethod))
    chosen = choose_cache(cache, cache_bytes=cache_bytes, processes=max(workers, 1))
    own = {"num_workers": workers, "cache": chosen}
    if not workers:
        return own
    util.get_temp_dir()  # for sockets; were it made by a worker, a killed worker would leave it behind
    return own | {
        "timeout": timeout,
        "persistent_workers": True,
        "prefetch_factor": prefetch,
        "start_method": start_method,
        "worker_init_fn": WorkerStart(cache=chosen, segments=prefetch + 3),
    }
