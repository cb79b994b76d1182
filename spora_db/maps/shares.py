"""Vectors of cells from those of tokens: the mean of the tokens that a cell lies in, weighted by the area in each."""

from dataclasses import dataclass

import numpy as np

from spora_db.arrays import AnyArray, Float32, Float64, Int32
from spora_db.errors import ArgumentError
from spora_db.kernels.stitching import add_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class CellVectors:
    """What a map says of the cells of one tissue.

    Attributes
    ----------
    cell_id
        int32 array of shape (n,), ascending: the labels of the mask.
    area
        float64 array of shape (n,): pixels of the mask of each cell that tokens cover.
    vectors
        float32 array of shape (n, D): NaN for a cell that no token covers.

    See Also
    --------
    cell_vectors, SporaQuery.cell_vectors

    Examples
    --------
    >>> found = cell_vectors(np.ones((3, 1, 1), np.float32), np.array([[0, 7], [9, 9]]), pitch=2)
    >>> len(found), found.vectors.shape
    (2, (2, 3))
    """

    cell_id: Int32
    area: Float64
    vectors: Float32

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cell_id)


def cell_vectors(tokens: AnyArray, mask: AnyArray, *, pitch: float) -> CellVectors:
    """Share a map of tokens out to the cells of an instance mask, by the area that cells and tokens share.

    Parameters
    ----------
    tokens
        The map, an array of shape (D, h, w): one vector per token; NaN where there is none.
    mask
        Instance mask, an integer array of shape (H, W): 0 for the background, else the cell's label.
    pitch
        Pixels of the mask that a token is high and wide, also a fraction: the resolution of the map over that of the
        mask. The first token lies in the corner of the mask.

    Raises
    ------
    ArgumentError
        If an array is none of these, or `pitch` no number above zero.

    See Also
    --------
    SporaQuery.cell_vectors, CellVectors, assemble

    Examples
    --------
    >>> tokens = np.array([[[1.0, 5.0]]], np.float32)  # two tokens of 2 x 2 pixels beside each other
    >>> mask = np.array([[7, 7, 7, 0], [0, 0, 9, 9]])
    >>> found = cell_vectors(tokens, mask, pitch=2)
    >>> found.cell_id.tolist(), found.area.tolist(), found.vectors[:, 0].round(2)
    ([7, 9], [3.0, 2.0], array([2.33, 5.  ], dtype=float32))
    """
    if tokens.ndim != 3 or tokens.dtype.kind not in "biuf" or 0 in tokens.shape:
        raise ArgumentError(f"tokens is an array (D, h, w) of numbers; received {tokens.shape}, {tokens.dtype}.")
    if mask.ndim != 2 or mask.dtype.kind not in "iu" or not mask.size:
        raise ArgumentError(f"mask is an integer array (H, W); received {mask.shape}, {mask.dtype}.")
    if not 0 < pitch < float("inf"):
        raise ArgumentError(f"pitch is a number of pixels above zero; received {pitch!r}.")
    labels = np.unique(mask)
    if labels[0] < 0 or labels[-1] > np.iinfo(np.int32).max:
        raise ArgumentError(f"Labels of cells are 0 to 2147483647; the mask has {labels[0]} to {labels[-1]}.")
    labels = labels[labels > 0].astype(np.int32)
    places = np.ascontiguousarray(np.moveaxis(tokens, 0, -1), np.float32)
    places[np.isnan(places).any(axis=-1), 0] = np.nan
    sums, areas = np.zeros((len(labels), len(tokens)), np.float64), np.zeros(len(labels), np.float64)
    add_cells(np.ascontiguousarray(mask, np.int32), labels, places, float(pitch), sums, areas)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as is meant
        vectors = (sums / areas[:, None]).astype(np.float32)
    return CellVectors(cell_id=labels, area=areas, vectors=vectors)
