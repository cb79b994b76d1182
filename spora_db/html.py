"""What a query and a catalog show of themselves in a notebook: a short table, escaped, without scripts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.errors import SporaError, counted

if TYPE_CHECKING:
    from spora_db.catalog import Catalog
    from spora_db.query import SporaQuery

LEFT = "text-align:left"
RIGHT = "text-align:right"
LISTED = 30  # datasets

COHORTS = f"""
    SELECT d.dataset, array_to_string(d.modalities, ', '), d.n_images, coalesce(t.n_tissues, 0),
        coalesce(t.n_patients, 0), coalesce(c.n_tiles, 0)
    FROM datasets AS d
    LEFT JOIN (
        SELECT dataset, count(DISTINCT tissue_id) AS n_tissues, count(DISTINCT patient_id) AS n_patients
        FROM tissues GROUP BY dataset
    ) AS t ON t.dataset = d.dataset
    LEFT JOIN (SELECT dataset, count(*) AS n_tiles FROM tile_coordinates GROUP BY dataset) AS c ON c.dataset = d.dataset
    ORDER BY d.dataset
    LIMIT {LISTED + 1}
"""
COHORT_NAMES = ("dataset", "modalities", "images", "tissues", "patients", "tiles")


def query_html(query: "SporaQuery") -> str:
    """Return a query as an HTML table: what it asks for, and how many rows answer it.

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> "no-such-lake" in query_html(SporaQuery("no-such-lake").modality("imc"))
    True
    """
    rows = [("lake", str(query.lake)), *_asked(query)]
    try:
        rows.append(("answer", f"{query.count():,} {query.selection.unit}s"))
    except SporaError as error:
        rows.append(("error", str(error)))
    body = "".join(
        f'<tr><th style="{LEFT}">{escape(name)}</th><td style="{LEFT}">{escape(text)}</td></tr>' for name, text in rows
    )
    return f"<table><caption>SporaQuery</caption><tbody>{body}</tbody></table>"


def _asked(query: "SporaQuery") -> list[tuple[str, str]]:
    """Return what a query asks for, one line per verb that was used."""
    asked = query.selection
    unit = f"{asked.unit}s"
    if asked.tile_size is not None:
        unit += f" of {asked.tile_size} pixels"
    if asked.mpp is not None:
        unit += f" at {asked.mpp} µm per pixel"
    rows = [("unit", unit)]
    if asked.modalities:
        rows.append(("modality", " with ".join(" or ".join(names) for names in asked.modalities)))
    if asked.rows_sql is not None:
        rows.append(("rows", " ".join(asked.rows_sql.split())))
    if asked.rows_table is not None:
        rows.append(("rows", f"of an Arrow table, {counted(len(asked.rows_table), 'row')}"))
    rows += [("where", condition) for condition in asked.conditions]
    if asked.splits:
        rows.append(("split", ", ".join(asked.splits)))
    channels = asked.channels
    named = [channels.kind.replace("_", " ")]
    for label, names in (("only", channels.names), ("require", channels.require), ("without", channels.exclude)):
        named += [f"{label} {', '.join(names)}"] if names else []
    rows.append(("channels", "; ".join(named)))
    specs = [f"{name}: {spec}" if name else spec for name, spec in asked.standardization.specs]
    rows.append(("standardize", ", ".join(specs)))
    if asked.sampling is not None:
        drawn = asked.sampling
        amount = "rows drawn" if drawn.n is None else counted(drawn.n, "row")
        by = f" by {', '.join(drawn.by)}" if drawn.by else ""
        rows.append(("sample", f"{amount}{by}, seed {drawn.seed}"))
    if asked.masks:
        rows.append(("masks", ", ".join(asked.masks)))
    return rows


def catalog_html(catalog: "Catalog") -> str:
    """Return a lake as an HTML table, a row per dataset.

    Parameters
    ----------
    catalog
        The lake.
    """
    try:
        rows = catalog._run(COHORTS).fetchall()
    except SporaError as error:
        return f"<p>Catalog of {escape(str(catalog.lake))}: {escape(str(error))}</p>"
    more = "<p>and more: SELECT * FROM datasets</p>" if len(rows) > LISTED else ""
    return _table(f"Catalog of {_short(catalog.lake)}", COHORT_NAMES, rows[:LISTED]) + more


def _short(lake: Path) -> Path:
    """Return a folder as seen from the current one, where it lies below."""
    here = Path.cwd()
    return lake.relative_to(here) if lake != here and lake.is_relative_to(here) else lake


def _table(caption: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th style="{LEFT if i < 2 else RIGHT}">{escape(name)}</th>' for i, name in enumerate(names))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td style="{RIGHT}">{value:,}</td>'
    return f'<td style="{LEFT}">{escape(str(value))}</td>'
