"""How the rounds of cohort statistics fold: sparse counts add up, moments merge in sorted order of tissues."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spora_db.errors import ArgumentError, FileFormatError
from spora_db.statistics import moments, quantiles
from spora_db.statistics.moments import Moments
from spora_db.statistics.plan import Partial, Round, StatisticsPlan
from spora_db.statistics.quantiles import BINS, SMALL_BINS, SMALL_LOWEST, DigitCounter, Search
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.tissue import asked_quantiles, bounds, is_small

Counts: TypeAlias = npt.NDArray[np.int64]
Reals: TypeAlias = npt.NDArray[np.float64]


def pack_counts(counts: Counts, present: Counts) -> dict[str, npt.NDArray[Any]]:
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
    if own:
        upper, lower = (np.array([arrays[name] for _, arrays in found]) for name in ("upper", "lower"))
    else:
        upper, lower = (np.array([stage.state[name]], np.float64) for name in ("upper", "lower"))
    parts = [Moments(count=arrays["count"], mean=arrays["mean"], squares=arrays["squares"]) for _, arrays in found]
    return _result(plan, tuple(name for name, _ in found), upper=upper, lower=lower, parts=parts)


def after_counts(plan: StatisticsPlan, stage: Round, partials: Iterable[Partial]) -> Round | StatisticsResult:
    """Add up the counts of all tissues: the result for small integers, else the next digits or the bounds."""
    dtype = _common_dtype(partials)
    channels = len(plan.channel_names)
    if is_small(dtype):
        return _after_values(plan, partials, channels)
    search = search_of(stage, dtype, plan, channels)
    counter = DigitCounter(search)
    for part in partials:
        _unpack(part, counter.counts)
        counter.broken += part.arrays["broken"].astype(np.int64)
    search = search.refine(counter.counts, counter.broken)
    if not search.done:
        state = {
            "dtype": search.dtype, "depth": search.depth, "prefixes": search.prefixes.tolist(),
            "ranks": search.ranks.tolist(), "totals": search.totals.tolist(),
        }  # fmt: skip
        return Round(kind="digits", number=stage.number + 1, state=state)
    lower, upper = bounds(search.values())
    return Round(kind="moments", number=stage.number + 1, state={"lower": _listed(lower), "upper": _listed(upper)})


def _after_values(plan: StatisticsPlan, partials: Iterable[Partial], channels: int) -> StatisticsResult:
    """Fold counts of values, which hold everything: quantiles of all tissues together, then the moments of each."""
    counts = np.zeros((channels, 1, SMALL_BINS), np.int64)
    for part in partials:
        _unpack(part, counts)
    lower, upper = bounds(quantiles.of_counts(counts[:, 0], asked_quantiles(plan.spec)))
    found: dict[str, Moments] = {}
    for part in partials:
        counts[:] = 0
        _unpack(part, counts)
        found[part.tissue_id] = moments.of_counts(
            counts[:, 0], SMALL_LOWEST, method=plan.spec.method, lower=lower, upper=upper
        )
    names = tuple(sorted(found))
    return _result(plan, names, upper=upper[None], lower=lower[None], parts=[found[name] for name in names])


def _result(
    plan: StatisticsPlan, names: tuple[str, ...], *, upper: Reals, lower: Reals, parts: list[Moments]
) -> StatisticsResult:
    if not parts:
        message = f"No tissue has statistics for {str(plan.spec)!r}; nothing can be pooled."
        raise ArgumentError(message)
    return StatisticsResult(
        spec=plan.spec, channel_names=plan.channel_names, tissue_ids=names, upper=upper, lower=lower,
        means=np.array([part.means for part in parts]), stds=np.array([part.std for part in parts]),
        pooled=Moments.merged(parts),
    )  # fmt: skip


def _unpack(part: Partial, counts: Counts) -> None:
    arrays = part.arrays
    assert counts.shape[2] in (BINS, SMALL_BINS)
    np.add.at(counts, (arrays["channel"], arrays["prefix"], arrays["bin"]), arrays["number"])


def _common_dtype(partials: Iterable[Partial]) -> str:
    """Return the dtype that all images share; 8- and 16-bit integers go together."""
    kinds: dict[str, str] = {}
    for part in partials:
        dtype = str(part.record["dtype"])
        kinds.setdefault("16-bit integers" if is_small(dtype) else dtype, f"{part.tissue_id} ({dtype})")
    if len(kinds) > 1:
        message = f"Pixels of {' and '.join(kinds)} have no common quantiles: {', '.join(kinds.values())}."
        raise FileFormatError(message)
    if not kinds:
        message = "No tissue was counted; nothing can be pooled."
        raise ArgumentError(message)
    kind = next(iter(kinds))
    return "uint16" if kind == "16-bit integers" else kind


def _listed(values: Reals) -> list[float | None]:
    """List bounds as JSON has them: None for NaN, which reads back as NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
