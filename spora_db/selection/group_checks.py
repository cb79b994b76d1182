"""Whether the selected rows can be divided, or capped, by patient: every patient known, none in two splits.

Checked is what the conditions leave, whatever split it is in. Tissues come first, as there are few: those of the chosen
modality and resolution that the conditions on tissues leave. Only where these show a mistake are the rows themselves
grouped, in one pass, since a condition on tiles may have left out the tissues at fault.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import QueryError, SporaError, TableError, counted, unknown
from spora_db.selection import ChannelChoice, Selection, SplitChoice, StandardizationChoice
from spora_db.selection.compilation import compile_rows, joined_by_and, on_base
from spora_db.selection.resolved import TISSUE_IDENTITY, Resolved, identity_columns
from spora_db.sqltext.dialect import DIALECT

OF_TILES = frozenset(
    ("mpp", "strategy", "tile_size", "tile_id", "row", "col", "path", "format", "region_class", "region_fraction")
) | {"region_fractions"}
"""Columns of tiles that are no tissue's, even where a cohort has one of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Rows of one group, such as a patient, in one split."""

    dataset: str
    name: str | None
    split: str | None
    rows: int
    tissues: int


def check_split(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse splits that cannot be group-aware, that leak, or that would silently replace a cohort's own.

    Raises
    ------
    UnknownNameError
        If there is no such column to divide by.
    TableError
        If selected rows have no group, or a group is in several splits.
    QueryError
        If the cohorts have splits of their own.
    """
    choice = resolved.selection.split_choice
    if choice is None:
        return
    column, columns = choice.group_column, catalog.columns("tissues")
    if column not in (*columns, *resolved.source_columns):
        raise unknown("column", column, columns, where="tissues (split by=)")
    parts = (part for tree in resolved.predicates for part in joined_by_and(tree))
    predicates = tuple(part for part in parts if not _of_split(part, resolved))
    asked = replace(resolved.asking(splits=(), split_choice=None), predicates=predicates)
    _raise_first(asked, column, catalog, lambda groups: _unsplittable(groups, choice))


def check_patients(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse to cap the rows of each patient where selected rows have none.

    Raises
    ------
    TableError
        If there are such rows; the message says how many, where, and what to do.
    """
    sampling = resolved.selection.sampling
    if sampling is None or sampling.per_patient is None:
        return
    capped = f"so sample(per_patient={sampling.per_patient}) cannot tell whose they are"
    _raise_first(resolved, "patient_id", catalog, lambda groups: _unknown(groups, "patient_id", capped, "per_tissue="))


def tissues_behind(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Return a query of whole tissues that leaves all those that have selected rows, and few others.

    A query over rows of the user's own stays as it is.
    """
    if resolved.source is not None:
        return resolved
    selection, cells = resolved.selection, resolved.cells
    names, of_tissues = {"dataset", "modality", "tissue_id"}, catalog.columns("tissues")
    names |= {name for name in of_tissues if cells is None or (name, name) in cells.tissue}
    names = {name.lower() for name in names} - OF_TILES

    def of_tissue(tree: exp.Expr) -> bool:
        columns = tree.find_all(exp.Column)
        plain = tree.find(exp.Query, exp.Dot, exp.Star) is None
        plain &= all(call.name.lower() != "columns" for call in tree.find_all(exp.Anonymous))
        return plain and all(column.name.lower() in names and column.table.lower() != "cells" for column in columns)

    keep = selection.missing_modality == "keep"  # then the row of a place may be that of any of the modalities
    parts = (part for tree in resolved.predicates for part in joined_by_and(tree))
    return replace(
        resolved,
        selection=Selection(
            modalities=(selection.modality_names if keep else selection.modalities[0],),
            unit="tissue",
            mpp=selection.mpp,
            splits=selection.splits,
            split_choice=selection.split_choice,
        ),
        predicates=tuple(part for part in parts if of_tissue(part)),
        columns=tuple(dict.fromkeys((*TISSUE_IDENTITY, *of_tissues))),
        weight=None,
        cells=None,
        joins=(),
        markers=None,
    )


def without_conditions(selection: Selection) -> Selection:
    """Return the rows that are selected from: of the same unit, modality, resolution and tiling."""
    return replace(
        selection, conditions=(), splits=(), split_choice=None, labels=(), channels=ChannelChoice(),
        standardization=StandardizationChoice(), sampling=None, limit=None, excluded=None,
    )  # fmt: skip


def _raise_first(
    asked: Resolved, column: str, catalog: Catalog, problem: Callable[[Sequence[_Group]], SporaError | None]
) -> None:
    """Raise the problem of the selected rows, if their tissues show one."""
    found = None
    for query in _queries(asked, catalog):
        found = problem(_groups(query, column, catalog))
        if found is None:
            return
    if found is not None:
        raise found


def _queries(asked: Resolved, catalog: Catalog) -> Iterator[Resolved]:
    if asked.source is None:
        yield tissues_behind(asked, catalog)
    cells = asked.cells
    known = cells is None or cells.measured or (cells.source == "table" and not cells.awaited)
    if known:  # else only masks know which cells there are
        yield replace(asked.asking(sampling=None, limit=None), weight=None)


def _groups(query: Resolved, column: str, catalog: Catalog) -> list[_Group]:
    """Return the groups of rows that a query selects, by dataset, group and split."""
    wanted, identity = (column, "split"), identity_columns(query.selection)
    query = query.asking(columns=tuple(name for name in wanted if name not in identity))
    if query.source is not None:
        lacking = (name for name in wanted if name not in query.source_columns)
        query = replace(query, tissue_columns=tuple(dict.fromkeys((*query.tissue_columns, *lacking))))
    compiled = compile_rows(query)
    keys = ("dataset", *wanted)
    text = exp.cast(exp.column(column, quoted=True), "VARCHAR")
    counted = compiled.select("dataset", text, "split", "count(*)", "count(DISTINCT tissue_id)")
    counted = counted.group_by(*(exp.column(name, quoted=True) for name in keys)).order_by("1", "2", "3")
    return [
        _Group(dataset=row[0], name=row[1], split=row[2], rows=row[3], tissues=row[4])
        for row in catalog._run(counted, compiled.parameters).fetchall()
    ]


def _unsplittable(groups: Sequence[_Group], choice: SplitChoice) -> SporaError | None:
    by = choice.by
    risk = f"so a split by {by} could put one {by} on both sides"
    if found := _unknown(groups, choice.group_column, risk, ".split(by='tissue')"):
        return found
    if choice.fractions:
        own = [group.dataset for group in groups if group.split is not None]
        if own and not choice.replace:
            return QueryError(
                f"Dataset {own[0]!r} has a split column of its own. Use it with .split('train'), "
                "or replace it knowingly with .split(by=, fractions=, replace=True)."
            )
        return None
    splits: dict[tuple[str, str | None], list[str]] = {}
    for group in groups:
        if group.split is not None:
            splits.setdefault((group.dataset, group.name), []).append(group.split)
    leaking = {key: names for key, names in splits.items() if len(names) > 1}
    if not leaking:
        return None
    (dataset, name), names = next(iter(leaking.items()))
    return TableError(
        f"{by.capitalize()} {name!r} of dataset {dataset!r} is in several splits: {', '.join(names)} "
        f"({len(leaking)} such groups). Divide anew with .split(by={by!r}, fractions=..., replace=True)."
    )


def _unknown(groups: Sequence[_Group], column: str, risk: str, instead: str) -> TableError | None:
    """Return the error for rows whose group is not known: NULL, no row in the table, or an empty text."""
    unknown_groups = [group for group in groups if not group.name]
    if not unknown_groups:
        return None
    numbers: dict[str, tuple[int, int]] = {}
    for group in unknown_groups:
        rows, tissues = numbers.get(group.dataset, (0, 0))
        numbers[group.dataset] = rows + group.rows, tissues + group.tissues
    dataset, (rows, tissues) = next(iter(numbers.items()))
    more = f" (and of {len(numbers) - 1} more datasets)" if len(numbers) > 1 else ""
    known = "<> ''" if any(group.name == "" for group in unknown_groups) else "IS NOT NULL"
    return TableError(
        f"{rows:,} selected rows ({counted(tissues, 'tissue')}) of dataset {dataset!r}{more} have no {column}, "
        f"{risk}. Fill the column in {dataset}/metadata/tissues.parquet (a tissue without a row there has none), leave "
        f'them out with .where("{exp.to_identifier(column).sql(DIALECT)} {known}"), or use {instead}.'
    )


def _of_split(tree: exp.Expr, resolved: Resolved) -> bool:
    """Tell whether a condition looks at the split of the rows; a sub-select may look at that of others."""
    columns = on_base(tree, resolved).find_all(exp.Column)
    own = (column for column in columns if column.name.lower() == "split")
    return any(column.table == "base" or column.find_ancestor(exp.Query) is None for column in own)
