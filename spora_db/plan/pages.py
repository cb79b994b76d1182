"""Which channels of a panel every image of a plan has, and on which page: from one text of bits per tissue.

As rows of ``tissue_channels``, 50,000 tissues of 150 channels are 7.5 million rows, 1.2 s in DuckDB and 0.4 GB here;
as bits they are 7.5 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spora_db.catalog import Catalog
from spora_db.plan.plan import Int32, Int64

POSITIONS = """
    SELECT dataset, modality, list(channel_index ORDER BY channel_index) AS channel_index,
        list(position ORDER BY channel_index) AS position
    FROM source_channels
    JOIN source_panel_columns USING (dataset, modality, channel_name)
    GROUP BY dataset, modality
"""
BITS = """
    SELECT p.dataset, p.modality, list(p.image ORDER BY p.image) AS images,
        string_agg(CAST(s.measured AS VARCHAR), '' ORDER BY p.image) AS bits
    FROM plan_images AS p
    JOIN source_panels AS s ON s.dataset = p.dataset AND s.modality = p.modality AND s.tissue_id = p.tissue_id
    GROUP BY p.dataset, p.modality
    ORDER BY p.dataset, p.modality
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPages:
    """One panel and its images.

    Attributes
    ----------
    images
        int64 array (n,), ascending: numbers of the images.
    index
        int64 array (c,), ascending: positions in the panel of the channels that both tables have.
    measured
        bool array (n, c).
    """

    images: Int64
    index: Int64
    measured: npt.NDArray[np.bool_]

    def entries(self, chosen: npt.NDArray[np.bool_]) -> tuple[Int32, Int32, Int32]:
        """Return image, position in the panel and page of the measured channels that are `chosen` (c,), in order."""
        pages = np.cumsum(self.measured, axis=1, dtype=np.int32) - np.int32(1)
        delivered = self.measured & chosen
        image = np.repeat(self.images.astype(np.int32), delivered.sum(axis=1))
        index = np.broadcast_to(self.index.astype(np.int32), delivered.shape)
        return image, index[delivered], pages[delivered]


def panel_pages(catalog: Catalog) -> Iterator[PanelPages]:
    """Yield the panels of the registered ``plan_images``, in order; tissues without a row are left out.

    Parameters
    ----------
    catalog
        The lake; its panels are checked: every tissue has one row, without nulls.
    """
    positions = {(row[0], row[1]): row[2:] for row in catalog.run(POSITIONS).fetchall()}
    for dataset, modality, images, bits in catalog.run(BITS).fetchall():
        index, position = positions.get((dataset, modality), ([], []))
        digits = np.frombuffer(bits.encode(), np.uint8).reshape(len(images), -1)
        yield PanelPages(
            images=np.array(images, np.int64),
            index=np.array(index, np.int64),
            measured=digits[:, np.array(position, np.int64)] == ord("1"),
        )
