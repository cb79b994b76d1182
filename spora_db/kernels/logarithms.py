"""Logarithms of our own: quick, because they vectorize, and with the same bits on every processor."""

import numpy as np

from spora_db.arrays import AnyArray, Float64
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import fused, row_kernel

# log1p(f) = f - f²/2 + f³ P(f) on [sqrt(1/2) - 1, sqrt(2) - 1]: minimax of relative error (Lawson's iteration), 6e-9.
P0, P1, P2, P3 = np.float32(0.33333331), np.float32(-0.25000820), np.float32(0.20001227), np.float32(-0.16623357)
P4, P5, P6, P7 = np.float32(0.14201759), np.float32(-0.13160183), np.float32(0.12761575), np.float32(-0.07634493)
# in two parts, the first with few bits, so that multiples of it are exact
LN2_FLOAT, LN2_FLOAT_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
LN2, LN2_REST = 0.6931471803691238, 1.9082149292705877e-10
ONE, HALF = np.float32(1.0), np.float32(0.5)
HIGHEST = 1e300


@row_kernel
def fast_log1p(value: np.float32) -> np.float32:
    """log1p of a float32 in [-0.99, 1e37] to 1.2e-7 relative; NaN stays NaN. No branch and no division: it vectorizes.

    1 + value = 2^e (1 + f); f is found from ``value``, not from the rounded sum, so nothing is lost for small values.
    """
    bits = np.int32(np.float32(value + ONE).view(np.int32) - np.int32(0x3F3504F3))
    exponent = np.float32(np.int32(bits >> np.int32(23)))
    power = np.int32(np.int32(0x3F800000) - np.int32(bits & np.int32(-0x800000))).view(np.float32)  # 2^-e
    f = fused(value, power, power - ONE)
    tail = fused(P7, f, P6)
    tail = fused(tail, f, P5)
    tail = fused(tail, f, P4)
    tail = fused(tail, f, P3)
    tail = fused(tail, f, P2)
    tail = fused(tail, f, P1)
    tail = fused(tail, f, P0)
    return fused(exponent, LN2_FLOAT, fused(exponent, LN2_FLOAT_REST, fused(fused(tail, f, -HALF), f * f, f)))  # type: ignore[no-any-return]


@row_kernel
def _log_of_parts(exponent: np.float64, f: np.float64) -> np.float64:
    """Return the logarithm of 2^e (1 + f) to 4e-16: of the second part as 2 atanh(f / (2 + f)), by its series."""
    s = f / (2.0 + f)
    z = s * s
    tail = fused(z, 2.0 / 21.0, 2.0 / 19.0)
    tail = fused(tail, z, 2.0 / 17.0)
    tail = fused(tail, z, 2.0 / 15.0)
    tail = fused(tail, z, 2.0 / 13.0)
    tail = fused(tail, z, 2.0 / 11.0)
    tail = fused(tail, z, 2.0 / 9.0)
    tail = fused(tail, z, 2.0 / 7.0)
    tail = fused(tail, z, 2.0 / 5.0)
    tail = fused(tail, z, 2.0 / 3.0)
    return fused(exponent, LN2, fused(exponent, LN2_REST, fused(tail, z * s, 2.0 * s)))  # type: ignore[no-any-return]


@row_kernel
def precise_log1p(value: np.float64) -> np.float64:
    """log1p of a float64 in (-1, 1e300] to 4e-16; NaN stays NaN. 1 + value = 2^e (1 + f), by bits."""
    bits = np.int64(np.float64(value + 1.0).view(np.int64) - np.int64(0x3FE6A09E667F3BCD))
    exponent = np.float64(np.int64(bits >> np.int64(52)))
    power = np.int64(np.int64(0x3FF0000000000000) - np.int64(bits & np.int64(-0x10000000000000))).view(np.float64)
    return _log_of_parts(exponent, fused(value, power, power - 1.0))


@row_kernel
def any_log1p(value: np.float64) -> np.float64:
    """log1p of any float64: also -1 (minus infinity), what lies below it (NaN), infinity and NaN."""
    return precise_log1p(value) if value > -1.0 and value < HIGHEST else np.log1p(value)


@kernel
def log1p_values(values: Float64, out: Float64) -> None:
    """Write log1p of every value."""
    for i in range(values.size):
        out[i] = any_log1p(values[i])


@kernel
def log_values(values: Float64, out: Float64) -> None:
    """Write the logarithm of every value, which must be a normal number above 0."""
    for i in range(values.size):
        value = np.float64(values[i])
        bits = np.int64(value.view(np.int64) - np.int64(0x3FE6A09E667F3BCD))
        power = np.int64(np.int64(0x3FF0000000000000) - np.int64(bits & np.int64(-0x10000000000000))).view(np.float64)
        out[i] = _log_of_parts(np.float64(np.int64(bits >> np.int64(52))), fused(value, power, -1.0))


def log1p(values: AnyArray) -> Float64:
    """Return log1p of numbers of any shape in float64, to 4e-16 and with the same bits on every processor.

    Examples
    --------
    >>> log1p(np.array([0.0, 1.0, -1.0, -2.0])).round(4)
    array([0.    , 0.6931,   -inf,    nan])
    """
    given = np.ascontiguousarray(values, np.float64)
    out = np.empty_like(given)
    log1p_values(given.reshape(-1), out.reshape(-1))
    return out


def log(values: Float64) -> Float64:
    """Return the logarithm of one axis of normal float64 numbers above 0, by the same rule as `log1p`.

    Examples
    --------
    >>> log(np.array([0.5, 1.0, 1e-300])).round(4).tolist()
    [-0.6931, 0.0, -690.7755]
    """
    out = np.empty_like(values)
    log_values(values, out)
    return out
