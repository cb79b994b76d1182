"""Masks from .npz files, each as what it is: tissue, or labels of cells and classes."""

from pathlib import Path

import numpy as np

from spora_db.arrays import AnyArray, Bools, Int32
from spora_db.errors import FileFormatError
from spora_db.masks.npz import array_of, read_array, read_header


def load_mask(path: str | Path, *, shape: tuple[int, int] | None = None, image: str | Path | None = None) -> AnyArray:
    """Read the array of a mask file.

    Parameters
    ----------
    path
        A ``.npz`` file whose array is named ``mask``, or which holds only one.
    shape
        (height, width) that the mask must have, that of its image; checked before a pixel is read.
    image
        What has that shape, named in the error.

    Returns
    -------
    numpy.ndarray
        Shape (H, W), C-contiguous, native byte order; bool, integers or floats as stored.

    Raises
    ------
    MaskNotFoundError
        There is no such file.
    FileFormatError
        Not an ``.npz``; broken, truncated or encrypted; pickled objects; not 2-D; another shape than ``shape``; or a
        header that claims more pixels than the file holds.

    See Also
    --------
    load_label_mask, load_tissue_mask

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(Path(folder) / "a.npz", mask=np.eye(3, dtype=np.uint16))
    ...     load_mask(Path(folder) / "a.npz").tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    path = Path(path)
    with array_of(path) as (member, stream):
        try:
            array = read_array(stream, member, path, shape, image)
        except MemoryError as error:
            raise FileFormatError(f"The mask {path} is larger than the memory that is free.") from error
        if stream.read(1):
            raise FileFormatError(f"The mask {path} holds more bytes than its array.")
    return array


def mask_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) that a mask file says it has; no pixel is read.

    Raises
    ------
    MaskNotFoundError, FileFormatError
        As `load_mask`, as far as a header tells.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(Path(folder) / "a.npz", mask=np.ones((3, 5), bool))
    ...     mask_size(Path(folder) / "a.npz")
    (3, 5)
    """
    path = Path(path)
    with array_of(path) as (_, stream):
        _, _, shape, _ = read_header(stream, path)
    if len(shape) != 2:
        raise FileFormatError(f"The mask {path} has shape {shape}; expected (height, width).")
    return shape


def load_tissue_mask(
    path: str | Path, *, shape: tuple[int, int] | None = None, image: str | Path | None = None
) -> Bools:
    """Read a tissue mask: bool of shape (H, W), True where the value is > 0.

    Parameters
    ----------
    path, shape, image
        As `load_mask`.

    Raises
    ------
    MaskNotFoundError, FileFormatError
        As :func:`load_mask`, and for a mask that holds NaN.

    See Also
    --------
    load_label_mask, tile_mask

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(Path(folder) / "a.npz", mask=np.float32([[0.5, 0.0]]))
    ...     load_tissue_mask(Path(folder) / "a.npz").tolist()
    [[True, False]]
    """
    array = load_mask(path, shape=shape, image=image)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FileFormatError(f"The tissue mask {path} holds NaN; expected values > 0 for tissue and 0 elsewhere.")
    return array > 0


def load_label_mask(
    path: str | Path, *, shape: tuple[int, int] | None = None, image: str | Path | None = None
) -> Int32:
    """Read a mask of cell instances or of a cell task: int32 of shape (H, W), 0 for background.

    Parameters
    ----------
    path, shape, image
        As `load_mask`.

    Raises
    ------
    MaskNotFoundError, FileFormatError
        As :func:`load_mask`, and for values that are not whole numbers of 32 bits.

    See Also
    --------
    load_mask, load_tissue_mask, SporaQuery.with_masks

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(Path(folder) / "a.npz", mask=np.uint16([[0, 7]]))
    ...     load_label_mask(Path(folder) / "a.npz")
    array([[0, 7]], dtype=int32)
    """
    array = load_mask(path, shape=shape, image=image)
    if np.can_cast(array.dtype, np.int32):
        return array.astype(np.int32)
    bounds = np.iinfo(np.int32)
    least, most = array.min().item(), array.max().item()
    if not (bounds.min <= least and most <= bounds.max):  # also false for NaN
        raise FileFormatError(
            f"The mask {path} holds labels from {least} to {most}; expected whole numbers of 32 bits."
        )
    labels = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise FileFormatError(f"The mask {path} holds labels that are not whole numbers; expected cell or class ids.")
    return labels
