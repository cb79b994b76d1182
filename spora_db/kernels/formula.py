"""What becomes of the pixels of a row: convert, clip, scale and shift, in one pass."""

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.kernels.fused import fused, row_kernel
from spora_db.kernels.halves import MAGNITUDE, ONE_POWER, magnitude, put, specials
from spora_db.kernels.logarithms import any_log1p, fast_log1p

CONVERT, CLIP, LOG1P, BOUND, AFFINE, CAP = range(6)
"""CAP is CLIP from 0 on, of numbers that have no sign: 32 tiles of colours take 0.86 of the time."""

WHOLE = 8
"""Pixels that loops take at once near the end of a row: in halves, 43 channels take 0.96 of the time without a rest."""

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
    standardize_row(mode, extremes, between, lower, upper, scale, offset)
    return bool(max(magnitude(between[0]), magnitude(between[1])) < lost - ONE_POWER)
