"""The rounds of cohort statistics and how they fold: counts add up, moments merge in sorted order of tissues."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64, Int64
from spora_db.errors import ArgumentError
from spora_db.standardization.usable import unusable
from spora_db.statistics import brackets, moments, quantiles
from spora_db.statistics.moments import Moments
from spora_db.statistics.plan import Partial, Round, RoundKind, StatisticsPlan
from spora_db.statistics.quantiles import BINS, SMALL_BINS, SMALL_LOWEST
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.search import DigitCounter, Search
from spora_db.statistics.tissue import asked_quantiles, bounds, is_small


def pack_counts(counts: Int64, present: Int64) -> dict[str, AnyArray]:
    """Keep the bins that are not empty.

    Parameters
    ----------
    counts
        int64 array of shape (measured channels, prefixes, bins).
    present
        Positions of these channels in the panel.
    """
    channel, prefix, value = np.nonzero(counts)
    return {
        "channel": present[channel].astype(np.int32),
        "prefix": prefix.astype(np.int8),
        "bin": value.astype(np.int32),
        "number": counts[channel, prefix, value],
    }


def search_of(stage: Round, plan: StatisticsPlan) -> Search:
    """Return the search that a round continues."""
    state, asked = stage.state, asked_quantiles(plan.spec)
    return Search(
        dtype=state["dtype"], quantiles=np.broadcast_to(asked, (len(plan.channel_names), len(asked))),
        depth=state["depth"], prefixes=np.array(state["prefixes"], np.uint64),
        ranks=np.array(state["ranks"], np.int64), totals=np.array(state["totals"], np.int64),
    )  # fmt: skip


class Rounds:
    """The rounds of a plan: which is next, and what is known after those before, in memory of a few numbers a tissue.

    Parameters
    ----------
    plan
        What is computed.

    Attributes
    ----------
    stage
        What is computed of every tissue next.
    """

    def __init__(self, plan: StatisticsPlan) -> None:
        channels = len(plan.channel_names)
        self.plan, self.stage = plan, Round(kind="tissue" if plan.spec.quantile_level == "image" else "sample")
        self._bounds = np.full((3, channels), np.nan)
        self._moments: dict[str, Moments] = {}

    def fold(self, partials: Iterable[Partial]) -> StatisticsResult | None:
        """Fold what the round found of all tissues: the result after the last one, else the next stage is set.

        Parameters
        ----------
        partials
            One per tissue, in any order. It may be iterated more than once; one that loads its items while it is
            iterated keeps memory constant in the number of tissues. Arrays are asked for by name, and not after the
            next partial is.

        Raises
        ------
        ArgumentError
            If there are no partials.
        """
        if not any(True for _ in partials):
            raise ArgumentError(f"No tissue has statistics for {str(self.plan.spec)!r}; nothing can be pooled.")
        steps = {"tissue": self._after_tissues, "sample": self._after_sample, "bracket": self._after_brackets,
                 "digits": self._after_digits, "moments": self._after_moments}  # fmt: skip
        return steps[self.stage.kind](partials)

    def _next(self, kind: RoundKind, state: Mapping[str, Any]) -> None:
        self.stage = Round(kind=kind, number=self.stage.number + 1, state=state)

    def _search(self, search: Search, channels: list[int]) -> None:
        """Search these channels digit by digit."""
        known = {name: getattr(search, name).tolist() for name in ("prefixes", "ranks", "totals")}
        self._next("digits", {"dtype": search.dtype, "depth": search.depth, "channels": channels, **known})

    def _after_tissues(self, partials: Iterable[Partial]) -> StatisticsResult:
        found = {part.tissue_id: dict(part.arrays) for part in partials}
        parts = [_moments(found[name]) for name in sorted(found)]
        figures = np.array([[found[tissue][name] for tissue in sorted(found)] for name in ("lower", "upper", "used")])
        pooled = _pooled_usable(self.plan, parts, upper=figures[1], lower=figures[0])
        return self._result(tuple(sorted(found)), figures, parts, pooled)

    def _after_sample(self, partials: Iterable[Partial]) -> StatisticsResult | None:
        """Take counts of all values for the result, or go on with brackets; for images of several dtypes, search."""
        dtypes = {str(part.record["dtype"]) for part in partials}
        if all(is_small(dtype) for dtype in dtypes):
            return self._after_values(partials)
        channels, asked = range(len(self.plan.channel_names)), asked_quantiles(self.plan.spec)
        if len(dtypes) > 1:  # each was sampled as it is: all are counted as a dtype that holds all their values
            self._search(Search.start(np.result_type(*dtypes).name, asked, len(channels)), list(channels))
        else:
            ends = brackets.ends_of(partials, self.plan.spec, dtype=dtypes.pop(), channels=len(channels))
            self._next("bracket", {"ends": ends.tolist()})
        return None

    def _after_values(self, partials: Iterable[Partial]) -> StatisticsResult:
        """Fold counts of values, which hold everything: quantiles of all tissues together, then the moments of each."""
        counts = np.zeros((len(self.plan.channel_names), 1, SMALL_BINS), np.int64)
        for part in partials:
            _unpack(part, counts)
        self._settle(quantiles.of_counts(counts[:, 0], asked_quantiles(self.plan.spec)), slice(None))
        lower, upper, _ = self._bounds
        for part in partials:
            counts[:] = 0
            _unpack(part, counts)
            self._moments[part.tissue_id] = moments.of_counts(
                counts[:, 0], SMALL_LOWEST, method=self.plan.spec.method, lower=lower, upper=upper
            )
        return self._done()

    def _after_brackets(self, partials: Iterable[Partial]) -> StatisticsResult | None:
        ends, dtype = np.array(self.stage.state["ends"]), str(next(iter(partials)).record["dtype"])
        found, missed = brackets.find(partials, ends, self.plan.spec, dtype=dtype)
        self._settle(found[~missed], ~missed)
        lower, upper, _ = self._bounds
        for part in partials:
            self._moments[part.tissue_id] = brackets.clipped_moments(
                part.arrays, ends, self.plan.spec, lower=lower, upper=upper
            )
        if not missed.any():
            return self._done()
        self._search(Search.start(dtype, asked_quantiles(self.plan.spec), len(missed)), np.flatnonzero(missed).tolist())
        return None

    def _after_digits(self, partials: Iterable[Partial]) -> None:
        search = search_of(self.stage, self.plan)
        counter = DigitCounter(search)
        for part in partials:
            _unpack(part, counter.counts)
            counter.broken += part.arrays["broken"].astype(np.int64)
        search, channels = search.refine(counter.counts, counter.broken), self.stage.state["channels"]
        if not search.done:
            return self._search(search, channels)
        self._settle(search.values()[channels], channels)
        lower, upper, _ = self._bounds
        return self._next("moments", {"channels": channels, "lower": _listed(lower), "upper": _listed(upper)})

    def _after_moments(self, partials: Iterable[Partial]) -> StatisticsResult:
        searched = np.isin(np.arange(len(self.plan.channel_names)), self.stage.state["channels"])
        before, self._moments = self._moments, {}  # some of the tissues may have failed since
        for part in partials:
            own = _moments(part.arrays)
            kept = before.get(part.tissue_id, own)
            self._moments[part.tissue_id] = Moments.merged([kept.of(~searched), own.of(searched)])
        return self._done()

    def _settle(self, found: Float64, channels: "slice | Bools | list[int]") -> None:
        """Take the quantiles of some channels for their bounds."""
        self._bounds[:, channels] = bounds(found, self.plan.spec)

    def _done(self) -> StatisticsResult:
        names = sorted(self._moments)
        return self._result(tuple(names), self._bounds[:, None], [self._moments[name] for name in names])

    def _result(
        self, names: tuple[str, ...], figures: Float64, parts: list[Moments], pooled: Moments | None = None
    ) -> StatisticsResult:
        lower, upper, used = figures
        return StatisticsResult(
            spec=self.plan.spec, channel_names=self.plan.channel_names, tissue_ids=names, upper=upper, lower=lower,
            used=used, means=np.array([part.means for part in parts]), stds=np.array([part.std for part in parts]),
            measured=np.array([part.count > 0 for part in parts]), pooled=pooled or Moments.merged(parts),
        )  # fmt: skip


def _moments(arrays: Mapping[str, AnyArray]) -> Moments:
    return Moments(count=arrays["count"], mean=arrays["mean"], squares=arrays["squares"])


def _pooled_usable(plan: StatisticsPlan, parts: list[Moments], *, upper: Float64, lower: Float64) -> Moments:
    """Pool the moments of the tissues that keep a channel.

    A tissue whose own figures drop a channel (it is constant there, or its logarithm has no value) is not standardized
    with the pooled ones, so its pixels are not among them. NaN pixels are: they are a fault that has to be mended.
    Where no tissue keeps it, what they have between them is no spread of the channel.
    """
    figures = [lower, upper, *(np.array([getattr(part, name) for part in parts]) for name in ("means", "std"))]
    with np.errstate(over="ignore"):  # samples are float32
        low, high, means, stds = (np.asarray(figure, np.float32) for figure in figures)
    usable = unusable(low, high, means, stds, use_mean_std=True, method=plan.spec.method) == 0
    kept = [part.of(where) for part, where in zip(parts, usable | np.isnan(upper), strict=True)]
    pooled, everything = Moments.merged(kept), Moments.merged(parts)
    none = pooled.count == 0
    return Moments(
        count=np.where(none, everything.count, pooled.count),
        mean=np.where(none, everything.mean, pooled.mean),
        squares=np.where(none, sum(part.squares for part in parts), pooled.squares),
    )


def _unpack(part: Partial, counts: Int64) -> None:
    arrays = part.arrays
    assert counts.shape[2] in (BINS, SMALL_BINS)
    np.add.at(counts, (arrays["channel"], arrays["prefix"], arrays["bin"]), arrays["number"])


def _listed(values: Float64) -> list[float | None]:
    """List bounds as JSON has them: None for NaN, which reads back as NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
