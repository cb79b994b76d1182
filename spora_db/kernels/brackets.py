"""One pass over pixels that parts them by two brackets: what is only counted, what is kept, what lies between."""

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.kernels.compile import kernel

BELOW, AT_LOWEST, IN_LOW, AT_LOW, BETWEEN, AT_HIGH, IN_HIGH, AT_HIGHEST, ABOVE, BROKEN = range(10)
TALLIES = 10
STRETCH = 32


@kernel
def part_by_brackets(values: AnyArray, ends: Float64, between: AnyArray, kept: AnyArray, tallies: Int64) -> int:
    """Tally where pixels lie: of four ends, ``lowest..low`` and ``high..highest`` are brackets; NaN is broken.

    Pixels from ``low`` to ``high`` are written to ``between``, which is as long as ``values``; returns how many. Behind
    them are the others, the last first. Those inside of a bracket are appended to ``kept``, as far as it has room.
    Pixels that equal an end are only counted: they may be most of an image.

    Stretches that lie between are copied, others sorted out without a branch: 1.4 ns a pixel, where a branch for each
    took 2.3, as 2 of 100 were outside.
    """
    lowest, low, high, highest = ends[0], ends[1], ends[2], ends[3]
    count, at_low, at_high = 0, 0, 0
    for start in range(0, values.size, STRETCH):
        part, room = values[start : start + STRETCH], between[count : count + values.size - start]
        within, last = 0, np.uint64(room.size - 1)
        for i in range(part.size):
            value = np.float64(part[i])
            room[i] = part[i]
            within += (low <= value) & (value <= high)
            at_low += value == low
            at_high += value == high
        if within < part.size:
            taken, left = np.uint64(0), last
            for i in range(part.size):
                value = np.float64(part[i])
                room[taken] = room[left] = part[i]
                there = np.uint64((low <= value) & (value <= high))
                taken += there
                left -= np.uint64(1) - there
        count += within
    at_low, at_high = at_low if low <= high else 0, at_high if low < high else 0
    tallies[AT_LOW] += at_low
    tallies[AT_HIGH] += at_high
    tallies[BETWEEN] += count - at_low - at_high
    inside = tallies[IN_LOW] + tallies[IN_HIGH]
    for i in range(values.size - 1, count - 1, -1):
        value = np.float64(between[i])
        if value < lowest:
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
                kept[inside] = between[i]
            inside += 1
            tallies[IN_LOW if value < low else IN_HIGH] += 1
    return count
