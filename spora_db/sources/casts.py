"""The SQL that brings a column to a type, and the error of a value that has none there."""

import re

from sqlglot import exp

from spora_db.sources.duckdb_types import digits, is_known, parts
from spora_db.sources.expressions import call, cast_to, opaque, text
from spora_db.sources.reconcile import FLOATS, TEXT

_HOLDS_FLOATS = re.compile(r"\b(FLOAT|DOUBLE)\b")


def cast(column: exp.Expression, *, found: str, wanted: str) -> exp.Expression:
    """Return the expression that brings a column to a type; nested floating-point numbers are opaque too."""
    value = opaque(column) if _HOLDS_FLOATS.search(found) else column
    same = found == wanted and parts(found) is not None
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
    case = exp.Case()
    whole: exp.Expr = exp.EQ(this=column.copy(), expression=call("trunc", column.copy()))
    if found in FLOATS:
        case = case.when(call("isnan", opaque(column.copy())), exp.Null())
        whole = exp.and_(whole, exp.LT(this=exp.Abs(this=column.copy()), expression=exp.Literal.number("1e18")))
    digits_only = cast_to(cast_to(column.copy(), "HUGEINT"), TEXT)
    return case.when(whole, digits_only).else_(cast_to(column.copy(), TEXT))


def refused(before: str, value: exp.Expression, after: str) -> exp.Expression:
    """Return what raises an error with a value in its words, once it is met.

    It begins with "The column '...'", as `spora_db.catalog.failures` knows it.
    """
    return call("error", exp.DPipe(this=exp.DPipe(this=text(before), expression=value), expression=text(after)))
