"""The conditions and weights that users write, as checked trees over the columns of the rows."""

from collections.abc import Collection
from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import unknown
from spora_db.guard import check_predicate
from spora_db.selection.joins import JoinedColumns, joined_columns, lend_tables, of_rows
from spora_db.selection.repeatable import refuse_random
from spora_db.selection.resolved import TISSUE_IDENTITY, Resolved, identity_columns
from spora_db.sources.names_of_rows import second_names
from spora_db.sqltext.names import fold


def with_columns(resolved: Resolved, catalog: Catalog) -> Resolved:
    """List the columns of the rows; a split that is assigned is one of them."""
    asked, cells = resolved.selection, resolved.cells
    columns = resolved.source_columns or (cells.columns if cells else ())
    if not columns and asked.unit == "tile":
        columns = catalog.columns("tiles")
    elif not columns:
        columns = tuple(dict.fromkeys((*TISSUE_IDENTITY, *catalog.columns("tissues"))))
    if asked.split_choice and asked.split_choice.fractions:
        columns = tuple(dict.fromkeys((*columns, "split")))
    joins: list[JoinedColumns] = []
    for join in asked.joins:
        found = joined_columns(join, catalog, identity=identity_columns(asked), taken=columns, unit=asked.unit)
        joins.append(found)
        columns = (*columns, *(new for _, new in found.columns))
    return replace(resolved, columns=columns, joins=tuple(joins))


def lend_joined(resolved: Resolved, catalog: Catalog) -> None:
    """Let the users' tables of a query be relations."""
    lend_tables(resolved.selection.joins, catalog)


def check_columns(resolved: Resolved, _: Catalog) -> None:
    """Refuse columns that are asked for, drawn by or divided by and that rows do not have."""
    asked = resolved.selection
    by = asked.sampling.by if asked.sampling else ()
    for name in (*asked.carried, *by, *(("split",) if asked.splits else ())):
        if name not in resolved.columns:
            raise unknown("column", name, resolved.columns, where=f"the {asked.unit}s selected from")


def with_conditions(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Check conditions and the sampling weight, and keep their trees.

    Raises
    ------
    QueryError
        If the guard refuses one, or its value would be another at every run.
    UnknownNameError
        For a column or relation that does not exist.
    """
    asked = resolved.selection
    if not asked.conditions and (asked.sampling is None or asked.sampling.weights is None):
        return resolved
    resolved = replace(resolved, second_names=_second_names(resolved, catalog))
    columns = _in_scope(resolved)
    weight: exp.Expr | None = None
    checked = (check_predicate(text, columns=columns, relations=catalog.relations) for text in asked.conditions)
    predicates = tuple(of_rows(tree, resolved.joins) for tree in checked)
    if asked.sampling and asked.sampling.weights is not None:
        names = {**columns, "": (*columns[""], "n_tiles")}
        weighed = check_predicate(asked.sampling.weights, columns=names, relations=catalog.relations)
        weight = of_rows(weighed, resolved.joins)
        refuse_random(weight, verb="sample(weights=)")
    for tree in predicates:
        refuse_random(tree, verb="where()")
    return replace(resolved, predicates=predicates, weight=weight)


def _second_names(resolved: Resolved, catalog: Catalog) -> dict[str, str]:
    """Return the second names of columns of tissues that rows have: the user's own may lack some."""
    known = set(map(fold, resolved.cells.known("tissues") if resolved.cells else resolved.columns))
    return {name: second for name, second in second_names(catalog.columns("tissues")).items() if second in known}


def _in_scope(resolved: Resolved) -> dict[str, Collection[str]]:
    """Return the columns of the rows, and of the relations by which a condition may name them."""
    columns, cells = resolved.columns, resolved.cells
    if cells is None:
        lake: dict[str, Collection[str]] = {"tiles": columns, "tissues": columns}
    else:
        lake = {"cells": cells.known("cells"), "tissues": cells.known("tissues")}
    lake["tissues"] = (*lake["tissues"], *resolved.second_names)
    return {"": columns, **lake, **{join.name: join.known for join in resolved.joins}}
