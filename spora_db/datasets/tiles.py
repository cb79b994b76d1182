"""The tiles of a cohort: arrays sorted by tissue and tile, looked up by tile id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spora_db.arrays import Int64
from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, unknown
from spora_db.files.whole_numbers import LEAST, whole_number

Lists: TypeAlias = dict[str, list[tuple[int, int]]]

TILES = """
    SELECT tissue_id, tile_id, "row", col FROM tile_coordinates
    WHERE dataset = $dataset AND mpp = $mpp AND strategy = $strategy AND tile_size = $tile_size
    ORDER BY tissue_id, tile_id
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileTable:
    """The tiles of one tiling of a cohort.

    Attributes
    ----------
    path
        The file they come from.
    bounds
        Tissue id to (first, last + 1) of its tiles in the arrays.
    tile_id, row, col
        int64 arrays of shape (tiles,), sorted by tissue and tile.
    """

    path: Path
    bounds: dict[str, tuple[int, int]]
    tile_id: Int64
    row: Int64
    col: Int64

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tile_id)

    def corner(self, tissue_id: str, tile_id: int) -> tuple[int, int]:
        """Return row and col of a tile.

        Raises
        ------
        UnknownNameError
            If the file has no such tissue, or no such tile of it.
        """
        if tissue_id not in self.bounds:
            raise unknown("tissue", tissue_id, self.bounds, where=str(self.path))
        found = self.find(tissue_id, tile_id)
        if found is None:
            first, last = self.bounds[tissue_id]
            raise unknown("tile_id", tile_id, self.tile_id[first:last], where=f"tissue {tissue_id!r} of {self.path}")
        return found

    def find(self, tissue_id: str, tile_id: int) -> tuple[int, int] | None:
        """Return row and col of a tile; None where the file has no such tile."""
        first, last = self.bounds.get(tissue_id, (0, 0))
        place = first + int(np.searchsorted(self.tile_id[first:last], tile_id))
        if place == last or self.tile_id[place] != tile_id:
            return None
        return int(self.row[place]), int(self.col[place])

    def lists(self) -> Lists:
        """Return, by tissue, the (row, col) of its tiles in the order of their ids, as Python ints."""
        rows, cols = self.row.tolist(), self.col.tolist()
        return {
            tissue_id: list(zip(rows[first:last], cols[first:last], strict=True))
            for tissue_id, (first, last) in self.bounds.items()
        }


class Places:
    """Where tiles lie: as the file has them, and as whoever holds the lists of a dataset has edited them.

    Parameters
    ----------
    table
        The tiles of the file; None without one.

    Examples
    --------
    >>> places = Places(None)
    >>> places.lists = {"t": [(5, 7)]}
    >>> places.corner("t", 0)
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
        return _whole_pair(places[position], f"tile_coordinates[{tissue_id!r}][{position}]")

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


def _whole_pair(place: Any, where: str) -> tuple[int, int]:  # noqa: ANN401 - what a client wrote
    """Return row and col as ints; anything else is an error that names it."""
    pair = [whole_or_none(item) for item in place] if isinstance(place, Iterable) else []
    if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
        return pair[0], pair[1]
    message = f"{where} is {place!r}; expected a pair of whole numbers, row and col."
    raise ArgumentError(message)


def whole_or_none(value: Any) -> int | None:  # noqa: ANN401 - what a client gave
    """Return a whole number of Python, numpy or torch, or in digits; None for anything else."""
    if type(value) is int:
        return value
    single = value.item() if getattr(value, "ndim", None) == 0 else value  # numpy's scalars, arrays, tensors
    return whole_number(single, least=LEAST)


def whole(value: Any, what: str) -> int:  # noqa: ANN401 - what a client gave
    """Return a whole number: 5.7 is not cut to another row, nor 0.5 to another tile.

    Raises
    ------
    ArgumentError
        If it is none.

    Examples
    --------
    >>> whole(3.0, "row")
    3
    >>> whole(5.7, "row")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: row=5.7: expected a whole number.
    """
    number = whole_or_none(value)
    if number is None:
        message = f"{what}={value!r}: expected a whole number."
        raise ArgumentError(message)
    return number


def read_tiles(catalog: Catalog, path: Path, *, dataset: str, mpp: float, strategy: str, tile_size: int) -> TileTable:
    """Read the tiles of one tiling from the catalog.

    Parameters
    ----------
    catalog
        The open catalog.
    path
        The file, for errors.
    dataset, mpp, strategy, tile_size
        Which tiling.

    Raises
    ------
    TableError
        If a tile or its place occurs twice in a tissue, or a value is missing: the view says so.
    """
    choice = {"dataset": dataset, "mpp": mpp, "strategy": strategy, "tile_size": tile_size}
    table = catalog._run(TILES, choice).to_arrow_table()
    tile_id, row, col = (table.column(name).to_numpy().astype(np.int64) for name in ("tile_id", "row", "col"))
    ids = table.column("tissue_id").combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy()
    names = ids.dictionary.to_pylist()
    starts = [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(codes)]
    bounds = {names[code]: (starts[code], starts[code + 1]) for code in range(len(names))}
    return TileTable(path=path, bounds=bounds, tile_id=tile_id, row=row, col=col)
