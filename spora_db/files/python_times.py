"""Times in Arrow columns that Python has, too."""

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
