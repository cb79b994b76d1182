"""The candidate tiles of a mask: a lattice of positions over a coarse grid of cells; thresholds in whole pixels."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from spora_db.arrays import AnyArray, Int64, UInt8
from spora_db.errors import ArgumentError
from spora_db.kernels import tiling as kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Candidate starts per axis, and the mask's pixel counts in the cells that all tile borders cut it into.

    Attributes
    ----------
    row_starts, col_starts
        int64 arrays: first row (column) of the candidates; position ``p`` is start ``divmod(p, col_starts.size)``.
    row_spans, col_spans
        int64 arrays of shape (n, 2): the cells of each start, first and one past the last.
    cells
        int32 or int64 array: mask pixels per cell.
    valid
        Array of shape (row starts, column starts), dtype of ``cells``: mask pixels per candidate.
    area
        Pixels of a tile.
    """

    row_starts: Int64 = field(repr=False)
    col_starts: Int64 = field(repr=False)
    row_spans: Int64 = field(repr=False)
    col_spans: Int64 = field(repr=False)
    cells: AnyArray = field(repr=False)
    valid: AnyArray = field(repr=False)
    area: int

    @property
    def total(self) -> int:
        """Mask pixels of the whole mask, whether or not a candidate reaches them."""
        return int(self.cells.sum(dtype=np.int64))

    def candidates(self, least: int) -> Int64:
        """Return the positions with at least ``least`` mask pixels, in row-major order."""
        return np.flatnonzero(self.valid >= least)

    def tiles(self, positions: Int64) -> Int64:
        """Return (row, col) of positions, shape (n, 2)."""
        row, col = np.divmod(positions, self.col_starts.size)
        return np.stack([self.row_starts[row], self.col_starts[col]], axis=1)


def build_lattice(pixels: UInt8, *, tile_size: int, row_starts: Int64, col_starts: Int64) -> Lattice:
    """Cut ``pixels`` (uint8, non-zero is mask) along the borders of all candidates and count each cell, in one pass.

    Raises
    ------
    ArgumentError
        More candidates than 64-bit keys can rank (a stride of a few pixels on a mask over 100,000 pixels wide).
    """
    positions, area = row_starts.size * col_starts.size, tile_size * tile_size
    if positions * (min(area, pixels.size) + 1) >= 2**63:
        raise ArgumentError(
            f"A mask of {pixels.shape[0]} x {pixels.shape[1]} has {positions} candidates of {tile_size} x {tile_size} "
            "pixels, more than can be ranked. Give a larger stride."
        )
    row_edges, row_spans = _edges(row_starts, pixels.shape[0], tile_size)
    col_edges, col_spans = _edges(col_starts, pixels.shape[1], tile_size)
    largest = int(np.diff(row_edges).max()) * int(np.diff(col_edges).max())
    dtype = np.int32 if max(largest, min(area, pixels.size)) < 2**31 else np.int64
    cells = np.empty((row_edges.size - 1, col_edges.size - 1), dtype)
    kernels.cell_sums(pixels, row_edges, col_edges, np.empty(pixels.shape[1], np.uint8), cells)
    valid = np.empty((row_starts.size, col_starts.size), dtype)
    kernels.tile_sums(cells, row_spans, col_spans, np.empty(cells.shape[1], np.int64), valid)
    return Lattice(
        row_starts=row_starts,
        col_starts=col_starts,
        row_spans=row_spans,
        col_spans=col_spans,
        cells=cells,
        valid=valid,
        area=area,
    )


def greedy_starts(length: int, *, tile_size: int, stride: int) -> Int64:
    """Return 0, stride, 2 stride, ... and the start flush with the end, of tiles inside ``length`` pixels.

    Examples
    --------
    >>> greedy_starts(100, tile_size=32, stride=24).tolist(), greedy_starts(20, tile_size=32, stride=24).tolist()
    ([0, 24, 48, 68], [0])
    """
    last = max(length - tile_size, 0)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def padded_length(length: int, *, tile_size: int, stride: int) -> int:
    """Return the extent of a grid: at least the length and the tile, a whole number of strides."""
    return math.ceil(max(length, tile_size) / stride) * stride


def least_count(share: float, total: int, *, exact: bool) -> int:
    """Return the smallest whole number of ``total`` pixels that is at least ``share`` of them.

    Parameters
    ----------
    share
        A share; not negative.
    total
        Number of pixels, at least 1.
    exact
        Take the share as the decimal it is written as; otherwise compare ``count / total >= share`` in float64.

    Examples
    --------
    >>> least_count(1.0 - 0.85, 100, exact=False), least_count(0.15, 100, exact=True)
    (16, 15)
    """
    if exact:
        return math.ceil(decimal(share) * total)
    count = max(math.floor(share * total) - 1, 0)
    while count / total < share:
        count += 1
    return count


def decimal(share: float) -> Fraction:
    """Return the decimal that ``share`` is written as: 0.15 is 3/20, not the nearest binary fraction."""
    return Fraction(repr(float(share)))


def mask_pixels(mask: ArrayLike) -> UInt8:
    """Return a mask as contiguous bytes, non-zero where ``mask > 0``; bool and uint8 arrays are not copied.

    Raises
    ------
    ArgumentError
        Not 2-D, no pixels, not numbers, or NaN.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ArgumentError(f"The mask has shape {array.shape}; expected (height, width), both at least 1.")
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"The mask has dtype {array.dtype}; expected bool, integers or floats.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ArgumentError(
            f"The mask of shape {array.shape} holds NaN; expected pixels > 0 for tissue and 0 elsewhere."
        )
    if array.dtype != np.uint8:
        array = (array if array.dtype == np.bool_ else array > 0).view(np.uint8)
    return np.ascontiguousarray(array)


def _edges(starts: Int64, length: int, tile_size: int) -> tuple[Int64, Int64]:
    """Return the borders of all tiles along one axis, clipped to it, and the cells of each start."""
    ends = np.minimum(starts + tile_size, length)
    edges = np.unique(np.concatenate([starts, ends, [0, length]]))
    return edges, np.stack([np.searchsorted(edges, starts), np.searchsorted(edges, ends)], axis=1)
