"""The SQL that brings a column to a type, and the error of a value that has none there."""

import re

from sqlglot import exp

from spora_db.sources.duckdb_types import digits, is_known, parts
from spora_db.sources.reconcile import FLOATS, TEXT, WHOLE_NUMBERS
from spora_db.sqltext.expressions import call, cast_to, opaque, text, try_cast

_HOLDS_FLOATS = re.compile(r"\b(FLOAT|DOUBLE)\b")


def cast(column: exp.Expression, *, found: str, wanted: str) -> exp.Expression:
    """Return the expression that brings a column to a type; DuckDB concludes nothing of NaN in it, see `opaque`.

    Numbers that have it are not cast: of thousands of columns, casts are a third of the time.
    """
    value = opaque(column) if _HOLDS_FLOATS.search(found) else column
    same = found == wanted and (found in FLOATS | WHOLE_NUMBERS or parts(found) is not None)
    return cast_to(value, wanted) if is_known(wanted) and not same else value


def cast_id(column: exp.Expression, *, found: str) -> exp.Expression:
    """Return the expression that makes an identifier text: 170.0 becomes '170', NaN becomes NULL.

    A pandas column of whole numbers with gaps is stored as DOUBLE, a database's as DECIMAL; the identifier is still the
    whole number.

    Examples
    --------
    >>> cast_id(exp.column("c0"), found="BIGINT").sql("duckdb")
    'CAST(c0 AS TEXT)'
    """
    decimal = digits(found)
    if found not in FLOATS and not (decimal and decimal[1]):
        return cast_to(column, TEXT)
    whole: exp.Expr = exp.EQ(this=column.copy(), expression=call("trunc", column.copy()))
    if found in FLOATS:
        whole = exp.and_(whole, exp.LT(this=exp.Abs(this=column.copy()), expression=exp.Literal.number("1e18")))
    digits_only = cast_to(cast_to(column.copy(), "HUGEINT"), TEXT)
    return nan_as_null(column, found).when(whole, digits_only).else_(cast_to(column.copy(), TEXT))


def cast_time(column: exp.Expression, *, wanted: str, name: str, file: str) -> exp.Expression:
    """Return the expression that gives a date or time nanoseconds; one that has none, as the year 9999, is an error."""
    value = try_cast(column.copy(), wanted)
    lost = exp.and_(is_null(value), exp.Not(this=is_null(column)))
    expected = (
        "; expected 1677 to 2262, the years of nanoseconds, which another cohort has here. Write it in microseconds."
    )
    wrong = refused(f"The column {name!r} of {file} holds ", cast_to(column.copy(), TEXT), expected)
    return exp.Case().when(lost, wrong).else_(value)


def nan_as_null(column: exp.Expression, found: str) -> exp.Case:
    """Return the CASE of a column's values in which NaN is NULL already."""
    return exp.Case().when(call("isnan", opaque(column.copy())), exp.Null()) if found in FLOATS else exp.Case()


def is_null(value: exp.Expression) -> exp.Is:
    """Return the condition that a value is NULL."""
    return exp.Is(this=value.copy(), expression=exp.Null())


def refused_value(column: exp.Expression, expected: str, *, found: str, name: str, file: str) -> exp.Expression:
    """Return what raises an error with the value of a column, in quotes where it is text, and what is expected."""
    quote = "'" if found == TEXT else ""
    shown = exp.Coalesce(this=cast_to(column.copy(), TEXT), expressions=[text("NULL")])
    return refused(f"The column {name!r} of {file} holds {quote}", shown, f"{quote}; {expected}")


def refused(before: str, value: exp.Expression, after: str) -> exp.Expression:
    """Return what raises an error with a value in its words, once it is met.

    It begins with "The column '...'", as `spora_db.catalog.failures` knows it.
    """
    return call("error", exp.DPipe(this=exp.DPipe(this=text(before), expression=value), expression=text(after)))
