"""Tissues without statistics, left out by an SQL condition, so that samples are drawn from the others."""

from sqlglot import exp, parse_one

from spora_db.guard.dialect import DIALECT
from spora_db.query.binding import Binder
from spora_db.query.marker_conditions import delivered, of_kind
from spora_db.query.markers import Markers
from spora_db.selection import Selection

LACKING = """
    NOT EXISTS (
        WITH statistics AS (
            SELECT
                dataset, level, coalesce(tissue_id, '') AS tissue_id, channel_name, "lower", "upper", mean, std, tables
            FROM standardization_stats
            WHERE modality = $modality AND mpp = $mpp AND spec = $spec
        ), present AS (
            SELECT
                dataset, level, tissue_id,
                count("upper") > 0 AND (NOT $use_lower OR count("lower") > 0) AS in_quantiles,
                count(mean) > 0 AND count(std) > 0 AS in_moments
            FROM statistics
            GROUP BY dataset, level, tissue_id
        ), known AS (
            SELECT
                s.dataset, s.level, s.tissue_id, s.channel_name,
                p.in_quantiles AND s.tables LIKE '%upper_quantiles%'
                    AND (NOT $use_lower OR s.tables LIKE '%lower_quantiles%') AS in_quantiles,
                p.in_moments AND s.tables LIKE '%means stds%' AS in_moments
            FROM statistics AS s
            INNER JOIN present AS p ON p.dataset = s.dataset AND p.level = s.level AND p.tissue_id = s.tissue_id
        ), moment_level AS (
            SELECT dataset, max(CASE WHEN level = 'global' THEN 'global' END) AS global_level
            FROM statistics
            WHERE mean IS NOT NULL AND level IN ($first_level, $second_level)
            GROUP BY dataset
        )
        SELECT 1
        FROM (
            SELECT c.dataset, c.tissue_id
            FROM images AS i
            INNER JOIN tissue_channels AS c
                ON c.dataset = i.dataset AND c.modality = i.modality AND c.tissue_id = i.tissue_id
            LEFT JOIN known AS q
                ON q.dataset = c.dataset AND q.channel_name = c.channel_name AND q.level = $quantile_level
                AND q.in_quantiles AND q.tissue_id = CASE WHEN $quantile_level = 'global' THEN '' ELSE c.tissue_id END
            LEFT JOIN moment_level AS l ON l.dataset = c.dataset
            LEFT JOIN known AS m
                ON m.dataset = c.dataset AND m.channel_name = c.channel_name
                AND l.dataset IS NOT NULL AND m.level = coalesce(l.global_level, 'image')
                AND m.in_moments AND m.tissue_id = CASE WHEN l.global_level IS NULL THEN c.tissue_id ELSE '' END
            WHERE i.modality = $modality AND i.mpp = $mpp AND c.measured
                AND (q.dataset IS NULL OR ($use_moments AND m.dataset IS NULL))
        ) AS lacking
        WHERE lacking.dataset = base.dataset AND lacking.tissue_id = base.tissue_id
    )
"""


def coverage_conditions(selection: Selection, markers: Markers | None, binder: Binder) -> list[exp.Expr]:
    """Return the conditions that ``standardize(missing="drop_tissue")`` stands for: one per modality with statistics.

    Parameters
    ----------
    selection
        The resolved selection.
    markers
        The channels that its names mean; None where it names none.
    binder
        Where values become parameters.
    """
    choice = selection.standardization
    conditions: list[exp.Expr] = []
    for modality in selection.modality_names if choice.missing_statistics == "drop_tissue" else ():
        spec = choice.parsed(modality)
        if not spec.needs_statistics:
            continue
        levels = (choice.stats_level,) * 2 if choice.stats_level else ("image", "global")
        lacking = binder.fragment(
            LACKING,
            modality=modality,
            mpp=selection.mpp or 0.0,
            spec=str(spec),
            quantile_level=spec.quantile_level or "image",
            first_level=levels[0],
            second_level=levels[1],
            use_lower=spec.lower is not None,
            use_moments=choice.use_mean_std,
        )
        subquery = lacking.find(exp.Subquery)
        assert subquery is not None
        subquery.this.where(of_kind(selection), *delivered(selection, markers, binder), copy=False)
        if len(selection.modalities[0]) > 1 and modality in selection.modalities[0]:
            other = parse_one("base.modality <> $modality", dialect=DIALECT)
            other.set("expression", binder.parameter(modality))
            lacking = exp.paren(exp.or_(other, lacking))
        conditions.append(lacking)
    return conditions
