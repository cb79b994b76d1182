"""Exact quantiles by numpy's default definition: from all values, from counts of values, or digit by digit of keys."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64, UInt32, UInt64

BINS: Final = 1 << 16
SMALL_LOWEST: Final = -(1 << 15)  # values of 8- and 16-bit integers of either sign share one line of bins
SMALL_BINS: Final = BINS - SMALL_LOWEST


@dataclass(frozen=True, slots=True)
class KeyKind:
    """How pixels of a dtype become unsigned keys that sort as the pixels do, and back.

    Parameters
    ----------
    dtype
        Name of the pixels' dtype: 32- or 64-bit integers and floats.

    Examples
    --------
    >>> import numpy as np
    >>> kind = KeyKind("float32")
    >>> kind.digits, kind.decode(np.array([0x80000000, 0x407FFFFF], np.uint64)).tolist()
    (2, [0.0, -1.0])
    """

    dtype: str

    @property
    def bits(self) -> np.dtype[Any]:
        """The unsigned dtype of the same size."""
        return np.dtype(f"u{np.dtype(self.dtype).itemsize}")

    @property
    def digits(self) -> int:
        """How many 16-bit digits a key has."""
        return np.dtype(self.dtype).itemsize // 2

    @property
    def flips(self) -> tuple[np.uint64, np.uint64]:
        """What is exchanged in the bits: the sign bit, and all bits of negative floats."""
        kind, size = np.dtype(self.dtype).kind, 8 * np.dtype(self.dtype).itemsize
        sign = 0 if kind == "u" else 1 << (size - 1)
        return np.uint64(sign), np.uint64((1 << size) - 1 if kind == "f" else sign)

    @property
    def limits(self) -> tuple[np.uint64, np.uint64]:
        """The keys of the smallest and the greatest value; NaN lies outside."""
        dtype = np.dtype(self.dtype)
        if dtype.kind != "f":
            return np.uint64(0), np.uint64((1 << (8 * dtype.itemsize)) - 1)
        infinity = int(np.array([np.inf], dtype).view(self.bits)[0])
        sign, ones = (int(flip) for flip in self.flips)
        return np.uint64((infinity | sign) ^ ones), np.uint64(infinity ^ sign)

    def decode(self, keys: UInt64) -> Float64:
        """Return the values of keys, as float64."""
        sign, ones = self.flips
        positive = (keys & sign) != 0 if int(sign) else np.ones(keys.shape, bool)
        raw = np.where(positive, keys ^ sign, keys ^ (ones if np.dtype(self.dtype).kind == "f" else sign))
        return raw.astype(self.bits).view(self.dtype).astype(np.float64)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
    """How far the exact quantiles of C channels are known: some leading 16-bit digits of the keys around each.

    Parameters
    ----------
    dtype
        The pixels' dtype.
    quantiles
        Shares in [0, 1].
    depth
        How many digits are known.
    prefixes, ranks
        uint64 and int64 arrays of shape (C, 2 * quantiles): the known digits of the two keys around each quantile, and
        the rank of each among the keys that begin so.
    totals
        int64 array of shape (C,): number of pixels; -1 where a channel holds NaN.
    """

    dtype: str
    quantiles: tuple[float, ...]
    depth: int
    prefixes: UInt64
    ranks: Int64
    totals: Int64

    @classmethod
    def start(cls, dtype: str, quantiles: tuple[float, ...], channels: int) -> "Search":
        """Begin without a digit."""
        shape = (channels, 2 * len(quantiles))
        return cls(
            dtype=dtype, quantiles=quantiles, depth=0, prefixes=np.zeros(shape, np.uint64),
            ranks=np.zeros(shape, np.int64), totals=np.zeros(channels, np.int64),
        )  # fmt: skip

    def take(self, channels: Int64) -> "Search":
        """Return the search for some of the channels."""
        return replace(self, prefixes=self.prefixes[channels], ranks=self.ranks[channels], totals=self.totals[channels])

    @property
    def done(self) -> bool:
        """Whether all digits are known."""
        return self.depth == KeyKind(self.dtype).digits

    def wanted(self) -> tuple[UInt64, Int64]:
        """Return the distinct prefixes per channel, uint64 of shape (C, 2 * quantiles), and how many there are."""
        table, known = np.zeros_like(self.prefixes), np.zeros(len(self.prefixes), np.int64)
        for channel in range(len(table) if self.depth else 0):
            distinct = np.unique(self.prefixes[channel])
            table[channel, : len(distinct)], known[channel] = distinct, len(distinct)
        return table, known

    def refine(self, counts: Int64, broken: Int64) -> "Search":
        """Return the search with one more digit known, from the counts of all pixels."""
        totals = self.totals
        prefixes, ranks = self.prefixes.copy(), self.ranks.copy()
        if self.depth == 0:
            totals = np.where(broken > 0, -1, counts[:, 0].sum(axis=1))
            for channel in np.flatnonzero(totals > 0):
                places = [place(quantile, int(totals[channel]))[:2] for quantile in self.quantiles]
                ranks[channel] = np.array(places).ravel()
        table, _ = self.wanted()
        for channel in np.flatnonzero(totals > 0):
            for target in range(ranks.shape[1]):
                p = int(np.flatnonzero(table[channel] == prefixes[channel, target])[0]) if self.depth else 0
                sums = np.cumsum(counts[channel, p])
                digit = int(np.searchsorted(sums, ranks[channel, target], "right"))
                ranks[channel, target] -= sums[digit - 1] if digit else 0
                prefixes[channel, target] = (int(prefixes[channel, target]) << 16) | digit
        return replace(self, depth=self.depth + 1, prefixes=prefixes, ranks=ranks, totals=totals)

    def values(self) -> Float64:
        """Return the quantiles, float64 of shape (C, quantiles); NaN for channels without pixels or with NaN."""
        around = KeyKind(self.dtype).decode(self.prefixes)
        result = np.full((len(around), len(self.quantiles)), np.nan)
        for channel in np.flatnonzero(self.totals > 0):
            for j, quantile in enumerate(self.quantiles):
                weight = place(quantile, int(self.totals[channel]))[2]
                result[channel, j] = between(around[channel, 2 * j], around[channel, 2 * j + 1], weight)
        return result


class DigitCounter:
    """Counts the next digit of a search over the blocks of an image.

    Parameters
    ----------
    search
        What is known so far.

    Attributes
    ----------
    counts
        int64 array of shape (C, prefixes, 65536).
    broken
        int64 array of shape (C,): how many pixels are NaN.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self._prefixes, self._known = search.wanted()
        channels, width = len(self._known), max(1, int(self._known.max(initial=0)))
        self.counts, self.broken = np.zeros((channels, width, BINS), np.int64), np.zeros(channels, np.int64)

    def add(self, values: AnyArray, slots: Int64) -> None:
        """Count the pixels ``values`` of shape (j, n) of the channels ``slots``, as numbers of the search's dtype."""
        from spora_db.kernels.statistics import count_digits

        kind = KeyKind(self.search.dtype)
        shift = 16 * (kind.digits - 1 - self.search.depth)
        bits = np.ascontiguousarray(values, kind.dtype).view(kind.bits)
        count_digits(
            bits, np.ascontiguousarray(slots, np.int64), *kind.flips, *kind.limits, shift,
            self._prefixes, self._known, self.counts, self.broken,
        )  # fmt: skip
