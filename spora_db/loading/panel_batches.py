"""`PanelBatchSampler`: batches of tiles that have the same channels."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.drawn import Drawn
from spora_db.loading.position import Cut
from spora_db.loading.resumable import ResumableSampler
from spora_db.loading.row_numbers import panel_numbers
from spora_db.loading.sampler import TileSampler
from spora_db.loading.weights import digest


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
        If the batch size is below 1.

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
        if batch_size < 1:
            raise ArgumentError(f"PanelBatchSampler(batch_size={batch_size}): expected at least 1.")
        cut = Cut(world_size=sampler.world_size, block=1, drop_last=drop_last)
        super().__init__(partition=sampler.partition, cut=cut, epoch=sampler.epoch)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.panels = panel_numbers(sampler.dataset.plan)
        self._batches: tuple[int, list[Int64]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another than the current one starts at its beginning.

        Examples
        --------
        >>> from spora_db import PanelBatchSampler, SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality(("imc", "codex")).tiles(size=128, mpp=1.0).to_torch()
        >>> batches = PanelBatchSampler(TileSampler(dataset, seed=0), batch_size=4)
        >>> batches.set_epoch(3)
        """
        self.sampler.set_epoch(epoch)
        super().set_epoch(epoch)

    def batches(self) -> list[Int64]:
        """Return the rows of all batches of the epoch in order.

        Examples
        --------
        >>> from spora_db import PanelBatchSampler, SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality(("imc", "codex")).tiles(size=128, mpp=1.0).to_torch()
        >>> batches = PanelBatchSampler(TileSampler(dataset, seed=0), batch_size=4)
        >>> len(batches.batches()) == len(batches)
        True
        """
        order = self.sampler.order(self.epoch)
        return [order[positions] for positions in self._positions()]

    def _positions(self) -> list[Int64]:
        """Return which positions of the sampler's order each batch takes."""
        if self._batches is None or self._batches[0] != self.epoch:
            order = self.sampler.order(self.epoch)
            panel = self.panels[order]
            by_panel = np.argsort(panel, kind="stable")
            cuts: list[Int64] = []
            for positions in np.split(by_panel, np.flatnonzero(np.diff(panel[by_panel])) + 1):
                parts = [positions[i : i + self.batch_size] for i in range(0, len(positions), self.batch_size)]
                cuts += [part for part in parts if len(part) == self.batch_size or not self.drop_last]
            cuts.sort(key=lambda part: int(part[-1]))
            self._batches = (self.epoch, cuts)
        return self._batches[1]

    def _count(self) -> int:
        return len(self._positions())

    def _at(self, positions: Int64) -> Iterable[list[int]]:
        batches, order = self._positions(), self.sampler.order(self.epoch)
        return (self._drawn(batches[i], order) for i in positions)

    def _drawn(self, positions: Int64, order: Int64) -> list[int]:
        rows = zip(order[positions].tolist(), positions.tolist(), strict=True)
        seed, epoch = self.sampler.rule.seed, self.epoch
        return [Drawn(row, seed=seed, epoch=epoch, position=position, of_panel=True) for row, position in rows]

    def _identity(self) -> dict[str, Any]:
        return {
            "rows_hash": self.sampler.dataset.plan.rows_hash,
            "panels": digest(self.panels),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
        }

    def _further(self) -> dict[str, Any]:
        return {"order": self.sampler.state_dict(taken=0)}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(state["order"])
        self._batches = None
