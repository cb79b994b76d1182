"""What a catalog shows of itself in a notebook: a short table, escaped, without scripts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from spora_db.catalog.open_lake import OpenLake
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import SporaError

LEFT = "text-align:left"
RIGHT = "text-align:right"
LISTED = 30  # datasets

COHORT_NAMES = ("dataset", "modalities", "images", "tissues", "patients", "tiles")


def catalog_html(catalog: OpenLake) -> str:
    """Return a lake as an HTML table, a row per dataset."""
    try:
        rows = catalog._run(sql_text("questions", "cohorts"), {"most": LISTED + 1}).fetchall()
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
