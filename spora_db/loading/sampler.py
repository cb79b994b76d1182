"""`TileSampler`: which row comes when, on which rank; the same on every rerun, resumable anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.loading.order import (
    Groups,
    Interleave,
    Partition,
    Shuffle,
    draw_with_replacement,
    draw_without_replacement,
    group_rows,
    locality_order,
    order_key,
    permutation,
)
from spora_db.loading.progress import VERSION, Progress, check_state
from spora_db.loading.weights import balanced_weights, digest, row_weights

if TYPE_CHECKING:
    from spora_db.loading.dataset import PlanDataset
    from spora_db.loading.report import OrderReport

KIND = "TileSampler"


class TileSampler(Sampler[int]):
    """The order of a dataset's rows, a pure function of (`Plan.rows_hash`, seed, epoch, position).

    It goes

    1. rows of the epoch: all, or `num_samples` drawn by weight,
    2. their order: shuffled globally, by locality, or not,
    3. this rank's share: `block` rows in turn; the order's first rows are repeated where the ranks would else get
       unequally many (or its last ones left out: `drop_last`),
    4. from where the state says.

    Order and share do not depend on workers; the order does not depend on ranks.

    Locality: tiles that share chunks form a group (an image, or a square of `group` pixels of a large one). Groups are
    shuffled; `lanes` streams, which alternate block by block, each mix `interleave` groups. With blocks of the batch
    size, worker i of n gets every n-th batch: where n times the ranks divides `lanes`, all tiles of a group reach the
    same process while its cache holds their chunks. `report` shows what this costs and saves.

    Parameters
    ----------
    dataset
        The dataset whose rows are ordered.
    shuffle
        ``"locality"``, ``"global"`` or ``"none"`` (the plan's order).
    seed
        Another seed gives another order.
    rank, world_size
        This process among those that share the epoch.
    weights
        A numeric column that the query selects, or a number per row: rows are drawn in proportion.
    balance_by
        Columns instead of weights: every combination of their values is drawn equally often.
    replacement
        Whether a row may be drawn repeatedly; by default where there are weights.
    num_samples
        Rows per epoch over all ranks; by default as many as there are (without replacement, as can be drawn).
    drop_last
        Whether the last rows are left out instead of the first repeated, where ranks would get unequally many.
    block
        Rows that a rank gets at a stretch: the batch size.
    lanes, interleave
        Streams, and groups that each mixes at a time; ``lanes * interleave`` groups are in the caches at any time.
    group
        Height and width of a group in pixels.

    Raises
    ------
    ArgumentError
        If arguments are out of range or contradict each other, or weights are unusable.

    Examples
    --------
    >>> sampler = TileSampler(dataset, shuffle="global", seed=1)  # doctest: +SKIP
    >>> sampler.set_epoch(3)  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset: "PlanDataset",
        *,
        shuffle: Shuffle = "locality",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        weights: "str | npt.ArrayLike | None" = None,
        balance_by: Sequence[str] = (),
        replacement: bool | None = None,
        num_samples: int | None = None,
        drop_last: bool = False,
        block: int = 32,
        lanes: int = 4,
        interleave: int = 4,
        group: int = 1024,
    ) -> None:
        if shuffle not in get_args(Shuffle):
            raise unknown("shuffle", shuffle, get_args(Shuffle))
        for name, value in (("world_size", world_size), ("block", block), ("lanes", lanes), ("group", group)):
            if value < 1:
                raise ArgumentError(f"TileSampler({name}={value}): expected at least 1.")
        if not 0 <= rank < world_size or interleave < 1:
            raise ArgumentError(
                f"TileSampler(rank={rank}, world_size={world_size}, interleave={interleave}): expected a rank from 0 "
                "to world_size - 1, and at least one group."
            )
        if weights is not None and len(balance_by):
            raise ArgumentError("TileSampler takes weights or balance_by, not both.")
        self.dataset = dataset
        self.shuffle: Shuffle = shuffle
        self.seed, self.rank, self.group = seed, rank, group
        self.mix = Interleave(lanes=lanes, width=interleave, block=block)
        self.progress = Progress(epoch=0, partition=Partition(world_size=world_size, block=block, drop_last=drop_last))
        plan = dataset.plan
        by = (balance_by,) if isinstance(balance_by, str) else tuple(balance_by)
        self.weights = balanced_weights(plan, by) if by else None if weights is None else row_weights(plan, weights)
        self.replacement = self.weights is not None if replacement is None else replacement
        possible = len(plan) if self.weights is None else int(np.count_nonzero(self.weights))
        self.num_samples = (len(plan) if self.replacement else possible) if num_samples is None else num_samples
        if self.num_samples < 1 or (self.num_samples > possible and not self.replacement):
            raise ArgumentError(
                f"TileSampler(num_samples={num_samples}): {possible} rows can be drawn. Ask for 1 to {possible}, or "
                "pass replacement=True."
            )
        self._groups: Groups | None = None
        self._order: tuple[int, Int64] | None = None
        self._yielded = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return self.progress.epoch

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.progress.partition.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another than the current one starts at its beginning.

        Parameters
        ----------
        epoch
            Any number; each has its own order.
        """
        if epoch != self.progress.epoch:
            self.progress = Progress(epoch=epoch, partition=self.progress.partition)
            self._yielded = 0

    def __len__(self) -> int:
        """Return how many rows this rank still gets of the current epoch."""
        return self.progress.length(self.num_samples)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of this rank."""
        rows = self.order()[self.progress.assigned(self.num_samples, self.rank)]
        self._yielded = 0
        return self._count(rows)

    def _count(self, rows: Int64) -> Iterator[int]:
        for i, row in enumerate(rows, start=1):
            self._yielded = i
            yield int(row)

    def order(self, epoch: int | None = None) -> Int64:
        """Return all rows of an epoch in the order in which the ranks together get them.

        Parameters
        ----------
        epoch
            The epoch; by default the current one.

        Returns
        -------
        int64 array of shape (num_samples,)
        """
        epoch = self.epoch if epoch is None else epoch
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._ordered(epoch))
        return self._order[1]

    def _ordered(self, epoch: int) -> Int64:
        plan = self.dataset.plan
        key = order_key(plan.rows_hash, seed=self.seed, epoch=epoch, purpose="rows")
        drawn = self._drawn(len(plan), key)
        if self.shuffle == "locality":
            if self._groups is None:
                self._groups = group_rows(plan, side=self.group)
            counts = None if drawn is None else np.bincount(drawn, minlength=len(plan))
            groups_key = order_key(plan.rows_hash, seed=self.seed, epoch=epoch, purpose="groups")
            return locality_order(self._groups, groups_key, self.mix, counts=counts)
        if self.shuffle == "none":
            return np.arange(len(plan)) if drawn is None else np.sort(drawn)
        return permutation(len(plan), key) if drawn is None else drawn

    def _drawn(self, count: int, key: int) -> Int64 | None:
        """Return the rows of an epoch in random order, or None for all."""
        if self.replacement:
            weights = np.ones(count) if self.weights is None else self.weights
            return draw_with_replacement(weights, self.num_samples, key)
        if self.weights is not None:
            return draw_without_replacement(self.weights, self.num_samples, key)
        return permutation(count, key)[: self.num_samples] if self.num_samples < count else None

    def report(
        self, *, batch_size: int | None = None, workers: int = 1, cache_bytes: int | None = None
    ) -> "OrderReport":
        """Return how well an epoch mixes tissues and patients, and what it decodes.

        Parameters
        ----------
        batch_size
            Samples of a batch; by default `block`.
        workers
            Worker processes of this rank, each with its cache.
        cache_bytes
            Bytes of decoded chunks that each keeps; by default the current limit.
        """
        from spora_db.loading.report import report

        return report(self, batch_size=batch_size or self.mix.block, workers=workers, cache_bytes=cache_bytes)

    def _identity(self) -> dict[str, Any]:
        return {
            "rows_hash": self.dataset.plan.rows_hash,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "weights": digest(self.weights),
            "replacement": self.replacement,
            "num_samples": self.num_samples,
        }

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands, as plain values, valid for any number of ranks and workers.

        Parameters
        ----------
        taken
            Rows that this rank has used since iteration began; by default those that it has yielded. With worker
            processes a DataLoader asks for rows ahead of those that it delivers: pass what it delivered, or use the
            `state_dict` of the loader that `dataset.loader()` returns, which counts.
        """
        mix = {"lanes": self.mix.lanes, "width": self.mix.width, "block": self.mix.block, "group": self.group}
        progress = self.progress.advanced(self._yielded if taken is None else taken)
        return {"kind": KIND, "version": VERSION, **self._identity(), "interleave": mix, **progress.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands; how groups are interleaved is taken from it.

        Parameters
        ----------
        state
            What `state_dict` of any rank returned.

        Raises
        ------
        ArgumentError
            If it belongs to another plan or order.
        """
        check_state(state, self._identity(), KIND)
        mix = state["interleave"]
        self.mix = Interleave(lanes=mix["lanes"], width=mix["width"], block=mix["block"])
        if mix["group"] != self.group:
            self.group, self._groups = mix["group"], None
        self.progress = self.progress.resumed(state)
        self._order, self._yielded = None, 0
