"""`PanelBatchSampler`: batches of tiles that have the same channels."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.order import Partition
from spora_db.loading.progress import VERSION, Progress, check_state
from spora_db.loading.sampler import TileSampler
from spora_db.loading.substitutes import PanelPosition
from spora_db.loading.weights import digest
from spora_db.plan import ABSENT, Plan

KIND = "PanelBatchSampler"


class PanelBatchSampler(Sampler[list[int]]):
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
    >>> batches = PanelBatchSampler(TileSampler(dataset), batch_size=32)  # doctest: +SKIP
    """

    def __init__(self, sampler: TileSampler, *, batch_size: int, drop_last: bool = False) -> None:
        if batch_size < 1:
            raise ArgumentError(f"PanelBatchSampler(batch_size={batch_size}): expected at least 1.")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        partition = Partition(world_size=sampler.world_size, block=1, drop_last=drop_last)
        self.progress = Progress(epoch=sampler.epoch, partition=partition)
        self.panels = panel_numbers(sampler.dataset.plan)
        self._batches: tuple[int, list[Int64]] | None = None
        self._yielded = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return self.progress.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another than the current one starts at its beginning."""
        self.sampler.set_epoch(epoch)
        if epoch != self.progress.epoch:
            self.progress = Progress(epoch=epoch, partition=self.progress.partition)
            self._yielded = 0

    def batches(self) -> list[Int64]:
        """Return all batches of the epoch in order."""
        if self._batches is None or self._batches[0] != self.epoch:
            order = self.sampler.order(self.epoch)
            panel = self.panels[order]
            by_panel = np.argsort(panel, kind="stable")
            cuts: list[Int64] = []
            for positions in np.split(by_panel, np.flatnonzero(np.diff(panel[by_panel])) + 1):
                parts = [positions[i : i + self.batch_size] for i in range(0, len(positions), self.batch_size)]
                cuts += [part for part in parts if len(part) == self.batch_size or not self.drop_last]
            cuts.sort(key=lambda part: int(part[-1]))
            self._batches = (self.epoch, [order[part] for part in cuts])
        return self._batches[1]

    def __len__(self) -> int:
        """Return how many batches this rank still gets of the current epoch."""
        return self.progress.length(len(self.batches()))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this rank."""
        batches = self.batches()
        own = self.progress.assigned(len(batches), self.sampler.rank)
        self._yielded = 0
        return self._count([batches[i] for i in own])

    def _count(self, batches: list[Int64]) -> Iterator[list[int]]:
        for i, batch in enumerate(batches, start=1):
            self._yielded = i
            yield [PanelPosition(position) for position in batch.tolist()]

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands; `taken` counts batches of this rank, see `TileSampler.state_dict`."""
        progress = self.progress.advanced(self._yielded if taken is None else taken)
        order = self.sampler.state_dict(taken=0)
        return {"kind": KIND, "version": VERSION, **self._identity(), "order": order, **progress.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands.

        Raises
        ------
        ArgumentError
            If it belongs to another plan, order or batch size.
        """
        check_state(state, self._identity(), KIND)
        self.sampler.load_state_dict(state["order"])
        self.progress = self.progress.resumed(state)
        self._batches, self._yielded = None, 0

    def _identity(self) -> dict[str, Any]:
        return {
            "rows_hash": self.sampler.dataset.plan.rows_hash,
            "panels": digest(self.panels),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
        }


def panel_numbers(plan: Plan) -> Int64:
    """Return a number per row, equal where rows deliver the same channels under the same accessions.

    Parameters
    ----------
    plan
        The plan.

    Returns
    -------
    int64 array of shape (rows,)
    """
    known = dict[bytes, int]()
    of_image = np.empty(plan.images.num_rows + 1, np.int64)
    of_image[ABSENT] = -1
    for panel in plan.channels.panels:
        codes = np.stack([panel.name, panel.uniprot])
        for image, delivered in enumerate(panel.delivered, panel.first):
            of_image[image] = known.setdefault(codes[:, delivered].tobytes(), len(known))
    return _numbers_of_rows(plan, of_image)


def cohort_numbers(plan: Plan) -> Int64:
    """Return a number per row, equal where rows come from the same dataset and the same modalities.

    Parameters
    ----------
    plan
        The plan.

    Returns
    -------
    int64 array of shape (rows,)
    """
    known = dict[tuple[object, ...], int]()
    names = zip(*(plan.images.column(name).to_pylist() for name in ("dataset", "modality")), strict=True)
    of_image = np.array([*(known.setdefault(name, len(known)) for name in names), ABSENT], np.int64)
    return _numbers_of_rows(plan, of_image)


def _numbers_of_rows(plan: Plan, of_image: Int64) -> Int64:
    """Return a number per combination of the numbers of a row's images; the last entry is that of an absent image."""
    numbers = np.zeros(len(plan), np.int64)
    for column in plan.image.T:
        numbers = np.unique(numbers * (int(of_image.max()) + 2) + of_image[column] + 1, return_inverse=True)[1]
    return numbers
