"""The order of tiles as pure functions: hashes in, permutations, draws and partitions out; no generator, no state."""

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from spora_db.arrays import Float64, Int64, UInt64
from spora_db.loading.weights import first_images
from spora_db.plan import Plan

Shuffle: TypeAlias = Literal["locality", "global", "none"]

VERSION = 1
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
ALIGNMENT = 256  # pixels: borders of groups fall on borders of the usual chunks


def order_key(rows_hash: str, *, seed: int, epoch: int, purpose: str) -> int:
    """Return the 64-bit key under which one epoch's random numbers are drawn.

    Examples
    --------
    >>> order_key("00ff", seed=0, epoch=1, purpose="rows") == order_key("00ff", seed=0, epoch=1, purpose="rows")
    True
    """
    text = f"spora-db/order/{VERSION}|{rows_hash}|{seed}|{epoch}|{purpose}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashed(key: int, counters: Int64) -> UInt64:
    """Return a random 64-bit number per counter: the mixer of SplitMix64 (Steele, Lea, Flood 2014).

    Examples
    --------
    >>> hashed(0, np.arange(1)).tolist()
    [16294208416658607535]
    """
    z = np.uint64(key) + (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))


def uniforms(key: int, counters: Int64) -> Float64:
    """Return a random number in (0, 1) per counter, of 53 bits.

    Examples
    --------
    >>> uniforms(0, np.arange(2)).round(3).tolist()
    [0.883, 0.432]
    """
    return ((hashed(key, counters) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def permutation(count: int, key: int) -> Int64:
    """Return the numbers 0 to count - 1 in random order.

    Examples
    --------
    >>> permutation(5, 7).tolist()
    [1, 0, 4, 3, 2]
    """
    order: Int64 = np.argsort(hashed(key, np.arange(count)), kind="stable")
    return order


def draw_with_replacement(weights: Float64, count: int, key: int) -> Int64:
    """Return `count` rows, each drawn on its own with probability proportional to its weight.

    Examples
    --------
    >>> draw_with_replacement(np.array([0.0, 1.0, 0.0]), 3, 7).tolist()
    [1, 1, 1]
    """
    ends = np.cumsum(weights)
    found = np.searchsorted(ends, uniforms(key, np.arange(count)) * ends[-1], side="right")
    return np.asarray(np.minimum(found, np.flatnonzero(weights)[-1]), np.int64)


def draw_without_replacement(weights: Float64, count: int, key: int) -> Int64:
    """Return `count` different rows in the order of drawing, each proportional to its weight among those left.

    Exponential keys give that order at once (Efraimidis and Spirakis 2006); rows of weight 0 are never drawn.

    Examples
    --------
    >>> draw_without_replacement(np.array([1.0, 0.0, 1.0]), 2, 7).tolist()
    [2, 0]
    """
    from spora_db.kernels.logarithms import log

    possible = np.flatnonzero(weights)
    arrival = -log(uniforms(key, possible)) / weights[possible]  # numpy's last bits hang on the processor
    return np.asarray(possible[np.argsort(arrival, kind="stable")[:count]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Rows of a plan that share chunks.

    Attributes
    ----------
    rows
        int64 array: all rows, group by group, within a group band by band from left to right.
    group
        int64 array: the group of each entry of `rows`, not falling.
    """

    rows: Int64
    group: Int64


def group_rows(plan: Plan, *, side: int) -> Groups:
    """Group the rows of a plan: by image, and within large images by squares of about `side` pixels.

    Parameters
    ----------
    plan
        The plan; the first image of a row counts.
    side
        Height and width of a group in pixels. Images are cut evenly, at multiples of 256 pixels.
    """
    image = first_images(plan)
    size = max(plan.tile_size, 1)
    corners = [np.maximum(corner.astype(np.int64), 0) for corner in (plan.row, plan.col)]  # cells may begin outside
    places = [_blocks(corner, image, size, side) for corner in corners]
    (down, _), (across, columns) = places
    number = (image * (int(down.max(initial=0)) + 1) + down) * columns + across
    within = (corners[0] // size << 32) | corners[1]
    rows = np.lexsort((within, number))
    ordered = number[rows]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    return Groups(rows=rows.astype(np.int64), group=np.cumsum(starts) - 1)


def _blocks(corner: Int64, image: Int64, size: int, side: int) -> tuple[Int64, int]:
    """Return in which of its image's equal parts along one axis every corner lies, and the largest number of parts."""
    extent = np.zeros(int(image.max(initial=0)) + 1, np.int64)
    np.maximum.at(extent, image, corner + size)
    parts = np.maximum((extent + side // 2) // side, 1)
    length = -(-extent // (parts * ALIGNMENT)) * ALIGNMENT
    return np.minimum(corner // length[image], parts[image] - 1), int(parts.max(initial=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleave:
    """How groups are mixed: `lanes` streams of blocks, each of `width` groups at a time, `block` rows at a stretch."""

    lanes: int
    width: int
    block: int


def locality_order(groups: Groups, key: int, mix: Interleave, *, counts: Int64 | None = None) -> Int64:
    """Return rows in locality order: groups shuffled, then interleaved.

    Parameters
    ----------
    groups
        The plan's rows by shared chunks.
    key
        The epoch's key.
    mix
        How groups are interleaved.
    counts
        How often each row occurs; once where absent.
    """
    from spora_db.kernels.order import interleave_groups

    rows, group = groups.rows, groups.group
    if counts is not None:
        times = counts[rows]
        rows, group = np.repeat(rows, times), np.repeat(group, times)
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])) if len(rows) else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, len(rows)))
    number = group[starts]
    random = hashed(key, number)
    out = np.empty(len(rows), np.int64)
    shuffled = np.argsort(random, kind="stable")
    interleave_groups(starts, sizes, shuffled, (random & np.uint64(1)) == 1, mix.lanes, mix.width, mix.block, out)
    return rows[out]


# ---- partition: which positions of an order a rank gets, and which are left after an interruption ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """An order cut for ranks: in turn `block` positions each, and the rest in equal parts.

    Attributes
    ----------
    world_size
        Number of ranks.
    block
        Positions that a rank gets at a stretch.
    drop_last
        Whether the last ``count % world_size`` positions are left out; otherwise the first ones are repeated, so that
        all ranks get equally many.
    """

    world_size: int
    block: int
    drop_last: bool = False

    def length(self, count: int) -> int:
        """Return how many positions of an order of `count` every rank gets."""
        return count // self.world_size if self.drop_last else -(-count // self.world_size)

    def assigned(self, count: int, rank: int, start: int = 0) -> Int64:
        """Return the positions of one rank, in order, from its `start`-th.

        Examples
        --------
        >>> [Partition(world_size=2, block=2).assigned(7, rank).tolist() for rank in (0, 1)]
        [[0, 1, 4, 5], [2, 3, 6, 0]]
        """
        length = self.length(count)
        index = np.arange(start, length)
        rounds, rest = divmod(length, self.block)
        whole = index // self.block * (self.world_size * self.block) + rank * self.block + index % self.block
        first = rounds * self.block
        tail = first * self.world_size + rank * rest + (index - first)
        return np.where(index < first, whole, tail) % max(count, 1)

    def left(self, count: int, taken: int) -> Int64:
        """Return the positions that no rank has got after each took `taken`.

        Examples
        --------
        >>> Partition(world_size=2, block=2).left(7, 1).tolist()
        [1, 3, 4, 5, 6]
        """
        length = self.length(count)
        position = np.arange(length * self.world_size)
        rounds, rest = divmod(length, self.block)
        first = rounds * self.block
        span = self.world_size * self.block
        whole = position // span * self.block + position % self.block
        tail = first + (position - first * self.world_size) % max(rest, 1)
        index = np.where(position < first * self.world_size, whole, tail)
        left = np.ones(count, np.bool_)
        left[position[index < taken] % max(count, 1)] = False
        return np.flatnonzero(left)
