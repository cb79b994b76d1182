"""The one rule of ids and places in tables: a whole number in digits, of 64 bits. Anything else is an error.

`spora_db.files.whole_numbers` has the same rule for Arrow.
"""

from sqlglot import exp

from spora_db.files.whole_numbers import EXACT_OF_BITS, MOST
from spora_db.sources.casts import refused
from spora_db.sources.duckdb_types import NULL
from spora_db.sources.reconcile import FLOATS, WHOLE_NUMBERS
from spora_db.sqltext.expressions import call, cast_to, opaque, text

EXACT = {"FLOAT": EXACT_OF_BITS[32], "DOUBLE": EXACT_OF_BITS[64]}
_DIGITS = "^[0-9]+$"
_DIGITS_OF_DECIMALS = "^-?[0-9]+([.]0*)?$"


def whole_number(column: exp.Expression, *, found: str, name: str, file: str, least: int = 0) -> exp.Expression:
    """Return the expression that makes a column BIGINT; a value that is no whole number in digits is an error.

    ``7``, ``7.0`` (as pandas stores numbers with gaps) and ``'7'`` are 7; NULL and NaN are NULL. ``1.5``, ``true``,
    ``'1_1'``, ``'0x2'``, ``'1e1'``, ``' 7'`` and ``'+7'``, which a CAST rounds or reads as it can, are refused.

    Parameters
    ----------
    column
        The column of the file.
    found
        Its type there.
    name, file
        What it is called there, and the file's path in the lake, for the error.
    least
        The least value.

    Examples
    --------
    >>> whole_number(exp.column("c0"), found="USMALLINT", name="cell_id", file="cells.parquet").sql("duckdb")
    'CAST(c0 AS BIGINT)'
    """
    if found == NULL:
        return cast_to(exp.Null(), "BIGINT")
    number = cast_to(column.copy(), "BIGINT")
    if found in WHOLE_NUMBERS and found.startswith("U") and found != "UBIGINT" and least <= 0:
        return number
    wrong = _refused(column, found, name=name, file=file, least=least)
    case = exp.Case()
    if found in FLOATS:
        case = case.when(call("isnan", opaque(column.copy())), exp.Null())
    case = case.when(exp.Is(this=column.copy(), expression=exp.Null()), exp.Null())
    fine = _fine(column, found, least)
    return (case if fine is None else case.when(fine, number)).else_(wrong)


def _fine(column: exp.Expression, found: str, least: int) -> exp.Expression | None:
    """Return the condition that a value is a whole number; None for a type that holds none."""
    if found in WHOLE_NUMBERS | FLOATS:
        within = exp.Between(this=column.copy(), low=_number(least), high=_number(EXACT.get(found, MOST)))
        whole = exp.EQ(this=column.copy(), expression=call("trunc", column.copy()))
        return exp.And(this=within, expression=whole) if found in FLOATS else within
    if found != "VARCHAR" and not found.startswith("DECIMAL"):
        return None
    digits = exp.RegexpLike(
        this=cast_to(column.copy(), "VARCHAR"),
        expression=text(_DIGITS if found == "VARCHAR" else _DIGITS_OF_DECIMALS),
    )
    number = exp.TryCast(this=column.copy(), to=exp.DataType.build("BIGINT", dialect="duckdb"))
    enough = exp.Coalesce(this=exp.GTE(this=number, expression=_number(least)), expressions=[exp.false()])
    return exp.And(this=digits, expression=enough)


def _number(value: int) -> exp.Expression:
    return exp.Literal.number(value)


def _refused(column: exp.Expression, found: str, *, name: str, file: str, least: int) -> exp.Cast:
    """Return the expression that raises; what it says begins as `spora_db.catalog.failures` knows it."""
    quote = "'" if found == "VARCHAR" else ""
    most = f"{EXACT[found]} (beyond, {found} rounds)" if found in EXACT else MOST
    expected = (
        f"{quote}; expected whole numbers in digits, from {least} to {most}. Number the rows anew, and keep such "
        "values in a column of another name."
    )
    shown = exp.Coalesce(this=cast_to(column.copy(), "VARCHAR"), expressions=[text("NULL")])
    return cast_to(refused(f"The column {name!r} of {file} holds {quote}", shown, expected), "BIGINT")
