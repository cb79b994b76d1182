"""The types in which pixels leave the readers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError
from spora_db.layout.names import is_rgb

if TYPE_CHECKING:
    from spora_db.images.base import MissingChunks


def delivered(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which pixels stored as ``dtype`` are delivered: native, and known to every kernel."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind == "f" else dtype.newbyteorder("=")


def white(dtype: np.dtype[Any], path: object) -> AnyArray:
    """Return the white of a colour picture whose pixels are delivered as ``dtype``: the largest value, also of alpha.

    Raises
    ------
    FileFormatError
        Pixels of this type have no known white.

    Examples
    --------
    >>> int(white(np.dtype(np.uint16), "a.ome.tiff"))
    65535
    """
    if dtype.kind != "u":
        raise FileFormatError(
            f"The image {path} holds {dtype}, which has no known white. missing_chunks='white' is for colour pictures "
            "of uint8 or uint16; use 'zeros' where an absent chunk means zeros."
        )
    return np.asarray(np.iinfo(dtype).max, dtype)


def deliver(pixels: AnyArray) -> AnyArray:
    """Return pixels in their delivered type; a view where nothing changes."""
    if pixels.dtype.kind == "b":
        return pixels.view(np.uint8)
    if not pixels.flags.aligned:  # a codec's odd block size; kernels are compiled for aligned arrays
        pixels = pixels.copy()
    return pixels.astype(delivered(pixels.dtype), copy=False)


def addressable(pixels: AnyArray) -> AnyArray:
    """Return planes of shape (k, h, w) in a type that kernels know, pixels of a row whole numbers of them apart.

    Whole rows may lie in each other's place, as those of a chunk that holds one value only.

    Examples
    --------
    >>> addressable(np.zeros((1, 2, 3), ">u2")[..., ::-1]).strides
    (12, 6, 2)
    """
    if pixels.dtype.kind == "b":
        pixels = pixels.view(np.uint8)
    elif pixels.dtype.char in "eg":
        pixels = pixels.astype(np.float32)
    elif not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    step = pixels.strides[2]
    if (step > 0 or pixels.shape[2] == 1) and step % pixels.itemsize == 0 and pixels.flags.aligned:
        return pixels
    return np.ascontiguousarray(pixels)


def missing_chunks_in(modality: str, choice: "MissingChunks") -> "MissingChunks":
    """Return what an absent chunk is in an image of a modality: white only in brightfield, an error elsewhere.

    Examples
    --------
    >>> missing_chunks_in("he", "white"), missing_chunks_in("imc", "white"), missing_chunks_in("imc", "zeros")
    ('white', 'error', 'zeros')
    """
    return "error" if choice == "white" and not is_rgb(modality) else choice
