"""The one rule of truth values in tables: true, false or unknown. Anything else is an error, never true by accident."""

from sqlglot import exp

from spora_db.errors import TableError
from spora_db.sources.casts import is_null, nan_as_null, refused, refused_value
from spora_db.sources.duckdb_types import NULL, digits
from spora_db.sources.reconcile import FLOATS, TEXT, WHOLE_NUMBERS
from spora_db.sqltext.expressions import call, cast_to, text, try_cast

_EXPECTED = "expected true or false (or 1 or 0). Write the column as truth values, null where it is not known."


def truth_value(column: exp.Expression, *, found: str, name: str, file: str) -> exp.Expression:
    """Return the expression that makes a truth value; NULL and NaN are unknown, and other values an error when met.

    The column has the type `found` in a file, and is called `name` there, for the error.

    Raises
    ------
    TableError
        If no value of the type is a truth value.

    Examples
    --------
    >>> truth_value(exp.column("c0"), found="BOOLEAN", name="qc_pass", file="channels.parquet").sql("duckdb")
    'CAST(c0 AS BOOLEAN)'
    """
    if found in ("BOOLEAN", NULL):
        return cast_to(column, "BOOLEAN")
    wrong = refused_value(column, _EXPECTED, found=found, name=name, file=file)
    given = exp.Not(this=is_null(column))
    if found == TEXT:
        read = try_cast(column.copy(), "BOOLEAN")
        unreadable = exp.and_(is_null(read), given)
        return exp.Case().when(unreadable, wrong).else_(read)
    if found not in WHOLE_NUMBERS | FLOATS and digits(found) is None:
        raise TableError(f"The column {name!r} of {file} is {found}; {_EXPECTED}")
    case = nan_as_null(column, found)
    for number, flag in (("0", exp.false()), ("1", exp.true())):
        case = case.when(exp.EQ(this=column.copy(), expression=exp.Literal.number(number)), flag)
    return case.when(given, wrong)


def truth_values(numbers: exp.Expression, *, names: exp.Expression, file: str) -> exp.Expression:
    """Return a list of whole numbers, called by a list of names, as truth values: no expression for each."""
    least, greatest = call("list_min", numbers.copy()), call("list_max", numbers.copy())
    low = exp.LT(this=least, expression=exp.Literal.number(0))
    high = exp.GT(this=greatest, expression=exp.Literal.number(1))
    value = exp.Case().when(low.copy(), least.copy()).else_(greatest.copy())
    name = call("list_extract", names, call("list_position", numbers.copy(), value))
    words = exp.DPipe(this=name, expression=text(f"' of {file} holds "))
    words = exp.DPipe(this=words, expression=cast_to(value.copy(), TEXT))
    wrong = refused("The column '", words, f"; {_EXPECTED}")
    return exp.Case().when(exp.or_(low, high), wrong).else_(cast_to(numbers.copy(), "BOOLEAN[]"))
