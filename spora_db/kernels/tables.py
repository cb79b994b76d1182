"""Pieces of decoded planes and the regions that they belong to, as tables of addresses: one call reads many arrays.

Which chunk, which part of it, where it goes: all that tells tiles apart are numbers of these tables. What lies beyond
an image's edge is a plane of zeros whose rows are one row; colours that lie side by side are planes whose pixels lie
apart.
"""

from typing import Final

import numpy as np

PIECES: Final = np.dtype(
    [(name, np.int64) for name in ["region", "first", "count", "row", "col", "out_row", "out_col", "height", "width"]]
)
"""A rectangle: its region, the first of its planes and their number, where it begins in these and in the region."""
PLANES: Final = np.dtype([(name, np.int64) for name in ("address", "line", "step", "slot")])
"""A plane: its address, bytes from row to row, items from pixel to pixel, and which channel of the region it is."""
REGIONS: Final = np.dtype([(name, np.int64) for name in ("address", "plane", "line", "mode", "constants")])
"""Where a region goes: address, bytes from channel to channel and from row to row; mode, its first coefficients."""
