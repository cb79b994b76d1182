"""Conditions on the places of cells: they wait until all places are known, and never see one that is not."""

from dataclasses import replace

from sqlglot import exp

from spora_db.selection.cells import OF_REGIONS
from spora_db.selection.compilation import joined_by_and
from spora_db.selection.named_around import named_around
from spora_db.selection.resolved import Resolved

PLACE = frozenset(("row", "col", *OF_REGIONS))
"""What a place tells of a cell."""
ROWS = ("base", "cells", "tissues")
"""What a condition may call the rows that are selected from."""
PLACED = ("tiles", "tile_coordinates", "cells")
"""Relations with places of their own."""


def looks_at_places(resolved: Resolved) -> bool:
    """Tell whether conditions, weights or groups of a query of cells look at ``row`` or ``col``."""
    sampling = resolved.selection.sampling
    groups = set() if sampling is None else {name.lower() for name in sampling.by}
    trees = (*resolved.predicates, *(() if resolved.weight is None else (resolved.weight,)))
    return bool(groups & PLACE) or any(_names_place(tree) for tree in trees)


def without_places(resolved: Resolved) -> Resolved:
    """Return a query that leaves all cells that the given one selects, whatever their places are.

    Samples and limits are left out with the conditions: these decide what is drawn from, and which rows come first.
    """
    if not looks_at_places(resolved):
        return resolved
    parts = (part for tree in resolved.predicates for part in joined_by_and(tree))
    predicates = tuple(part for part in parts if not _names_place(part))
    return replace(resolved.asking(sampling=None, limit=None), predicates=predicates, weight=None)


def _names_place(tree: exp.Expr) -> bool:
    """Tell whether a condition names ``row`` or ``col`` of its rows, or all columns at once."""
    return tree.find(exp.Columns) is not None or any(_is_place(column) for column in tree.find_all(exp.Column))


def _is_place(column: exp.Column) -> bool:
    """Tell whether a column is the row's own place; in a sub-select it may be that of a tile, or of another cell."""
    if column.name.lower() not in PLACE:
        return False
    if column.table:
        return column.table.lower() in ROWS and not named_around(column, column.table.lower())
    select = column.find_ancestor(exp.Select)
    while select is not None:
        joined = (join.this for join in select.args.get("joins") or [])
        sources = (*joined, *([select.args["from_"].this] if select.args.get("from_") else []))
        if any(isinstance(source, exp.Table) and source.name.lower() in PLACED for source in sources):
            return False
        select = select.find_ancestor(exp.Select)
    return True
