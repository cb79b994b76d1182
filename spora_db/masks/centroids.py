"""Where the cells of an instance mask lie: the centroid of every label."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spora_db.arrays import Float64, Int32, Int64
from spora_db.errors import ArgumentError, FileFormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class Centroids:
    """The cells of one instance mask, ascending by label.

    Attributes
    ----------
    cell_id
        int32 array of shape (n,): the labels.
    row, col
        float64 arrays of shape (n,): means of the rows and columns of a label's pixels; a pixel's own place counts as
        its centre.
    size
        int64 array of shape (n,): pixels of the label.
    box
        int32 array of shape (n, 4): their first row, first column, last row and last column.
    """

    cell_id: Int32
    row: Float64
    col: Float64
    size: Int64
    box: Int32

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cell_id)


def mask_centroids(mask: Int32) -> Centroids:
    """Measure the centroid of every label of an instance mask, exact up to the one division in float64.

    Parameters
    ----------
    mask
        int32 array of shape (H, W): 0 for background, one positive label per cell.

    Raises
    ------
    ArgumentError
        If the mask is not int32 of two dimensions, or holds a negative label.

    Examples
    --------
    >>> found = mask_centroids(np.array([[0, 7, 7], [0, 7, 7], [2, 0, 0]], np.int32))
    >>> found.cell_id.tolist(), found.row.tolist(), found.col.tolist()
    ([2, 7], [2.0, 0.5], [0.0, 1.5])
    """
    if mask.ndim != 2 or mask.dtype != np.int32:
        raise ArgumentError(f"Expected an int32 mask of shape (H, W); got {mask.dtype} of shape {mask.shape}.")
    if mask.size and int(mask.min()) < 0:
        raise ArgumentError(f"The mask holds the label {int(mask.min())}; expected 0 for background and labels > 0.")
    from spora_db.kernels.cells import label_sums

    names: Int32 | None = None
    labels = np.ascontiguousarray(mask)
    if mask.size and int(mask.max()) > max(mask.size, 2**20):  # labels are sparse: tables of their range would not fit
        names, places = np.unique(labels, return_inverse=True)
        labels = places.reshape(mask.shape).astype(np.int32) + np.int32(int(names[0]) > 0)
        names = names if int(names[0]) == 0 else np.concatenate([np.zeros(1, np.int32), names])
    most = int(labels.max()) if labels.size else 0
    count, rows, cols = np.zeros((3, most + 1), np.int64)
    box = np.zeros((most + 1, 4), np.int32)
    label_sums(labels, count, rows, cols, box)
    found = np.flatnonzero(count)
    size = count[found]
    cell_id = found.astype(np.int32) if names is None else names[found]
    return Centroids(cell_id=cell_id, row=rows[found] / size, col=cols[found] / size, size=size, box=box[found])


def instance_centroids(mask: Int32, *, path: Path) -> Centroids:
    """Measure the cells of a mask that was read from a file, by `mask_centroids`.

    Raises
    ------
    FileFormatError
        If the mask holds a negative label.
    """
    try:
        return mask_centroids(mask)
    except ArgumentError as error:
        raise FileFormatError(f"{path}: {error}") from error
