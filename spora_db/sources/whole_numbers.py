"""The one rule of ids and places in tables: a whole number in digits, of 64 bits. Anything else is an error.

`spora_db.files.whole_numbers` has the same rule for Arrow.
"""

from sqlglot import exp

from spora_db.files.whole_numbers import EXACT_OF_BITS, MOST
from spora_db.sources.casts import is_null, nan_as_null, refused_value
from spora_db.sources.duckdb_types import NULL
from spora_db.sources.reconcile import FLOATS, TEXT, WHOLE_NUMBERS
from spora_db.sqltext.expressions import call, cast_to, constant, text, try_cast

EXACT = {"FLOAT": EXACT_OF_BITS[32], "DOUBLE": EXACT_OF_BITS[64]}
_DIGITS = "^[0-9]+$"
_DIGITS_OF_DECIMALS = "^-?[0-9]+([.]0*)?$"


def whole_number(column: exp.Expression, *, found: str, name: str, file: str, least: int = 0) -> exp.Expression:
    """Return the expression that makes a column BIGINT; a value that is no whole number in digits is an error.

    ``7``, ``7.0`` (as pandas stores numbers with gaps) and ``'7'`` are 7; NULL and NaN are NULL. ``1.5``, ``true``,
    ``'1_1'``, ``'0x2'``, ``'1e1'``, ``' 7'`` and ``'+7'``, which a CAST rounds or reads as it can, are refused. The
    column has the type `found` in a file, and is called `name` there, for the error.

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
    most = f"{EXACT[found]} (beyond, {found} rounds)" if found in EXACT else MOST
    expected = (
        f"expected whole numbers in digits, from {least} to {most}. Number the rows anew, and keep such values in a "
        "column of another name."
    )
    wrong = cast_to(refused_value(column, expected, found=found, name=name, file=file), "BIGINT")
    case = nan_as_null(column, found).when(is_null(column), exp.Null())
    fine = _fine(column, found, least)
    return (case if fine is None else case.when(fine, number)).else_(wrong)


def _fine(column: exp.Expression, found: str, least: int) -> exp.Expression | None:
    """Return the condition that a value is a whole number; None for a type that holds none."""
    if found in WHOLE_NUMBERS | FLOATS:
        within = exp.Between(this=column.copy(), low=constant(least), high=constant(EXACT.get(found, MOST)))
        whole = exp.EQ(this=column.copy(), expression=call("trunc", column.copy()))
        return exp.And(this=within, expression=whole) if found in FLOATS else within
    if found != TEXT and not found.startswith("DECIMAL"):
        return None
    digits = exp.RegexpLike(
        this=cast_to(column.copy(), TEXT),
        expression=text(_DIGITS if found == TEXT else _DIGITS_OF_DECIMALS),
    )
    number = try_cast(column.copy(), "BIGINT")
    enough = exp.Coalesce(this=exp.GTE(this=number, expression=constant(least)), expressions=[exp.false()])
    return exp.And(this=digits, expression=enough)
