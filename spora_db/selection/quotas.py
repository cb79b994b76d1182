"""The values that a quota names, as the rows write them: a value that no row has is a mistake, not an empty group."""

from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, QueryError, unknown
from spora_db.selection.awaited_places import PLACE
from spora_db.selection.compilation import compile_rows
from spora_db.selection.group_checks import OF_TILES, tissues_behind, without_conditions
from spora_db.selection.resolved import Resolved, identity_columns


def with_known_quota(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Return the query with the values of its quota as SQL writes those of the column: 3 is ``3.0`` of a DOUBLE.

    Values are looked for in all rows of the modality, resolution and tiling, so that a quota does not depend on the
    conditions beside it.

    Raises
    ------
    UnknownNameError
        For a value that no row has; the message lists near ones.
    ArgumentError
        If two values of the quota are the same one.
    """
    sampling = resolved.selection.sampling
    if sampling is None or not sampling.quota:
        return resolved
    column, unit, cells = sampling.by[0], resolved.selection.unit, resolved.cells
    if cells is not None and column.lower() in PLACE and (cells.awaited or cells.source == "masks"):
        raise QueryError(
            f"sample(quota=) names values of {column}, but places of cells are known once instance masks are read, "
            "which .plan() does. Choose places with .where(), or draw with sample(by=) without a quota."
        )
    known = _values(resolved, column, catalog)
    numbers = {number: text for text in sorted(known) if (number := _number(text)) is not None}
    found: dict[str, int] = {}
    for value, count in sampling.quota:
        number = _number(value)
        text = value if value in known or number is None else numbers.get(number, value)
        if text not in known:
            raise unknown("value", value, known, where=f"{column} of the {unit}s selected from (sample(quota=))")
        if text in found:
            raise ArgumentError(f"sample(quota=): {value!r} and another value both mean {column} = {text}.")
        found[text] = count
    return resolved.asking(sampling=replace(sampling, quota=tuple(found.items())))


def _values(resolved: Resolved, column: str, catalog: Catalog) -> set[str]:
    """Return the values of a column as texts, from the smallest relation that has them."""
    selection, cells = resolved.selection, resolved.cells
    if column == "split" and selection.split_choice is not None and selection.split_choice.fractions:
        return set(dict(selection.split_choice.fractions))
    own = {} if cells is None else {new: old for old, new in cells.own}
    if column in own:
        return _texts(exp.to_table("cells"), own[column], {}, catalog)
    every = replace(resolved, selection=without_conditions(selection), predicates=(), weight=None, markers=None)
    of_tissue = column in ("dataset", "modality", "tissue_id") or column in catalog.columns("tissues")
    if of_tissue and column not in OF_TILES and (cells is None or (column, column) in cells.tissue):
        every = tissues_behind(every, catalog)
    identity = identity_columns(every.selection)
    compiled = compile_rows(every.asking(columns=() if column in identity else (column,)))
    return _texts(compiled.rows().subquery("rows"), column, dict(compiled.parameters), catalog)


def _texts(rows: exp.Expr, column: str, parameters: dict[str, object], catalog: Catalog) -> set[str]:
    value = exp.column(column, quoted=True)
    query = exp.select(exp.cast(value, "VARCHAR")).distinct().from_(rows).where(value.is_(exp.null()).not_())
    return {row[0] for row in catalog._run(query, parameters).fetchall()}


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)  # Python would read 1_1 as 11
    except ValueError:
        return None
