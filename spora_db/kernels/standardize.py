"""Fused standardization of decoded planes: convert, clip, scale and shift in one pass over the pixels."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.halves import MAGNITUDE, ONE_POWER, magnitude, put, round_row, specials
from spora_db.kernels.logarithms import any_log1p, fast_log1p
from spora_db.kernels.memory import coming, fetch_row, items_at, pack_row, rows_ahead
from spora_db.kernels.streaming import settle, stream_row

CONVERT, CLIP, LOG1P, BOUND, AFFINE, CAP = range(6)
"""CAP is CLIP from 0 on, of numbers that have no sign: 32 tiles of colours take 0.86 of the time."""
STREAMED: Final = 32
"""Pixels: a shorter row has more beginning and end than lines of the cache in between."""

LOG1P_LOWEST, LOG1P_HIGHEST = np.float32(-0.99), np.float32(1e37)  # clipped to these, the fast log1p holds


@row_kernel
def standardize_row(
    mode: int, source: AnyArray, out: AnyArray, lower: np.float32, upper: np.float32, scale: np.float32,
    offset: np.float32,
) -> None:  # fmt: skip
    """Standardize one row of one channel; see `put`.

    Comparisons are ordered so that NaN passes through the clipping.
    """
    if mode == CLIP:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            put(out, i, fused(np.float32(value - lower), scale, offset))
    elif mode == CAP:
        for i in range(out.size):
            value = np.float32(source[i])
            put(out, i, fused(upper if value > upper else value, scale, offset))
    elif mode == LOG1P and min(lower, upper) > LOG1P_LOWEST and upper < LOG1P_HIGHEST:  # the upper bound wins
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            put(out, i, fused(fast_log1p(value), scale, offset))
    elif mode == LOG1P:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            put(out, i, fused(np.float32(any_log1p(np.float64(value))), scale, offset))
    elif mode == BOUND:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            put(out, i, upper if value > upper else value)
    elif mode == AFFINE:
        for i in range(out.size):
            put(out, i, fused(np.float32(source[i]), scale, offset))
    else:
        for i in range(out.size):
            put(out, i, np.float32(source[i]))


@row_kernel
def fits(
    mode: int, extremes: AnyArray, between: Float32, like: AnyArray, lower: np.float32, upper: np.float32,
    scale: np.float32, offset: np.float32,
) -> bool:  # fmt: skip
    """Return whether no pixel becomes NaN, or too large for a type of `ROWS`, nor half of that.

    Formulas rise or fall: what becomes of any number lies between what becomes of the least and the greatest.
    """
    lost = specials(like)[0]
    if lost == MAGNITUDE:
        return True
    standardize_row(mode, extremes, between[:2], lower, upper, scale, offset)
    return bool(max(magnitude(between[0]), magnitude(between[1])) < lost - ONE_POWER)


@kernel
def standardize_pieces(
    pieces: AnyArray, planes: AnyArray, regions: AnyArray, coefficients: Float32, extremes: AnyArray, pixels: AnyArray,
    numbers: Float32, like: AnyArray, streamed: int,
) -> tuple[int, int]:  # fmt: skip
    """Standardize pieces, each into its place; see `spora_db.kernels.tables` for the tables.

    Parameters
    ----------
    pieces, planes, regions
        The tables.
    coefficients
        float32 array of shape (K, 4): lower, upper, scale and offset.
    extremes
        The least and the greatest number of the type of the planes; NaN where it has that.
    pixels, numbers
        Memory for a row of the widest piece in the type of the planes, and for two in float32.
    like
        An array of the type of the regions, one of `ROWS`.
    streamed
        1 where rows are written past the caches of the processor, else 0; see `stream_row`.

    Returns
    -------
    tuple of int
        The first region and channel that have a pixel beyond the type, -1 and -1 for none.
    """
    size, width = pixels.itemsize, like.itemsize
    packed, single = np.int64(pixels.ctypes.data), np.int64(numbers.ctypes.data)
    second = single + numbers.nbytes // 2
    for piece in pieces:
        region = regions[piece.region]
        streams = streamed == 1 and piece.width >= STREAMED
        last = piece.first + piece.count - 1
        for k in range(piece.first, last + 1):
            plane, inside = planes[k], piece.row * planes[k].line + piece.col * planes[k].step * size
            source, following = plane.address + inside, planes[min(k + 1, last)].address + inside
            target = region.address + plane.slot * region.plane + piece.out_row * region.line + piece.out_col * width
            constants = coefficients[region.constants + plane.slot]
            lower, upper, scale, offset = constants[0], constants[1], constants[2], constants[3]
            mode = CAP if region.mode == CLIP and lower == 0 and extremes[0] == 0 else region.mode
            safe = fits(mode, extremes, numbers, like, lower, upper, scale, offset)
            length = ((piece.width - 1) * plane.step + 1) * size
            ahead = rows_ahead(length, piece.height)
            for i in range(ahead if k == piece.first else 0):
                fetch_row(source + i * plane.line, length)
            for i in range(piece.height):
                fetch_row(coming(source, following, plane.line, i + ahead, piece.height), length)
                row, out = source + i * plane.line, target + i * region.line
                if plane.step != 1:
                    pack_row(row, plane.step, pixels, items_at(packed, piece.width, pixels))
                    row = packed
                values = items_at(row, piece.width, pixels)
                line = items_at(single if streams else out, piece.width, like)
                if safe:
                    standardize_row(mode, values, line, lower, upper, scale, offset)
                else:
                    between = items_at(second, piece.width, numbers)
                    standardize_row(mode, values, between, lower, upper, scale, offset)
                    if round_row(between, line):
                        return piece.region, plane.slot
                if streams:
                    stream_row(single, out, piece.width * width)
    if streamed == 1:
        settle()
    return -1, -1
