"""Why a query selects nothing, as far as its own words tell: hints beside an empty answer."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import SporaError, counted, level_of_the_user, unknown
from spora_db.selection.compilation import compile_rows, on_base
from spora_db.selection.group_checks import without_conditions
from spora_db.selection.resolved import Resolved, identity_columns
from spora_db.sqltext.dialect import DIALECT

COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.ILike, exp.Between, exp.NullSafeEQ,
    exp.RegexpLike, exp.SimilarTo, exp.Glob, exp.StartsWith,
)  # fmt: skip
TESTS = frozenset((
    "regexp_matches", "regexp_full_match", "starts_with", "prefix", "ends_with", "suffix", "contains", "list_contains",
    "list_has", "array_contains", "array_has",
))  # fmt: skip
"""Functions that compare, as conditions may be written."""
NUMBERS = ("mpp", "tile_size")
"""Columns of numbers that name a thing; ages and places may well be none, and nothing is told of them."""
MOST = 1_000
"""Values among which near ones are looked for."""


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
    tree = on_base(tree, everything.cells)
    for atom in tree.find_all(*COMPARISONS, exp.Anonymous):
        if isinstance(atom, exp.Anonymous) and atom.name.lower() not in TESTS:
            continue
        columns = {column.name for column in atom.find_all(exp.Column)}
        inside = atom.find(exp.Query) or atom.find(exp.Window) or atom.find(exp.AggFunc)
        if (
            len(columns) != 1
            or inside
            or not atom.find(exp.Literal)
            or atom.find_ancestor(exp.Query, exp.Not, exp.Case)
        ):
            continue
        (name,) = columns
        if name not in NUMBERS and not any(item.is_string for item in atom.find_all(exp.Literal)):
            continue
        if any(column.table not in ("", "base") for column in atom.find_all(exp.Column)):
            continue
        try:
            yield from _of_comparison(atom, name, everything, catalog)
        except SporaError:  # the condition itself ran; a part of it need not, without the others
            continue


def _of_comparison(atom: exp.Expr, name: str, everything: Resolved, catalog: Catalog) -> Iterator[str]:
    columns = () if name in identity_columns(everything.selection) else (name,)
    compiled = compile_rows(everything.asking(columns=columns))
    column = exp.column(name, quoted=True)
    values = compiled.select(column).distinct()
    satisfied = exp.select("count(*)").from_(exp.alias_(values.subquery(), "base", table=True)).where(atom.copy())
    if catalog._run(satisfied, compiled.parameters).fetchall()[0][0]:
        return
    texts = [item.this for item in atom.find_all(exp.Literal) if item.is_string]
    known = exp.select(exp.cast(column, "VARCHAR")).from_(values.subquery("known")).where(column.is_(exp.null()).not_())
    listed = [row[0] for row in catalog._run(known.limit(MOST), compiled.parameters).fetchall()]
    said = atom.transform(_plain).sql(DIALECT)
    if not texts or not listed:
        among = f"{name} is {_range(listed)}" if listed else f"{name} is NULL in all of them"
        yield f"{said} holds for no {everything.selection.unit}: {among}."
        return
    told = str(unknown(name, texts[0], listed)).partition(". ")[2]
    yield f"{said} holds for no {everything.selection.unit}. {told}"


def _plain(node: exp.Expr) -> exp.Expr:
    """Write a column as its user does: by its name, in quotes only where it needs them."""
    if isinstance(node, exp.Column):
        return exp.column(exp.to_identifier(node.name))
    return node


def _range(listed: Sequence[str]) -> str:
    if len(listed) <= 10:
        return " or ".join(sorted(listed))
    try:
        numbers = sorted(map(float, listed))
    except ValueError:
        return f"one of {counted(len(listed), 'value')}"
    return f"between {numbers[0]:g} and {numbers[-1]:g}"


def _of_markers(resolved: Resolved) -> Iterator[str]:
    """Yield a hint where statistics drop the channels that tissues were asked for."""
    tissues = {tuple(key.split("/", 3)[:3]) for key in resolved.undelivered}
    if tissues:
        yield (
            f"{counted(len(tissues), 'tissue')} measured channels that channels() asks for, but their statistics drop "
            "them; query.coverage() lists these with the remedies."
        )
