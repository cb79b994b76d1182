"""Exact quantiles digit by digit: the keys of pixels that are too many to be kept, counted block by block."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float64, Int64, UInt64
from spora_db.statistics.keys import KeyKind
from spora_db.statistics.quantiles import BINS, between, place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
    """How far the exact quantiles of C channels are known: some leading 16-bit digits of the keys around each.

    Parameters
    ----------
    dtype
        The pixels' dtype.
    quantiles
        Shares in [0, 1], float64 of shape (C, quantiles).
    depth
        How many digits are known.
    prefixes, ranks
        uint64 and int64 arrays of shape (C, 2 * quantiles): the known digits of the two keys around each quantile, and
        the rank of each among the keys that begin so.
    totals
        int64 array of shape (C,): number of pixels; -1 where a channel holds NaN.
    """

    dtype: str
    quantiles: Float64
    depth: int
    prefixes: UInt64
    ranks: Int64
    totals: Int64

    @classmethod
    def start(cls, dtype: str, quantiles: npt.ArrayLike, channels: int) -> "Search":
        """Begin without a digit, with quantiles of shape (quantiles,) or (channels, quantiles)."""
        asked = np.array(quantiles, np.float64)
        asked = np.broadcast_to(asked, (channels, asked.shape[-1]))
        shape = (channels, 2 * asked.shape[1])
        return cls(
            dtype=dtype, quantiles=asked, depth=0, prefixes=np.zeros(shape, np.uint64),
            ranks=np.zeros(shape, np.int64), totals=np.zeros(channels, np.int64),
        )  # fmt: skip

    def take(self, channels: Int64) -> "Search":
        """Return the search for some of the channels."""
        names = ("quantiles", "prefixes", "ranks", "totals")
        return replace(self, **{name: getattr(self, name)[channels] for name in names})

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
                places = [place(float(quantile), int(totals[channel]))[:2] for quantile in self.quantiles[channel]]
                ranks[channel] = np.array(places).ravel()
        table, known = self.wanted()
        for channel in np.flatnonzero(totals > 0):
            for p in range(max(1, known[channel])):
                sums = np.cumsum(counts[channel, p])
                for target in np.flatnonzero(self.prefixes[channel] == table[channel, p]):
                    digit = int(np.searchsorted(sums, ranks[channel, target], "right"))
                    ranks[channel, target] -= sums[digit - 1] if digit else 0
                    prefixes[channel, target] = (int(prefixes[channel, target]) << 16) | digit
        return replace(self, depth=self.depth + 1, prefixes=prefixes, ranks=ranks, totals=totals)

    def values(self) -> Float64:
        """Return the quantiles, float64 of shape (C, quantiles); NaN for channels without pixels or with NaN."""
        around = KeyKind(self.dtype).decode(self.prefixes)
        result = np.full(self.quantiles.shape, np.nan)
        for channel in np.flatnonzero(self.totals > 0):
            for j, quantile in enumerate(self.quantiles[channel]):
                weight = place(float(quantile), int(self.totals[channel]))[2]
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

    def add(self, values: AnyArray, slots: Int64, *, weight: int = 1) -> None:
        """Count the pixels ``values`` of shape (j, n) of the channels ``slots``, as numbers of the search's dtype.

        Parameters
        ----------
        weight
            How many pixels each of them stands for.
        """
        from spora_db.kernels.statistics import count_digits

        kind, shift = KeyKind(self.search.dtype), self._shift
        bits = np.ascontiguousarray(values, kind.dtype).view(kind.bits)
        count_digits(
            bits, np.ascontiguousarray(slots, np.int64), *kind.flips, *kind.limits, shift,
            self._prefixes, self._known, weight, self.counts, self.broken,
        )  # fmt: skip

    def add_equals(self, values: Float64, numbers: Int64) -> None:
        """Count values of every channel that stand for so many pixels each, both of shape (C, n)."""
        channels, which = np.nonzero(numbers)
        keys = KeyKind(self.search.dtype).encode(values[channels, which])
        for channel, key, number in zip(channels, keys, numbers[channels, which], strict=True):
            prefix, digit = int(key) >> (self._shift + 16), (int(key) >> self._shift) & (BINS - 1)
            known = self._prefixes[channel, : self._known[channel]]
            self.counts[channel, np.flatnonzero(known == prefix) if self.search.depth else [0], digit] += number

    @property
    def _shift(self) -> int:
        return 16 * (KeyKind(self.search.dtype).digits - 1 - self.search.depth)
