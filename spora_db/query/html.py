"""What a query shows of itself in a notebook: a short table, escaped, without scripts."""

from spora_db.errors import SporaError, counted
from spora_db.plan.html import html_table
from spora_db.query.row_answers import RowAnswers


def query_html(query: RowAnswers) -> str:
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
    return html_table("SporaQuery", rows)


def _asked(query: RowAnswers) -> list[tuple[str, str]]:
    """Return what a query asks for, one line per verb that was used."""
    asked = query.selection
    unit = f"{asked.unit}s"
    if asked.tile_size is not None:
        unit += f" of {asked.tile_size} pixels"
    if asked.windows is not None:
        unit += f" every {asked.windows.stride} pixels"
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
    rows += [("label", ", ".join(label.key for label in asked.labels))] if asked.labels else []
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
    if asked.limit is not None:
        rows.append(("limit", f"the first {counted(asked.limit, 'row')}"))
    if asked.masks:
        rows.append(("masks", ", ".join(asked.masks)))
    return rows
