"""Mean intensities of cells: the instance mask of an image over its standardized pixels, a band of rows at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spora_db.arrays import Float64, Int32
from spora_db.errors import ArgumentError
from spora_db.kernels.intensities import label_intensities
from spora_db.masks.centroids import Centroids, instance_centroids

if TYPE_CHECKING:
    from spora_db.samples.image_plan import ImagePlan

BAND = 512  # rows of an image that are read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCells:
    """The cells of one image.

    Attributes
    ----------
    centroids
        Labels, centroids and sizes, ascending by label.
    means
        float64 array of shape (cells, C): the mean over a cell's pixels of every plane.
    """

    centroids: Centroids
    means: Float64


def image_intensities(source: "ImagePlan", mask: Int32, *, path: Path) -> MeasuredCells:
    """Measure the cells of an image as a plan standardizes it, without holding it in memory.

    Parameters
    ----------
    source, mask, path
        The open image, its instance mask (int32 of shape (H, W)), and the mask's file, for errors.

    Raises
    ------
    ArgumentError
        If their shapes differ.
    FileFormatError
        If the mask holds negative labels.
    """
    if source.reader.shape[1:] != mask.shape:
        raise ArgumentError(
            f"An image of shape {source.reader.shape} and a mask of shape {mask.shape} do not fit together."
        )
    found = instance_centroids(mask, path=path)
    places = _places(mask, found)
    sums = np.zeros((len(found), len(source.pages)))
    _, height, width = source.reader.shape
    for row in range(0, height, BAND):
        rows = min(BAND, height - row)
        planes = source.read(row=row, col=0, height=rows, width=width)
        label_intensities(np.ascontiguousarray(planes), places[row : row + rows], sums)
    return MeasuredCells(centroids=found, means=sums / np.maximum(found.size, 1)[:, None])


def _places(mask: Int32, found: Centroids) -> Int32:
    """Return for every pixel the position of its cell among those found, -1 for background."""
    if len(found) == 0:
        return np.full(mask.shape, -1, dtype=np.int32)
    places = np.searchsorted(found.cell_id, mask).astype(np.int32)
    places[mask == 0] = -1
    return places
