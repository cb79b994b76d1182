"""Fused standardization of decoded planes: convert, clip, scale and shift in one pass over the pixels."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32, Int64
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.logarithms import any_log1p, fast_log1p

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
def standardize_planes(
    mode: int, source: AnyArray, plane: int, line: int, out: Float32, out_plane: int, out_line: int, slots: Int64,
    height: int, width: int, lower: Float32, upper: Float32, scale: Float32, offset: Float32,
) -> None:  # fmt: skip
    """Standardize ``slots.size`` planes whose rows are contiguous; strides are in elements of the flat arrays."""
    for k in range(slots.size):
        slot = slots[k]
        for row in range(height):
            first, target = k * plane + row * line, slot * out_plane + row * out_line
            standardize_row(
                mode, source[first : first + width], out[target : target + width],
                lower[slot], upper[slot], scale[slot], offset[slot],
            )  # fmt: skip


@kernel
def standardize_interleaved(
    mode: int, source: AnyArray, plane: int, line: int, step: int, out: Float32, out_plane: int, out_line: int,
    slots: Int64, height: int, width: int, lower: Float32, upper: Float32, scale: Float32, offset: Float32,
) -> None:  # fmt: skip
    """Do the same where neighbouring pixels of a row are ``step`` elements apart (interleaved RGB)."""
    for k in range(slots.size):
        slot = slots[k]
        for row in range(height):
            first, target = k * plane + row * line, slot * out_plane + row * out_line
            standardize_row(
                mode, source[first : first + (width - 1) * step + 1 : step], out[target : target + width],
                lower[slot], upper[slot], scale[slot], offset[slot],
            )  # fmt: skip
