"""Global quantiles in one pass: a sample says where they lie, the pass keeps the pixels there and sums up the others.

Of every tissue a few regions are decoded. What the sample has between two shares around each quantile is its bracket:
wide enough that the quantile of all pixels is inside, and narrow enough that few pixels are. One pass over everything
then counts the pixels outside of the brackets, keeps those inside, and adds up the moments of those between, which
clipping leaves as they are. With it the quantiles are exact, and the moments of what was kept and clipped follow. Where
a quantile lies outside after all, or too many pixels inside, the channel is searched digit by digit.

Moments in one pass are those of two in another order of addition: what is clipped, or may be, comes last. They agree to
some units of the 16th digit, relative to the mean and the deviation, not to the last bit.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, cast
from zlib import crc32

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64, Int64
from spora_db.standardization.specs import Spec
from spora_db.standardization.transform import EPSILON
from spora_db.statistics.keys import KeyKind
from spora_db.statistics.masked_pixels import masked_values, regions
from spora_db.statistics.moments import Moments, MomentSums, weighted
from spora_db.statistics.plan import Partial
from spora_db.statistics.quantiles import place
from spora_db.statistics.search import DigitCounter, Search
from spora_db.statistics.tissue import asked_quantiles, without_range

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader

SAMPLED_REGIONS: Final = 8  # one region of so many is sampled, and one at least
MOST_SAMPLED: Final = 2048
ALIKE: Final = 25  # so many sampled pixels tell as much as one that is drawn from everywhere: neighbours are alike
FURTHEST: Final = float(np.finfo(np.float64).max)
"""An end that is none; JSON has no infinity."""
ERRORS: Final = 3.0  # a bracket is so many standard errors of the sample wide, to either side


def sampled_part(mask: Bools, chunks: tuple[int, int], *, name: str) -> Bools:
    """Return the part of a tissue mask that a sample is taken from: some of its regions, others for each name."""
    spans = [(slice(row, row + tall), slice(col, col + wide)) for row, col, tall, wide in regions(mask.shape, chunks)]
    totals = np.cumsum([np.count_nonzero(mask[span]) for span in spans])
    count = max(1, len(np.unique(totals)) // SAMPLED_REGIONS)
    places = (np.arange(count) + crc32(name.encode()) / 2**32) * (totals[-1] / count)
    part = np.zeros_like(mask)
    for number in np.searchsorted(totals, places, "right"):
        part[spans[number]] = mask[spans[number]]
    return part


def sample(reader: "ImageReader", pages: Int64, mask: Bools, *, name: str) -> AnyArray:
    """Return some pixels of each page, array of shape (k, n): every one of so many in the sampled part of the mask."""
    part = sampled_part(mask, reader.chunks, name=name)
    step = -(-int(np.count_nonzero(part)) // MOST_SAMPLED)
    taken: list[list[AnyArray]] = [[] for _ in pages]
    for values, slots in masked_values(reader, pages, part):
        for row, slot in zip(values, slots, strict=True):
            taken[slot].append(row[::step].copy())
    return np.array([np.concatenate(rows) for rows in taken])


def shares_around(quantiles: tuple[float, ...], *, evidence: Float64) -> Float64:
    """Return the shares of a sample that a quantile lies between, float64 of shape (C, 2 * quantiles).

    Parameters
    ----------
    evidence
        Of each channel, how many pixels drawn one by one from everywhere would tell as much as its sample.

    Examples
    --------
    >>> shares_around((0.99,), evidence=np.array([1e4])).round(4)
    array([[0.9869, 0.9931]])
    """
    asked, drawn = np.array(quantiles), np.maximum(evidence, 1.0)[:, None]
    margin = ERRORS * np.sqrt(asked * (1 - asked) / drawn) + 1 / drawn
    return np.stack([asked - margin, asked + margin], axis=2).reshape(len(evidence), -1).clip(0.0, 1.0)


class BracketPass:
    """One pass over the pixels of a tissue: tallies, the pixels inside of brackets, the moments of those between.

    Parameters
    ----------
    spec
        The standardization.
    ends
        float64 array of shape (C, 4), as of `ends_of`.
    dtype
        Of the pixels.
    room
        How many pixels inside of brackets are kept of a channel.
    """

    def __init__(self, spec: Spec, ends: Float64, *, dtype: "np.dtype[np.generic]", room: int) -> None:
        from spora_db.kernels.brackets import TALLIES

        self._ends, self._between = ends, np.empty(0, dtype)
        self._kept = [np.empty(room, dtype) for _ in ends]  # memory is taken where it is written to
        self._tallies = np.zeros((len(ends), TALLIES), np.int64)
        origin = _origin(ends)
        upper, width = np.maximum(origin, ends[:, 2]), np.ones(len(ends))
        self._sums = MomentSums(method=spec.method, lower=origin, upper=upper, width=width)

    def add(self, values: AnyArray, slots: Int64) -> None:
        """Add the pixels ``values`` of shape (j, n) of the channels ``slots``."""
        from spora_db.kernels.brackets import part_by_brackets

        if self._between.size < values.shape[1]:
            self._between = np.empty(values.shape[1], self._between.dtype)
        for row, slot in zip(values, slots, strict=True):
            count = part_by_brackets(row, self._ends[slot], self._between, self._kept[slot], self._tallies[slot])
            self._sums.add(self._between[None, :count], np.array([slot]))

    def arrays(self, present: Int64, channels: int) -> dict[str, AnyArray]:
        """Return what was found by name, of all channels of the panel; the pixels kept one channel after the other."""
        moments = self._sums.result()
        between = np.column_stack([moments.count, moments.mean, moments.squares, self._sums.spread])
        counts = inside(self._tallies)
        overfull = counts > self._kept[0].size
        kept = [row[:count] for row, count in zip(self._kept, np.where(overfull, 0, counts), strict=True)]
        found = {"tallies": self._tallies, "between": between, "overfull": overfull}
        spread = {name: np.zeros((channels, *own.shape[1:]), own.dtype) for name, own in found.items()}
        for name, own in found.items():
            spread[name][present] = own
        return {**spread, "kept": np.concatenate(kept)}


def _origin(ends: Float64) -> Float64:
    """Return what pixels between brackets are clipped to from below and counted from: 0, or where they begin."""
    return np.where(ends[:, 1] == -FURTHEST, 0.0, ends[:, 1])


def inside(tallies: Int64) -> Int64:
    """Return how many pixels of each channel lie inside of brackets."""
    from spora_db.kernels.brackets import IN_HIGH, IN_LOW

    return cast(Int64, tallies[:, IN_LOW] + tallies[:, IN_HIGH])


def kept_pixels(arrays: Mapping[str, AnyArray]) -> Iterator[tuple[int, AnyArray]]:
    """Yield the channels of a tissue that hold pixels inside of brackets, with these."""
    start, kept = 0, arrays["kept"]
    counts = np.where(arrays["overfull"], 0, inside(arrays["tallies"])).tolist()
    for channel, count in enumerate(counts):
        if count:
            yield channel, kept[start : start + count]
            start += count


def ends_of(partials: Iterable[Partial], spec: Spec, *, dtype: str, channels: int) -> Float64:
    """Return the ends of the brackets of every channel, from the samples of all tissues.

    Returns
    -------
    float64 array of shape (C, 4)
        The bracket of the lower quantile and that of the upper one, from least to greatest; without a lower one its
        bracket ends before all pixels. Where the two overlap, the first and the last end are those of one bracket, and
        the others are such that nothing lies between.
    """
    weights, alone = np.zeros(channels), np.zeros(channels)
    for part in partials:
        own = part.arrays["values"]
        weights[part.record["measured"]] += part.record["masked"]
        alone[part.record["measured"]] += part.record["masked"] ** 2 / max(1.0, own.shape[1] / ALIKE)
    evidence = np.divide(weights**2, alone, out=np.ones(channels), where=alone > 0)
    main = asked_quantiles(spec)[: 1 if spec.lower is None else 2]
    shares = shares_around(main, evidence=evidence)
    search = Search.start(dtype, shares, channels)
    while not search.done:
        counter = DigitCounter(search)
        for part in partials:
            own, slots = part.arrays["values"], np.array(part.record["measured"], np.int64)
            counter.add(own, slots, weight=max(1, round(part.record["masked"] / own.shape[1])))
        search = search.refine(counter.counts, counter.broken)
    around = KeyKind(dtype).decode(search.prefixes)
    ends = np.full((channels, 4), -np.inf)
    for first, quantile in ((2, 0), (0, 1))[: len(main)]:
        ends[:, first] = np.where(shares[:, 2 * quantile] > 0, around[:, 4 * quantile], -np.inf)
        ends[:, first + 1] = np.where(shares[:, 2 * quantile + 1] < 1, around[:, 4 * quantile + 3], np.inf)
    if len(asked_quantiles(spec)) > len(main):  # what stands in for an upper quantile of 0 lies above it
        ends[ends[:, 2] <= np.maximum(ends[:, 0], 0.0), 3] = np.inf
    merged = ends[:, 1] >= ends[:, 2]
    ends[merged, 3] = ends[merged, 1:].max(axis=1)
    ends[merged, 1], ends[merged, 2] = np.inf, -np.inf  # nothing lies between
    known: Float64 = np.nan_to_num(ends, nan=FURTHEST, posinf=FURTHEST, neginf=-FURTHEST)
    return known


def find(partials: Iterable[Partial], ends: Float64, spec: Spec, *, dtype: str) -> tuple[Float64, Bools]:
    """Return the quantiles that are asked for of all tissues together, and which channels are to be searched for them.

    Returns
    -------
    found
        float64 of shape (C, quantiles), NaN where unknown.
    missed
        bool of shape (C,): what is asked for lies outside of the brackets, or is no number of float32.
    """
    from spora_db.kernels.brackets import AT_HIGH, AT_HIGHEST, AT_LOW, AT_LOWEST, BROKEN, TALLIES

    tallies, overfull = np.zeros((len(ends), TALLIES), np.int64), np.zeros(len(ends), bool)
    for part in partials:
        tallies += part.arrays["tallies"]
        overfull |= part.arrays["overfull"]
    # what was not kept counts as the end next to it, of the same rank among what was
    numbers = np.stack([tallies[:, own].sum(axis=1) for own in ([0, 1], [3, 4], [5], [7, 8])], axis=1)
    search = Search.start(dtype, asked_quantiles(spec), len(ends))
    while not search.done:
        counter = DigitCounter(search)
        counter.add_equals(ends, numbers)
        for part in partials:
            for channel, kept in kept_pixels(part.arrays):
                counter.add(kept[None], np.array([channel]))
        search = search.refine(counter.counts, tallies[:, BROKEN])
    found, totals = search.values(), np.cumsum(tallies[:, :BROKEN], axis=1)
    for channel in np.flatnonzero(search.totals > 0).tolist():
        for column, quantile in enumerate(search.quantiles[channel]):
            ranks = place(float(quantile), int(search.totals[channel]))[:2]
            bracket = [AT_LOWEST, AT_LOW] if spec.lower is not None and column == 1 else [AT_HIGH, AT_HIGHEST]
            if ends[channel, 1] > ends[channel, 2]:
                bracket = [AT_LOWEST, AT_HIGHEST]
            places = np.searchsorted(totals[channel], ranks, "right").tolist()
            if places[0] < bracket[0] or places[1] > bracket[1]:
                found[channel, column] = np.nan
    with np.errstate(over="ignore"):
        unknown = ~np.isfinite(found.astype(np.float32))
    needed = np.ones(found.shape, bool)
    needed[:, 1 if spec.lower is None else 2 :] = without_range(found, spec)[:, None]
    return found, (overfull | (unknown & needed).any(axis=1)) & tallies.any(axis=1)


def clipped_moments(
    arrays: Mapping[str, AnyArray], ends: Float64, spec: Spec, *, lower: Float64, upper: Float64
) -> Moments:
    """Return the moments of a tissue's transformed pixels, from its bracket pass and the bounds that came of it.

    Parameters
    ----------
    lower, upper
        Clipping bounds, shape (C,); each lies in its bracket, and is NaN for channels that are left out.

    Returns
    -------
    Moments
        Each channel is the merger of two groups (Chan, Golub, LeVeque 1979): the pixels between brackets, shifted and
        scaled if the method scales, and all others, clipped.
    """
    from spora_db.kernels.brackets import ABOVE, AT_HIGHEST, AT_LOWEST, BELOW, BROKEN

    tallies, kept, others = arrays["tallies"], dict(kept_pixels(arrays)), np.zeros((len(ends), 5))
    wide = upper > lower
    for channel in np.flatnonzero(tallies[:, :BROKEN].any(axis=1) & ~np.isnan(upper)).tolist():
        low, high, own = float(lower[channel]), float(upper[channel]), tallies[channel]
        values = np.concatenate([[low, high], ends[channel, [0, 3]], kept.get(channel, [])])
        weights = np.ones(len(values))
        weights[:4] = own[[BELOW, ABOVE, AT_LOWEST, AT_HIGHEST]]
        if not wide[channel]:  # all pixels are clipped to one value
            values, weights = np.array([high]), own[:BROKEN].sum(keepdims=True)
        others[channel] = weighted(values, weights, method=spec.method, lower=low, upper=high)
    between = np.where(wide[:, None], arrays["between"], 0.0)
    if spec.method == "quantile_clipping":
        shift = np.where(between[:, 0] > 0, _origin(ends), lower) - lower
        width = upper - lower + EPSILON
        between /= np.stack([np.ones(len(ends)), width, width**2, width, np.ones(len(ends))], axis=1)
        between[:, [1, 3]] += (shift / width)[:, None]
    merged = Moments.merged(Moments(count=own[:, 0], mean=own[:, 1], squares=own[:, 2]) for own in (between, others))
    both = (between[:, 0] > 0) & (others[:, 0] > 0)
    differ = between[:, 4] + others[:, 4] + (both & (between[:, 3] != others[:, 3]))
    first = np.where(others[:, 0] > 0, others[:, 3], between[:, 3])
    constant = (differ == 0) & np.isfinite(first)
    return Moments(
        count=merged.count, mean=np.where(constant, first, merged.mean), squares=np.where(constant, 0.0, merged.squares)
    )
