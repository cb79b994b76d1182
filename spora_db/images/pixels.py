"""The types in which pixels leave the readers, and in which they are kept."""

from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError


def delivered(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which pixels stored as ``dtype`` are delivered: native, and known to every kernel."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype.char in "eg" else dtype.newbyteorder("=")


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
    """Return pixels in their delivered type, as kernels read them; a view where nothing changes.

    Those of a row lie whole numbers of them apart; whole rows may lie in each other's place, as those of a chunk that
    holds one value only.

    Examples
    --------
    >>> deliver(np.zeros((1, 2, 3), ">u2")[..., ::-1]).strides
    (12, 6, 2)
    """
    if pixels.dtype.kind == "b":
        pixels = pixels.view(np.uint8)
    if pixels.dtype != (wanted := delivered(pixels.dtype)) or not pixels.flags.aligned:  # a codec's odd block size
        pixels = pixels.astype(wanted)
    if pixels.flags.c_contiguous:
        return pixels
    step = pixels.strides[-1] if pixels.ndim and pixels.shape[-1] > 1 else pixels.itemsize
    return pixels if step > 0 and step % pixels.itemsize == 0 else np.ascontiguousarray(pixels)


class ChunkPlanes:
    """Decoded planes of a chunk, and where they lie in memory.

    Parameters
    ----------
    pixels
        Array of shape (k, h, w), as `deliver` returns it.
    row, col
        Where in the chunk it begins.
    """

    __slots__ = ("_layout", "col", "pixels", "row")

    def __init__(self, pixels: AnyArray, row: int = 0, col: int = 0) -> None:
        self.pixels, self.row, self.col = pixels, row, col
        self._layout: tuple[int, int, int, int] | None = None

    @classmethod
    def of(cls, pixels: AnyArray, row: int = 0, col: int = 0) -> "ChunkPlanes":
        """Return planes of any type and order that begin at a row and col of their chunk."""
        return cls(deliver(pixels), row, col)

    @property
    def layout(self) -> tuple[int, int, int, int]:
        """The address of the chunk's corner, as if it lay before the pixels; the steps from plane to plane, and on.

        Bytes from plane to plane and from row to row, items from pixel to pixel. What is read once needs no address:
        it takes 3 µs.
        """
        if self._layout is None:
            plane, line, step = self.pixels.strides
            step = max(step // self.pixels.itemsize, 1)  # of a single col it may be anything
            address = self.pixels.__array_interface__["data"][0]
            self._layout = address - self.row * line - self.col * step * self.pixels.itemsize, plane, line, step
        return self._layout


def narrowed(chunk: AnyArray) -> AnyArray:
    """Return a chunk as uint16, as it is where that changes a bit of a pixel when it is read back.

    Examples
    --------
    >>> [narrowed(np.array([[[value]]])).dtype.name for value in (7.0, 0.5, -0.0)]
    ['uint16', 'float64', 'float64']
    """
    from spora_db.kernels.narrowing import narrow

    if chunk.itemsize <= 2 or chunk.dtype.kind not in "iuf":
        return chunk
    values, out = np.ascontiguousarray(chunk).reshape(-1), np.empty(chunk.shape, np.uint16)
    return out if narrow(values, values.view(f"i{values.itemsize}"), out.reshape(-1)) else chunk
