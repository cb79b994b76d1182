"""Fused standardization of decoded planes: convert, clip, scale and shift in one pass over the pixels."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.halves import mend_row, put, specials
from spora_db.kernels.logarithms import any_log1p, fast_log1p
from spora_db.kernels.memory import fetch_row, items_at, pack_row, rows_ahead
from spora_db.kernels.streaming import settle, stream_row

CONVERT: Final = 0
CLIP: Final = 1
LOG1P: Final = 2
BOUND: Final = 3
AFFINE: Final = 4
STREAMED: Final = 64
"""Pixels: a shorter row has more beginning and end than lines of the cache in between."""

LOG1P_LOWEST, LOG1P_HIGHEST = np.float32(-0.99), np.float32(1e37)  # clipped to these, the fast log1p holds


@row_kernel
def standardize_row(
    mode: int,
    source: AnyArray,
    out: AnyArray,
    lower: np.float32,
    upper: np.float32,
    scale: np.float32,
    offset: np.float32,
) -> np.int32:
    """Standardize one row of one channel, and return the largest magnitude; see `put`.

    Comparisons are ordered so that NaN passes through the clipping.
    """
    largest = np.int32(0)
    if mode == CLIP:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            largest = put(out, i, fused(np.float32(value - lower), scale, offset), largest)
    elif mode == LOG1P and min(lower, upper) > LOG1P_LOWEST and upper < LOG1P_HIGHEST:  # the upper bound wins
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            largest = put(out, i, fused(fast_log1p(value), scale, offset), largest)
    elif mode == LOG1P:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            largest = put(out, i, fused(np.float32(any_log1p(np.float64(value))), scale, offset), largest)
    elif mode == BOUND:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            largest = put(out, i, upper if value > upper else value, largest)
    elif mode == AFFINE:
        for i in range(out.size):
            largest = put(out, i, fused(np.float32(source[i]), scale, offset), largest)
    else:
        for i in range(out.size):
            largest = put(out, i, np.float32(source[i]), largest)
    return largest


@row_kernel
def standardize_line(
    mode: int, source: AnyArray, out: AnyArray, between: Float32, lower: np.float32, upper: np.float32,
    scale: np.float32, offset: np.float32,
) -> bool:  # fmt: skip
    """Standardize a row into any type of `ROWS`; return whether a finite number of it has become infinite."""
    largest = standardize_row(mode, source, out, lower, upper, scale, offset)
    if largest < specials(out)[0]:
        return False
    standardize_row(mode, source, between, lower, upper, scale, offset)
    return mend_row(between, out)


@kernel
def standardize_pieces(
    pieces: AnyArray, planes: AnyArray, regions: AnyArray, coefficients: Float32, pixels: AnyArray, numbers: Float32,
    like: AnyArray, streamed: int,
) -> tuple[int, int]:  # fmt: skip
    """Standardize pieces, each into its place; see `spora_db.kernels.tables` for the tables.

    Parameters
    ----------
    pieces, planes, regions
        The tables.
    coefficients
        float32 array of shape (K, 4): lower, upper, scale and offset.
    pixels, numbers
        Memory for a row of the widest piece, in the type of the planes and in float32; taken where a row needs it.
    like
        An array of the type of the regions, one of `ROWS`.
    streamed
        1 where float32 is written past the caches of the processor, else 0; see `stream_row`.

    Returns
    -------
    tuple of int
        The first region and channel that have a pixel beyond the type, -1 and -1 for none.
    """
    size, width = pixels.itemsize, like.itemsize
    packed, single = np.int64(pixels.ctypes.data), np.int64(numbers.ctypes.data)
    for piece in pieces:
        region = regions[piece.region]
        streams = streamed == 1 and piece.width >= STREAMED
        for plane in planes[piece.first : piece.first + piece.count]:
            constants = coefficients[region.constants + plane.slot]
            lower, upper, scale, offset = constants[0], constants[1], constants[2], constants[3]
            source = plane.address + piece.row * plane.line + piece.col * plane.step * size
            target = region.address + plane.slot * region.plane + piece.out_row * region.line + piece.out_col * width
            length = ((piece.width - 1) * plane.step + 1) * size
            ahead = rows_ahead(length)
            for i in range(-ahead, piece.height):
                if i + ahead < piece.height:
                    fetch_row(source + (i + ahead) * plane.line, length)
                if i < 0:
                    continue
                row, out = source + i * plane.line, target + i * region.line
                if plane.step != 1:
                    pack_row(row, plane.step, pixels, items_at(packed, piece.width, pixels))
                    row = packed
                values = items_at(row, piece.width, pixels)
                line = items_at(single if streams else out, piece.width, like)
                between = items_at(single, piece.width, numbers)
                if standardize_line(region.mode, values, line, between, lower, upper, scale, offset):
                    return piece.region, plane.slot
                if streams:
                    stream_row(single, out, piece.width * width)
    if streamed == 1:
        settle()
    return -1, -1
