"""The tiles of one tiling of a cohort: arrays sorted by tissue and tile, looked up by tile id."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spora_db.arrays import Int64
from spora_db.catalog import Catalog
from spora_db.errors import unknown

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

    def lists(self) -> dict[str, list[tuple[int, int]]]:
        """Return, by tissue, the (row, col) of its tiles in the order of their ids, as Python ints."""
        rows, cols = self.row.tolist(), self.col.tolist()
        return {
            tissue_id: list(zip(rows[first:last], cols[first:last], strict=True))
            for tissue_id, (first, last) in self.bounds.items()
        }


def read_tiles(catalog: Catalog, path: Path, *, dataset: str, mpp: float, strategy: str, tile_size: int) -> TileTable:
    """Read the tiles of one tiling from the catalog; `path` is the file that they come from.

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
