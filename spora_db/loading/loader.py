"""`TileLoader`: a DataLoader with the sampler, collate and workers that fit a plan."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import util
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch.utils.data import BatchSampler, DataLoader

from spora_db.errors import ArgumentError, WorkerError, unknown
from spora_db.images import cache_info, set_cache_bytes
from spora_db.loading.collates import collate_list, collate_packed, collate_padded
from spora_db.loading.panel_batches import PanelBatchSampler
from spora_db.loading.sampler import TileSampler
from spora_db.loading.workers import HandOver, WorkerStart, warm_up_for

Batching: TypeAlias = Literal["list", "padded", "packed", "panel"]
CollateChoice: TypeAlias = "Batching | Callable[[Sequence[Any]], Any]"
StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]
CACHE_BYTES = 2 * 2**30
COLLATES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "list": collate_list,
    "padded": collate_padded,
    "packed": collate_packed,
    "panel": collate_padded,
}


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

    Examples
    --------
    >>> from spora_db import SporaQuery, TileSampler
    >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
    >>> loader = TileLoader(TileSampler(dataset, seed=0), batch_size=4)
    >>> next(iter(loader))["image"].shape
    torch.Size([4, 20, 128, 128])
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
        self.batches: BatchSampler | PanelBatchSampler = BatchSampler(tiles, batch_size, drop_last)
        self._ordering: TileSampler | PanelBatchSampler = tiles
        if collate == "panel":
            self.batches = self._ordering = PanelBatchSampler(tiles, batch_size=batch_size, drop_last=drop_last)
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
        """Choose the epoch; another than the current one starts at its beginning.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> loader = dataset.loader(batch_size=4, seed=0)
        >>> loader.set_epoch(3)
        >>> loader.epoch
        3
        """
        self._ordering.set_epoch(epoch)
        self._delivered = 0

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch stands after the batches that were delivered; for any number of ranks and workers.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> loader = dataset.loader(batch_size=4, seed=0)
        >>> batch = next(iter(loader))
        >>> state = loader.state_dict()  # beside the model's, in the checkpoint
        """
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

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> loader = dataset.loader(batch_size=4, seed=0)
        >>> batches = iter(loader)
        >>> first, second = next(batches), next(batches)
        >>> again = dataset.loader(batch_size=4, seed=0)
        >>> again.load_state_dict(loader.state_dict())
        >>> bool((next(iter(again))["image"] == next(batches)["image"]).all())
        True
        """
        self._ordering.load_state_dict(state)
        self._delivered = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of this rank."""
        warm_up_for(self.tiles.dataset)
        if self.num_workers == 0 and cache_info().bytes_limit != self.cache_bytes:
            set_cache_bytes(self.cache_bytes)
        self._delivered = 0
        return self._deliver(super().__iter__())

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
    if callable(collate):
        return collate
    if collate not in COLLATES:
        raise unknown("collate", collate, COLLATES)
    return COLLATES[collate]
