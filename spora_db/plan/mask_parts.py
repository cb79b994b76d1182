"""The masks of a sample: the same region as its image, cut out of whole masks that are kept once decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.files.recent import Recent
from spora_db.files.stamps import Stamp, stamp_if_there
from spora_db.layout import INSTANCES, TISSUE, locate
from spora_db.masks import load_label_mask, load_tissue_mask
from spora_db.masks.centroids import Centroids, instance_centroids
from spora_db.plan.cell_checks import ListedCells

DEFAULT_BYTES = 512 * 2**20
MEASURED = 8
"""Masks whose cells are kept; the tiles of a tissue come one after the other."""
CELLS = INSTANCES[0]
"""The kind of mask whose labels are those of the cells table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMasks:
    """Which masks come with every sample, and where they lie.

    Attributes
    ----------
    kinds
        ``"tissue"``, ``"instances"`` or the name of a cell task, in the order of the query.
    paths
        Arrow table with one row per image of the plan and one column per kind: files, relative to the lake.
    """

    kinds: tuple[str, ...]
    paths: pa.Table

    def of(self, image: int, *, lake: Path, shape: tuple[int, int], image_path: Path) -> Mapping[str, AnyArray]:
        """Return all masks of one image.

        Parameters
        ----------
        image
            Position among the images of the plan.
        lake
            The folder that paths are relative to.
        shape, image_path
            Height and width of the image, which the masks must have, and its file, for the error.

        Returns
        -------
        dict of str to numpy.ndarray
            By kind, of shape (H, W), read-only: bool for ``"tissue"``, int32 for all others.

        Raises
        ------
        MaskNotFoundError
            If a file has gone since the plan was made.
        FileFormatError
            If a mask is broken, or of another size than the image.
        """
        found = {}
        for kind in self.kinds:
            path = locate(lake, str(self.paths.column(kind)[image].as_py()))
            found[kind] = MASKS.get(path, tissue=kind == TISSUE, shape=shape, image=image_path, kept=len(self.kinds))
        return found

    def check_cells(
        self, cells: ListedCells, image: int, *, lake: Path, shape: tuple[int, int], image_path: Path
    ) -> None:
        """Refuse cells that the instance mask of an image does not have where they are said to be.

        Parameters
        ----------
        image, lake, shape, image_path
            As for `of`.

        Raises
        ------
        TableError
            If there is such a cell.
        FileFormatError
            If the mask is broken, of another size than the image, or holds negative labels.
        """
        path = locate(lake, str(self.paths.column(CELLS)[image].as_py()))
        cells.check_mask(MASKS.cells(path, shape=shape, image=image_path, kept=len(self.kinds)), mask=path)


def cut(mask: AnyArray, *, row: int, col: int, height: int, width: int) -> AnyArray:
    """Return a copy of a region of a mask of shape (H, W); zero where the region lies beyond the mask.

    Examples
    --------
    >>> cut(np.array([[1, 2], [3, 4]]), row=1, col=-1, height=2, width=2).tolist()
    [[0, 3], [0, 0]]
    """
    out = np.zeros((height, width), mask.dtype)
    top, left = max(row, 0), max(col, 0)
    part = mask[top : max(row + height, 0), left : max(col + width, 0)]
    out[top - row : top - row + part.shape[0], left - col : left - col + part.shape[1]] = part
    return out


class MaskCache:
    """Decoded masks of this process within a limit in bytes.

    A mask is one compressed array: it can only be decoded whole, and the tiles of a tissue come one after the other.
    The masks of the tissue at hand are kept even where they alone exceed the limit.

    Parameters
    ----------
    limit
        Bytes of decoded masks.
    """

    def __init__(self, limit: int) -> None:
        self.masks = Recent[tuple[str, bool], tuple[Stamp, AnyArray]](limit, size=lambda entry: entry[1].nbytes)
        self._cells = Recent[str, tuple[AnyArray, Centroids]](MEASURED)

    def get(self, path: Path, *, tissue: bool, shape: tuple[int, int], image: Path, kept: int) -> AnyArray:
        """Return a mask, read-only: bool where `tissue`, else int32; read anew where the file has changed.

        Parameters
        ----------
        path
            The mask's file.
        tissue
            Whether it is a tissue mask.
        shape, image
            Height and width of the image that it belongs to, and that image's file.
        kept
            How many masks a sample has: as many are kept whatever the limit.
        """
        key, current = (str(path), tissue), stamp_if_there(path)
        entry = self.masks.get(key)
        if entry is not None and entry[0] == current and entry[1].shape == shape:
            return entry[1]
        load = load_tissue_mask if tissue else load_label_mask
        mask: AnyArray = load(path, shape=shape, image=f"its image {image}")
        mask.flags.writeable = False
        if current is not None:
            self.masks.put(key, (current, mask), least=kept)
        return mask

    def cells(self, path: Path, *, shape: tuple[int, int], image: Path, kept: int) -> Centroids:
        """Return the cells of an instance mask, measured once for as long as the mask is kept.

        Parameters
        ----------
        path, shape, image, kept
            As for `get`.
        """
        mask, key = self.get(path, tissue=False, shape=shape, image=image, kept=kept), str(path)
        entry = self._cells.get(key)
        if entry is None or entry[0] is not mask:
            entry = mask, instance_centroids(mask, path=path)
            self._cells.put(key, entry)
        return entry[1]


MASKS = MaskCache(DEFAULT_BYTES)


def set_mask_cache_bytes(limit: int) -> None:
    """Set how many bytes of decoded masks this process keeps; forked workers inherit the limit, not the masks.

    Raises
    ------
    ArgumentError
        A negative limit.

    Examples
    --------
    >>> set_mask_cache_bytes(DEFAULT_BYTES)
    """
    if limit < 0:
        raise ArgumentError(f"The cache of masks holds 0 or more bytes; received {limit}.")
    MASKS.masks.limit = limit
