"""Functions and random numbers that have the same bits on every processor.

IEEE 754 fixes the last bit of ``+ - * /`` and of the square root. It does not fix that of exp, sin or powers, which
numpy rounds differently on different processors; its normal and Poisson numbers are made of them. The demo therefore
draws with ``rng.random`` and ``rng.integers`` only, which scale integers by powers of two, and makes all else here, an
operation at a time, so that no compiler can fuse two of them.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from spora_db.arrays import Float32, Float64

Rng = np.random.Generator
AnyFloat = TypeVar("AnyFloat", Float32, Float64)
ArrayShape = int | tuple[int, ...]


def _polynomial(x: AnyFloat, coefficients: Sequence[float]) -> AnyFloat:
    """Evaluate a polynomial by Horner's rule, highest power first, in the precision of `x`."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += x.dtype.type(coefficient)
    return value


def exp(x: AnyFloat) -> AnyFloat:
    """Return e to the power of `x` to about 1e-7: 2^n e^r, with Taylor's series of e^r below half of ln 2.

    Examples
    --------
    >>> exp(np.array([0.0, 1.0, -2.0])).round(6)
    array([1.      , 2.718282, 0.135335])
    """
    times = np.rint(x * x.dtype.type(1.4426950408889634))
    rest = x - times * x.dtype.type(0.6931471805599453)
    series = _polynomial(rest, (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0))
    value: AnyFloat = np.ldexp(series, times.astype(np.int32))
    return value


def cos(x: AnyFloat) -> AnyFloat:
    """Return the cosine of `x` radians to about 1e-6, for angles of some turns.

    Examples
    --------
    >>> cos(np.array([0.0, np.pi / 3, np.pi, 7.0])).round(4)
    array([ 1.    ,  0.5   , -1.    ,  0.7539])
    """
    half_turns = np.rint(x * x.dtype.type(1 / np.pi))
    rest = x - half_turns * x.dtype.type(np.pi)
    series = _polynomial(rest * rest, (1 / 479001600, -1 / 3628800, 1 / 40320, -1 / 720, 1 / 24, -1 / 2, 1.0))
    value: AnyFloat = series * (1 - 2 * (half_turns - 2 * np.floor(half_turns / 2)))
    return value


def sin(x: AnyFloat) -> AnyFloat:
    """Return the sine of `x` radians to about 1e-6, for angles of some turns.

    Examples
    --------
    >>> sin(np.array([0.0, np.pi / 2, 7.0])).round(4)
    array([0.   , 1.   , 0.657])
    """
    turned = x.copy()
    turned -= x.dtype.type(np.pi / 2)
    return cos(turned)


def arctan2(down: Float32, across: Float32) -> Float32:
    """Return the angle of each vector to 3e-4 radians (a cubic in the square of the smaller slope).

    Examples
    --------
    >>> arctan2(np.float32([0, 1, 1, -1]), np.float32([1, 1, 0, -1])).round(2)
    array([ 0.  ,  0.79,  1.57, -2.36], dtype=float32)
    """
    steep = np.abs(down) > np.abs(across)
    large = np.maximum(np.maximum(np.abs(down), np.abs(across)), np.float32(1e-30))
    slope = np.minimum(np.abs(down), np.abs(across)) / large
    angle = slope * _polynomial(slope * slope, (-0.0464964749, 0.15931422, -0.327622764, 1.0))
    angle = np.where(steep, np.float32(np.pi / 2) - angle, angle)
    angle = np.where(across < 0, np.float32(np.pi) - angle, angle)
    return np.copysign(angle, down)


def hypot(down: AnyFloat, across: AnyFloat) -> AnyFloat:
    """Return the length of each vector.

    Examples
    --------
    >>> hypot(np.array([3.0]), np.array([4.0]))
    array([5.])
    """
    length: AnyFloat = np.sqrt(down * down + across * across)
    return length


def uniform(rng: Rng, low: float, high: float, shape: ArrayShape | None = None) -> Any:  # noqa: ANN401 - a float or an array
    """Return numbers evenly distributed between two limits: a float64 array, or a float without `shape`.

    Examples
    --------
    >>> uniform(np.random.default_rng(0), 2.0, 4.0, 2).round(3)
    array([3.274, 2.54 ])
    """
    drawn = rng.random() if shape is None else rng.random(shape)
    return drawn * (high - low) + low


def normal(rng: Rng, shape: ArrayShape) -> Float32:
    """Return standard normal numbers as far as a demo can tell: sums of four uniform ones (Irwin-Hall), up to 3.46.

    Examples
    --------
    >>> drawn = normal(np.random.default_rng(0), (1000, 100))
    >>> round(abs(float(drawn.mean())), 2), round(float(drawn.std()), 2)
    (0.0, 1.0)
    """
    count = int(np.prod(shape))
    bits = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.uint16).reshape(count, 4)
    total = bits[:, 0].astype(np.float32)
    for column in range(1, 4):
        total += bits[:, column]
    total -= np.float32(2 * 65535)
    total *= np.float32(np.sqrt(3) / 65536)
    return total.reshape(shape)


def varied(rng: Rng, deviation: float, shape: ArrayShape, *, mean: float = 0.0) -> Float32:
    """Return factors around 1: e to the power of normal numbers of a mean and a standard deviation.

    Examples
    --------
    >>> bool(np.isclose(np.median(varied(np.random.default_rng(0), 0.1, 1000)), 1, atol=0.02))
    True
    """
    return exp(normal(rng, shape) * np.float32(deviation) + np.float32(mean))


def poisson(rng: Rng, rate: Float32) -> Float32:
    """Return Poisson numbers of each rate (below 500), as float32, by sequential search (Devroye 1986, X.3.3).

    Examples
    --------
    >>> drawn = poisson(np.random.default_rng(0), np.full(10_000, 3.0, np.float32))
    >>> round(float(drawn.mean()), 1), round(float(drawn.var()), 1)
    (3.0, 3.0)
    """
    counts = np.zeros(rate.size, np.float32)
    open_ones, remaining, expected = np.arange(rate.size), rng.random(rate.size), rate.astype(np.float64)
    share, count = exp(-expected), 0
    while len(open_ones):
        above = np.flatnonzero((remaining >= share) & (count < 1_000))
        open_ones, remaining, expected = open_ones[above], remaining[above] - share[above], expected[above]
        count += 1
        counts[open_ones] = count
        share = share[above] * (expected / count)
    return counts
