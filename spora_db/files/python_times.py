"""Times in Arrow columns that Python has, too, and those that it has not."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spora_db.errors import QueryError

NO_TIMES = "times that Python has not: infinity, years outside of 1 to 9999, 24:00, or nanoseconds of a time of day"


def are_python_times(column: pa.ChunkedArray) -> bool:
    """Tell whether Python has the times of a column: in its years, before 24:00, no parts of microseconds in a day.

    Examples
    --------
    >>> are_python_times(pa.chunked_array([pa.array([2**31 - 1], pa.date32())]))
    False
    """
    kind = column.type
    if pa.types.is_nested(kind):
        return all(are_python_times(pa.chunked_array([part])) for chunk in column.chunks for part in _parts_of(chunk))
    if pa.types.is_time64(kind):
        second = 10**6 if kind.unit == "us" else 10**9
        counts, step = column.cast(pa.int64()), second // 10**6
        whole = pc.equal(pc.multiply(pc.divide(counts, step), step), counts)
        return bool(pc.all(pc.and_(whole, pc.less(counts, 24 * 60 * 60 * second)), min_count=0).as_py())
    moments = pa.types.is_timestamp(kind)
    if not (pa.types.is_date(kind) or pa.types.is_time(kind) or moments) or (moments and kind.unit == "ns"):
        return True
    try:
        pc.min_max(column).as_py()
    except (OverflowError, ValueError):  # as infinity, which databases have
        return False
    return True


def python_values(values: pa.Array) -> list[Any]:
    """Return values as Python's; in place of times that it has not, and of no other, the number that Arrow has.

    Examples
    --------
    >>> python_values(pa.array([0, 2**31 - 1, None], pa.date32()))
    [datetime.date(1970, 1, 1), 2147483647, None]
    """
    if are_python_times(pa.chunked_array([values])):
        return list(values.to_pylist())
    if len(values) > 1:
        half = len(values) // 2
        return [*python_values(values[:half]), *python_values(values[half:])]
    parts = _parts_of(values)
    return [[python_values(part) for part in parts] if parts else values[0].value]


def unfit(name: str, holds: str) -> QueryError:
    """Return the error for a column of a query that holds what it is not delivered as.

    Examples
    --------
    >>> str(unfit("taken", NO_TIMES)).partition(":")[0]
    "The column 'taken' of the query holds times that Python has not"
    """
    return QueryError(
        f"The column {name!r} of the query holds {holds}. "
        "Leave it out, or take it as text, with CAST(... AS VARCHAR) in SporaQuery.from_sql."
    )


def _parts_of(values: pa.Array) -> list[pa.Array]:
    """Return the arrays that hold what is in lists, maps and structs; of what holds nothing, and of unions, none."""
    if pa.types.is_struct(values.type):
        return list(values.flatten())
    if pa.types.is_map(values.type):
        first, end = values.offsets[0].as_py(), values.offsets[-1].as_py()
        return [values.keys[first:end], values.items[first:end]]
    return [values.flatten()] if pa.types.is_nested(values.type) and not pa.types.is_union(values.type) else []
