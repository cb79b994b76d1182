"""Batches of the rows of a `TileSampler`, with its epoch and state: in its order, or of tiles of one panel each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.partition import Partition
from spora_db.loading.position import Position
from spora_db.loading.progress import OneEpoch
from spora_db.loading.resumable import ResumableSampler
from spora_db.loading.sampler import TileSampler
from spora_db.loading.weights import digest
from spora_db.selection.arguments import checked_flag, checked_whole, wrong


class TileBatchSampler(OneEpoch, BatchSampler):
    """torch's `BatchSampler` of a `TileSampler`, on which frameworks find the epoch and the state too.

    Parameters
    ----------
    sampler
        Gives the order and the ranks; its `block` is the batch size.
    batch_size
        Rows of a batch.
    drop_last
        Whether a last, smaller batch is left out.
    """

    sampler: TileSampler

    def __init__(self, sampler: TileSampler, batch_size: int, drop_last: bool) -> None:  # noqa: FBT001 - as torch's
        super().__init__(sampler, batch_size, drop_last)
        self.progress = sampler.progress

    @property
    def remaining(self) -> int:
        """Batches that this rank still gets of the epoch."""
        return self.number(self.sampler.remaining)

    def left_aside(self) -> int | None:
        """Return the epoch of which a loaded state had rows left when `set_epoch` chose another; None for none."""
        return self.sampler.left_aside()

    def items(self, batches: int) -> int:
        """Return how many items of the sampler some batches are, at most."""
        return batches * self.batch_size

    def number(self, rows: int) -> int:
        """Return how many batches some rows make."""
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands; see `TileSampler.state_dict`, but `taken` counts batches."""
        return self.sampler.state_dict(taken=None if taken is None else self.items(taken))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands; see `TileSampler.load_state_dict`."""
        self.sampler.load_state_dict(state)


class PanelBatchSampler(ResumableSampler[list[int]]):
    """Groups the rows of a sampler into batches of one panel each, so that batches need neither padding nor masks.

    Batches are a pure function of the sampler's order: a batch is complete when its last row's turn has come. Ranks get
    batches in turn; the first batches are repeated where ranks would get unequally many.

    Parameters
    ----------
    sampler
        Gives the order, the rank and the number of ranks.
    batch_size
        Rows of a batch.
    drop_last
        Whether what is left of each panel at the end (a smaller batch) is left out, and also the last batches that do
        not fill a round of the ranks.

    Raises
    ------
    ArgumentError
        If the sampler is none, the batch size no whole number above 0, or `drop_last` neither True nor False.

    See Also
    --------
    TileSampler, PlanDataset.loader, collate_panel

    Examples
    --------
    >>> from spora_db import SporaQuery, TileSampler
    >>> dataset = SporaQuery("lake").modality(("imc", "codex")).tiles(size=128, mpp=1.0).to_torch()
    >>> batches = PanelBatchSampler(TileSampler(dataset, seed=0), batch_size=4)
    >>> len({dataset[row]["modality"] for row in next(iter(batches))})
    1
    """

    KIND = "PanelBatchSampler"

    def __init__(self, sampler: TileSampler, *, batch_size: int, drop_last: bool = False) -> None:
        if not isinstance(sampler, TileSampler):
            raise wrong(sampler, at="PanelBatchSampler(sampler=", expected="a TileSampler")
        batch_size = checked_whole(batch_size, at="PanelBatchSampler(batch_size=", of="rows")
        drop_last = checked_flag(drop_last, at="PanelBatchSampler(drop_last=")
        super().__init__(progress=sampler.progress, ranks=sampler.ranks, block=1, drop_last=drop_last)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.panels = sampler.rows.panels()
        self._batches: tuple[int, list[Int64]] | None = None

    def batches(self, epoch: int | None = None) -> list[Int64]:
        """Return the rows of all batches of an epoch in order.

        Parameters
        ----------
        epoch
            The epoch; by default the current one.

        See Also
        --------
        PanelBatchSampler.state_dict, TileSampler.order

        Examples
        --------
        >>> from spora_db import PanelBatchSampler, SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality(("imc", "codex")).tiles(size=128, mpp=1.0).to_torch()
        >>> batches = PanelBatchSampler(TileSampler(dataset, seed=0), batch_size=4)
        >>> len(batches.batches()) == len(batches)
        True
        """
        epoch = self.epoch if epoch is None else checked_whole(epoch, at="batches(epoch=", of="epochs", least=0)
        order = self.sampler.order(epoch)
        return [order[positions] for positions in self._positions(epoch)]

    def _positions(self, epoch: int) -> list[Int64]:
        """Return which positions of the sampler's order each batch takes."""
        if self._batches is None or self._batches[0] != epoch:
            panel = self.panels[self.sampler.order(epoch)]
            by_panel = np.argsort(panel, kind="stable")
            cuts: list[Int64] = []
            for positions in np.split(by_panel, np.flatnonzero(np.diff(panel[by_panel])) + 1):
                parts = [positions[i : i + self.batch_size] for i in range(0, len(positions), self.batch_size)]
                cuts += [part for part in parts if len(part) == self.batch_size or not self.drop_last]
            cuts.sort(key=lambda part: int(part[-1]))
            self._batches = (epoch, cuts)
        return self._batches[1]

    def items(self, batches: int) -> int:
        """Return how many items some batches are: this sampler yields batches itself."""
        return batches

    def number(self, items: int) -> int:
        """Return how many batches some items are."""
        return items

    def _check(self, here: Partition, position: Position) -> None:
        super()._check(here, position)
        if here.outside:
            raise ArgumentError(
                "accelerate would drop batches of a PanelBatchSampler that are smaller than others. Prepare the loader "
                "that shares out its batches itself: accelerator.prepare(dataset.loader(batch_size, "
                "collate='panel'))."
            )

    def _count(self, epoch: int) -> int:
        return len(self._positions(epoch))

    def _items(self, epoch: int, positions: Int64) -> Iterable[list[int]]:
        batches = self._positions(epoch)
        return (self.sampler.drawn(epoch, batches[i], of_panel=True) for i in positions)

    def _identity(self) -> dict[str, Any]:
        return {
            "rows_hash": self.sampler.rule.rows_hash,
            "panels": digest(self.panels),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
        }

    def _further(self) -> dict[str, Any]:
        return {"order": self.sampler.state_dict(taken=0)}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(state["order"])
        self._batches = None
