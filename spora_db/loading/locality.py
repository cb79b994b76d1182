"""Locality: rows that share chunks form groups, which are shuffled and mixed with few others at a time."""

from dataclasses import dataclass

import numpy as np

from spora_db.arrays import Int64
from spora_db.loading.draws import hashed
from spora_db.loading.row_numbers import first_images
from spora_db.plan import Plan

ALIGNMENT = 256  # pixels: borders of groups fall on borders of the usual chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGroups:
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


def group_rows(plan: Plan, *, side: int) -> ChunkGroups:
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
    down, across = (_blocks(corner, image, size, side) for corner in corners)
    number = (image * (int(down.max(initial=0)) + 1) + down) * (int(across.max(initial=0)) + 1) + across
    within = (corners[0] // size << 32) | corners[1]
    rows = np.lexsort((within, number))
    ordered = number[rows]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    return ChunkGroups(rows=rows.astype(np.int64), group=np.cumsum(starts) - 1)


def _blocks(corner: Int64, image: Int64, size: int, side: int) -> Int64:
    """Return in which of its image's equal parts along one axis every corner lies."""
    extent = np.zeros(int(image.max(initial=0)) + 1, np.int64)
    np.maximum.at(extent, image, corner + size)
    parts = np.maximum((extent + side // 2) // side, 1)
    length = -(-extent // (parts * ALIGNMENT)) * ALIGNMENT
    found: Int64 = np.minimum(corner // length[image], parts[image] - 1)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleave:
    """How groups of `group` pixels are mixed: `lanes` streams, each of `width` at a time, `block` rows at a stretch."""

    lanes: int
    width: int
    block: int
    group: int


def locality_order(groups: ChunkGroups, key: int, mix: Interleave, *, counts: Int64 | None = None) -> Int64:
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
