"""The rows of a query as a table in their order, and what every choice of some of them checks."""

from collections.abc import Sequence

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import QueryError, TableError, counted
from spora_db.nearest.sets import MissingFeatures, apart
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows
from spora_db.sqltext.binding import Compiled


def compiled_of(selection: Selection, catalog: Catalog) -> tuple[Selection, Compiled]:
    """Return a query as the lake resolves it, and its one SELECT."""
    resolved = complete_cells(resolve(selection, catalog), catalog)
    return resolved.selection, compile_rows(resolved)


def rows_beside(
    compiled: Compiled, catalog: Catalog, *, value: exp.Expr, keys: Sequence[str], relation: str | None = None
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows of a query in the order of their keys, and a value of each, NULL where it has none.

    Parameters
    ----------
    compiled, catalog
        The query.
    value
        An expression over ``rows`` or over the relation.
    keys
        What rows share with it.
    relation
        What is joined, as ``beside``.
    """
    query = compiled.select("rows.*", value)
    if relation is not None:
        both = exp.and_(*(exp.column(key, "rows").eq(exp.column(key, "beside")) for key in keys))
        query = query.join(exp.to_table(relation, alias="beside", quoted=True), on=both, join_type="left")
    query = query.order_by(*(exp.column(key, "rows") for key in keys))
    return apart(catalog._run(query, compiled.parameters).to_arrow_table())


def known(
    table: pa.Table, values: pa.ChunkedArray, *, what: str, missing: MissingFeatures, keys: Sequence[str]
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows that have a value, and their values; rows without one are an error, or left out.

    Raises
    ------
    TableError
        If rows have none, and that is to be an error.
    """
    absent = values.is_null()
    number = pa.compute.sum(absent).as_py() or 0
    if number and missing == "error":
        raise TableError(
            f"{counted(number, 'row')} of {len(table):,} have no {what}, the first of them "
            f"{first_key(table.filter(absent), keys)}. Extract or add them, or leave "
            "these rows out with missing='drop'."
        )
    there = pa.compute.invert(absent)
    return (table.filter(there), values.filter(there)) if number else (table, values)


def first_key(table: pa.Table, keys: Sequence[str]) -> dict[str, object]:
    """Return what identifies the first row of a table."""
    found: dict[str, object] = table.select(list(keys)).slice(0, 1).to_pylist()[0]
    return found


def check_number(n: int, rows: int, *, at: str) -> None:
    """Refuse to choose more rows than there are.

    Raises
    ------
    QueryError
        If there are fewer.
    """
    if n > rows:
        raise QueryError(f"{at}{n}): there are {counted(rows, 'row')} to choose from. Ask for at most as many.")
