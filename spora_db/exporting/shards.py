"""Which rows go into which shard: a function of the plan and the size alone, never of workers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spora_db.arrays import Int64
from spora_db.plan import ABSENT, Plan
from spora_db.samples.materialize import Materializer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedShard:
    """Some rows that are written to one file.

    Attributes
    ----------
    number
        Which shard of its group this is.
    group
        The rows whose images have the same channels; 0 where formats do not care.
    rows
        int64 array: rows of the plan.
    first
        How many rows of the group lie before.
    """

    number: int
    group: int
    rows: Int64
    first: int


def row_sizes(plan: Plan, *, itemsize: int) -> Int64:
    """Return the bytes of the pixels of each row.

    Parameters
    ----------
    plan
        The plan; of whole tissues every image's header is read.
    itemsize
        Bytes of a pixel.
    """
    channels = np.array([len(plan.channels.of(image).page) for image in range(len(plan.images))], np.int64)
    if plan.tile_size:
        pixels = np.full(len(channels), plan.tile_size**2, np.int64)
    else:
        materializer = Materializer(plan)
        shapes = [materializer.image(image).reader.shape[1:] for image in range(len(channels))]
        pixels = np.array([height * width for height, width in shapes], np.int64)
    sizes = np.append(channels * pixels * itemsize, 0)  # the spare last entry takes ABSENT (-1)
    total: Int64 = sizes[plan.image].sum(axis=1)
    return total


def in_order(plan: Plan, *, shard_bytes: int, itemsize: int) -> list[ExportedShard]:
    """Return shards of rows in the order of the plan: as many in each as fit into so many bytes, and one at least."""
    shards, start, held = list[ExportedShard](), 0, 0
    sizes = row_sizes(plan, itemsize=itemsize).tolist()
    for row, size in enumerate(sizes):
        if row > start and held + size > shard_bytes:
            shards.append(ExportedShard(number=len(shards), group=0, rows=np.arange(start, row), first=start))
            start, held = row, 0
        held += size
    shards.append(ExportedShard(number=len(shards), group=0, rows=np.arange(start, len(sizes)), first=start))
    return shards


def by_panel(plan: Plan, *, shard_bytes: int, itemsize: int) -> list[ExportedShard]:
    """Return shards of rows of equal panels; those of a group have equally many rows, but for its last one."""
    panels: dict[object, int] = {}
    of_image = [_panel(plan, image) for image in range(len(plan.images))]
    keys = [tuple(None if image == ABSENT else of_image[image] for image in row) for row in plan.image.tolist()]
    group = np.array([panels.setdefault(key, len(panels)) for key in keys], np.int64)
    sizes, shards = row_sizes(plan, itemsize=itemsize), list[ExportedShard]()
    for number in range(len(panels)):
        rows = np.flatnonzero(group == number)
        count = max(1, shard_bytes // max(1, int(sizes[rows[0]])))
        for at, first in enumerate(range(0, len(rows), count)):
            shards.append(ExportedShard(number=at, group=number, rows=rows[first : first + count], first=first))
    return shards


def _panel(plan: Plan, image: int) -> tuple[object, ...]:
    channels = plan.channels.of(image)
    modality = plan.images.column("modality")[image].as_py()
    return (modality, channels.name.tobytes(), channels.uniprot.tobytes())


def group_sizes(shards: list[ExportedShard]) -> Mapping[int, tuple[int, int]]:
    """Return by group how many rows it has, and how many its first shard has."""
    found: dict[int, tuple[int, int]] = {}
    for shard in shards:
        rows, first = found.get(shard.group, (0, len(shard.rows)))
        found[shard.group] = (rows + len(shard.rows), first)
    return found
