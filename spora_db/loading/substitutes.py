"""Rows that stand in for rows which cannot be read: drawn by a hash, so that every rank draws the same."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from spora_db.errors import SporaError
from spora_db.loading.order import hashed, order_key
from spora_db.loading.sample import Sample
from spora_db.plan import ABSENT, Plan
from spora_db.quarantine import Quarantine, quarantine_path

logger = logging.getLogger(__name__)

ATTEMPTS = 100
"""Substitutes in a row that may fail before the last error is raised."""


class Unreadable(Exception):
    """A row was recorded in the quarantine; its cause says why."""


class Substitutes:
    """Finds a readable row for one that is not, and records those that are not.

    The substitute is a pure function of the plan's hash, the position and the attempt. It comes from another tissue
    with the same channels, where there is one, so that batches of one panel stay so; else from anywhere in the plan.

    Parameters
    ----------
    plan
        The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.quarantine = Quarantine(quarantine_path(plan.lake))
        self._warned: set[int] = set()
        self._panels: npt.NDArray[np.int64] | None = None
        self._candidates: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    @contextmanager
    def recorded(self, plan: Plan, position: int, *, image: int) -> Iterator[None]:
        """Record a SporaError or OSError in the block, as one of a row and one of its images.

        Raises
        ------
        Unreadable
            From that error.
        """
        try:
            yield
        except (SporaError, OSError) as error:
            self._record(plan, position, image=image, error=error)
            raise Unreadable from error

    def drawn(self, plan: Plan, position: int, *, attempt: int) -> int:
        """Return the position of a substitute.

        Parameters
        ----------
        plan
            The plan.
        position
            The row that cannot be read.
        attempt
            Counts from 0.
        """
        rows = self._rows(plan, position)
        key = order_key(plan.hash, seed=0, epoch=0, purpose=f"substitutes of {position}")
        drawn = int(hashed(key, np.array([attempt]))[0])
        return drawn % len(plan) if not len(rows) else int(rows[drawn % len(rows)])

    def read(self, plan: Plan, position: int, *, read: Callable[[int], Sample]) -> Sample:
        """Return what `read` makes of the first substitute that can be read.

        Raises
        ------
        SporaError, OSError
            The last error, if `ATTEMPTS` substitutes in a row cannot be read either.
        """
        for attempt in range(ATTEMPTS):
            try:
                return read(self.drawn(plan, position, attempt=attempt))
            except Unreadable as failed:
                last = failed.__cause__
        assert last is not None
        last.add_note(
            f"{ATTEMPTS} substitutes in a row for row {position} of the plan could not be read either; all that "
            f"failed are in Catalog.quarantine() ({self.quarantine.path})."
        )
        raise last

    def __getstate__(self) -> dict[str, object]:
        """Hand over what is small; the rest is found again where it is needed."""
        return {**self.__dict__, "_panels": None, "_candidates": {}}

    def _rows(self, plan: Plan, position: int) -> npt.NDArray[np.int64]:
        from spora_db.loading.panel_batches import panel_numbers

        if self._panels is None:
            self._panels = panel_numbers(plan)
        column = int((plan.image[position] != ABSENT).argmax())
        key = int(self._panels[position]), int(plan.image[position, column])
        if key not in self._candidates:
            self._candidates[key] = np.flatnonzero((self._panels == key[0]) & (plan.image[:, column] != key[1]))
        return self._candidates[key]

    def _record(self, plan: Plan, position: int, *, image: int, error: Exception) -> None:
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
