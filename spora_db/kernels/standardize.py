"""Fused standardization of decoded planes: convert, clip, scale and shift in one pass over the pixels."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.logarithms import any_log1p, fast_log1p
from spora_db.kernels.memory import items_at

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
    pieces: AnyArray, planes: AnyArray, regions: AnyArray, coefficients: Float32, pixel: AnyArray, number: Float32
) -> None:
    """Standardize pieces, each into its place; see `spora_db.kernels.tables` for the tables.

    `coefficients`, float32 of shape (K, 4), are lower, upper, scale and offset; `pixel` and `number` are arrays of the
    types of planes and regions.
    """
    size, width = pixel.itemsize, number.itemsize
    for piece in pieces:
        region = regions[piece.region]
        for plane in planes[piece.first : piece.first + piece.count]:
            constants = coefficients[region.constants + plane.slot]
            lower, upper, scale, offset = constants[0], constants[1], constants[2], constants[3]
            source = plane.address + piece.row * plane.line + piece.col * plane.step * size
            target = region.address + plane.slot * region.plane + piece.out_row * region.line + piece.out_col * width
            for i in range(piece.height):
                pixels = items_at(source + i * plane.line, (piece.width - 1) * plane.step + 1, pixel)
                out = items_at(target + i * region.line, piece.width, number)
                if plane.step == 1:
                    standardize_row(region.mode, pixels, out, lower, upper, scale, offset)
                else:
                    standardize_row(region.mode, pixels[:: plane.step], out, lower, upper, scale, offset)
