"""Conditions on the places of cells: they wait until all places are known, and never see one that is not."""

from dataclasses import replace

from sqlglot import exp

from spora_db.query.compilation import Resolved, joined_by_and

PLACE = frozenset(("row", "col"))


def looks_at_places(resolved: Resolved) -> bool:
    """Tell whether conditions, weights or groups of a query of cells look at ``row`` or ``col``."""
    sampling = resolved.selection.sampling
    groups = set() if sampling is None else {name.lower() for name in sampling.by}
    trees = (*resolved.predicates, *(() if resolved.weight is None else (resolved.weight,)))
    return bool(groups & PLACE) or any(_names_place(tree) for tree in trees)


def without_places(resolved: Resolved) -> Resolved:
    """Return a query that leaves all cells that the given one selects, whatever their places are.

    Samples are left out with the conditions: these decide what is drawn from.
    """
    if not looks_at_places(resolved):
        return resolved
    return replace(
        resolved,
        selection=replace(resolved.selection, sampling=None),
        predicates=tuple(
            part for tree in resolved.predicates for part in joined_by_and(tree) if not _names_place(part)
        ),
        weight=None,
    )


def _names_place(tree: exp.Expr) -> bool:
    """Tell whether a condition names ``row`` or ``col``, of whatever relation, or all columns at once."""
    if any(name.name.lower() in PLACE for name in tree.find_all(exp.Identifier)):
        return True
    return tree.find(exp.Columns) is not None
