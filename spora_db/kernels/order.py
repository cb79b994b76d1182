"""Interleaving shuffled groups of tiles into one order, block by block."""

import numpy as np

from spora_db.arrays import Bools, Int64
from spora_db.kernels.compile import kernel


@kernel
def interleave_groups(
    starts: Int64, sizes: Int64, shuffled: Int64, backwards: Bools, lanes: int, width: int, block: int, out: Int64
) -> None:
    """Write the members of all groups to ``out``: block after block, lane after lane.

    Group ``g`` has the members ``starts[g]`` to ``starts[g] + sizes[g] - 1``, taken from the last where
    ``backwards[g]``. A lane holds ``width`` groups at a time and gives every ``lanes``-th block of ``out``: a run of
    each of its groups in turn. A group that ends is replaced by the next of ``shuffled``; where none is left, the block
    is completed from the groups of other lanes.
    """
    slots = lanes * width
    group = np.full(slots, -1, np.int64)
    taken = np.zeros(slots, np.int64)
    cursor = np.zeros(lanes, np.int64)
    run = (block + width - 1) // width
    ahead = 0
    written = 0
    lane = 0
    while written < out.size:
        end = min(written + block, out.size)
        slot = lane * width + cursor[lane]
        left = run
        while written < end:
            if group[slot] < 0 and ahead < shuffled.size:
                group[slot] = shuffled[ahead]
                taken[slot] = 0
                ahead += 1
            if group[slot] < 0 or left == 0:
                slot += 1
                if ahead < shuffled.size or group[lane * width : lane * width + width].max() >= 0:
                    if slot >= lane * width + width:
                        slot = lane * width
                elif slot >= slots:
                    slot = 0
                left = run
                continue
            g = group[slot]
            out[written] = starts[g] + (sizes[g] - 1 - taken[slot] if backwards[g] else taken[slot])
            written += 1
            left -= 1
            taken[slot] += 1
            if taken[slot] == sizes[g]:
                group[slot] = -1
        cursor[lane] = (cursor[lane] + 1) % width
        lane = (lane + 1) % lanes
