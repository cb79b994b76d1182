"""Whole numbers in Arrow columns and lists, by the rule that SQL has in `spora_db.sources.whole_numbers`."""

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spora_db.arrays import AnyArray
from spora_db.errors import TableError
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.files.python_times import NO_TIMES, are_python_times, unfit

if TYPE_CHECKING:
    import pandas as pd

LEAST, MOST = -(2**63), 2**63 - 1
EXACT_OF_BITS = {16: 2**11, 32: 2**24, 64: 2**53}
"""By the bits of a floating-point number, up to where it is the number that was meant: beyond, it rounds."""
_DIGITS = re.compile("-?[0-9]+")


def whole_number(value: object, *, least: int = 0) -> int | None:
    """Return the whole number of 64 bits that a value is; None if it is none in digits.

    Examples
    --------
    >>> [whole_number(value) for value in (7, 7.0, "007", Decimal("7.0"))]
    [7, 7, 7, 7]
    >>> [whole_number(value) for value in (1.5, True, "1_1", "0x2", "1e1", " 7", "+7", "7.0", -1, 2**63, [7])]
    [None, None, None, None, None, None, None, None, None, None, None]
    """
    number: int | None = None
    if isinstance(value, str):
        number = int(value) if _DIGITS.fullmatch(value) and len(value) < 100 else None
    elif isinstance(value, bool | np.bool_):
        number = None
    elif isinstance(value, int | np.integer):
        number = int(value)
    elif isinstance(value, float | np.floating):
        most = EXACT_OF_BITS[8 * value.itemsize if isinstance(value, np.floating) else 64]
        number = int(value) if abs(float(value)) <= most and float(value).is_integer() else None
    elif isinstance(value, Decimal):
        number = int(value) if value.is_finite() and value == int(value) else None
    return number if number is not None and least <= number <= MOST else None


def whole_numbers(column: "pa.ChunkedArray | pa.Array", *, what: str, least: int = 0) -> Any:  # noqa: ANN401
    """Return a column of any type as int64, NaN as null; `what` names it and its table in errors.

    Raises
    ------
    TableError
        If a value is no whole number in digits, of 64 bits.

    Examples
    --------
    >>> whole_numbers(pa.array([7.0, float("nan")]), what="The column 'cell_id'").to_pylist()
    [7, None]
    """
    import pyarrow.compute as pc  # what a worker of a loader does not wait for

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_floating(kind):
        floats = numpy_array(column)
        unknown = np.isnan(floats)
        fine = unknown | (
            (np.abs(floats) <= EXACT_OF_BITS[kind.bit_width]) & (floats == np.trunc(floats)) & (floats >= least)
        )
        whole = arrow_array(np.where(unknown | ~fine, 0, floats).astype(np.int64))
        numbers = pc.if_else(arrow_array(unknown), pa.nulls(1, pa.int64())[0], whole)
        odd = None if fine.all() else float(floats[~fine][0])
    elif pa.types.is_integer(kind):
        ends = [value for value in pc.min_max(column).as_py().values() if value is not None]
        odd = next((value for value in ends if not least <= value <= MOST), None)
        numbers = column if odd is not None else column.cast(pa.int64())
    else:
        found = [(value, whole_number(value, least=least)) for value in column.to_pylist()]
        odd = next((value for value, number in found if number is None and value is not None), None)
        numbers = arrow_array([number for _, number in found], pa.int64())
    if odd is not None:
        raise TableError(f"{what} holds {odd!r}; expected whole numbers in digits, from {least} to {MOST}.")
    return numbers


def exact_floats(column: "pa.ChunkedArray | pa.Array") -> Any:  # noqa: ANN401
    """Return whole numbers, decimals or truth values as float64; None if float64 rounds one of them.

    Examples
    --------
    >>> exact_floats(pa.array([True, None])).to_pylist(), exact_floats(pa.array([2**53 + 1, None]))
    ([1.0, None], None)
    """
    kind = column.type
    try:
        floats = column.cast(pa.uint8() if pa.types.is_boolean(kind) else kind).cast(pa.float64())
        return floats if pa.types.is_boolean(kind) or floats.cast(kind).equals(column) else None
    except pa.ArrowException:
        return None


def type_with_gaps(values: AnyArray) -> Any:  # noqa: ANN401 - a type of numpy or of pandas
    """Return the type that keeps whole numbers beyond 2**53 beside gaps, where floats would round; else their own.

    Examples
    --------
    >>> type_with_gaps(np.array([2**53 + 1])), type_with_gaps(np.array([1, 2]))
    (Int64Dtype(), dtype('int64'))
    """
    import pandas as pd

    if values.dtype.kind not in "iu" or not values.size or max(-int(values.min()), int(values.max())) <= 2**53:
        return values.dtype
    return pd.Int64Dtype() if values.dtype.kind == "i" else pd.UInt64Dtype()


def as_frame(table: pa.Table) -> "pd.DataFrame":
    """Return a table as a pandas DataFrame; large whole numbers beside nulls keep their digits, as Int64.

    Raises
    ------
    QueryError
        If it has dates or times of day that Python has not.

    Examples
    --------
    >>> as_frame(pa.table({"a": [2**53 + 1, None], "b": [1, None]})).dtypes.astype(str).tolist()
    ['Int64', 'float64']
    """
    import pandas as pd

    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_timestamp(column.type) and not are_python_times(column):
            raise unfit(name, NO_TIMES)
    frame: pd.DataFrame = table.to_pandas()
    for at, column in enumerate(table.columns):
        if column.null_count and pa.types.is_integer(column.type):
            kind = type_with_gaps(column.drop_null().to_numpy())
            if not isinstance(kind, np.dtype):
                frame.isetitem(at, pd.array(column.to_pylist(), dtype=kind))
    return frame
