"""The tilers under the names and with the results that code written for the published loader expects."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spora_db.arrays import AnyArray, UInt8
from spora_db.tiling.tiling import Tiling, tile_grid, tile_mask

PublishedTiling = tuple[list["Tile"], dict[str, Any], UInt8]


class Tile(NamedTuple):
    """One tile, with the published field names.

    Attributes
    ----------
    y, x
        Row and column of the upper left corner in pixels.
    h, w
        Height and width in pixels.
    valid_ratio
        Share of the tile that is mask.
    gain
        Mask pixels that it newly covers.

    See Also
    --------
    tile_mask, best_mask_tiling_try_to_stop

    Examples
    --------
    >>> Tile(y=0, x=64, h=32, w=32, valid_ratio=1.0, gain=1024).x
    64
    """

    y: int
    x: int
    h: int
    w: int
    valid_ratio: float
    gain: int


def best_mask_tiling_try_to_stop(
    mask: ArrayLike,
    tile_size: int,
    stride: int | None = None,
    tolerance: float = 0.2,
    coverage_goal: float = 0.99,
    min_gain_ratio: float = 0.05,
    max_tiles: int | None = None,
    allow_overlap: bool = True,  # noqa: FBT001, FBT002 - the published signature
) -> PublishedTiling:
    """Tile a mask greedily; :func:`spora_db.tile_mask` under its published name and form.

    Parameters
    ----------
    mask
        Array of shape (H, W); pixels > 0 are tissue.
    tile_size, stride, tolerance, coverage_goal, min_gain_ratio, max_tiles, allow_overlap
        See :class:`spora_db.tiling.TilingParameters`.

    Returns
    -------
    tiles : list of Tile
        In the order picked.
    stats : dict
        The row of the tile_stats file.
    covered : numpy.ndarray
        uint8 array, 1 where a tile covers tissue, of the mask's shape padded to at least one tile.

    Raises
    ------
    ArgumentError
        A parameter is out of range, or the mask is not 2-D, is empty of pixels or holds NaN.

    See Also
    --------
    tile_mask, tile_lake

    Examples
    --------
    >>> tiles, stats, covered = best_mask_tiling_try_to_stop(np.ones((64, 96), bool), 64, stride=32)
    >>> tiles[1], covered.shape
    (Tile(y=0, x=32, h=64, w=64, valid_ratio=1.0, gain=2048), (64, 96))
    """
    tiling = tile_mask(
        mask,
        tile_size=tile_size,
        stride=stride,
        tolerance=tolerance,
        coverage_goal=coverage_goal,
        min_gain_ratio=min_gain_ratio,
        max_tiles=max_tiles,
        allow_overlap=allow_overlap,
    )
    array = np.asarray(mask)
    return _published(array, tiling, (max(array.shape[0], tile_size), max(array.shape[1], tile_size)))


def get_grid_tile(
    mask: ArrayLike, tile_size: int, stride: int | None = None, tolerance: float = 0.85
) -> PublishedTiling:
    """Tile a mask by a regular grid; :func:`spora_db.tile_grid` under its published name and form.

    Parameters
    ----------
    mask
        Array of shape (H, W); pixels > 0 are tissue.
    tile_size, stride, tolerance
        See :class:`spora_db.tiling.TilingParameters`.

    Returns
    -------
    tiles : list of Tile
        Row by row.
    stats : dict
        The row of the tile_stats file.
    covered : numpy.ndarray
        uint8 array of shape (padded_height, padded_width), 1 where a tile covers tissue.

    Raises
    ------
    ArgumentError
        As :func:`best_mask_tiling_try_to_stop`.

    See Also
    --------
    tile_grid, Tile

    Examples
    --------
    >>> tiles, stats, covered = get_grid_tile(np.ones((64, 96), bool), 64, stride=64, tolerance=0.5)
    >>> [(tile.y, tile.x, tile.gain) for tile in tiles], covered.shape
    ([(0, 0, 4096), (0, 64, 2048)], (64, 128))
    """
    tiling = tile_grid(mask, tile_size=tile_size, stride=stride, tolerance=tolerance)
    return _published(np.asarray(mask), tiling, (tiling.stats["padded_height"], tiling.stats["padded_width"]))


def _published(mask: AnyArray, tiling: Tiling, padded: tuple[int, int]) -> PublishedTiling:
    """Put a tiling into the published form."""
    size = tiling.stats["tile_size"]
    covered = np.zeros(padded, np.uint8)
    for row, col in tiling.tiles.tolist():
        inside = mask[row : row + size, col : col + size]
        covered[row : row + inside.shape[0], col : col + inside.shape[1]] = inside > 0
    rows = zip(tiling.tiles.tolist(), tiling.valid_ratios.tolist(), tiling.gains.tolist(), strict=True)
    return [Tile(row, col, size, size, ratio, gain) for (row, col), ratio, gain in rows], tiling.stats, covered
