"""The statistics of a cohort as the published tables, written whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from spora_db.arrays import Bools, Float64
from spora_db.errors import unknown
from spora_db.standardization.specs import LEVELS, Spec
from spora_db.standardization.usable import Dropped, find_dropped, unusable
from spora_db.statistics.moments import Moments

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """A channel whose upper quantile is not above 0, so that a greater one stands in for it.

    Attributes
    ----------
    channel
        Its name.
    quantile
        What stands in.
    tissues, of
        In how many tissues, of how many that measured it.
    """

    channel: str
    quantile: float
    tissues: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatisticsResult:
    """The statistics of a cohort under one spec.

    Parameters
    ----------
    spec
        The standardization.
    channel_names
        The C channels of the panel.
    tissue_ids
        The T tissues, sorted.
    upper, lower
        Quantiles in raw pixel values, float64 of shape (T, C) at image level, (1, C) at global level; NaN where a
        tissue lacks the channel. ``lower`` is zero where the spec has no lower quantile.
    used
        The quantile that each upper one is, of the same shape: that of the spec, or what stands in for it.
    means, stds
        Of each tissue's transformed pixels, float64 of shape (T, C).
    measured
        Which tissues have pixels of which channel, bool of shape (T, C).
    pooled
        Moments of all tissues together.
    failures
        Why tissues are missing, by tissue.
    """

    spec: Spec
    channel_names: tuple[str, ...]
    tissue_ids: tuple[str, ...]
    upper: Float64
    lower: Float64
    used: Float64
    means: Float64
    stds: Float64
    measured: Bools
    pooled: Moments
    failures: Mapping[str, str] = field(default_factory=dict)

    def with_failures(self, failures: Mapping[str, str]) -> "StatisticsResult":
        """Return the result with the reasons of missing tissues."""
        return replace(self, failures=dict(failures))

    def tables(self, *, stats_levels: Sequence[str] = LEVELS) -> "dict[str, pa.Table]":
        """Return the published tables by file name.

        Float64: quantiles are exact and moments good to 1e-12. Published tables hold float32; readers take both.

        Parameters
        ----------
        stats_levels
            Levels of means and standard deviations: ``"image"``, ``"global"`` or both.

        Raises
        ------
        UnknownNameError
            For another level.
        """
        for level in stats_levels:
            if level not in LEVELS:
                raise unknown("statistics level", level, LEVELS)
        kinds = {f"{self.spec.quantile_level}_level_upper_quantiles": self.upper}
        if self.spec.lower is not None:
            kinds[f"{self.spec.quantile_level}_level_lower_quantiles"] = self.lower
        if "image" in stats_levels:
            kinds |= {"image_level_means": self.means, "image_level_stds": self.stds}
        if "global" in stats_levels:
            kinds |= {"global_level_means": self.pooled.means[None], "global_level_stds": self.pooled.std[None]}
        return {f"{kind}.parquet": self._table(kind, values) for kind, values in kinds.items()}

    def dropped(self, *, stats_levels: Sequence[str] = LEVELS) -> tuple[Dropped, ...]:
        """Return the channels that samples of some tissues will lack under these statistics, and why.

        Parameters
        ----------
        stats_levels
            The levels of means and standard deviations that are there; global ones go first, as where samples are made.
        """
        moments = (
            (self.pooled.means[None], self.pooled.std[None]) if "global" in stats_levels else (self.means, self.stds)
        )
        lower = None if self.spec.lower is None else self.lower
        with np.errstate(over="ignore"):  # samples are float32
            figures = [
                None if figure is None else np.broadcast_to(figure, self.measured.shape).astype(np.float32)
                for figure in (lower, self.upper, *moments)
            ]
        low, high, mean, std = figures
        assert high is not None
        numbers = unusable(
            low, high, mean, std, use_mean_std=True, method=self.spec.method,
            on_zero_quantile=self.spec.on_zero_quantile,
        )  # fmt: skip
        return find_dropped(self.channel_names, self.tissue_ids, numbers, self.measured)

    def raised(self) -> tuple[Raised, ...]:
        """Return the channels whose upper quantile another one stands in for."""
        used, found = np.broadcast_to(self.used, self.measured.shape), []
        for channel, name in enumerate(self.channel_names):
            own = used[self.measured[:, channel], channel]
            shares, counts = np.unique(own[own != self.spec.upper], return_counts=True)
            found += [
                Raised(channel=name, quantile=share, tissues=count, of=len(own))
                for share, count in zip(shares.tolist(), counts.tolist(), strict=True)
            ]
        return tuple(found)

    def _table(self, kind: str, values: Float64) -> "pa.Table":
        """Lay a table out as pandas writes it: at image level the tissue ids are the unnamed index, the last column."""
        import pandas as pd
        import pyarrow as pa

        index = list(self.tissue_ids) if kind.startswith("image_level") else None
        return pa.Table.from_pandas(pd.DataFrame(values, index=index, columns=list(self.channel_names)))
