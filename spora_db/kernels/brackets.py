"""One pass over pixels that parts them by two brackets: what is only counted, what is kept, what lies between."""

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.kernels.compile import kernel

BELOW, AT_LOWEST, IN_LOW, AT_LOW, BETWEEN, AT_HIGH, IN_HIGH, AT_HIGHEST, ABOVE, BROKEN = range(10)
TALLIES = 10


@kernel
def part_by_brackets(values: AnyArray, ends: Float64, between: AnyArray, kept: AnyArray, tallies: Int64) -> int:
    """Tally where pixels lie: of four ends, ``lowest..low`` and ``high..highest`` are brackets; NaN is broken.

    Pixels from ``low`` to ``high`` are written to ``between``, which is as long as ``values``; returns how many. Those
    inside of a bracket are appended to ``kept``, as far as it has room. Pixels that equal an end are only counted: they
    may be most of an image. 0.7 ns a pixel; asking whether it equals ``low`` by a branch took 8 where half are zero.
    """
    lowest, low, high, highest = ends[0], ends[1], ends[2], ends[3]
    count, at_low, at_high, inside = 0, 0, 0, tallies[IN_LOW] + tallies[IN_HIGH]
    for i in range(values.size):
        pixel = values[i]
        value = np.float64(pixel)
        between[count] = pixel
        if low <= value and value <= high:
            count += 1
        elif value < lowest:
            tallies[BELOW] += 1
        elif value == lowest:
            tallies[AT_LOWEST] += 1
        elif value == highest:
            tallies[AT_HIGHEST] += 1
        elif value > highest:
            tallies[ABOVE] += 1
        elif value != value:
            tallies[BROKEN] += 1
        else:
            if inside < kept.size:
                kept[inside] = pixel
            inside += 1
            tallies[IN_LOW if value < low else IN_HIGH] += 1
    for i in range(count):
        value = np.float64(between[i])
        at_low += value == low
        at_high += (value == high) & (value != low)
    tallies[AT_LOW] += at_low
    tallies[AT_HIGH] += at_high
    tallies[BETWEEN] += count - at_low - at_high
    return count
