"""Pixels of a TIFF in streams of bytes (LZW, deflate, zstd): the rows of a segment, or only the first of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.images.zstd_blocks import BLOCK, decode_first_blocks

if TYPE_CHECKING:
    from tifffile import TiffPage

ZSTD: Final = 50000
COMPRESSIONS: Final = (5, 8, 32946, ZSTD)
"""Those of bytes, whatever they are: LZW, deflate by its two numbers, zstd."""
NO_PREDICTOR, FLOAT_PREDICTOR = 1, 3
PREDICTORS: Final = (NO_PREDICTOR, 2, FLOAT_PREDICTOR)
"""None, and those by which pixels are told by their differences from their neighbours in the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How streams of bytes hold the pixels of segments.

    Attributes
    ----------
    decompress
        The codec's decoder, ``decompress(data, out=bytes)``.
    by_rows
        Whether the first rows may be decoded for less than all of them, and damage in them is found as it is in all: in
        zstd. The checksum of deflate is that of all bytes, and what is wrong in LZW shows by their number only.
    unpredict
        What undoes the predictor, None where there is none.
    stored
        The type of the numbers in a stream.
    pixels
        Pixels in a row, and samples of each that lie together.
    """

    decompress: Callable[..., bytes]
    by_rows: bool
    unpredict: Callable[..., AnyArray] | None
    stored: np.dtype[Any]
    pixels: tuple[int, int]

    def rows(self, data: bytes, count: int) -> AnyArray | None:
        """Return a segment of `count` rows as (rows, cols, samples), None where it holds another number of bytes."""
        size = count * self._line
        content = self.decompress(data, out=size)
        return self._unpredicted(content, count) if len(content) == size else None

    def first_rows(self, data: bytes, count: int, of: int) -> AnyArray | None:
        """Return `count` rows or more `of` a segment's, None where all are to be decoded."""
        line = self._line
        content = decode_first_blocks(data, count * line, of * line) if self.by_rows else None
        return None if content is None else self._unpredicted(content, len(content) // line)

    @property
    def _line(self) -> int:
        """Bytes of a row."""
        return self.pixels[0] * self.pixels[1] * self.stored.itemsize

    def _unpredicted(self, content: bytes, rows: int) -> AnyArray:
        pixels = np.frombuffer(content, self.stored, rows * self.pixels[0] * self.pixels[1])
        pixels = pixels.reshape(rows, *self.pixels)
        if self.unpredict is None:
            return pixels
        pixels = pixels.astype(self.stored.newbyteorder("="), copy=False)
        return self.unpredict(pixels, axis=-2, out=pixels)  # as tifffile, into bytes that nobody else has


def packing(page: "TiffPage", *, stored: np.dtype[Any], pixels: tuple[int, int], segment_bytes: int) -> Packing | None:
    """Return how the segments of a page whose samples are whole bytes are packed, None where only tifffile knows."""
    from tifffile import TIFF

    if page.compression not in COMPRESSIONS or page.predictor not in PREDICTORS:
        return None
    return Packing(
        decompress=TIFF.DECOMPRESSORS[page.compression],
        by_rows=page.compression == ZSTD and segment_bytes > BLOCK,
        unpredict=None if page.predictor == NO_PREDICTOR else TIFF.UNPREDICTORS[page.predictor],
        stored=stored if page.predictor != FLOAT_PREDICTOR else stored.newbyteorder("="),  # bytes are in its own order
        pixels=pixels,
    )
