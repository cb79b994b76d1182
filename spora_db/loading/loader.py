"""`TileLoader`: a DataLoader that counts what it delivers, says why workers died, and is at home in trainers."""

import copy
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from spora_db.errors import WorkerError
from spora_db.images.cache import ChunkCache, use_cache
from spora_db.loading.ahead import WithThoseAhead
from spora_db.loading.batches import PanelBatchSampler, TileBatchSampler
from spora_db.loading.failures import worker_errors, workers_of
from spora_db.loading.profiling import LoaderProfile, profile
from spora_db.loading.progress import OneEpoch, Run
from spora_db.loading.rows import PlanRows
from spora_db.loading.sampler import TileSampler
from spora_db.loading.starting import StartMethod, WorkersStart, workers_start
from spora_db.loading.trainers import count_right, in_accelerate
from spora_db.loading.workers import warm_up_for
from spora_db.plan.html import html_table


class TileLoader(OneEpoch, DataLoader[Any]):
    """Batches of a dataset in a good order, as fast as its workers read them; made by ``dataset.loader(...)``.

    1. ``len()`` is the number of batches of the whole epoch, whatever of it was delivered; `remaining` is what is left.
    2. Every iteration yields an epoch of its own order: the next one, or the one that `set_epoch` chose. `epoch`
       advances when the last batch was delivered; after an iteration that was broken off the next epoch begins too.
    3. `state_dict` counts what was delivered, not what workers have read ahead; `load_state_dict` continues there, on
       any number of ranks and workers. The epoch in which a state stands goes on; `set_epoch` with its number changes
       nothing.
    4. The loader, its `sampler`, its `batch_sampler` and ``batch_sampler.sampler`` have one epoch: `set_epoch` of each
       sets it.
    5. The rank and the number of ranks are found when iteration begins, wherever the loader was made.
    6. Without workers, several iterators may run at once, each over an epoch of its own. With workers, which are
       shared, an iterator that was overtaken by another raises.
    7. Workers start with the first iteration, by the method that is right then; `start` tells which, and why. Where
       one has ended, the next iteration starts others.

    Parameters
    ----------
    dataset
        The dataset.
    batch_sampler
        The order in batches, and this process's rank.
    cache
        Where each process that reads keeps decoded chunks.
    start_method
        How workers start; by default as `start` says.
    options
        Those of ``torch.utils.data.DataLoader``.

    See Also
    --------
    PlanDataset.loader, TileSampler, TileLoader.state_dict

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
    >>> loader = dataset.loader(batch_size=4, seed=0)
    >>> next(iter(loader))["image"].shape
    torch.Size([4, 20, 128, 128])
    """

    dataset: PlanRows
    sampler: TileSampler
    batch_sampler: TileBatchSampler | PanelBatchSampler
    use_stateful_dataloader = True  # accelerate keeps the state of such loaders in its checkpoints

    def __init__(
        self,
        dataset: PlanRows,
        batch_sampler: TileBatchSampler | PanelBatchSampler,
        *,
        cache: ChunkCache,
        start_method: StartMethod | None = None,
        **options: Any,  # noqa: ANN401 - as torch's
    ) -> None:
        super().__init__(dataset, batch_sampler=batch_sampler, **options)
        self.__dict__["sampler"] = batch_sampler.sampler  # torch puts a sequential one there, and guards it
        self.progress, self.cache, self.start_method = batch_sampler.sampler.progress, cache, start_method
        self._started: WorkersStart | None = None
        # Lightning's prediction wraps the batch sampler, to know the rows of a batch
        self._ordering: TileBatchSampler | PanelBatchSampler = getattr(batch_sampler, "_batch_sampler", batch_sampler)
        self._latest: Run | None = None
        self._prepared = False

    def __repr__(self) -> str:
        """Say what batches are of, how large they are and who reads them."""
        return (
            f"{type(self).__name__}({self.dataset!r}, batch_size={self._ordering.batch_size}, "
            f"num_workers={self.num_workers}, epoch={self.epoch})"
        )

    def _repr_html_(self) -> str:
        own = {"batch_size": self._ordering.batch_size, "num_workers": self.num_workers, "epoch": self.epoch}
        rows = self.dataset.plan.told()
        return html_table(type(self).__name__, [*rows, *((name, str(value)) for name, value in own.items())])

    @property
    def tiles(self) -> TileSampler:
        """The order of the rows."""
        return self.sampler

    @property
    def remaining(self) -> int:
        """Batches that are still to be delivered of the epoch."""
        return self._ordering.remaining

    @property
    def start(self) -> WorkersStart | None:
        """How workers were started, or would be now, and why so; None without workers.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> print(dataset.loader(batch_size=4, num_workers=2, start_method="forkserver").start)
        workers start by forkserver: as asked for
        """
        return self._started or (workers_start(self.start_method) if self.num_workers else None)

    def profile(self, seconds: float = 5.0) -> LoaderProfile:
        """Measure where the time goes, and say which one change would help most; before training, not in its midst.

        Half of the time this process reads batches itself, the other half its workers do. The epoch stands where it
        stood afterwards.

        Parameters
        ----------
        seconds
            For how long; the first batch comes on top.

        Returns
        -------
        LoaderProfile
            Printed, a few lines.

        Raises
        ------
        ArgumentError
            If `seconds` is no number above 0, or the epoch has no batch.

        See Also
        --------
        PlanDataset.explain, PlanDataset.loader

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> found = dataset.loader(batch_size=4, seed=0).profile(seconds=0.1)
        >>> round(sum(found.stages.values()), 6)
        1.0
        """
        return profile(self, seconds=seconds)

    def _alike(self) -> "TileLoader":
        """Return a loader of the same batches, whose epoch is its own."""
        return type(self)(
            self.dataset, copy.deepcopy(self._ordering, {id(self.dataset): self.dataset}), cache=self.cache,
            start_method=self.start_method, collate_fn=self.collate_fn, num_workers=self.num_workers,
            prefetch_factor=self.prefetch_factor, timeout=self.timeout, pin_memory=self.pin_memory,
            persistent_workers=self.persistent_workers, worker_init_fn=self.worker_init_fn,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch stands after the batches that were delivered; for any number of ranks and workers.

        See Also
        --------
        TileLoader.load_state_dict

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> loader = dataset.loader(batch_size=4, seed=0)
        >>> batch = next(iter(loader))
        >>> state = loader.state_dict()  # beside the model's, in the checkpoint
        """
        return self._ordering.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a `state`, of `state_dict`, stands.

        Raises
        ------
        ArgumentError
            If it belongs to another plan or order.

        See Also
        --------
        TileLoader.state_dict, TileLoader.set_epoch

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

    @property
    def _is_accelerate_prepared(self) -> bool:
        """What accelerate asks of a loader to prepare: this one shares its rows out to ranks itself."""
        self._prepared = True
        return True

    @_is_accelerate_prepared.setter
    def _is_accelerate_prepared(self, prepared: bool) -> None:
        """Let accelerate note that it has asked."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of this rank; the iteration begins with the first."""
        batches = self._delivered()
        prepared = self._prepared and "accelerate" in sys.modules
        return in_accelerate(self._ordering, batches) if prepared else batches

    @property
    def _index_sampler(self) -> Any:  # noqa: ANN401 - what torch takes batches from
        """The batch sampler; of remote lakes one that tells who reads a batch which come next."""
        batches = super()._index_sampler
        if not self.dataset.is_remote:
            return batches
        return WithThoseAhead(batches, readers=max(self.num_workers, 1))

    def _delivered(self) -> Iterator[Any]:
        if not all(worker.is_alive() for worker in workers_of(self)):  # others take their place, as of a new loader
            ended: Any = self._iterator
            ended._shutdown_workers()
            self._iterator = None
        if self.num_workers and self._started is None:
            self._started = workers_start(self.start_method)
            self.multiprocessing_context = self._started.context()
        if self._started is None or self._started.method == "fork":  # which the workers inherit
            warm_up_for(self.dataset)
        if self.num_workers == 0:
            use_cache(self.cache)
        with worker_errors(self):
            with self.progress.leading():  # an iteration begins with its first batch
                batches = super().__iter__()
                first = list(itertools.islice(batches, 1))
            run = self._latest = self.progress.run
            assert run is not None
            number = self._ordering.number(run.left)
            count_right(self._ordering, left=number)
            for delivered, batch in enumerate(itertools.chain(first, batches), start=1):
                run.taken = min(self._ordering.items(max(delivered - run.ahead, 0)), run.left)
                if delivered == number and not run.ahead:
                    run.finish()
                first.clear()
                yield batch
                if self.num_workers and self._latest is not run:
                    if run.done:
                        return
                    raise WorkerError(
                        "Another iterator of this loader has begun, and its workers read for that one now. Finish one "
                        "before the next, or make a loader for each: dataset.loader(...)."
                    )
            run.finish()
