"""How the rounds of cohort statistics fold: sparse counts add up, moments merge in sorted order of tissues."""

from collections.abc import Iterable

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.errors import ArgumentError
from spora_db.standardization.usable import usable_channels
from spora_db.statistics import moments, quantiles
from spora_db.statistics.moments import Moments
from spora_db.statistics.plan import Partial, Round, StatisticsPlan
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


def search_of(stage: Round, dtype: str, plan: StatisticsPlan, channels: int) -> Search:
    """Return the search that a round continues, or a new one for the dtype of an image."""
    if stage.kind == "count":
        return Search.start(dtype, asked_quantiles(plan.spec), channels)
    state = stage.state
    return Search(
        dtype=state["dtype"], quantiles=asked_quantiles(plan.spec), depth=state["depth"],
        prefixes=np.array(state["prefixes"], np.uint64), ranks=np.array(state["ranks"], np.int64),
        totals=np.array(state["totals"], np.int64),
    )  # fmt: skip


def after_moments(plan: StatisticsPlan, stage: Round, partials: Iterable[Partial]) -> StatisticsResult:
    """Put the moments of all tissues, and their own quantiles or the global ones, into the result."""
    found = sorted(((part.tissue_id, part.arrays) for part in partials), key=lambda item: item[0])
    own = stage.kind == "tissue"
    rows = [arrays for _, arrays in found] if own else [stage.state]
    upper, lower, used = (np.array([row[name] for row in rows], np.float64) for name in ("upper", "lower", "used"))
    parts = [Moments(count=arrays["count"], mean=arrays["mean"], squares=arrays["squares"]) for _, arrays in found]
    names = tuple(name for name, _ in found)
    pooled = _pooled_usable(plan, parts, upper, lower) if own and parts else None
    return _result(plan, names, upper=upper, lower=lower, used=used, parts=parts, pooled=pooled)


def _pooled_usable(plan: StatisticsPlan, parts: list[Moments], upper: Float64, lower: Float64) -> Moments:
    """Pool the moments of the tissues that keep a channel.

    A tissue whose own figures drop a channel (it is constant there, or its logarithm has no value) is not standardized
    with the pooled ones, so its pixels are not among them. NaN pixels are: they are a fault that has to be mended.
    Where no tissue keeps it, what they have between them is no spread of the channel.
    """
    figures = [lower, upper, *(np.array([getattr(part, name) for part in parts]) for name in ("means", "std"))]
    with np.errstate(over="ignore"):  # samples are float32
        low, high, means, stds = (np.asarray(figure, np.float32) for figure in figures)
    usable = usable_channels(low, high, means, stds, use_mean_std=True, method=plan.spec.method)
    kept = [part.of(where) for part, where in zip(parts, usable | np.isnan(upper), strict=True)]
    pooled, everything = Moments.merged(kept), Moments.merged(parts)
    none = pooled.count == 0
    return Moments(
        count=np.where(none, everything.count, pooled.count),
        mean=np.where(none, everything.mean, pooled.mean),
        squares=np.where(none, sum(part.squares for part in parts), pooled.squares),
    )


def after_counts(plan: StatisticsPlan, stage: Round, partials: Iterable[Partial]) -> Round | StatisticsResult:
    """Add up the counts of all tissues: the result for small integers, else the next digits or the bounds."""
    channels = len(plan.channel_names)
    dtypes = _dtypes(partials) if stage.kind == "count" else {str(stage.state["dtype"])}
    if all(is_small(dtype) for dtype in dtypes):
        return _after_values(plan, partials, channels)
    if len(dtypes) > 1:  # each was counted in its own keys: once more, in those of a dtype that holds all their values
        return _digits(stage, Search.start(np.result_type(*dtypes).name, asked_quantiles(plan.spec), channels))
    search = search_of(stage, next(iter(dtypes)), plan, channels)
    counter = DigitCounter(search)
    for part in partials:
        _unpack(part, counter.counts)
        counter.broken += part.arrays["broken"].astype(np.int64)
    search = search.refine(counter.counts, counter.broken)
    if not search.done:
        return _digits(stage, search)
    figures = zip(("lower", "upper", "used"), bounds(search.values(), plan.spec), strict=True)
    return Round(kind="moments", number=stage.number + 1, state={name: _listed(values) for name, values in figures})


def _digits(stage: Round, search: Search) -> Round:
    state = {
        "dtype": search.dtype, "depth": search.depth, "prefixes": search.prefixes.tolist(),
        "ranks": search.ranks.tolist(), "totals": search.totals.tolist(),
    }  # fmt: skip
    return Round(kind="digits", number=stage.number + 1, state=state)


def _after_values(plan: StatisticsPlan, partials: Iterable[Partial], channels: int) -> StatisticsResult:
    """Fold counts of values, which hold everything: quantiles of all tissues together, then the moments of each."""
    counts = np.zeros((channels, 1, SMALL_BINS), np.int64)
    for part in partials:
        _unpack(part, counts)
    lower, upper, used = bounds(quantiles.of_counts(counts[:, 0], asked_quantiles(plan.spec)), plan.spec)
    found: dict[str, Moments] = {}
    for part in partials:
        counts[:] = 0
        _unpack(part, counts)
        found[part.tissue_id] = moments.of_counts(
            counts[:, 0], SMALL_LOWEST, method=plan.spec.method, lower=lower, upper=upper
        )
    names = tuple(sorted(found))
    parts = [found[name] for name in names]
    return _result(plan, names, upper=upper[None], lower=lower[None], used=used[None], parts=parts)


def _result(
    plan: StatisticsPlan, names: tuple[str, ...], *, upper: Float64, lower: Float64, used: Float64,
    parts: list[Moments], pooled: Moments | None = None,
) -> StatisticsResult:  # fmt: skip
    if not parts:
        raise ArgumentError(f"No tissue has statistics for {str(plan.spec)!r}; nothing can be pooled.")
    return StatisticsResult(
        spec=plan.spec, channel_names=plan.channel_names, tissue_ids=names, upper=upper, lower=lower, used=used,
        means=np.array([part.means for part in parts]), stds=np.array([part.std for part in parts]),
        measured=np.array([part.count > 0 for part in parts]), pooled=pooled or Moments.merged(parts),
    )  # fmt: skip


def _unpack(part: Partial, counts: Int64) -> None:
    arrays = part.arrays
    assert counts.shape[2] in (BINS, SMALL_BINS)
    np.add.at(counts, (arrays["channel"], arrays["prefix"], arrays["bin"]), arrays["number"])


def _dtypes(partials: Iterable[Partial]) -> set[str]:
    """Return the dtypes of all images."""
    found = {str(part.record["dtype"]) for part in partials}
    if not found:
        raise ArgumentError("No tissue was counted; nothing can be pooled.")
    return found


def _listed(values: Float64) -> list[float | None]:
    """List bounds as JSON has them: None for NaN, which reads back as NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
