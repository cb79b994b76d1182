"""Averages over areas: what a coarser pixel is of the finer ones that lie under it."""

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.kernels.compile import kernel


@kernel
def average_areas(
    plane: AnyArray, rows: Int64, row_weights: Float64, cols: Int64, col_weights: Float64, out: Float64
) -> None:
    """Write into ``out`` (h, w) the mean of a plane over rectangles, in float64; the order of the sums is fixed.

    ``rows`` (h, 2) are the first and the last row of each rectangle; ``row_weights`` (h, 3) what counts of the first
    and of the last, 0 where that is the first, and the height of the rectangle; the rows between count in full. So do
    ``cols`` (w, 2) and ``col_weights`` (w, 3).
    """
    for i in range(rows.shape[0]):
        target = out[i]
        target[:] = 0.0
        top, bottom = rows[i]
        for row in range(top, bottom + 1):
            line = plane[row]
            weight = 1.0
            if row == top:
                weight = row_weights[i, 0]
            elif row == bottom:
                weight = row_weights[i, 1]
            for j in range(cols.shape[0]):
                first, last = cols[j, 0], cols[j, 1]
                total = line[first] * col_weights[j, 0] + line[last] * col_weights[j, 1]
                for col in range(first + 1, last):
                    total += line[col]
                target[j] += weight * total
        for j in range(cols.shape[0]):
            target[j] /= row_weights[i, 2] * col_weights[j, 2]


@kernel
def average_fours(plane: AnyArray, out: Float64) -> None:
    """Write into ``out`` (h, w) the mean of 2 x 2 pixels of a plane (2 h, 2 w), in float64."""
    for i in range(out.shape[0]):
        upper, lower, target = plane[2 * i], plane[2 * i + 1], out[i]
        for j in range(out.shape[1]):
            left = float(upper[2 * j]) + float(lower[2 * j])
            target[j] = (left + float(upper[2 * j + 1]) + float(lower[2 * j + 1])) * 0.25


@kernel
def average_fours_rounded(plane: AnyArray, out: AnyArray) -> None:
    """Write into ``out`` (h, w) the mean of 2 x 2 whole numbers of a plane (2 h, 2 w), halves to the even one.

    Both are of one type of at most 32 bits: sums of four are exact in 64.
    """
    for i in range(out.shape[0]):
        upper, lower, target = plane[2 * i], plane[2 * i + 1], out[i]
        for j in range(out.shape[1]):
            total = int(upper[2 * j]) + int(upper[2 * j + 1]) + int(lower[2 * j]) + int(lower[2 * j + 1])
            target[j] = (total + 1 + (total >> 2 & 1)) >> 2


@kernel
def sum_fours(plane: AnyArray, out: Float64) -> None:
    """Add to ``out`` (h, w), zeros at first, the pixels of a plane in squares of 4 x 4; the last have what there is."""
    whole = plane.shape[1] // 4
    for i in range(plane.shape[0]):
        line, target = plane[i], out[i // 4]
        for j in range(whole):
            left = float(line[4 * j]) + float(line[4 * j + 1])
            target[j] += left + (float(line[4 * j + 2]) + float(line[4 * j + 3]))
        for col in range(4 * whole, plane.shape[1]):
            target[whole] += line[col]
