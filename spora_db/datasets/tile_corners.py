"""Where tiles lie: as the file has them, and as whoever holds the lists of a dataset has edited them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from spora_db.datasets.numbers import whole_pair
from spora_db.datasets.tile_table import TileTable
from spora_db.errors import ArgumentError, unknown

Lists: TypeAlias = dict[str, list[tuple[int, int]]]


class TileCorners:
    """Where tiles lie: as the file has them, and as whoever holds the lists of a dataset has edited them.

    Parameters
    ----------
    table
        The tiles of the file; None without one.

    Examples
    --------
    >>> corners = TileCorners(None)
    >>> corners.lists = {"t": [(5, 7)]}
    >>> corners.corner("t", 0)
    (5, 7)
    """

    def __init__(self, table: TileTable | None) -> None:
        self.table = table
        self._lists: Lists | None = None

    @property
    def known(self) -> bool:
        """Whether there are any, so that tiles are not drawn at random."""
        return self.table is not None or self._lists is not None

    @property
    def lists(self) -> Lists | None:
        """The (row, col) of tiles by tissue; from the first time on they are what tiles are read from."""
        if self._lists is None and self.table is not None:
            self._lists = self.table.lists()
        return self._lists

    @lists.setter
    def lists(self, lists: Lists | None) -> None:
        if lists is not None and not isinstance(lists, Mapping):
            message = f"tile_coordinates must be a dict of tissue id to list of (row, col); got {lists!r}."
            raise ArgumentError(message)
        self.table, self._lists = None, lists

    def corner(self, tissue_id: str, tile_id: int) -> tuple[int, int]:
        """Return row and col of a tile.

        Raises
        ------
        UnknownNameError
            If there is no such tissue, or no such tile of it.
        ArgumentError
            If a place is no pair of whole numbers, or it cannot be told which tile it is of.
        """
        if self._lists is None:
            assert self.table is not None
            return self.table.corner(tissue_id, tile_id)
        if tissue_id not in self._lists:
            raise unknown("tissue", tissue_id, self._lists, where="tile_coordinates")
        places = self._lists[tissue_id]
        position = self._position(tissue_id, tile_id, len(places))
        return whole_pair(places[position], f"tile_coordinates[{tissue_id!r}][{position}]")

    def moved(self, tissue_id: str, tile_id: int, place: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """Return where a tile was moved to by editing its list; None where it lies as in the file.

        Parameters
        ----------
        tissue_id, tile_id
            The tile.
        place
            Where an index has it; a place other than the file's was chosen there, and stays.
        """
        if self._lists is None:
            return None
        if self.table is None:
            return self.corner(tissue_id, tile_id)
        home = self.table.find(tissue_id, tile_id)
        if home is None or place not in (None, home):
            return None
        corner = self.corner(tissue_id, tile_id)
        return None if corner == home else corner

    @property
    def edited(self) -> bool:
        """Whether the lists are not those of the file."""
        if self._lists is None or self.table is None:
            return self._lists is not None
        plain = {tissue_id: [tuple(place) for place in places] for tissue_id, places in self._lists.items()}
        return plain != self.table.lists()

    def __len__(self) -> int:
        """Return the number of tiles."""
        if self._lists is not None:
            return sum(map(len, self._lists.values()))
        return 0 if self.table is None else len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        """Hand the lists over only where they say something else than the arrays."""
        return {"table": self.table, "_lists": self._lists if self.edited else None}

    def _position(self, tissue_id: str, tile_id: int, count: int) -> int:
        """Return which entry of a list is a tile: that of its id, by the file's ids while the list has their number."""
        ids = np.arange(count)
        if self.table is not None and tissue_id in self.table.bounds:
            first, last = self.table.bounds[tissue_id]
            own = self.table.tile_id[first:last]
            if last - first == count:
                ids = own
            elif not np.array_equal(own, np.arange(last - first)):
                message = (
                    f"tile_coordinates[{tissue_id!r}] has {count} places, {self.table.path} {last - first} tiles whose "
                    "ids are not 0, 1, 2, ...: which tile is which? Assign a whole dict to tile_coordinates instead."
                )
                raise ArgumentError(message)
        found = np.flatnonzero(ids == tile_id)
        if not len(found):
            raise unknown("tile_id", tile_id, ids.tolist(), where=f"tile_coordinates[{tissue_id!r}]")
        return int(found[0])
