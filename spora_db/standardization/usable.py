"""Which channels of a tissue can be standardized with the statistics there are; why the others cannot; what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from spora_db.arrays import Bools, Int8
from spora_db.errors import ArgumentError
from spora_db.standardization.methods import RGB_PRESETS
from spora_db.standardization.specs import ZeroQuantile

KEEP: Final = (
    "keep such channels with standardize(disable_quantile_mask=True), take the standardization 'identity', or leave "
    "them out with channels(exclude=)"
)
"""What can be done about any channel that statistics drop."""

ANEW: Final = f"mend such pixels and compute statistics anew, or {KEEP}"

FAULTS: Final[tuple[tuple[str, str], ...]] = (
    ("", ""),
    (
        "the upper quantile is 0",
        "say what becomes of such channels (spora-db standardize --on-zero-quantile raise-quantile, max or drop, which "
        f"makes another spec), compute statistics of a higher quantile (--upper-quantile 0.999), or {KEEP}",
    ),
    (
        "the upper quantile is negative",
        f"add what was subtracted from the pixels and compute statistics anew, or {KEEP}",
    ),
    ("the upper quantile is NaN, infinite or beyond float32", ANEW),
    ("the lower quantile is NaN, infinite or beyond float32", ANEW),
    (
        "the lower quantile is -1 or less, where log1p has no value",
        f"take quantile_clipping, or no lower quantile, or {KEEP}",
    ),
    ("the mean or the standard deviation is NaN, infinite or beyond float32", ANEW),
    ("the standard deviation is 0: the channel is constant", KEEP),
    (
        "the spec has no bound for it, so that it counts as not measured",
        "take the standardization 'identity', or a spec that raises such quantiles (spora-db standardize "
        "--on-zero-quantile raise-quantile) unless the channel is zero throughout",
    ),
)
"""Why a channel cannot be standardized, by the numbers of `unusable`, and what to do about it.

``sql/checks/statistics_dropped.sql`` says the same of tables, in words of its own; a test compares the two.
"""
REASONS: Final = tuple(reason for reason, _ in FAULTS)
REMEDIES: Final[Mapping[str, str]] = dict(FAULTS[1:])
UNMEASURED: Final = 8
"""The reason that holds even where unusable channels are kept."""


def unusable(
    lower: npt.ArrayLike | None, upper: npt.ArrayLike, mean: npt.ArrayLike | None = None,
    std: npt.ArrayLike | None = None, *, use_mean_std: bool, method: str, on_zero_quantile: ZeroQuantile | None = None,
) -> Int8:  # fmt: skip
    """Return why channels of a tissue cannot be standardized, as numbers of `REASONS`; 0 for those that can.

    A channel is usable when its upper bound is finite and positive, its lower bound finite (above -1 for log1p, which
    has no value below) and, where mean and standard deviation are used, these are finite and the standard deviation is
    positive. For ``identity`` and RGB, all channels.

    Parameters
    ----------
    lower, upper
        Clipping bounds, shape (..., C); no lower bound means zero.
    mean, std
        Mean and standard deviation, shape (..., C); needed where ``use_mean_std``.
    use_mean_std
        Whether mean and standard deviation are applied.
    method
        The method of the spec; for ``identity`` and RGB every channel will do.
    on_zero_quantile
        The answer of the spec; with one, a channel whose upper bound is 0 counts as not measured.

    Returns
    -------
    int8 array of shape (..., C)

    Examples
    --------
    >>> numbers = unusable(None, [3.0, 0.0, float("nan")], use_mean_std=False, method="quantile_clipping")
    >>> [REASONS[number] for number in numbers]
    ['', 'the upper quantile is 0', 'the upper quantile is NaN, infinite or beyond float32']
    """
    bound = np.asarray(upper, dtype=np.float64)
    found = np.zeros(bound.shape, np.int8)
    if method in RGB_PRESETS or method == "rgb":
        return found
    if use_mean_std:
        if mean is None or std is None:
            raise ArgumentError("unusable(use_mean_std=True) needs mean and std.")
        centre, spread = (np.asarray(part, dtype=np.float64) for part in (mean, std))
        found[~(spread > 0)] = 7
        found[~(np.isfinite(centre) & np.isfinite(spread))] = 6
    if lower is not None:
        below = np.asarray(lower, dtype=np.float64)
        if method == "quantile_clipping_log1p":
            found[below <= -1] = 5
        found[~np.isfinite(below)] = 4
    found[bound == 0] = 1 if on_zero_quantile is None else UNMEASURED
    found[bound < 0] = 2
    found[~np.isfinite(bound)] = 3
    return found


def kept_channels(reasons: Int8, *, disable_quantile_mask: bool) -> Bools:
    """Return which channels are delivered, given why they cannot be standardized.

    Parameters
    ----------
    reasons
        Numbers of `REASONS`, of any shape.
    disable_quantile_mask
        Whether those that cannot are delivered all the same, but for those that count as not measured.

    Examples
    --------
    >>> kept_channels(np.array([0, 1, UNMEASURED], np.int8), disable_quantile_mask=True)
    array([ True,  True, False])
    """
    kept: Bools = (reasons != UNMEASURED) if disable_quantile_mask else (reasons == 0)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A channel that some tissues of a cohort cannot deliver.

    Attributes
    ----------
    channel
        Its name.
    reason
        One of `REASONS`.
    tissues, of
        How many tissues lack it, of how many that measured it.
    first
        The first three of these tissues.
    """

    channel: str
    reason: str
    tissues: int
    of: int
    first: tuple[str, ...]


def find_dropped(
    names: Sequence[str], tissue_ids: Sequence[str], numbers: Int8, measured: Bools
) -> tuple[Dropped, ...]:
    """Count which channels statistics drop, and why.

    Parameters
    ----------
    names
        The C channels.
    tissue_ids
        The tissues.
    numbers
        Numbers of `REASONS`, shape (tissues, C).
    measured
        bool array of the same shape: the channels that the tissues have.

    Examples
    --------
    >>> find_dropped(["CD3"], ["a", "b"], np.array([[1], [0]], np.int8), np.ones((2, 1), bool))
    (Dropped(channel='CD3', reason='the upper quantile is 0', tissues=1, of=2, first=('a',)),)
    """
    found = []
    for column, name in enumerate(names):
        there = numbers[measured[:, column], column]
        for number in np.unique(there[there > 0]).tolist():
            rows = np.flatnonzero((numbers[:, column] == number) & measured[:, column]).tolist()
            first = tuple(tissue_ids[row] for row in rows[:3])
            found.append(Dropped(channel=name, reason=REASONS[number], tissues=len(rows), of=len(there), first=first))
    return tuple(found)


def dropped_sentence(dropped: Sequence[Dropped]) -> str:
    """Return one line that names channels, each with why it is dropped, and says what to do.

    Examples
    --------
    >>> gone = Dropped(channel="CD3", reason=REASONS[1], tissues=4, of=14, first=("a", "b", "c"))
    >>> print(dropped_sentence([gone]))  # doctest: +ELLIPSIS
    samples lack CD3 (in 4 of 14 tissues: a, b, c, ...), because the upper quantile is 0. What to do: say what ...
    """
    by_reason: dict[str, list[str]] = {}
    for item in dropped:
        listed = f"{', '.join(item.first)}{', ...' if item.tissues > len(item.first) else ''}"
        where = "" if item.tissues == item.of else f" (in {item.tissues:,} of {item.of:,} tissues: {listed})"
        by_reason.setdefault(item.reason, []).append(item.channel + where)
    parts = [f"{', '.join(channels)}, because {reason}" for reason, channels in by_reason.items()]
    remedies = dict.fromkeys(REMEDIES[reason] for reason in by_reason)
    return f"samples lack {'; and '.join(parts)}. What to do: {'; or: '.join(remedies)}"
