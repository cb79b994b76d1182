"""The statistics of a plan: what the tables of a spec know of every image and channel, and what becomes of the rest."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa

from spora_db.arrays import Bools, Float32, Int8
from spora_db.catalog import Catalog
from spora_db.errors import StatisticsNotFoundError, counted
from spora_db.plan.panels import PlanPanel
from spora_db.plan.values import SpecValues, read_values
from spora_db.selection import StandardizationChoice
from spora_db.standardization.specs import Spec
from spora_db.standardization.usable import kept_channels, unusable

Values = tuple[Float32 | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelStatistics:
    """What the tables say of a panel of n images and c channels.

    Attributes
    ----------
    values
        Lower, upper, mean and std: float32 arrays of shape (n, c), NaN where unknown, and where the table says NaN;
        None where the spec uses none.
    known
        bool array of shape (2, n, c): whether the tables have the entry's quantiles, and its moments (or none are
        used).
    moment_level
        The level whose means and deviations were looked for.
    reasons
        int8 array of shape (n, c): why the channel cannot be standardized with the values, as numbers of
        `spora_db.standardization.usable.REASONS`; 0 where it can.
    """

    values: Values
    known: Bools
    moment_level: str
    reasons: Int8

    @property
    def usable(self) -> Bools:
        """Whether channels can be standardized with the values: bool array of shape (n, c)."""
        return cast(Bools, self.reasons == 0)

    def kept(self, panel: PlanPanel, standardization: StandardizationChoice) -> Bools:
        """Tell which channels of which images statistics leave: bool array of shape (n, c)."""
        if standardization.missing_statistics == "defer":
            return panel.delivered
        usable = kept_channels(self.reasons, disable_quantile_mask=standardization.disable_quantile_mask)
        return panel.delivered & self.complete & usable

    @property
    def complete(self) -> Bools:
        """Whether all that the spec uses is known: bool array of shape (n, c)."""
        return cast(Bools, self.known.all(axis=0))


def find_statistics(
    panels: Sequence[PlanPanel],
    images: pa.Table,
    *,
    modality: str,
    standardization: StandardizationChoice,
    catalog: Catalog,
) -> list[PanelStatistics]:
    """Return what the tables know of panels of one modality, one by one; with ``missing="global"``, gaps are filled.

    The images are registered as ``plan_images``.
    """
    spec = standardization.parsed(modality)
    used = _used(spec, standardization)
    places = [_place(panel, images) for panel in panels]
    tables = read_values(modality, str(spec), used, catalog)
    fallback = None
    found = []
    for panel, place in zip(panels, places, strict=True):
        values, known = _fetch(panel, place, tables, spec=spec, used=used, stats_level=standardization.stats_level)
        if standardization.missing_statistics == "global" and not known[:, panel.delivered].all():
            # Moments belong to the quantiles that pixels were clipped to: both are taken from one spec.
            spare = _fetch(panel, place, tables, spec=spec, used=used, stats_level="global")
            _fill(values, known, spare, cast(Bools, known[0] & ~known[1] & spare[1].all(axis=0)))
            other = global_spec(spec)
            if fallback is None:
                fallback = read_values(modality, str(other), used, catalog)
            spare = _fetch(panel, place, fallback, spec=other, used=used, stats_level=standardization.stats_level)
            _fill(values, known, spare, cast(Bools, ~known.all(axis=0) & spare[1].all(axis=0)))
        lower, upper, mean, std = values
        assert upper is not None
        reasons = unusable(
            lower, upper, mean, std, use_mean_std=standardization.use_mean_std, method=spec.method,
            on_zero_quantile=spec.on_zero_quantile,
        )  # fmt: skip
        level = tables.moment_level(place, standardization.stats_level) or standardization.stats_level or "global"
        found.append(PanelStatistics(values=values, known=known, moment_level=level, reasons=reasons))
    return found


def statistics_of(
    panels: Mapping[str, Sequence[PlanPanel]], images: pa.Table, standardization: StandardizationChoice,
    catalog: Catalog,
) -> Iterator[tuple[str, PlanPanel, PanelStatistics]]:  # fmt: skip
    """Yield the panels of all modalities whose spec needs statistics, each with what the tables know of it."""
    for modality, own in panels.items():
        if own and standardization.parsed(modality).needs_statistics:
            found = find_statistics(own, images, modality=modality, standardization=standardization, catalog=catalog)
            for panel, statistics in zip(own, found, strict=True):
                yield modality, panel, statistics


def global_spec(spec: Spec) -> Spec:
    """Return the spec whose quantiles are those of all tissues together; older names have one folder for both levels.

    Examples
    --------
    >>> from spora_db.standardization.specs import parse_spec
    >>> str(global_spec(parse_spec("quantile_clipping/uq_0.99_image")))
    'quantile_clipping/uq_0.99_global'
    """
    return replace(spec, quantile_level="global", text=re.sub("_image$", "_global", spec.text))


def absent_statistics(
    first: Mapping[str, str | float], *, channels: int, tissues: int, moment_level: str | None, spec: Spec,
    standardization: StandardizationChoice,
) -> StatisticsNotFoundError:  # fmt: skip
    """Build the error for statistics that no table has.

    Parameters
    ----------
    first
        ``dataset, modality, mpp, tissue_id, channel_name`` of the first that are missing.
    channels, tissues
        Number of channels that lack some, summed over tissues, and of these tissues.
    moment_level
        The level of the moments that the first lacks; None where it lacks its quantiles.
    spec, standardization
        What was asked for.
    """
    files = f"{spec.quantile_level}_level_{'' if spec.lower is None else 'lower_quantiles and '}upper_quantiles"
    if moment_level is not None:
        files = f"{moment_level}_level_means and stds"
    chosen = standardization.missing_statistics
    nor = f" nor under {global_spec(spec)}" if chosen == "global" else ""
    left = "; they would be left without a channel" if chosen == "drop_channel" else ""
    others = " or ".join(repr(name) for name in ("drop_channel", "drop_tissue", "global") if name != chosen)
    return StatisticsNotFoundError(
        f"No {files} for channel {first['channel_name']!r} of tissue {first['tissue_id']!r} under "
        f"{first['dataset']}/{first['modality']}/.../standardization/{spec}{nor} ({counted(channels, 'channel')} in "
        f"{counted(tissues, 'tissue')}{left}; query.coverage() lists them). What there is: SELECT DISTINCT dataset, "
        f"modality, mpp, spec, level FROM standardization_stats. Choose what becomes of them: "
        f"standardize(missing={others}), or make them with: spora-db standardize LAKE "
        f"--dataset {shlex.quote(str(first['dataset']))} --modality {first['modality']} --mpp {first['mpp']} "
        f"--method {spec.method} --upper-quantile {spec.upper}"
        f"{'' if spec.lower is None else f' --lower-quantile {spec.lower}'} --quantile-level {spec.quantile_level} "
        f"{'' if spec.on_zero_quantile is None else f'--on-zero-quantile {spec.on_zero_quantile} '}"
        f"{'--stats-level image ' if moment_level == 'image' else ''}"
        "(--overwrite replaces tables that are there already)"
    )


def _used(spec: Spec, standardization: StandardizationChoice) -> tuple[str | None, ...]:
    """Return the names of the tables of lower, upper, mean and std; None where the spec uses none."""
    moments = ("means", "stds") if standardization.use_mean_std else (None, None)
    return (None if spec.lower is None else "lower_quantiles", "upper_quantiles", *moments)


def _place(panel: PlanPanel, images: pa.Table) -> tuple[str, float]:
    record = images.slice(panel.first, 1).to_pylist()[0]
    return record["dataset"], record["mpp"]


def _fetch(
    panel: PlanPanel, place: tuple[str, float], tables: SpecValues, *, spec: Spec, used: tuple[str | None, ...],
    stats_level: str | None,
) -> tuple[Values, Bools]:  # fmt: skip
    """Return the statistics of a panel, and whether its quantiles and moments are known (2, n, c)."""
    shape = panel.page.shape
    values: list[Float32 | None] = []
    known = np.zeros((2, *shape), np.bool_)
    levels = (spec.quantile_level, tables.moment_level(place, stats_level))
    for half, level in enumerate(levels):
        statistics = used[2 * half : 2 * half + 2]
        table = tables.levels.get(place, {}).get(level or "")
        if statistics[1] is None:
            known[half] = True
        elif table is not None:
            known[half] = np.all([table.known(name, panel) for name in statistics if name], axis=0)
        for name in statistics:
            if name is None:
                values.append(None)
            elif table is None:
                values.append(np.full(shape, np.nan, np.float32))
            else:
                values.append(table.take(name, panel))
    return tuple(values), known


def _fill(values: Values, known: Bools, spare: tuple[Values, Bools], where: Bools) -> None:
    """Put the values of another table where the first has none."""
    for own, other in zip(values, spare[0], strict=True):
        if own is not None and other is not None:
            own[where] = other[where]
    known[:, where] = spare[1][:, where]
