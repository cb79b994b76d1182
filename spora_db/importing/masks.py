"""Mask files of an import: npz, npy, PNG and TIFF, compared with the image that they belong to."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError
from spora_db.files.failures import telling
from spora_db.images import open_image, read_region
from spora_db.images.base import MissingChunks
from spora_db.importing.fields import TIFFS, Field
from spora_db.importing.mask_files import MaskSource
from spora_db.masks import load_mask, mask_size

LIMIT: Final = 2**34
_LIBRARIES: Final = {".png": "imagecodecs", ".npy": "numpy"}


def read_mask(source: MaskSource, field: Field, *, missing_chunks: MissingChunks = "error") -> AnyArray:
    """Read a mask and compare it with its field; a 2-D array of whole numbers or bool. No absent chunk of it is white.

    Raises
    ------
    FileFormatError
        It cannot be read, has colours, or is of another size than its image.
    """
    path = source.path

    def unreadable(error: Exception) -> FileFormatError:
        return FileFormatError(f"The mask {path} cannot be read: {type(error).__name__}: {error}. Write it again.")

    with telling(f"The mask {path}", library=_LIBRARIES.get(path.suffix.lower(), "numpy"), broken=unreadable):
        mask = _read(source, "error" if missing_chunks == "white" else missing_chunks)
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise FileFormatError(f"The mask {path} is {mask.dtype} of shape {mask.shape}; expected one value per pixel.")
    _check_size(source, mask.shape, field)
    if mask.dtype.kind == "f":
        whole = mask.astype(np.int64)
        if not np.array_equal(whole, mask):
            raise FileFormatError(f"The mask {path} holds values that are no whole numbers. Write labels, or 0 and 1.")
        mask = whole
    return mask


def check_mask(source: MaskSource, field: Field) -> None:
    """Refuse a mask of another size than its image, as far as its header tells; no pixel is read.

    Raises
    ------
    FileFormatError
        Its header cannot be read, or says another size.
    """
    if source.path.is_dir() or source.path.name.lower().endswith(TIFFS):
        shape = open_image(source.path).shape
        if shape[0] == 1 or source.page is not None:
            _check_size(source, shape[1:], field)
    elif source.path.suffix.lower() == ".npz":
        _check_size(source, mask_size(source.path), field)


def _check_size(source: MaskSource, shape: tuple[int, ...], field: Field) -> None:
    if shape != (field.height, field.width):
        raise FileFormatError(
            f"The mask {source.path} is {shape[0]} x {shape[1]}, but the image {field.origin} is {field.height} x "
            f"{field.width} (height x width). Write the mask at the image's resolution, without a margin."
        )


def _read(source: MaskSource, missing_chunks: MissingChunks) -> AnyArray:
    path = source.path
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_mask(path)
    if suffix == ".npy":
        with path.open("rb") as file:
            mapped = np.lib.format.open_memmap(path, mode="r") if file.read(6) == b"\x93NUMPY" else None
        if mapped is None or mapped.nbytes > LIMIT:
            raise FileFormatError(f"The mask {path} is no plain .npy array. Save it with numpy.save.")
        return np.array(mapped)
    if suffix == ".png":
        import imagecodecs

        decoded: AnyArray = imagecodecs.png_decode(path.read_bytes())
        return decoded
    image = open_image(path, missing_chunks=missing_chunks)
    return read_region(image, None if source.page is None else [source.page])
