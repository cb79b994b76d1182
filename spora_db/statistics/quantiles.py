"""Exact quantiles by numpy's default definition: from all values, from counts of values, or digit by digit of keys."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64, UInt32
from spora_db.statistics.keys import KeyKind

BINS: Final = 1 << 16
SMALL_LOWEST: Final = -(1 << 15)  # values of 8- and 16-bit integers of either sign share one line of bins
SMALL_BINS: Final = BINS - SMALL_LOWEST


def place(quantile: float, count: int) -> tuple[int, int, float]:
    """Return the two ranks that a quantile of ``count`` values lies between, and how far along.

    Examples
    --------
    >>> place(0.5, 4)
    (1, 2, 0.5)
    """
    position = (count - 1) * quantile
    low = min(int(np.floor(position)), count - 1)
    return low, min(low + 1, count - 1), position - low


def between(low: float, high: float, weight: float) -> float:
    """Interpolate as numpy does, from the nearer end, so that the last bit agrees."""
    low, high = float(low), float(high)  # numpy's own would warn of infinite ones
    step = high - low
    return high - step * (1 - weight) if weight >= 0.5 else low + step * weight


def of_counts(counts: Int64, quantiles: tuple[float, ...], *, lowest: int = SMALL_LOWEST) -> Float64:
    """Return quantiles of integers given how often each value occurs.

    Parameters
    ----------
    counts
        int64 array of shape (C, values).
    quantiles
        Shares in [0, 1].
    lowest
        The value of the first bin.

    Returns
    -------
    float64 array of shape (C, quantiles), NaN where a channel has no pixels

    Examples
    --------
    >>> import numpy as np
    >>> of_counts(np.array([[3, 0, 1]]), (0.5, 0.9), lowest=0).round(3)
    array([[0. , 1.4]])
    """
    result = np.full((len(counts), len(quantiles)), np.nan)
    for channel, row in enumerate(counts):
        totals = np.cumsum(row)
        for j, quantile in enumerate(quantiles if totals[-1] else ()):
            low, high, weight = place(quantile, int(totals[-1]))
            first, second = (float(np.searchsorted(totals, rank, "right") + lowest) for rank in (low, high))
            result[channel, j] = between(first, second, weight)
    return result


def of_values(values: AnyArray, quantiles: tuple[float, ...]) -> Float64:
    """Return quantiles of each row, equal to ``np.quantile(values.astype(float64), q, axis=1)`` to the last bit.

    Parameters
    ----------
    values
        Array of shape (C, n).
    quantiles
        Shares in [0, 1].

    Returns
    -------
    float64 array of shape (C, quantiles), NaN where a row is empty or holds NaN

    Examples
    --------
    >>> import numpy as np
    >>> of_values(np.array([[4.0, 1.0, 2.0, 8.0]], np.float32), (0.5,))
    array([[3.]])
    """
    result = np.full((len(values), len(quantiles)), np.nan)
    if values.shape[1] == 0:
        return result
    scratch, counts = np.empty(values.shape[1], np.uint32), np.empty(4 << 12, np.int64)
    for channel, row in enumerate(values):
        if row.dtype.kind == "f" and np.isnan(row).any():
            continue
        for j, quantile in enumerate(quantiles):
            low, high, weight = place(quantile, len(row))
            if row.dtype == np.float32:
                first, second = _select(np.ascontiguousarray(row).view(np.uint32), low, high, scratch, counts)
            else:
                part = np.partition(row, [low, high])
                first, second = float(part[low]), float(part[high])
            result[channel, j] = between(first, second, weight)
    return result


def _select(bits: UInt32, low: int, high: int, scratch: UInt32, counts: Int64) -> tuple[float, float]:
    from spora_db.kernels.statistics import next_key, select_rank

    first = select_rank(bits, low, scratch, counts)
    second = first if high < counts[0] else next_key(bits, first)
    one, two = KeyKind("float32").decode(np.array([first, second], np.uint64))
    return float(one), float(two)
