"""Which channels of a panel every image of a plan has, and on which page: from one text of bits per tissue.

As rows of ``tissue_channels``, 50,000 tissues of 150 channels are 7.5 million rows, 1.2 s in DuckDB and 0.4 GB here;
as bits they are 7.5 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spora_db.arrays import Bools, Int64, SignedInts
from spora_db.catalog import Catalog
from spora_db.errors import TableError
from spora_db.files.arrow_arrays import numpy_array
from spora_db.layout.names import RGB_CHANNELS, is_rgb
from spora_db.plan.panels import NOT_DELIVERED

POSITIONS = """
    SELECT dataset, modality, list(channel_index ORDER BY channel_index) AS channel_index,
        list(position ORDER BY channel_index) AS position
    FROM source_channels
    JOIN source_panel_columns USING (dataset, modality, channel_name)
    GROUP BY dataset, modality
"""
BITS = """
    SELECT CAST(s.measured AS VARCHAR) AS bits
    FROM plan_images AS p
    LEFT JOIN source_panels AS s ON s.dataset = p.dataset AND s.modality = p.modality AND s.tissue_id = p.tissue_id
    ORDER BY p.image
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPanel:
    """One panel and its images, which are consecutive.

    Attributes
    ----------
    first
        Number of the first image.
    dataset, modality
        Whose panel it is; brightfield images have one of three colours.
    channel_index
        int64 array of shape (channels,), ascending: positions in the panel of the channels that both tables have.
    measured
        bool array of shape (images, channels).
    """

    first: int
    dataset: str
    modality: str
    channel_index: Int64
    measured: Bools

    def pages(self, chosen: Bools) -> SignedInts:
        """Return the pages of the measured channels that are `chosen` (channels,): -1 for others."""
        dtype = np.min_scalar_type(-len(self.channel_index) - 1)
        pages = np.cumsum(self.measured, axis=1, dtype=dtype)
        pages -= 1
        pages[~(self.measured & chosen)] = NOT_DELIVERED
        return pages


def measured_panels(images: pa.Table, catalog: Catalog) -> Iterator[MeasuredPanel]:
    """Yield the panels of the images of a plan, in their order.

    Raises
    ------
    TableError
        If a tissue has no row of measured channels.
    """
    runs = list(_runs(images))
    multiplex = any(not is_rgb(modality) for _, _, modality in runs)
    positions, bits = {}, pa.nulls(len(images), pa.string())
    if multiplex:
        positions = {(row[0], row[1]): row[2:] for row in catalog._run(POSITIONS).fetchall()}
        bits = catalog._run(BITS).to_arrow_table().column("bits")
    for at, (first, dataset, modality) in enumerate(runs):
        stop = runs[at + 1][0] if at + 1 < len(runs) else len(images)
        if is_rgb(modality):
            channel_index = np.arange(len(RGB_CHANNELS), dtype=np.int64)
            measured = np.ones((stop - first, len(RGB_CHANNELS)), np.bool_)
        else:
            index, position = positions.get((dataset, modality), ([], []))
            own = bits.slice(first, stop - first)
            if own.null_count or not index:
                raise _no_row(images, own, first=first)
            digits = np.frombuffer("".join(own.to_pylist()).encode(), np.uint8).reshape(stop - first, -1)
            channel_index, measured = np.array(index, np.int64), digits[:, np.array(position, np.int64)] == ord("1")
        yield MeasuredPanel(
            first=first, dataset=dataset, modality=modality, channel_index=channel_index, measured=measured
        )


def _runs(images: pa.Table) -> Iterator[tuple[int, str, str]]:
    """Yield where dataset, modality or resolution change in a sorted table: first image, dataset, modality."""
    changes = np.zeros(len(images), np.bool_)
    changes[:1] = True
    for name in ("dataset", "modality", "mpp"):
        codes = numpy_array(images.column(name).combine_chunks().dictionary_encode().indices)
        changes[1:] |= codes[1:] != codes[:-1]
    for first in np.flatnonzero(changes).tolist():
        record = images.slice(first, 1).to_pylist()[0]
        yield first, record["dataset"], record["modality"]


def _no_row(images: pa.Table, bits: pa.ChunkedArray, *, first: int) -> TableError:
    """Return the error for tissues of a panel without a row of measured channels."""
    missing = np.flatnonzero(numpy_array(bits.is_null())) if bits.null_count else np.arange(len(bits))
    record = images.slice(first + int(missing[0]), 1).to_pylist()[0]
    return TableError(
        f"Tissue {record['tissue_id']!r} of dataset {record['dataset']!r} has a {record['modality']} image but no row "
        f"in {record['dataset']}/{record['modality']}/channels_per_tissue.parquet ({len(missing)} such tissues). "
        "Add the row, or leave the tissue out with .where(...)."
    )
