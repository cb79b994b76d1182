"""The statistics of a plan: what the tables of a spec know of every image and channel, and what becomes of the rest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from spora_db.catalog import Catalog
from spora_db.errors import StatisticsNotFoundError
from spora_db.plan.values import Integers, read_values
from spora_db.selection import StandardizationChoice
from spora_db.standardization.specs import Spec
from spora_db.standardization.standardize import usable_channels

Flags = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

STATISTICS = (("lower_quantiles", "upper_quantiles"), ("means", "stds"))
TOLD_BY = ("upper_quantiles", "means")
"""The tables that every spec has, and that therefore tell whether quantiles, and moments, are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the tables say of n entries, each an image and a channel.

    Attributes
    ----------
    values
        float32 array of shape (4, n): lower, upper, mean and std; NaN where unknown, and where the table says NaN.
    known
        bool array of shape (2, n): whether the tables have the entry's quantiles, and its moments (or none are used).
    usable
        bool array of shape (n,): whether the channel can be standardized with the values.
    """

    values: Float32
    known: Flags
    usable: Flags

    @property
    def complete(self) -> Flags:
        """Whether all that the spec uses is known: bool array of shape (n,)."""
        return cast(Flags, self.known.all(axis=0))


def find_statistics(
    image: Integers, index: Integers, *, modality: str, choice: StandardizationChoice, catalog: Catalog
) -> Found:
    """Return the statistics of channels of the registered ``plan_images``; with ``missing="global"``, gaps are filled.

    Parameters
    ----------
    image, index
        Integer arrays of shape (n,): number of the image, position of the channel in its panel.
    modality
        Modality of all these images.
    choice
        The spec and its options.
    catalog
        The lake.
    """
    spec = choice.parsed(modality)
    values, known = _fetch(image, index, spec=spec, modality=modality, choice=choice, catalog=catalog)
    if choice.missing_statistics == "global" and not known.all():
        # Moments belong to the quantiles that pixels were clipped to: both are taken from one spec.
        own = replace(choice, stats_level="global")
        spare = _fetch(image, index, spec=spec, modality=modality, choice=own, catalog=catalog)
        take = known[0] & ~known[1] & spare[1].all(axis=0)
        values[:, take], known[:, take] = spare[0][:, take], spare[1][:, take]
        spare = _fetch(image, index, spec=global_spec(spec), modality=modality, choice=choice, catalog=catalog)
        take = ~known.all(axis=0) & spare[1].all(axis=0)
        values[:, take], known[:, take] = spare[0][:, take], spare[1][:, take]
    lower, upper, mean, std = values
    usable = usable_channels(
        None if spec.lower is None else lower, upper, mean, std, use_mean_std=choice.use_mean_std, method=spec.method
    )
    return Found(values=values, known=known, usable=usable)


def global_spec(spec: Spec) -> Spec:
    """Return the spec whose quantiles are those of all tissues together; older names have one folder for both levels.

    Examples
    --------
    >>> from spora_db.standardization.specs import parse_spec
    >>> str(global_spec(parse_spec("quantile_clipping/uq_0.99_image")))
    'quantile_clipping/uq_0.99_global'
    """
    return replace(spec, quantile_level="global", text=re.sub("_image$", "_global", spec.text))


def missing_statistics(
    found: Found, *, first: Mapping[str, str | float], tissues: int, spec: Spec, choice: StandardizationChoice
) -> StatisticsNotFoundError:
    """Build the error for statistics that no table has.

    Parameters
    ----------
    found
        What the tables say.
    first
        ``dataset, modality, mpp, tissue_id, channel_name`` of the first entry that is not complete.
    tissues
        Number of tissues with such entries.
    spec, choice
        What was asked for.
    """
    place = int(np.flatnonzero(~found.complete)[0])
    files = f"{spec.quantile_level}_level_upper_quantiles"
    if found.known[0, place]:
        files = f"{choice.stats_level or 'global'}_level_means and stds"
    nor = f" nor under {global_spec(spec)}" if choice.missing_statistics == "global" else ""
    channels = int((~found.complete).sum())
    return StatisticsNotFoundError(
        f"No {files} for channel {first['channel_name']!r} of tissue {first['tissue_id']!r} under "
        f"{first['dataset']}/{first['modality']}/.../standardization/{spec}{nor} ({channels} channels in {tissues} "
        "tissues; query.coverage() lists them). What there is: SELECT DISTINCT dataset, modality, mpp, spec, level "
        "FROM standardization_stats. Choose what becomes of them: standardize(missing='drop_channel', 'drop_tissue' "
        f"or 'global'), or make them with: spora-db standardize LAKE --dataset {first['dataset']} "
        f"--modality {first['modality']} --mpp {first['mpp']} --method {spec.method} --upper-quantile {spec.upper} "
        f"--quantile-level {spec.quantile_level}"
    )


def _fetch(
    image: Integers, index: Integers, *, spec: Spec, modality: str, choice: StandardizationChoice, catalog: Catalog
) -> tuple[Float32, Flags]:
    """Return lower, upper, mean, std of every entry (4, n), and whether its quantiles and moments are known (2, n)."""
    tables = read_values(modality, str(spec), catalog)
    values = np.full((4, len(image)), np.nan, np.float32)
    known = np.zeros((2, len(image)), np.bool_)
    known[1] = not choice.use_mean_std
    places = list(tables.places)
    place_of = np.full(int(image.max(initial=-1)) + 1, -1, np.int64)
    for number, place in enumerate(places):
        own = tables.places[place]
        place_of[own[own < len(place_of)]] = number
    order = np.argsort(place_of[image], kind="stable")
    cuts = np.searchsorted(place_of[image[order]], np.arange(len(places) + 1))
    for number, place in enumerate(places):
        at = order[cuts[number] : cuts[number + 1]]
        levels = (spec.quantile_level, tables.moment_level(place, choice.stats_level))
        for half, (level, statistics) in enumerate(zip(levels, STATISTICS, strict=True)):
            table = tables.levels.get(place, {}).get(level or "")
            if table is not None:
                found, there = table.take(statistics, image[at], index[at], by=TOLD_BY[half])
                values[2 * half : 2 * half + 2, at] = found
                known[half, at] |= there
    return values, known
