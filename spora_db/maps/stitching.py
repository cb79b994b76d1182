"""One map while it is made: windows are added from the top down, and rows that no window reaches any more are done."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.writing import take_room
from spora_db.kernels.stitching import add_tokens
from spora_db.maps.grid import Weighting, WindowGrid

LARGE = 2**28
"""Bytes from which a map waits in a nameless file beside where it will lie, not in memory."""


class Stitcher:
    """Stitches what is said of the windows of one image, which come row by row.

    Sums are float64 and hold one row of windows; a map of any height needs no more memory.

    Parameters
    ----------
    grid
        Where the windows lie.
    depth
        Numbers that are said of each place: channels of the map.
    pitch
        Pixels of the image that a pixel of the map is high and wide.
    weighting
        What of a window counts.
    dtype
        The type of the map.
    folder
        Where a large map waits.
    """

    def __init__(
        self, grid: WindowGrid, *, depth: int, pitch: float, weighting: Weighting, dtype: np.dtype[Any], folder: Path
    ) -> None:
        self.grid, self.pitch, self.weighting = grid, pitch, weighting
        height, width = grid.map_shape(pitch)
        rows = min(height, int(grid.size / pitch) + 2)
        self._sums = np.zeros((rows, width, depth), np.float64)
        self._weights = np.zeros((rows, width), np.float64)
        self._base = 0
        self._map = _empty((depth, height, width), dtype, folder)

    def add(self, tokens: Float32, *, row: int, col: int) -> None:
        """Add what is said of the window at a corner: an array (h, w, D), h x w places that share its pixels evenly.

        Raises
        ------
        ArgumentError
            If the window lies above one that was added before.
        """
        top = int(max(row, 0) / self.pitch)
        if top < self._base:
            raise ArgumentError(
                f"A window at row {row} came after windows further down. Expected the order of the plan: leave the "
                "loader's order as it is, shuffle='none'."
            )
        self._finish(top)
        limits = np.array(self.grid.limits(row, col, weighting=self.weighting))
        token = self.grid.size / tokens.shape[0]
        add_tokens(
            np.ascontiguousarray(tokens, np.float32), float(row), float(col), token, limits, self.pitch, self._base,
            self._sums, self._weights,
        )  # fmt: skip

    def whole(self) -> AnyArray:
        """Return the map, of shape (D, rows, cols); NaN where no window counted."""
        self._finish(self._map.shape[1])
        return self._map

    def _finish(self, top: int) -> None:
        """Write the rows of the map above `top`, which no window reaches any more, and make room for others."""
        while self._base < top:
            held = min(len(self._sums), self._map.shape[1] - self._base)
            count = min(top - self._base, held)
            with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as is meant
                done = self._sums[:count] / self._weights[:count, :, None]
            self._map[:, self._base : self._base + count] = np.moveaxis(done, -1, 0)
            for held_rows in (self._sums, self._weights):
                held_rows[: len(held_rows) - count] = held_rows[count:].copy()
                held_rows[len(held_rows) - count :] = 0
            self._base += count


def _empty(shape: tuple[int, int, int], dtype: np.dtype[Any], folder: Path) -> AnyArray:
    if np.prod(shape, dtype=np.int64) * dtype.itemsize <= LARGE:
        return np.empty(shape, dtype)
    try:
        with TemporaryFile(dir=folder) as file:  # it has no name, so a killed process leaves nothing
            found = np.memmap(file, dtype=dtype, mode="w+", shape=shape)
            take_room(file.fileno())
    except OSError as error:
        raise WriteError(
            f"A map of {np.prod(shape, dtype=np.int64) * dtype.itemsize:,} bytes does not fit into {folder}, where it "
            f"waits until it is whole: {error.strerror or error}. Make room, or write into another folder (into=)."
        ) from error
    return found
