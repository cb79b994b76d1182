"""`TileLoader`: a DataLoader with the sampler, collate and workers that fit a plan."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import reduction, util
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import torch
from torch.utils.data import BatchSampler, DataLoader

from spora_db.errors import ArgumentError, SporaError, unknown
from spora_db.images import cache_info, set_cache_bytes
from spora_db.loading import collates
from spora_db.loading.memory import SEGMENTS
from spora_db.loading.panel_batches import PanelBatchSampler
from spora_db.loading.sampler import TileSampler
from spora_db.loading.segments import Parcel, SegmentPool
from spora_db.standardization.standardize import warm_up

if TYPE_CHECKING:
    from spora_db.loading.dataset import PlanDataset

Batching: TypeAlias = Literal["list", "padded", "packed", "panel"]
CollateChoice: TypeAlias = "Batching | Callable[[Sequence[Any]], Any]"
StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]
CACHE_BYTES = 2 * 2**30
WARMED = 8


class WorkerError(SporaError, RuntimeError):
    """A worker process ended before its work was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker does first: sets its limits and loads the kernels, so that no batch waits for them."""

    cache_bytes: int
    segments: int

    def __call__(self, worker: int) -> None:
        """Prepare worker number `worker`."""
        set_cache_bytes(self.cache_bytes)
        if hasattr(reduction, "DupFd"):
            SEGMENTS[:] = [SegmentPool(self.segments)]
        info = torch.utils.data.get_worker_info()
        assert info is not None
        warm_dataset(cast("PlanDataset", info.dataset))


@dataclass(frozen=True, slots=True)
class HandOver:
    """A collate whose batches leave a worker without a copy."""

    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, samples: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever the collate makes
        """Return the batch, in a worker as a parcel."""
        batch = self.collate(samples)
        return Parcel(batch, SEGMENTS[-1]) if SEGMENTS else batch


def warm_dataset(dataset: "PlanDataset") -> None:
    """Compile or load the kernels for the first image of each modality, a few at most.

    Parameters
    ----------
    dataset
        The dataset.
    """
    plan = dataset.plan
    modalities = plan.images.column("modality").to_pylist()
    firsts = [modalities.index(name) for name in dict.fromkeys(modalities)][:WARMED]
    if dataset.standardize_on == "cpu":
        for image in firsts:
            source = dataset.materializer.image(image)
            warm_up(source.transform, dtype=source.reader.dtype)


class TileLoader(DataLoader[Any]):
    """Batches of a dataset in a good order, as fast as its workers read them; made by ``dataset.loader(...)``.

    Iterating to the end goes on to the next epoch, so that every pass has its own order; `set_epoch` chooses one.
    `state_dict` counts what was delivered, not what workers have read ahead.

    Parameters
    ----------
    tiles
        The order, and this process's rank.
    batch_size
        Rows of a batch on this rank.
    collate
        ``"padded"``, ``"packed"``, ``"list"``, ``"panel"`` (batches of equal panels), or a function of samples.
    num_workers
        Worker processes; 0 reads in this one.
    drop_last
        Whether a last, smaller batch is left out.
    cache_bytes
        Bytes of decoded chunks that all workers keep together.
    start_method
        How workers start; by default as Python's multiprocessing does.
    prefetch
        Batches that each worker reads ahead.
    timeout
        Seconds to wait for a batch before it is an error; 0 waits for ever.
    pin_memory
        Whether batches are pinned for transfer; by default where CUDA is available.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    """

    def __init__(
        self,
        tiles: TileSampler,
        *,
        batch_size: int = 32,
        collate: CollateChoice = "padded",
        num_workers: int = 0,
        drop_last: bool = False,
        cache_bytes: int = CACHE_BYTES,
        start_method: StartMethod | None = None,
        prefetch: int = 2,
        timeout: float = 0,
        pin_memory: bool | None = None,
    ) -> None:
        if batch_size < 1 or num_workers < 0 or prefetch < 1:
            raise ArgumentError(
                f"loader(batch_size={batch_size}, num_workers={num_workers}, prefetch={prefetch}): expected at least 1 "
                "row, 0 workers, 1 batch ahead."
            )
        if start_method is not None and start_method not in get_args(StartMethod):
            raise unknown("start method", start_method, get_args(StartMethod))
        self.tiles = tiles
        self.batches: BatchSampler | PanelBatchSampler = (
            PanelBatchSampler(tiles, batch_size=batch_size, drop_last=drop_last)
            if collate == "panel"
            else BatchSampler(tiles, batch_size, drop_last)
        )
        self.cache_bytes = cache_bytes // max(num_workers, 1)
        self._delivered, self._batch_rows = 0, batch_size
        options: dict[str, Any] = {}
        if num_workers:
            util.get_temp_dir()  # for sockets; were it made by a worker, a killed worker would leave it behind
            options = {
                "persistent_workers": True,
                "prefetch_factor": prefetch,
                "multiprocessing_context": multiprocessing.get_context(start_method),
                "worker_init_fn": WorkerStart(cache_bytes=self.cache_bytes, segments=prefetch + 3),
            }
        super().__init__(
            tiles.dataset,
            batch_sampler=self.batches,
            num_workers=num_workers,
            collate_fn=HandOver(_collate(collate)),
            pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
            timeout=timeout if num_workers else 0,
            **options,
        )

    def __repr__(self) -> str:
        """Say what batches are of, how large they are and who reads them."""
        return (
            f"{type(self).__name__}({self.dataset!r}, batch_size={self._batch_rows}, num_workers={self.num_workers}, "
            f"epoch={self.epoch})"
        )

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return self.tiles.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another than the current one starts at its beginning."""
        self._ordering.set_epoch(epoch)
        self._delivered = 0

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch stands after the batches that were delivered; for any number of ranks and workers."""
        taken = self._delivered
        if isinstance(self._ordering, TileSampler):
            taken = min(taken * self._batch_rows, len(self.tiles))
        return self._ordering.state_dict(taken=taken)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands.

        Raises
        ------
        ArgumentError
            If it belongs to another plan or order.
        """
        self._ordering.load_state_dict(state)
        self._delivered = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of this rank."""
        warm_dataset(self.tiles.dataset)
        if self.num_workers == 0 and cache_info().bytes_limit != self.cache_bytes:
            set_cache_bytes(self.cache_bytes)
        self._delivered = 0
        return self._deliver(super().__iter__())

    @property
    def _ordering(self) -> TileSampler | PanelBatchSampler:
        return self.batches if isinstance(self.batches, PanelBatchSampler) else self.tiles

    def _deliver(self, batches: Iterator[Any]) -> Iterator[Any]:
        epoch = self.epoch
        try:
            for batch in batches:
                self._delivered += 1
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise WorkerError(
                f"A worker process of the loader ended early: {str(error).splitlines()[0]} Most often memory ran out: "
                f"each of the {self.num_workers} workers keeps up to {self.cache_bytes / 2**20:,.0f} MiB of chunks and "
                f"{self.prefetch_factor} batches. Lower num_workers, cache_bytes or prefetch, or read with "
                "num_workers=0."
            ) from error
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)


def _collate(collate: CollateChoice) -> Callable[[Sequence[Any]], Any]:
    named: dict[str, Callable[[Sequence[Any]], Any]] = {
        "list": collates.collate_list,
        "padded": collates.collate_padded,
        "packed": collates.collate_packed,
        "panel": collates.collate_padded,
    }
    if callable(collate):
        return collate
    if collate not in named:
        raise unknown("collate", collate, named)
    return named[collate]


def own_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return this process's place among the ranks."""
    if (rank is None) != (world_size is None):
        raise ArgumentError(f"loader(rank={rank}, world_size={world_size}): pass both or neither.")
    if rank is not None and world_size is not None:
        return rank, world_size
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
