"""The statistics of a plan: what the tables of a spec know of every image and channel, and what becomes of the rest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.catalog import Catalog
from spora_db.errors import StatisticsNotFoundError
from spora_db.selection import StandardizationChoice
from spora_db.specs import Spec
from spora_db.standardize import usable_channels

Flags = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

# Equal on both sides, so that DuckDB joins by hash: with coalesce(q.tissue_id, p.tissue_id) = p.tissue_id, every
# channel of a cohort met all its tissues, and time grew with the square of their number.
STATISTICS = """
    WITH statistics AS (
        SELECT dataset, mpp, level, tissue_id, channel_name, "lower", "upper", mean, std
        FROM standardization_stats
        WHERE modality = $modality AND spec = $spec
    ), moment_level AS (
        SELECT dataset, mpp, CASE WHEN bool_or(level = 'global') THEN 'global' ELSE 'image' END AS level
        FROM statistics
        WHERE mean IS NOT NULL AND ($stats_level IS NULL OR level = $stats_level)
        GROUP BY dataset, mpp
    )
    SELECT p.image, CAST(c.channel_index AS INTEGER) AS channel_index,
        CAST(q."lower" AS FLOAT) AS "lower", CAST(q."upper" AS FLOAT) AS "upper",
        CAST(m.mean AS FLOAT) AS mean, CAST(m.std AS FLOAT) AS std,
        q.dataset IS NOT NULL AS in_quantiles, m.dataset IS NOT NULL AS in_moments
    FROM plan_images AS p
    JOIN channels AS c ON c.dataset = p.dataset AND c.modality = p.modality
    LEFT JOIN statistics AS q
        ON q.dataset = p.dataset AND q.mpp = p.mpp AND q.channel_name = c.channel_name AND q.level = $quantile_level
        AND coalesce(q.tissue_id, '') = CASE WHEN $quantile_level = 'global' THEN '' ELSE p.tissue_id END
    LEFT JOIN moment_level AS l ON l.dataset = p.dataset AND l.mpp = p.mpp
    LEFT JOIN statistics AS m
        ON m.dataset = p.dataset AND m.mpp = p.mpp AND m.channel_name = c.channel_name AND m.level = l.level
        AND coalesce(m.tissue_id, '') = CASE WHEN l.level = 'global' THEN '' ELSE p.tissue_id END
    WHERE p.modality = $modality
"""


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
    image: Int64, index: Int64, *, modality: str, choice: StandardizationChoice, catalog: Catalog
) -> Found:
    """Return the statistics of channels of the registered ``plan_images``; with ``missing="global"``, gaps are filled.

    Parameters
    ----------
    image, index
        int64 arrays of shape (n,): number of the image, position of the channel in its panel.
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
    >>> from spora_db.specs import parse_spec
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
    image: Int64, index: Int64, *, spec: Spec, modality: str, choice: StandardizationChoice, catalog: Catalog
) -> tuple[Float32, Flags]:
    """Return lower, upper, mean, std of every entry (4, n), and whether its quantiles and moments are known (2, n)."""
    parameters = {
        "modality": modality,
        "spec": str(spec),
        "quantile_level": spec.quantile_level,
        "stats_level": choice.stats_level,
    }
    table = catalog.run(STATISTICS, parameters).to_arrow_table()
    width = int(max(index.max(initial=0), pc.max(table.column("channel_index")).as_py() or 0)) + 1
    key = table.column("image").to_numpy().astype(np.int64) * width + table.column("channel_index").to_numpy()
    # A tissue that no quantiles (no means) are given for at all is not in the table, whatever other tables say of it.
    images = table.column("image").to_numpy()
    flags = [
        table.column(name).to_numpy(zero_copy_only=False)
        & (np.bincount(images, weights=table.column(value).is_valid().to_numpy()) > 0)[images]
        for name, value in (("in_quantiles", "upper"), ("in_moments", "mean"))
    ]
    order = np.argsort(key)
    found = order[np.searchsorted(key, image * width + index, sorter=order)]
    values = np.stack([_float32(table.column(name))[found] for name in ("lower", "upper", "mean", "std")])
    return values, np.stack([flags[0][found], flags[1][found] | (not choice.use_mean_std)])


def _float32(column: pa.ChunkedArray) -> Float32:
    return cast(Float32, column.fill_null(np.nan).to_numpy())
