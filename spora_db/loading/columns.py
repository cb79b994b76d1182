"""The further columns of a query in its samples: numbers of a type that is a whole column's, not a row's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from spora_db.errors import QueryError
from spora_db.files.whole_numbers import exact_floats

NumberTypes: TypeAlias = Mapping[str, type[int] | type[float]]
BEYOND = "whole numbers beyond {}, which no tensor holds exactly"
NO_TIMES = "times that Python has not: infinity, years outside of 1 to 9999, 24:00, or nanoseconds of a time of day"


def number_types(columns: pa.Table) -> NumberTypes:
    """Return as what samples hold the columns that are converted; the others are delivered as they are.

    Floating-point numbers and decimals are floats; whole numbers are ints, unless there is null among them: then they,
    and truth values likewise, are floats, which have NaN for null.

    Raises
    ------
    QueryError
        If a whole number would be rounded, or is beyond 64 bits; if Python has no such time.

    Examples
    --------
    >>> number_types(pa.table({"age": [61, None], "n": [1, 2], "site": ["lung", None], "stage": [1.5, 2.5]}))
    {'age': <class 'float'>, 'n': <class 'int'>, 'stage': <class 'float'>}
    """
    found: dict[str, type[int] | type[float]] = {}
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        kind = column.type
        whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
        if column.null_count and (whole or pa.types.is_boolean(kind)):
            _check(name, fits=exact_floats(column) is not None, holds=BEYOND.format("2**53, beside nulls"))
            found[name] = float
        elif whole:
            _check(name, fits=_fits_int64(column), holds=BEYOND.format("64 bits"))
            found[name] = int
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found[name] = float
        elif pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind):
            _check(name, fits=_fits_python(column), holds=NO_TIMES)
    return found


def values_of(columns: pa.Table, types: NumberTypes, rows: Sequence[int]) -> dict[str, list[Any]]:
    """Return the values of some rows by column, numbers as `number_types` says.

    Examples
    --------
    >>> table = pa.table({"age": [61, None], "site": ["lung", None]})
    >>> values_of(table, number_types(table), [0, 1])
    {'age': [61.0, nan], 'site': ['lung', None]}
    """
    found = {}
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        values, number = [column[row].as_py() for row in rows], types.get(name)
        if number is not None:
            values = [math.nan if value is None else number(value) for value in values]
        found[name] = values
    return found


def _fits_int64(column: pa.ChunkedArray) -> bool:
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _fits_python(times: pa.ChunkedArray) -> bool:
    """Tell whether Python has such times: in its years, before 24:00, and without parts of microseconds in a day."""
    if pa.types.is_time64(times.type):
        second = 10**6 if times.type.unit == "us" else 10**9
        counts, step = times.cast(pa.int64()), second // 10**6
        whole = pc.equal(pc.multiply(pc.divide(counts, step), step), counts)
        return bool(pc.all(pc.and_(whole, pc.less(counts, 24 * 60 * 60 * second)), min_count=0).as_py())
    if pa.types.is_timestamp(times.type) and times.type.unit == "ns":
        return True
    try:
        pc.min_max(times).as_py()
    except (OverflowError, ValueError):  # as infinity, which databases have
        return False
    return True


def _check(name: str, *, fits: bool, holds: str) -> None:
    if not fits:
        raise QueryError(
            f"The column {name!r} of the query holds {holds}. "
            "Leave it out, or take it as text, with CAST(... AS VARCHAR) in SporaQuery.from_sql."
        )
