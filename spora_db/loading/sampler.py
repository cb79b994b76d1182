"""`TileSampler`: which row comes when, on which rank; the same on every rerun, resumable anywhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.loading.drawn import Drawn
from spora_db.loading.draws import permutation
from spora_db.loading.locality import ChunkGroups, Interleave
from spora_db.loading.order import Order, Shuffle
from spora_db.loading.partition import checked_ranks
from spora_db.loading.progress import EpochProgress
from spora_db.loading.report import OrderReport, report_order
from spora_db.loading.resumable import ResumableSampler
from spora_db.loading.rows import PlanRows
from spora_db.loading.underlying import underlying
from spora_db.loading.weights import balanced_weights, row_weights
from spora_db.selection.arguments import checked_bytes, checked_flag, checked_names, checked_seed, checked_whole

AT_A_TIME = 1024
"""Row numbers that are made at a time."""


class TileSampler(ResumableSampler[int]):
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
        The dataset whose rows are ordered: a `PlanDataset`; a ``Subset`` (such as ``random_split`` makes) or a
        ``ConcatDataset`` of such; or a dataset of one's own that holds one of these and is as long. Orders belong to
        its rows.
    shuffle
        ``"locality"``, ``"global"`` or ``"none"`` (the plan's order).
    seed
        Another seed gives another order.
    rank, world_size
        This process among those that share the epoch; by default they are found when iteration begins, as
        ``torch.distributed`` or torchrun knows them.
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

    See Also
    --------
    PanelBatchSampler, PlanDataset.loader

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
    >>> sampler = TileSampler(dataset, shuffle="global", seed=1)
    >>> sampler.set_epoch(3)
    >>> len(sampler) == len(dataset)
    True
    """

    KIND = "TileSampler"
    dataset: Dataset[Any]

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        shuffle: Shuffle = "locality",
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
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
            remedy = "'locality', the default, and 'global' shuffle; 'none' keeps the order of the rows."
            raise unknown("shuffle", shuffle, get_args(Shuffle), remedy=remedy)
        block = checked_whole(block, at="TileSampler(block=", of="rows")
        lanes = checked_whole(lanes, at="TileSampler(lanes=", of="streams")
        interleave = checked_whole(interleave, at="TileSampler(interleave=", of="groups")
        group = checked_whole(group, at="TileSampler(group=", of="pixels")
        drop_last = checked_flag(drop_last, at="TileSampler(drop_last=")
        by = checked_names(balance_by, at="TileSampler(balance_by=", example=("dataset",), alone=True)
        if weights is not None and by:
            raise ArgumentError("TileSampler takes weights or balance_by, not both.")
        ranks = checked_ranks(rank, world_size, at="TileSampler")
        super().__init__(progress=EpochProgress(), ranks=ranks, block=block, drop_last=drop_last)
        self.dataset, self.rows = dataset, underlying(dataset)
        of_row = balanced_weights(self.rows, by) if by else None if weights is None else row_weights(self.rows, weights)
        drawn = of_row is not None if replacement is None else replacement
        repeated = checked_flag(drawn, at="TileSampler(replacement=")
        possible = len(self.rows) if of_row is None else int(np.count_nonzero(of_row))
        number = len(self.rows) if repeated else possible
        if num_samples is not None:
            number = checked_whole(num_samples, at="TileSampler(num_samples=", of="rows")
        if number < 1 or (number > possible and not repeated):
            raise ArgumentError(
                f"TileSampler(num_samples={num_samples}): {possible} rows can be drawn. Ask for 1 to {possible}, or "
                "pass replacement=True."
            )
        self.rule = Order(
            rows_hash=self.rows.rows_hash,
            count=len(self.rows),
            seed=checked_seed(seed, at="TileSampler(seed="),
            shuffle=shuffle,
            weights=of_row,
            replacement=repeated,
            num_samples=number,
            mix=Interleave(lanes=lanes, width=interleave, block=block, group=group),
        )
        self._groups: ChunkGroups | None = None
        self._order: tuple[int, Int64] | None = None

    def order(self, epoch: int | None = None) -> Int64:
        """Return all rows of an epoch in the order in which the ranks together get them.

        Parameters
        ----------
        epoch
            The epoch; by default the current one.

        Returns
        -------
        int64 array of shape (num_samples,)

        See Also
        --------
        TileSampler.report, PanelBatchSampler.batches

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> order = TileSampler(dataset, seed=0).order()
        >>> sorted(order.tolist()) == list(range(len(dataset)))
        True
        """
        epoch = self.epoch if epoch is None else checked_whole(epoch, at="order(epoch=", of="epochs", least=0)
        if self._order is None or self._order[0] != epoch:
            if self._groups is None and self.rule.shuffle == "locality":
                self._groups = self.rows.groups(self.rule.mix.group)
            self._order = (epoch, self.rule.rows(epoch, self._groups))
        return self._order[1]

    def report(self, *, batch_size: int | None = None, workers: int = 1, cache_bytes: int | None = None) -> OrderReport:
        """Return how well an epoch mixes tissues and patients, and what it decodes.

        Parameters
        ----------
        batch_size
            Samples of a batch; by default `block`.
        workers
            Worker processes of this rank, each with its cache.
        cache_bytes
            Bytes of decoded chunks that each keeps; by default the current limit.

        Raises
        ------
        ArgumentError
            A number is out of range, or the dataset is none of a query.

        See Also
        --------
        TileSampler.order, PlanDataset.explain

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> report = TileSampler(dataset, seed=0).report()
        """
        if not isinstance(self.dataset, PlanRows):
            raise ArgumentError(
                f"report() of a TileSampler({type(self.dataset).__name__}): expected one of the dataset of a query."
            )
        order = self.order()
        return report_order(
            self.dataset,
            order,
            order[permutation(len(order), self.rule.key(self.epoch, "report"))],
            batch_size=checked_whole(batch_size or self.rule.mix.block, at="report(batch_size=", of="rows"),
            ranks=self.world_size,
            workers=checked_whole(workers, at="report(workers=", of="workers", least=0),
            cache_bytes=None if cache_bytes is None else checked_bytes(cache_bytes, at="report(cache_bytes="),
        )

    def _count(self, epoch: int) -> int:
        return self.rule.num_samples

    def _items(self, epoch: int, positions: Int64) -> Iterable[int]:
        for start in range(0, len(positions), AT_A_TIME):  # of millions, only those that are asked for are made
            yield from self.drawn(epoch, positions[start : start + AT_A_TIME])

    def drawn(self, epoch: int, positions: Int64, *, of_panel: bool = False) -> list[int]:
        """Return the rows at some positions of an epoch's order; each knows its place in it, see `Drawn`."""
        rows = zip(self.order(epoch)[positions].tolist(), positions.tolist(), strict=True)
        seed = self.rule.seed
        return [Drawn(row, seed=seed, epoch=epoch, position=position, of_panel=of_panel) for row, position in rows]

    def _identity(self) -> dict[str, Any]:
        return self.rule.identity()

    def _further(self) -> dict[str, Any]:
        return {"interleave": asdict(self.rule.mix)}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        mix = Interleave(**state["interleave"])
        if mix.group != self.rule.mix.group:
            self._groups = None
        self.rule, self._order = replace(self.rule, mix=mix), None
