"""Why a query selects nothing, as far as its own words tell: hints beside an empty answer."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from sqlglot import exp

from spora_db.asking.no_rows import comparisons, hint_of
from spora_db.catalog import Catalog
from spora_db.errors import SporaError, counted, level_of_the_user
from spora_db.selection.compilation import compile_rows, on_base
from spora_db.selection.group_checks import without_conditions
from spora_db.selection.resolved import Resolved, identity_columns


def warn_of_nothing(resolved: Resolved, catalog: Catalog) -> None:
    """Warn of what in a query can match nothing; called where it selects no rows."""
    for hint in hints(resolved, catalog):
        warnings.warn(f"The query selects no rows: {hint}", stacklevel=level_of_the_user())


def hints(resolved: Resolved, catalog: Catalog) -> list[str]:
    """Return a sentence for each part of a query that leaves nothing by itself."""
    selection = resolved.selection
    bare = replace(without_conditions(selection), columns=(), split_choice=selection.split_choice)
    everything = replace(resolved, selection=bare, predicates=(), weight=None, markers=None, undelivered=())
    if not _count(everything, catalog):
        return _without_images(everything, catalog)
    found = [hint for tree in resolved.predicates for hint in _of_condition(tree, everything, catalog)]
    return [*found, *_of_markers(resolved)]


def _count(resolved: Resolved, catalog: Catalog) -> int:
    compiled = compile_rows(resolved)
    return int(catalog._run(compiled.select("count(*)"), compiled.parameters).fetchall()[0][0])


def _without_images(everything: Resolved, catalog: Catalog) -> list[str]:
    """Tell tissues with an image of each from rows of either; one often means the other."""
    selection = everything.selection
    if len(selection.modalities) == 1 or selection.missing_modality == "keep":
        return []
    names = [" or ".join(alternatives) for alternatives in selection.modalities]
    rows = counted(_count(everything.asking(modalities=(selection.modality_names,)), catalog), "row")
    asked = ", ".join(map(repr, selection.modality_names))
    return [
        f"no {selection.unit} has an image of each of {', '.join(names)} at {selection.mpp or 0:g} mpp, as "
        f".modality({asked}) asks for. For rows of either ({rows}) give a tuple, .modality(({asked})); for tissues "
        "that lack some, .modality(..., missing='keep')."
    ]


def _of_condition(tree: exp.Expr, everything: Resolved, catalog: Catalog) -> Iterator[str]:
    """Yield a hint for each comparison of one column with constants that no row satisfies."""
    for atom, column in comparisons(on_base(tree, everything)):
        if column.table not in ("", "base"):
            continue
        columns = () if column.name in identity_columns(everything.selection) else (column.name,)
        try:
            compiled = compile_rows(everything.asking(columns=columns))
            values = compiled.select(exp.column(column.name, quoted=True)).distinct()
            ask = partial(catalog._run, params=compiled.parameters)
            hint = hint_of(atom, values, ask, of=everything.selection.unit)
        except SporaError:  # the condition itself ran; a part of it need not, without the others
            continue
        if hint:
            yield hint


def _of_markers(resolved: Resolved) -> Iterator[str]:
    """Yield a hint where statistics drop the channels that tissues were asked for."""
    tissues = {tuple(key.split("/", 3)[:3]) for key in resolved.undelivered}
    if tissues:
        yield (
            f"{counted(len(tissues), 'tissue')} measured channels that channels() asks for, but their statistics drop "
            "them; query.coverage() lists these with the remedies."
        )
