"""Fused standardization of decoded planes: convert, clip, scale and shift in one pass over the pixels."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.halves import FLOAT32, halve_row
from spora_db.kernels.logarithms import any_log1p, fast_log1p
from spora_db.kernels.memory import fetch_row, items_at, pack_row, rows_ahead

CONVERT: Final = 0
CLIP: Final = 1
LOG1P: Final = 2
BOUND: Final = 3
AFFINE: Final = 4


LOG1P_LOWEST, LOG1P_HIGHEST = np.float32(-0.99), np.float32(1e37)  # clipped to these, the fast log1p holds


@row_kernel
def standardize_row(
    mode: int,
    source: AnyArray,
    out: Float32,
    lower: np.float32,
    upper: np.float32,
    scale: np.float32,
    offset: np.float32,
) -> None:
    """Standardize one row of one channel; comparisons are ordered so that NaN passes through the clipping."""
    if mode == CLIP:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            out[i] = fused(np.float32(value - lower), scale, offset)
    elif mode == LOG1P and min(lower, upper) > LOG1P_LOWEST and upper < LOG1P_HIGHEST:  # the upper bound wins
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            out[i] = fused(fast_log1p(value), scale, offset)
    elif mode == LOG1P:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            value = upper if value > upper else value
            out[i] = fused(np.float32(any_log1p(np.float64(value))), scale, offset)
    elif mode == BOUND:
        for i in range(out.size):
            value = np.float32(source[i])
            value = lower if value < lower else value
            out[i] = upper if value > upper else value
    elif mode == AFFINE:
        for i in range(out.size):
            out[i] = fused(np.float32(source[i]), scale, offset)
    else:
        for i in range(out.size):
            out[i] = np.float32(source[i])


@kernel
def standardize_pieces(
    kind: int, pieces: AnyArray, planes: AnyArray, regions: AnyArray, coefficients: Float32, pixels: AnyArray,
    numbers: Float32,
) -> tuple[int, int]:  # fmt: skip
    """Standardize pieces, each into its place; see `spora_db.kernels.tables` for the tables.

    Parameters
    ----------
    kind
        The type of the regions: `FLOAT32`, or another to which what is standardized is rounded.
    pieces, planes, regions
        The tables.
    coefficients
        float32 array of shape (K, 4): lower, upper, scale and offset.
    pixels, numbers
        Memory for a row of the widest piece, in the type of the planes and in float32; taken where a row needs it.

    Returns
    -------
    tuple of int
        The first region and channel that have a pixel beyond the type, -1 and -1 for none.
    """
    size, width, half = pixels.itemsize, 4 if kind == FLOAT32 else 2, np.empty(0, np.uint16)
    packed, single = np.int64(pixels.ctypes.data), np.int64(numbers.ctypes.data)
    for piece in pieces:
        region = regions[piece.region]
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
                    pack_row(row, plane.step, items_at(packed, piece.width, pixels))
                    row = packed
                values = items_at(out if kind == FLOAT32 else single, piece.width, numbers)
                standardize_row(region.mode, items_at(row, piece.width, pixels), values, lower, upper, scale, offset)
                if kind != FLOAT32 and halve_row(kind, values, items_at(out, piece.width, half)):
                    return piece.region, plane.slot
    return -1, -1
