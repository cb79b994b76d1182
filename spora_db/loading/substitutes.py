"""Rows that stand in for rows which cannot be read: drawn by a hash, so that every rank draws the same."""

import logging

import numpy as np

from spora_db.arrays import Int64
from spora_db.files.failures import no_descriptor
from spora_db.files.stores.http import out_of_reach
from spora_db.loading.drawn import Drawn
from spora_db.loading.draws import hashed, order_key
from spora_db.loading.row_numbers import cohort_numbers, panel_numbers
from spora_db.plan import ABSENT, Plan
from spora_db.remembered.quarantine import Quarantine, quarantine_path

logger = logging.getLogger(__name__)

ATTEMPTS = 100
"""Substitutes in a row that may fail before the last error is raised."""


class Substitutes:
    """Draws rows in place of one that cannot be read, and records those that cannot.

    The substitute is a pure function of which rows the plan has, the position and the attempt, whatever the channels
    and statistics. It comes from another tissue of the same dataset and modalities, where there is one; else from
    anywhere in the plan. Only for batches of one panel must its channels be the same (see `Drawn`).
    """

    def __init__(self, plan: Plan) -> None:
        self.quarantine = Quarantine(quarantine_path(plan.lake))
        self._warned: set[int] = set()
        self._numbers: dict[bool, Int64] = {}
        self._candidates: dict[tuple[bool, int, int], Int64] = {}

    def drawn(self, plan: Plan, position: int) -> Int64:
        """Return the rows that may stand in for one, in the order in which they are tried: int64, (ATTEMPTS,)."""
        key = order_key(plan.rows_hash, seed=0, epoch=0, purpose=f"substitutes of {int(position)}")
        numbers = hashed(key, np.arange(ATTEMPTS))
        drawn: Int64 = (numbers % np.uint64(len(plan))).astype(np.int64)
        of_panel = isinstance(position, Drawn) and position.of_panel
        for panel in (True, False) if of_panel else (False,):  # the later a choice, the earlier it is tried
            rows = self._rows(plan, position, panel=panel)
            found = rows[numbers % np.uint64(len(rows))] if len(rows) else rows
            if of_panel:
                panels = self._numbers_by(plan, panel=True)
                found = found[panels[found] == panels[position]]
            drawn[: len(found)] = found
        return drawn

    def __getstate__(self) -> dict[str, object]:
        """Hand over what is small; the rest is found again where it is needed."""
        return {**self.__dict__, "_numbers": {}, "_candidates": {}}

    def _rows(self, plan: Plan, position: int, *, panel: bool) -> Int64:
        """Return the rows of other images that have the position's panel, or its dataset and modalities."""
        numbers = self._numbers_by(plan, panel=panel)
        column = int((plan.image[position] != ABSENT).argmax())
        key = panel, int(numbers[position]), int(plan.image[position, column])
        if key not in self._candidates:
            self._candidates[key] = np.flatnonzero((numbers == key[1]) & (plan.image[:, column] != key[2]))
        return self._candidates[key]

    def _numbers_by(self, plan: Plan, *, panel: bool) -> Int64:
        if panel not in self._numbers:
            self._numbers[panel] = panel_numbers(plan) if panel else cohort_numbers(plan)
        return self._numbers[panel]

    def record(self, plan: Plan, position: int, *, image: int, error: Exception) -> None:
        """Record an error of a row in the quarantine, and warn of the first of each image.

        Raises
        ------
        SporaError, OSError
            The error itself, if it is that no more files may be open, or that a remote lake is out of reach: other
            rows would fail as well, each after minutes.
        """
        if no_descriptor(error) or out_of_reach(error):
            raise error
        source = {name: plan.images.column(name)[image].as_py() for name in ("dataset", "tissue_id", "modality", "mpp")}
        record = dict(source)
        if plan.unit != "tissue":
            record |= {f"{plan.unit}_id": int(plan.tile_id[position]), "tile_size": plan.tile_size}
            record |= {"row": int(plan.row[position]), "col": int(plan.col[position])}
        self.quarantine.record(record, error)
        if image not in self._warned:
            self._warned.add(image)
            logger.warning(
                "%s %s of tissue %s (%s, %s) cannot be read and is replaced by another row: %s: %s. Recorded in %s; "
                "further ones of this tissue are recorded without a warning.",
                plan.unit, record.get(f"{plan.unit}_id", ""), source["tissue_id"], source["dataset"],
                source["modality"], type(error).__name__, error, self.quarantine.path,
            )  # fmt: skip
