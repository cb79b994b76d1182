"""Greedy tiling against a plain summed-area implementation, and its time and memory on the mask of the agreement."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.history import record
from spora_db.tiling import tile_mask

KWARGS = {"tile_size": 224, "stride": 112, "tolerance": 0.85, "coverage_goal": 1.0, "min_gain_ratio": 0.05}

CHILD = """
import json, resource, sys, time
import numpy as np
from spora_db.tiling import tile_mask

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

n, kwargs = int(sys.argv[1]), json.loads(sys.argv[2])
block = n // 200
tile_mask(np.ones((300, 300), bool), **kwargs)  # compiled or taken from the cache
coarse = np.random.default_rng(0).random((10, 10)).repeat(20, 0).repeat(20, 1)
mask = (coarse < 0.8).repeat(block, 0).repeat(block, 1)
before = peak()
start = time.perf_counter()
tiling = tile_mask(mask, **kwargs)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "bytes": mask.nbytes, "extra": peak() - before, "tiles": len(tiling.tiles)}))
"""


def blobs(length):
    """Deterministic tissue: round pieces of different size."""
    rng, mask = np.random.default_rng(0), np.zeros((length, length), bool)
    grid = np.arange(length)
    for row, col, radius in rng.random((30, 3)) * [length, length, length / 6]:
        rows, cols = [slice(*np.clip([at - radius, at + radius], 0, length).astype(int)) for at in (row, col)]
        mask[rows, cols] |= np.hypot(grid[rows, None] - row, grid[None, cols] - col) < radius
    return mask


def plain_greedy(mask, *, tile_size, stride, tolerance, coverage_goal, min_gain_ratio):
    """Summed-area tables over the whole mask, every overlapping candidate updated after each pick; goal 1.0 only."""
    assert coverage_goal == 1.0
    table = np.pad(mask.astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)

    def sums(table, row, col):
        ends = row + tile_size, col + tile_size
        return table[ends[0], ends[1]] - table[row, ends[1]] - table[ends[0], col] + table[row, col]

    starts = [np.unique([*range(0, n - tile_size + 1, stride), n - tile_size]) for n in mask.shape]
    row, col = (axis.ravel() for axis in np.meshgrid(*starts, indexing="ij"))
    gains, area = sums(table, row, col), tile_size**2
    keep = (gains > 0) & (gains / area >= 1.0 - tolerance)
    row, col, gains, left, picks = row[keep], col[keep], gains[keep], mask.copy(), []
    while gains.size and gains.max() >= max(np.ceil(min_gain_ratio * area), 1):
        best = int(gains.argmax())
        picks.append([row[best], col[best]])
        left[row[best] : row[best] + tile_size, col[best] : col[best] + tile_size] = False
        near = (abs(row - row[best]) < tile_size) & (abs(col - col[best]) < tile_size)
        top, side = max(row[best] - tile_size, 0), max(col[best] - tile_size, 0)
        local = left[top : row[best] + 2 * tile_size, side : col[best] + 2 * tile_size].astype(np.int64)
        gains[near] = sums(np.pad(local, ((1, 0), (1, 0))).cumsum(0).cumsum(1), row[near] - top, col[near] - side)
    return np.array(picks)


def test_greedy_against_plain(benchmark):
    mask = blobs(3000)
    tiling = benchmark(tile_mask, mask, **KWARGS)
    start = time.perf_counter()
    plain = plain_greedy(mask, **KWARGS)
    plain_seconds = time.perf_counter() - start
    start = time.perf_counter()
    tile_mask(mask, **KWARGS)
    seconds = time.perf_counter() - start
    print(f"\ngreedy tiling 3000 x 3000, {len(plain)} tiles: plain / spora-db = {plain_seconds / seconds:.0f}")
    assert tiling.tiles.tolist() == plain.tolist()


@pytest.mark.parametrize("length", [5000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_greedy_time_and_memory(length):
    """Agreed for 20,000: at most 1.5 s, and 1.5 times the mask's bytes above the mask; memory is asserted."""
    command = [sys.executable, "-c", CHILD, str(length), json.dumps(KWARGS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    ratio = found["extra"] / found["bytes"]
    record(f"greedy tiling of {length} x {length}", found["seconds"], "s")
    record(f"greedy tiling of {length} x {length}, memory above the mask", ratio, "times the mask's bytes")
    print(
        f"\ngreedy tiling {length}²: {found['tiles']} tiles, {found['seconds']:.3f} s, {ratio:.3f} of the mask's bytes"
    )
    assert ratio <= 1.5
