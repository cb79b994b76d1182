"""The cells of a sample: those whose centroid lies in its region, found by a slice of sorted arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int32, Int64
from spora_db.plan.cell_checks import ListedCells


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCells:
    """The cells of all tissues of a plan, by tissue, then by the row of their centroid.

    Attributes
    ----------
    tissue
        int32 array of shape (images,): the tissue that each image of the plan shows.
    offsets
        int64 array of shape (tissues + 1,): tissue ``i`` owns cells ``offsets[i]:offsets[i + 1]``.
    cell_id
        int32 array of shape (cells,): labels of the instance mask.
    row, col
        float64 arrays of shape (cells,): centroids in pixels of the image.
    names
        Columns of the cells table that come along.
    values
        One array of shape (cells,) per name: numbers as they are (float64 with NaN where some are null), texts as
        int32 codes.
    categories
        Per name the texts that its codes stand for, sorted, or None for numbers; code -1 is null.
    """

    tissue: Int32
    offsets: Int64
    cell_id: Int32
    row: Float64
    col: Float64
    names: tuple[str, ...]
    values: tuple[AnyArray, ...]
    categories: tuple[tuple[str, ...] | None, ...]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cell_id)

    def within(self, image: int, *, row: int, col: int, height: int, width: int) -> Mapping[str, AnyArray]:
        """Return the cells of one image whose centroid lies in a region: ``row <= centroid < row + height``, so col.

        A whole number is the centre of a pixel: what begins with the image begins half a pixel before 0.

        Parameters
        ----------
        image
            Position among the images of the plan.
        row, col, height, width
            The region, in pixels of the image.

        Returns
        -------
        dict of str to numpy.ndarray
            ``cell_id`` (int32), ``row`` and ``col`` (float32, in pixels from the region's corner), and the columns
            asked for, each of shape (n,), ascending by row.
        """
        tissue = int(self.tissue[image])
        start, stop = int(self.offsets[tissue]), int(self.offsets[tissue + 1])
        top, left = (edge or -0.5 for edge in (row, col))
        first, last = np.searchsorted(self.row[start:stop], np.array([top, row + height], np.float64))
        cols = self.col[start + first : start + last]
        chosen = start + first + np.flatnonzero((cols >= left) & (cols < col + width))
        found: dict[str, AnyArray] = {
            "cell_id": self.cell_id[chosen],
            "row": (self.row[chosen] - row).astype(np.float32),
            "col": (self.col[chosen] - col).astype(np.float32),
        }
        return found | {name: values[chosen] for name, values in zip(self.names, self.values, strict=True)}

    def listed(self, image: int, record: Mapping[str, Any]) -> ListedCells:
        """Return all cells of one image, to be compared with it and with its mask; `record` says whose they are."""
        tissue = int(self.tissue[image])
        own = slice(int(self.offsets[tissue]), int(self.offsets[tissue + 1]))
        return ListedCells(record=record, cell_id=self.cell_id[own], row=self.row[own], col=self.col[own])

    @property
    def arrays(self) -> tuple[AnyArray, ...]:
        """All arrays, in a fixed order."""
        return (self.tissue, self.offsets, self.cell_id, self.row, self.col, *self.values)

    @property
    def texts(self) -> Mapping[str, tuple[str, ...]]:
        """The texts that codes stand for, by column."""
        return {name: texts for name, texts in zip(self.names, self.categories, strict=True) if texts is not None}
