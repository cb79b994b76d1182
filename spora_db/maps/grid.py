"""Where windows lie over one image, and how much of each counts for the map."""

import math
from dataclasses import dataclass
from typing import Literal

from spora_db.selection import WindowChoice

Weighting = Literal["area", "centre"]
ROUNDING = 1e-9
"""A size in pixels of the map that is a whole number but for this is that number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGrid:
    """The windows over one image.

    Attributes
    ----------
    height, width
        Of the image, in pixels.
    size
        Height and width of a window in pixels.
    windows
        Their distances and padding.
    """

    height: int
    width: int
    size: int
    windows: WindowChoice

    def map_shape(self, pitch: float) -> tuple[int, int]:
        """Return height and width of a map whose pixels are squares of `pitch` pixels; the last ones may end beyond.

        Examples
        --------
        >>> grid = WindowGrid(height=100, width=65, size=32, windows=WindowChoice(stride=32))
        >>> grid.map_shape(32.0)
        (4, 3)
        """
        height, width = (max(1, math.ceil(length / pitch - ROUNDING)) for length in (self.height, self.width))
        return height, width

    def limits(self, row: int, col: int, *, weighting: Weighting) -> tuple[float, float, float, float]:
        """Return top, bottom, left and right, in pixels of the image, of what counts of the window at a corner.

        With ``"area"`` all that lies in the image. With ``"centre"`` the middle square of a stride, which reaches to
        the edge of the image where no other window is nearer: every pixel counts in one window.

        Examples
        --------
        >>> grid = WindowGrid(height=100, width=100, size=40, windows=WindowChoice(stride=20))
        >>> grid.limits(20, 60, weighting="centre")
        (30.0, 50.0, 70.0, 100.0)
        """
        top, bottom = self._axis(row, self.height, weighting)
        left, right = self._axis(col, self.width, weighting)
        return top, bottom, left, right

    def _axis(self, start: int, length: int, weighting: Weighting) -> tuple[float, float]:
        first, last = max(start, 0), min(start + self.size, length)
        if weighting == "centre":
            stride = self.windows.stride
            before, reach = self.windows.geometry(self.size)
            middle = start + (self.size - stride) // 2
            if start > -before:
                first = max(middle, 0)
            if start + before + reach < length:
                last = min(middle + stride, length)
        return float(first), float(last)
