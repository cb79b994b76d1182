"""Tissues without statistics, left out by an SQL condition, so that samples are drawn from the others."""

from sqlglot import exp

from spora_db.selection import Selection
from spora_db.selection.image_conditions import has_image
from spora_db.selection.marker_conditions import delivered, of_kind
from spora_db.selection.markers import Markers
from spora_db.sqltext.binding import Binder

LACKING = """
    NOT concat_ws('/', base.dataset, base.tissue_id) IN (
        WITH statistics AS (
            SELECT
                s.dataset, s.level, coalesce(s.tissue_id, '') AS tissue_id, s.channel_name,
                s."lower", s."upper", s.mean, s.std, s.tables
            FROM standardization_stats AS s
            INNER JOIN (SELECT DISTINCT dataset, channel_name FROM channels WHERE modality = $modality) AS c
                ON c.dataset = s.dataset AND c.channel_name = s.channel_name
            WHERE s.modality = $modality AND s.mpp = $mpp AND s.spec = $spec
        ), in_rows AS (
            SELECT
                dataset, level, tissue_id, count(mean) > 0 AS means, count(mean) > 0 AND count(std) > 0 AS moments,
                {rows} AS quantiles
            FROM statistics
            GROUP BY dataset, level, tissue_id
        ), in_columns AS (
            SELECT DISTINCT
                dataset, level, channel_name, tables LIKE '%means stds%' AS moments,
                {columns} AS quantiles
            FROM statistics
        ), moment_level AS (
            SELECT dataset, coalesce(max(CASE WHEN level = 'global' THEN 'global' END), 'image') AS level
            FROM in_rows
            WHERE means AND level IN ({levels})
            GROUP BY dataset
        ), known_images AS (
            SELECT i.dataset, i.tissue_id, {known} AS known
            FROM images AS i
            LEFT JOIN moment_level AS l ON l.dataset = i.dataset
            LEFT JOIN in_rows AS q
                ON q.dataset = i.dataset AND q.level = {level} AND q.quantiles AND q.tissue_id = {tissue_id}
            LEFT JOIN in_rows AS m
                ON m.dataset = i.dataset AND m.level = l.level AND m.moments
                AND m.tissue_id = CASE WHEN l.level = 'global' THEN '' ELSE i.tissue_id END
            WHERE i.modality = $modality AND i.mpp = $mpp
        ), known_channels AS (
            SELECT q.dataset, q.channel_name
            FROM in_columns AS q
            LEFT JOIN moment_level AS l ON l.dataset = q.dataset
            LEFT JOIN in_columns AS m
                ON m.dataset = q.dataset AND m.channel_name = q.channel_name AND m.level = l.level AND m.moments
            WHERE q.level = {level} AND q.quantiles AND {known}
        )
        SELECT concat_ws('/', lacking.dataset, lacking.tissue_id)
        FROM (
            SELECT DISTINCT c.dataset, c.tissue_id
            FROM tissue_channels AS c
            INNER JOIN known_images AS i ON i.dataset = c.dataset AND i.tissue_id = c.tissue_id
            LEFT JOIN known_channels AS k ON k.dataset = c.dataset AND k.channel_name = c.channel_name
            WHERE c.modality = $modality AND c.measured AND (NOT i.known OR k.dataset IS NULL)
        ) AS lacking
    )
"""
"""Not correlated: over views of many columns DuckDB 2.0 fails by itself on NOT EXISTS (cyclic column binding).

DISTINCT keeps the few tissues on the side of the join that is built: 3.5 million tiles were, in twice the time."""


def statistics_conditions(selection: Selection, markers: Markers | None, binder: Binder) -> list[exp.Expr]:
    """Return what ``standardize(missing="drop_tissue")`` stands for: a condition per modality with statistics."""
    standardization = selection.standardization
    conditions: list[exp.Expr] = []
    for at, alternatives in enumerate(
        selection.modalities if standardization.missing_statistics == "drop_tissue" else ()
    ):
        for nth, modality in enumerate(alternatives):
            if not standardization.parsed(modality).needs_statistics:
                continue
            known = _not_lacking(selection, modality, markers, binder)
            others = alternatives[:nth] + alternatives[nth + 1 :]
            if at == 0 and others:  # the first place has a row for each of its alternatives that is there
                known = exp.paren(exp.or_(binder.member("modality", others), known))
            elif nth:  # any other has the first of them
                known = exp.paren(exp.or_(has_image(alternatives[:nth], binder), known))
            conditions.append(known)
    return conditions


def _not_lacking(selection: Selection, modality: str, markers: Markers | None, binder: Binder) -> exp.Expr:
    """Return the condition that the tissue's image of a modality, if there is one, has all its statistics."""
    standardization = selection.standardization
    spec = standardization.parsed(modality)
    bounds = ["upper"] if spec.lower is None else ["upper", "lower"]
    level = spec.quantile_level or "image"
    text = LACKING.format(
        rows=" AND ".join(f'count("{bound}") > 0' for bound in bounds),
        columns=" AND ".join(f"tables LIKE '%{bound}_quantiles%'" for bound in bounds),
        level=f"'{level}'",
        tissue_id="''" if level == "global" else "i.tissue_id",
        levels=f"'{standardization.stats_level}'" if standardization.stats_level else "'image', 'global'",
        known="q.dataset IS NOT NULL" + " AND m.dataset IS NOT NULL" * standardization.use_mean_std,
    )
    lacking = binder.fragment(text, modality=modality, mpp=selection.mpp or 0.0, spec=str(spec))
    subquery = next(part for part in lacking.find_all(exp.Subquery) if part.alias == "lacking")
    subquery.this.where(of_kind(selection), *delivered(selection, markers, binder), copy=False)
    return lacking
