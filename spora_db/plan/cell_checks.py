"""Whether the cells of a tissue fit its image and its instance mask: one check and one message, whoever asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64
from spora_db.errors import TableError, counted
from spora_db.masks.centroids import Centroids

MARGIN = 1
"""Pixels that a centroid may lie beyond its cell: tools count from 0 or from 1, from the centre or the corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCells:
    """Cells of one tissue as a table places them.

    Attributes
    ----------
    record
        ``dataset``, ``tissue_id`` and ``mpp``.
    cell_id
        Integer array of shape (n,): their labels.
    row, col
        float64 arrays of shape (n,): centroids in pixels of the image; NaN where the table says none.
    """

    record: Mapping[str, Any]
    cell_id: AnyArray
    row: Float64
    col: Float64

    def at(self, mpp: float) -> "ListedCells":
        """Return the same cells, to be compared with images of a resolution."""
        return replace(self, record={**self.record, "mpp": mpp})

    def within(self, shape: tuple[int, int]) -> "ListedCells":
        """Return the same cells, without the places that lie in no pixel of an image of a height and width."""
        return replace(self, row=np.where(_within(self.row, self.col, shape), self.row, np.nan))

    def check_image(self, shape: tuple[int, int], *, image: Path) -> None:
        """Refuse cells whose centroid lies in no pixel of an image.

        Parameters
        ----------
        shape
            Height and width of the image.
        image
            Its file, for the error.

        Raises
        ------
        TableError
            If there is such a cell.
        """

        def fits(row: Float64, col: Float64) -> Bools:
            return ~self._placed | _within(row, col, shape)

        outside = ~fits(self.row, self.col)
        if outside.any():
            raise TableError(
                f"{self._some(outside)} outside the image {image} of {shape[0]} x {shape[1]} pixels."
                f"{self._hint(fits)} Correct the centroids in {self._file}, {INSTEAD}"
            )

    def check_mask(self, found: Centroids, *, mask: Path) -> None:
        """Refuse cells that an instance mask does not have, or has elsewhere than in the table.

        A centroid lies between the first and the last row and column of its cell, whatever its form.

        Parameters
        ----------
        found
            The cells of the mask.
        mask
            Its file, for the error.

        Raises
        ------
        TableError
            If there is such a cell.
        """
        at = np.searchsorted(found.cell_id, self.cell_id)
        at = np.minimum(at, max(len(found) - 1, 0))
        known = found.cell_id[at] == self.cell_id if len(found) else np.zeros(len(self.cell_id), np.bool_)
        if not known.all():
            lacking = np.flatnonzero(~known)
            raise not_in_mask({**self.record, "cell_id": int(self.cell_id[lacking[0]])}, len(lacking), mask=mask)
        box = found.box[at]

        def fits(row: Float64, col: Float64) -> Bools:
            inside = (row >= box[:, 0] - MARGIN) & (col >= box[:, 1] - MARGIN)
            inside &= (row <= box[:, 2] + MARGIN) & (col <= box[:, 3] + MARGIN)
            return ~self._placed | inside

        apart = ~fits(self.row, self.col)
        if apart.any():
            first = box[np.flatnonzero(apart)[0]].tolist()
            raise TableError(
                f"{self._some(apart)} elsewhere in the instance mask {mask}: rows {first[0]} to {first[2]}, columns "
                f"{first[1]} to {first[3]}.{self._hint(fits)} Correct "
                f"{self._file} or the mask, {INSTEAD}"
            )

    @property
    def _placed(self) -> Bools:
        return np.isfinite(self.row) & np.isfinite(self.col)

    @property
    def _file(self) -> str:
        return f"{self.record['dataset']}/metadata/cells.parquet"

    def _some(self, chosen: Bools) -> str:
        """Begin a sentence about the chosen cells, the first of them named."""
        at = int(np.flatnonzero(chosen)[0])
        example = (
            f"cell {int(self.cell_id[at])}, which {self._file} places at row {self.row[at]:g}, col {self.col[at]:g}"
        )
        count = int(chosen.sum())
        number = f"{counted(count, 'cell')} of {len(chosen):,}"
        return f"{number} of tissue {self.record['tissue_id']!r} {'lies' if count == 1 else 'lie'} ({example})"

    def _hint(self, fits: Callable[[Float64, Float64], Bools]) -> str:
        """Say what the coordinates look like, if in another unit or order they would fit."""
        mpp = float(self.record["mpp"])
        if mpp != 1 and fits(self.row / mpp, self.col / mpp).all():
            return f" The coordinates look like microns: divided by {mpp} (mpp), all fit."
        if fits(self.col, self.row).all():
            return " Rows and columns look exchanged: the other way round, all fit."
        return ""


INSTEAD = "or take the cells of the instance masks with source='masks'."


def not_in_mask(cell: Mapping[str, Any], count: int, *, mask: Path | None = None) -> TableError:
    """Build the error for a cell of the table that no pixel of its instance mask has."""
    return TableError(
        f"Cell {cell['cell_id']} of tissue {cell['tissue_id']!r} stands in {cell['dataset']}/metadata/cells.parquet, "
        f"but no pixel of the tissue's instance mask{f' {mask}' if mask else ''} has its label ({count} such cells). "
        "Correct the table or the mask, or take the cells that the masks have with source='masks'."
    )


def _within(row: Float64, col: Float64, shape: tuple[int, int]) -> Bools:
    """Return which places lie in a pixel of an image, whose centre is a whole number."""
    pixels = np.floor(row + 0.5), np.floor(col + 0.5)
    found: Bools = (pixels[0] >= 0) & (pixels[1] >= 0) & (pixels[0] < shape[0]) & (pixels[1] < shape[1])
    return found
