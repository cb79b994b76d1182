"""Lines over an image, in its pixels: tiles of a tiling, the tissue mask, regions, and the cell under the pointer."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.arrays import Bools, Int32, Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.explore.images import ShownImages
from spora_db.explore.limits import CELL_LETTERS, OUTLINES
from spora_db.explore.opened import ListedImage, OpenedImage
from spora_db.files.stamps import Stamp, stamp
from spora_db.layout import locate
from spora_db.layout.listing import INSTANCES
from spora_db.masks import load_label_mask, load_tissue_mask

_TILES: Final = """
    SELECT strategy, tile_size, tile_id, "row", col FROM tile_coordinates
    WHERE dataset = $dataset AND tissue_id = $tissue_id AND mpp = $mpp ORDER BY ALL LIMIT $most
"""
_MASK: Final = """
    SELECT path FROM masks
    WHERE dataset = $dataset AND tissue_id = $tissue_id AND mpp = $mpp AND kind = $kind
"""
_REGIONS: Final = """
    SELECT region_id, class, color, mpp, polygon FROM regions
    WHERE dataset = $dataset AND tissue_id = $tissue_id ORDER BY region_id LIMIT $most
"""
_CELL: Final = "SELECT * FROM cells WHERE dataset = $dataset AND tissue_id = $tissue_id AND cell_id = $cell"
THINNED: Final = 2048
"""Pixels of the longer side of a mask whose outline is drawn, at most."""


def outlines(images: ShownImages, key: str, kind: str) -> dict[str, Any]:
    """Return the lines of one kind over an image.

    Raises
    ------
    UnknownNameError
        There is no such kind or image.
    """
    if kind not in KINDS:
        raise unknown("kind of outlines", kind, KINDS)
    return KINDS[kind](images, images.open(key))


def cell_at(images: ShownImages, key: str, *, row: int, col: int) -> dict[str, Any]:
    """Return the cell under a pixel: its label, its values in the cells table, its outline; nothing where none is.

    Raises
    ------
    ArgumentError
        The pixel is not in the image.
    """
    image = images.open(key)
    _, height, width = image.levels[0].shape
    if not (0 <= row < height and 0 <= col < width):
        raise ArgumentError(f"Row {row}, col {col} is not in the image of {height} x {width} pixels.")
    path = next((found for kind in INSTANCES if (found := _mask_path(images, image.listed, kind))), None)
    if path is None:
        return {}
    mask = _labels(path, stamp(path), (height, width))
    label = int(mask[row, col])
    if not label:
        return {}
    near = mask[max(0, row - 128) : row + 128, max(0, col - 128) : col + 128] == label
    lines = borders(near) + np.array([max(0, row - 128), max(0, col - 128)] * 2)
    rows = images.catalog._run(_CELL, {**_where(image.listed, mpp=False), "cell": label}).to_arrow_table().to_pylist()
    values = {name: str(value)[:CELL_LETTERS] for name, value in (rows[0] if rows else {}).items() if value is not None}
    return {"cell_id": label, "values": values, "lines": lines.tolist()}


def borders(mask: Bools) -> Int64:
    """Return the border of a mask as lines between pixels, int64 (n, 4): row, col, end row, end col.

    Lines that go on are one.

    Examples
    --------
    >>> borders(np.ones((2, 3), bool)).tolist()
    [[0, 0, 0, 3], [2, 0, 2, 3], [0, 0, 2, 0], [0, 3, 2, 3]]
    """
    padded = np.pad(mask.astype(np.int8), 1)
    along = _runs(np.diff(padded, axis=0)[:, 1:-1] != 0)
    down = _runs((np.diff(padded, axis=1)[1:-1] != 0).T)[:, [1, 0, 3, 2]]
    return np.concatenate([along, down])


def _runs(edges: Bools) -> Int64:
    """Return where runs of true begin and end in each row of a matrix: row, start, row, end."""
    steps = np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return np.stack([rows, starts, rows, ends], axis=1).astype(np.int64)


def _tiles(images: ShownImages, image: OpenedImage) -> dict[str, Any]:
    rows = images.catalog._run(_TILES, {**_where(image.listed), "most": OUTLINES}).fetchall()
    tilings: dict[tuple[str, int], list[list[int]]] = {}
    for strategy, size, tile, row, col in rows:
        tilings.setdefault((strategy, size), []).append([row, col, tile])
    found = [{"strategy": name, "size": size, "tiles": tiles} for (name, size), tiles in tilings.items()]
    return {"tilings": found, "more": len(rows) == OUTLINES}


def _mask(images: ShownImages, image: OpenedImage) -> dict[str, Any]:
    path = _mask_path(images, image.listed, "tissue")
    if path is None:
        return {"lines": []}
    mask = load_tissue_mask(path, shape=image.levels[0].shape[1:], image=str(image.levels[0].reader.path))
    step = max(1, -(-max(mask.shape) // THINNED))
    lines = borders(mask[::step, ::step]) * step
    return {"lines": np.minimum(lines, [*mask.shape] * 2)[:OUTLINES].tolist(), "more": len(lines) > OUTLINES}


def _regions(images: ShownImages, image: OpenedImage) -> dict[str, Any]:
    where = _where(image.listed, mpp=False)
    rows = images.catalog._run(_REGIONS, {**where, "most": OUTLINES}).fetchall()
    found = []
    for region, name, colour, mpp, polygons in rows:
        scale = mpp / image.listed.mpp
        rings = [[[point["row"] * scale, point["col"] * scale] for point in ring] for part in polygons for ring in part]
        found.append({"region_id": str(region), "class": name, "colour": colour, "rings": rings})
    return {"regions": found}


KINDS: Final[Mapping[str, Callable[[ShownImages, OpenedImage], dict[str, Any]]]] = {
    "tiles": _tiles,
    "mask": _mask,
    "regions": _regions,
}


def _where(listed: ListedImage, *, mpp: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"dataset": listed.dataset, "tissue_id": listed.tissue_id}
    return found | {"mpp": listed.mpp} if mpp else found


def _mask_path(images: ShownImages, listed: ListedImage, kind: str) -> Path | None:
    found = images.catalog._run(_MASK, {**_where(listed), "kind": kind}).fetchall()
    return locate(images.catalog.lake, found[0][0]) if found else None


@lru_cache(maxsize=4)
def _labels(path: Path, _state: Stamp, shape: tuple[int, int]) -> Int32:
    return load_label_mask(path, shape=shape)
