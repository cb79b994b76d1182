"""Polygons as edges: the area that a rectangle shares with them, and whether they hold a point. Both are exact.

Edges run from an upper to a lower row, in bands of equal height: what lies in a rectangle is told by the edges of the
bands that it meets. Horizontal edges tell nothing and are left out.
"""

import numpy as np

from spora_db.arrays import Bools, Float64, Int64
from spora_db.kernels.compile import kernel


@kernel
def _beyond(first: float, last: float, left: float, right: float) -> float:
    """Return the mean, over columns from first to last, of how much of [left, right] lies left of the column."""
    low, high = min(first, last), max(first, last)
    if high <= left:
        return 0.0
    if low >= right:
        return right - left
    if low == high:
        return low - left
    span = high - low
    enters, leaves = max(0.0, (left - low) / span), min(1.0, (right - low) / span)
    return (1.0 - leaves) * (right - left) + (leaves - enters) * (low + span * (enters + leaves) / 2.0 - left)


@kernel
def shared_areas(
    edges: Float64,
    turns: Float64,
    first: Int64,
    members: Int64,
    top: float,
    height: float,
    boxes: Float64,
    out: Float64,
) -> None:
    """Write to ``out`` the area of each of ``boxes`` (n, 4: row, column, end row, end column) that polygons cover.

    By Green's theorem: the sum over edges, with the turn of each, of the width of the box on their left times their
    rows in it. The polygons do not overlap, and their holes turn the other way than their outlines.
    """
    for at in range(len(boxes)):
        upper, left, lower, right = boxes[at]
        total = 0.0
        begin = max(0, int(np.floor((upper - top) / height)))
        end = min(len(first) - 2, int(np.floor((lower - top) / height)))
        for band in range(begin, end + 1):
            start, stop = max(upper, top + band * height), min(lower, top + (band + 1) * height)
            for place in range(first[band], first[band + 1]):
                row, col, end_row, end_col = edges[members[place]]
                from_row, to_row = max(row, start), min(end_row, stop)
                if to_row > from_row:
                    slope = (end_col - col) / (end_row - row)
                    width = _beyond(col + (from_row - row) * slope, col + (to_row - row) * slope, left, right)
                    total += turns[members[place]] * (to_row - from_row) * width
        out[at] = abs(total)


@kernel
def holds(
    edges: Float64, first: Int64, members: Int64, top: float, height: float, rows: Float64, cols: Float64, out: Bools
) -> None:
    """Write to ``out`` whether polygons hold each point: whether an odd number of edges lies right of it.

    A point on an edge that two polygons share is held by one of them.
    """
    for at in range(len(rows)):
        band = min(int(np.floor((rows[at] - top) / height)), len(first) - 2)
        inside = False
        if band >= 0:
            for place in range(first[band], first[band + 1]):
                row, col, end_row, end_col = edges[members[place]]
                if row <= rows[at] < end_row:
                    crossing = col + (rows[at] - row) * ((end_col - col) / (end_row - row))
                    inside ^= cols[at] < crossing
        out[at] = inside
