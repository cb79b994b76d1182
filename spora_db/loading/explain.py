"""What an epoch costs, before it starts."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from spora_db.errors import ArgumentError, counted
from spora_db.images import cache_info
from spora_db.loading.costs import FOLLOWED, CostModel
from spora_db.loading.row_numbers import first_images, panel_numbers
from spora_db.loading.rows import PlanRows
from spora_db.loading.sampler import TileSampler
from spora_db.loading.starting import WorkersStart, workers_start
from spora_db.selection.arguments import checked_whole, own_number


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochCost:
    """The size and the price of an epoch in locality order.

    Attributes
    ----------
    rows, tissues, panels
        Rows; tissue images that rows start from; different sets of channels.
    delivered, decoded, read
        Bytes per epoch: of pixels delivered, in the type of the samples; decoded; and read from disk. None for whole
        tissues.
    amplification
        Bytes decoded per byte of these pixels in the file's type.
    rows_per_second
        Rows that one worker yields per second, from a probe.
    probed
        Rows of the probe.
    chunks, kept
        Bytes that a cache must hold so that the next epoch decodes nothing: of the workers together where one has what
        another needs, as decoded; and as any cache keeps them, counts in 16 bits.
    cache_bytes
        Bytes that it may hold.
    start
        How workers of a loader would start now.
    """

    rows: int
    tissues: int
    panels: int
    delivered: int | None = None
    decoded: int | None = None
    read: int | None = None
    amplification: float | None = None
    rows_per_second: float
    probed: int
    chunks: int | None = None
    kept: int | None = None
    cache_bytes: int
    start: WorkersStart

    def __str__(self) -> str:
        """Return a few lines."""
        lines = [f"{counted(self.rows, 'row')} of {counted(self.tissues, 'tissue')}, {counted(self.panels, 'panel')}"]
        if self.delivered is not None and self.decoded is not None and self.read is not None:
            sizes = [f"{size / 2**30:,.2f} GiB" for size in (self.read, self.decoded, self.delivered)]
            lines.append(f"an epoch reads {sizes[0]}, decodes {sizes[1]}, delivers {sizes[2]}")
            lines.append(f"bytes decoded per byte delivered: {self.amplification:.2f}")
        if self.chunks and self.kept:
            share = min(self.cache_bytes / self.kept, 1)
            sizes = [f"{size / 2**30:,.2f} GiB" for size in (self.chunks, self.kept, self.cache_bytes)]
            lines.append(
                f"its chunks take {sizes[0]}, {sizes[1]} in a cache: cache_bytes of {sizes[2]} hold {share:.0%}"
            )
        lines.append(f"one worker: {self.rows_per_second:,.1f} rows/s (probe of {counted(self.probed, 'row')})")
        lines.append(str(self.start))
        return "\n".join(lines)


def explain(dataset: PlanRows, *, batch_size: int, seconds: float, cache_bytes: int) -> EpochCost:
    """Return what an epoch in locality order costs; see `PlanDataset.explain`."""
    batch_size = checked_whole(batch_size, at="explain(batch_size=", of="rows")
    number, held = own_number(seconds), own_number(cache_bytes)
    if number is None or not 0 <= number < 3600 or held is None or held < 0:
        raise ArgumentError(
            f"explain(seconds={seconds!r}, cache_bytes={cache_bytes!r}): expected a number of seconds from 0 on, such "
            "as 1, and 0 or more bytes."
        )
    plan = dataset.plan
    sampler = TileSampler(dataset, block=batch_size)
    order = sampler.order()
    sizes: dict[str, Any] = {}
    if plan.unit != "tissue":
        cost = CostModel(dataset).follow([order[:FOLLOWED].tolist()], cache_bytes=cache_info().bytes_limit)
        whole = len(order) / cost.rows
        delivered = cost.pixels * dataset.dtype.itemsize if dataset.standardize_on == "cpu" else cost.delivered
        sizes = {"amplification": cost.amplification, "delivered": int(delivered * whole)}
        sizes |= {"decoded": int(cost.decoded * whole), "read": int(cost.stored * whole)}
        sizes |= {"chunks": int(cost.different * whole), "kept": int(cost.kept * whole)}
    dataset[int(order[0])]  # kernels and the first file are not part of the speed
    start, probed = time.perf_counter(), 0
    while probed < len(order) and (probed == 0 or time.perf_counter() - start < seconds):
        few = sampler.drawn(0, np.arange(probed, min(probed + min(batch_size, 4), len(order))))
        dataset.__getitems__(few)
        probed += len(few)
    elapsed = time.perf_counter() - start
    return EpochCost(
        rows=len(plan),
        tissues=len(np.unique(first_images(plan))),
        panels=len(np.unique(panel_numbers(plan))),
        rows_per_second=probed / elapsed,
        probed=probed,
        cache_bytes=cache_bytes,
        start=workers_start(),
        **sizes,
    )
