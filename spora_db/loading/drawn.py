"""`Drawn`: a row number that a sampler yields, with the place in the order at which it was drawn."""

from typing import Any


class Drawn(int):
    """A row number, and where it stands in which order: an int in every respect.

    What is random about a sample follows from ``(seed, epoch, position)``, so it is the same in whichever process the
    row is read. Adding and subtracting whole numbers keeps them, which is how ``ConcatDataset`` counts.

    Parameters
    ----------
    row
        The row.
    seed, epoch
        Those of the order.
    position
        Its place in the epoch's order over all ranks.
    of_panel
        Whether its batch has room for one panel only, so that what stands in for it has the same channels.

    Examples
    --------
    >>> drawn = Drawn(7, seed=1, epoch=2, position=40)
    >>> drawn == 7, drawn - 5, (drawn - 5).position
    (True, 2, 40)
    """

    seed: int
    epoch: int
    position: int
    of_panel: bool

    def __new__(cls, row: int, *, seed: int, epoch: int, position: int, of_panel: bool = False) -> "Drawn":
        """Make one; an int takes its value here."""
        self = super().__new__(cls, row)
        self.seed, self.epoch, self.position, self.of_panel = seed, epoch, position, of_panel
        return self

    def at(self, row: int) -> "Drawn":
        """Return another row that was drawn at the same place."""
        return Drawn(row, seed=self.seed, epoch=self.epoch, position=self.position, of_panel=self.of_panel)

    def __add__(self, other: int) -> "Drawn":
        """Return the row that lies further on, drawn at the same place."""
        return self.at(int(self) + int(other))

    __radd__ = __add__

    def __sub__(self, other: int) -> "Drawn":
        """Return the row that lies before, drawn at the same place."""
        return self.at(int(self) - int(other))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as five values: workers are sent thousands."""
        return _unpickled, (int(self), (self.seed, self.epoch, self.position, self.of_panel))


def _unpickled(row: int, place: tuple[int, int, int, bool]) -> Drawn:
    seed, epoch, position, of_panel = place
    return Drawn(row, seed=seed, epoch=epoch, position=position, of_panel=of_panel)
