"""The labels of a plan's rows: values to codes, by classes that do not depend on which rows are selected."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.arrays import Float32, Float64, Int32, Int64
from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, SporaError, TableError, counted
from spora_db.files.arrow_arrays import arrow_array, arrow_scalar, numpy_array
from spora_db.plan.label_parts import PlanLabels
from spora_db.plan.plan import Plan
from spora_db.selection import ClassName, Label
from spora_db.selection.labels import homes, is_assigned
from spora_db.selection.resolved import Resolved

CHOICES = (
    "Fill the column, or say what becomes of such rows: missing='drop' leaves them out, missing=-1 gives them the code "
    "-1 (numbers: NaN), missing='error', as without it, is this error."
)
SHOWN = 10
_EXACT = 2.0**53  # whole numbers below are the same as float64


def choose_labels(plan: Plan, columns: pa.Table, resolved: Resolved, catalog: Catalog) -> PlanLabels | None:
    """Return the labels of a plan's rows from the columns that they are made of; nothing where none were asked for.

    Raises
    ------
    TableError
        If a row has no label, one that is none of the classes, or a number that float32 or no class can be.
    ArgumentError
        If the classes have to be given: only the user's own rows have the column.
    """
    labels = resolved.selection.labels
    if not labels:
        return None
    values: list[Int32 | Float32] = []
    classes: list[tuple[ClassName, ...] | None] = []
    for label in labels:
        column = columns.column(label.column)
        if label.label_type == "regression":
            values.append(_numbers(column, label, plan))
            classes.append(None)
        else:
            known = _values(column, label)
            _check_missing(known, label, plan)
            own = label.classes if label.classes is not None else _classes(known, label, resolved, catalog)
            if len(plan) and not own:
                raise TableError(
                    f"label({label.column!r}): no row of the lake has a value there, so it has no classes."
                )
            values.append(_codes(known, own, label, plan))
            classes.append(own)
    return PlanLabels(names=tuple(label.key for label in labels), values=tuple(values), classes=tuple(classes))


def pinned(labels: tuple[Label, ...], chosen: PlanLabels | None) -> tuple[Label, ...]:
    """Return labels whose classes are given: those of a plan, whatever the lake gains."""
    classes = () if chosen is None else chosen.classes
    return tuple(replace(label, classes=own) for label, own in zip(labels, classes, strict=True))


def _values(column: pa.ChunkedArray, label: Label) -> pa.Array:
    """Return values as texts, truth values or int64: null where there is no label."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(pa.string())
    if pa.types.is_boolean(values.type):
        return values
    if pa.types.is_string(values.type):
        if "" in (label.classes or ()):
            return values
        return _null_where(pc.equal(values, arrow_scalar("", values.type)), values)
    if pa.types.is_floating(values.type):
        values = _null_where(pc.is_nan(values), values)
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid as error:
        odd = next(value for value in pc.unique(values).to_pylist() if not _is_whole(value))
        raise TableError(
            f"label({label.column!r}): classes of numbers are whole numbers of 64 bits, but the column holds {odd}. "
            "Round it or make it a text in SQL, and ask with SporaQuery.from_sql."
        ) from error


def _is_whole(value: float | None) -> bool:
    return value is None or (abs(value) < 2**63 and value == int(value))


def _null_where(condition: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(condition, pa.nulls(1, values.type)[0], values)


def _classes(values: pa.Array, label: Label, resolved: Resolved, catalog: Catalog) -> tuple[ClassName, ...]:
    """Return the classes of the whole lake, in ascending order."""
    if pa.types.is_boolean(values.type):
        return (False, True)
    choice = resolved.selection.split_choice
    if choice is not None and is_assigned(label.column, resolved):
        return tuple(sorted(name for name, _ in choice.fractions))
    found = set[ClassName]()
    relations = homes(label.column, resolved, catalog)
    for relation, column in relations:
        distinct = exp.select(exp.column(column, quoted=True)).distinct().from_(relation)
        of_lake = _values(catalog._run(distinct).to_arrow_table().column(0), label)
        if of_lake.type != values.type:
            relations = []
        found |= set(of_lake.drop_null().to_pylist())
    if not relations:
        listed = sorted(pc.unique(values.drop_null()).to_pylist())
        shown = f"{listed}" if len(listed) <= SHOWN else f"[{str(listed[:SHOWN])[1:-1]}, ...]"
        raise ArgumentError(
            f"label({label.column!r}): only your own rows have this column, and classes have to be the same for rows "
            f"that are not among them. Give them: label({label.column!r}, classes={shown})."
        )
    return tuple(sorted(found))


def _codes(values: pa.Array, classes: tuple[ClassName, ...], label: Label, plan: Plan) -> Int32:
    """Return the position of every value in the classes, -1 where there is no label."""
    codes = pc.index_in(values, value_set=arrow_array(classes, values.type))
    strange = pc.and_(values.is_valid(), codes.is_null())
    if pc.any(strange).as_py():
        rows = np.flatnonzero(numpy_array(strange))
        others = sorted(pc.unique(values.filter(strange)).to_pylist())
        named = "classes= names" if label.classes is not None else "the lake has"
        raise _refused(
            label, plan, rows, f"have a value that is none of those that {named}: {_listed(others)}",
            f"Classes are {_listed(classes)}. Give classes= that name it, or leave these rows out with .where(...).",
        )  # fmt: skip
    found: Int32 = numpy_array(codes, absent=-1).astype(np.int32)
    return found


def _numbers(column: pa.ChunkedArray, label: Label, plan: Plan) -> Float32:
    """Return numbers as float32, NaN where there is none."""
    values = column.combine_chunks()
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    values = values.cast(pa.float64(), safe=False)
    values = _null_where(pc.is_nan(values), values)
    _check_missing(values, label, plan)
    exact: Float64 = numpy_array(values)
    with np.errstate(over="ignore"):
        found: Float32 = exact.astype(np.float32)
    lost = np.isinf(found)
    whole = pa.types.is_integer(column.type) or (pa.types.is_decimal(column.type) and column.type.scale == 0)
    if whole:  # ids and dates that float32 rounds would become one another
        lost |= (found != exact) & ~np.isnan(found) | (np.abs(exact) >= _EXACT)
    if len(rows := np.flatnonzero(lost)):
        what = f"have a number that float32 does not hold, such as {column[int(rows[0])].as_py()}"
        remedy = "Correct or scale the column, make it classes, or leave these rows out with .where(...)."
        raise _refused(label, plan, rows, what, remedy)
    found[np.isnan(found)] = np.nan  # of the same bits, which the plan's hash is made of
    return found


def _check_missing(values: pa.Array, label: Label, plan: Plan) -> None:
    if values.null_count and label.missing != -1:
        rows = np.flatnonzero(numpy_array(values.is_null()))
        raise _refused(label, plan, rows, f"have no {label.column}", CHOICES)


def _refused(label: Label, plan: Plan, rows: Int64, what: str, remedy: str) -> SporaError:
    """Return the error for rows that have no usable label, the first of them named."""
    first = dict(plan.identity(int(rows[0])))
    return TableError(
        f"label({label.column!r}): {len(rows):,} of {counted(len(plan), 'row')} {what}; the first is {first}. {remedy}"
    )


def _listed(values: object) -> str:
    shown = list(map(repr, values))  # type: ignore[call-overload]
    return ", ".join(shown[:SHOWN]) + (f", ... ({len(shown)} in all)" if len(shown) > SHOWN else "")
