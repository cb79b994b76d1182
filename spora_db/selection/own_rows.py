"""The rows that users select themselves, by SQL or in another engine, and what they say of their place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlglot import exp, parse_one

from spora_db.catalog import Catalog
from spora_db.errors import QueryError
from spora_db.guard import check_select
from spora_db.selection.joined_table import JoinedTable
from spora_db.selection.resolved import Resolved
from spora_db.selection.values import Selection, Unit
from spora_db.sources.reconcile import WHOLE_NUMBERS
from spora_db.sqltext.dialect import DIALECT

PLACES: dict[Unit, tuple[str, ...]] = {
    "tile": ("tile_id", "row", "col"),
    "tissue": (),
    "cell": ("cell_id", "row", "col"),
}
ROWS = "query_rows"
"""The name under which rows of another engine are registered while a query runs."""
GIVEN = "given"
"""What a table of cells that does not say their places is called, and its columns that the lake's cells have too."""
_NUMBERS = ("mpp", "tile_size", "tile_id", "cell_id", "row", "col")
_LABELS = "cell_id NOT BETWEEN 1 AND 2147483647"
"""No label of a mask: 0 is its background, and others are positive numbers of 32 bits."""


def with_named_cells(resolved: Resolved, catalog: Catalog) -> Resolved | None:
    """Let cells that a table names, and does not place, be the lake's cells of these ids, joined with the table."""
    asked = resolved.selection
    if asked.unit != "cell" or asked.rows_table is None:
        return None
    names = set(asked.rows_table.column_names)
    if not names.isdisjoint(("row", "col")) or not names.issuperset(("dataset", "tissue_id", "cell_id")):
        return None
    taken, name = {*(join.name for join in asked.joins), *(file.name for file in catalog._folders.tables("own"))}, GIVEN
    while name in taken:
        name = f"{name}_rows"
    return resolved.asking(
        rows_table=None, joins=(JoinedTable(name=name, table=asked.rows_table, only=True), *asked.joins)
    )


def with_own_rows(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Fill in the user's own rows as a checked tree with the types of its columns; nothing where the views have them.

    Raises
    ------
    QueryError
        If the SELECT is refused, has parameters, or lacks a column that identifies its rows.
    """
    selection = resolved.selection
    if selection.rows_sql is not None:
        text = check_select(selection.rows_sql, relations=catalog.relations)
    elif selection.rows_table is not None:
        catalog._register(ROWS, selection.rows_table)
        text = exp.select("*").from_(ROWS).sql(DIALECT)
    else:
        return resolved
    parsed = parse_one(text, dialect=DIALECT)
    tree = parsed if isinstance(parsed, exp.Query) else exp.select("*").from_(exp.Subquery(this=parsed))
    if parameter := tree.find(exp.Placeholder, exp.Parameter):
        shown = parameter.sql(DIALECT)
        raise QueryError(f"from_sql() takes no parameters, but the SELECT has {shown}. Write the value in its place.")
    described = catalog._run(exp.select("*").from_(tree.subquery("rows")).limit(0))
    columns = dict(zip(described.columns, described.types, strict=True))
    wanted = ["dataset", "tissue_id", *PLACES[selection.unit]]
    missing = [name for name in wanted if name not in columns]
    if missing:
        remedy = "" if selection.unit == "tissue" else ", or ask for whole tissues with .tissues()"
        raise QueryError(
            f"The rows have columns {', '.join(columns)}, but {', '.join(missing)} is missing. "
            f"A {selection.unit} is identified by {', '.join(wanted)}: add them to the SELECT{remedy}."
        )
    return replace(resolved, source=tree, source_types=columns)


def placed_as_rows_say(
    selection: Selection, source: exp.Query, types: Mapping[str, str], catalog: Catalog
) -> Selection:
    """Take resolution and tile size from the user's rows where they carry them; one value each, never a mixture.

    Raises
    ------
    QueryError
        If what says a row's place is absent or no fitting number or text, several values are mixed, or none is as
        asked.
    """
    _check_places(selection, source, types, catalog)
    found: dict[str, Any] = {}
    for column, chosen, kind in (("mpp", selection.mpp, float), ("tile_size", selection.tile_size, int)):
        if column not in types:
            continue
        values = [kind(value) for value in distinct(source, column, catalog)]
        listed = ", ".join(map(str, values))
        if chosen is None and len(values) > 1:
            raise QueryError(
                f"The rows mix several values of {column} ({listed}); "
                "choose one in the SELECT or with .tiles(size=, mpp=)."
            )
        if chosen is not None and values and chosen not in values:
            raise QueryError(
                f"None of the rows has {column} {chosen}: they have {listed}. Choose or cast it otherwise."
            )
        if chosen is None:
            found[column] = values[0] if values else None
    return replace(selection, **found)


def _check_places(selection: Selection, source: exp.Query, types: Mapping[str, str], catalog: Catalog) -> None:
    """Refuse rows if what says their place is absent or of another type, or no whole number where one is meant."""
    places = _NUMBERS if selection.unit != "tissue" else _NUMBERS[:1]
    tests: dict[str, exp.Expr] = {}
    for name in ("dataset", "tissue_id", "modality", *places):
        if name not in types:
            continue
        column = exp.column(name, quoted=True)
        if name not in _NUMBERS and types[name] != "VARCHAR" and not types[name].startswith("ENUM"):
            raise QueryError(f"The column {name!r} of the rows is {types[name]}, but ids are text. Cast it to VARCHAR.")
        if name in _NUMBERS and types[name] in ("VARCHAR", "BLOB", "BOOLEAN"):
            raise QueryError(f"The column {name!r} of the rows is {types[name]}, not a number. Cast it in the SELECT.")
        tests[name] = exp.Is(this=column, expression=exp.Null())
        if name in _NUMBERS[1:] and types[name] not in WHOLE_NUMBERS:
            tests[name] = exp.or_(tests[name], exp.NEQ(this=column.copy(), expression=exp.func("floor", column.copy())))
        if name == "cell_id":
            tests[name] = exp.or_(tests[name], exp.condition(_LABELS, dialect=DIALECT))
    counted = exp.select(*(exp.func("count_if", test) for test in tests.values())).from_(source.subquery("rows"))
    for name, number in zip(tests, catalog._run(counted).fetchall()[0], strict=True):
        if number:
            raise QueryError(
                f"{number:,} of the rows have no {'whole number' if name in _NUMBERS[1:] else 'value'} as {name!r}, "
                "which says where they are. Correct the SELECT or the table, or leave these rows out."
            )


def distinct(source: exp.Query, column: str, catalog: Catalog) -> list[Any]:
    """Return the values of a column of rows, in order, without NULL."""
    query = exp.select(exp.column(column, quoted=True)).distinct().from_(source.subquery("rows")).order_by("1")
    return [row[0] for row in catalog._run(query).fetchall() if row[0] is not None]
