"""The further columns of a query in its samples: numbers of a type that is a whole column's, not a row's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from spora_db.files.python_times import NO_TIMES, are_python_times, unfit
from spora_db.files.whole_numbers import exact_floats

NumberTypes: TypeAlias = Mapping[str, type[int] | type[float]]
BEYOND = "whole numbers beyond {}, which no tensor holds exactly"


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
            if exact_floats(column) is None:
                raise unfit(name, BEYOND.format("2**53, beside nulls"))
            found[name] = float
        elif whole:
            if not _fits_int64(column):
                raise unfit(name, BEYOND.format("64 bits"))
            found[name] = int
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found[name] = float
        elif not are_python_times(column):
            raise unfit(name, NO_TIMES)
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
