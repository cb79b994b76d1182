"""One column, many cohorts, many types: the type that holds them all, and the SQL that brings each there."""

from collections.abc import Iterable

import pyarrow as pa
from sqlglot import exp

from spora_db.sources.expressions import call, cast_to, opaque

NULL = "NULL"
_PLAIN = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "halffloat": "FLOAT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "date32[day]": "DATE",
    "null": NULL,
}
_SIGNED = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}
WHOLE_NUMBERS = _SIGNED | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
FLOATS = {"FLOAT", "DOUBLE"}
_WIDEST_DECIMAL = 38
"""Digits; DuckDB reads wider ones as DOUBLE."""


def duckdb_type(arrow: pa.DataType) -> str:
    """Name the DuckDB type of an arrow column; a nested or rare type keeps its arrow name (and DuckDB's own choice).

    Examples
    --------
    >>> duckdb_type(pa.large_string()), duckdb_type(pa.dictionary(pa.int8(), pa.string())), duckdb_type(pa.null())
    ('VARCHAR', 'VARCHAR', 'NULL')
    """
    if pa.types.is_dictionary(arrow):
        return duckdb_type(arrow.value_type)
    if pa.types.is_timestamp(arrow):
        return "TIMESTAMP" if arrow.tz is None else "TIMESTAMPTZ"
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision}, {arrow.scale})" if arrow.precision <= _WIDEST_DECIMAL else "DOUBLE"
    return _PLAIN.get(str(arrow), str(arrow))


def common_type(types: Iterable[str]) -> str:
    """Return the one type for a column that has these types in its files.

    Equal types stay; NULL gives way to any; integers widen to BIGINT; integers and floats become DOUBLE;
    everything else becomes VARCHAR.

    Examples
    --------
    >>> common_type(["NULL", "INTEGER"]), common_type(["INTEGER", "FLOAT"]), common_type(["DOUBLE", "VARCHAR"])
    ('INTEGER', 'DOUBLE', 'VARCHAR')
    """
    found = set(types) - {NULL}
    if not found:
        return "VARCHAR"  # nulls everywhere: text is what most columns hold, and a typed column can be compared
    if len(found) == 1:
        return found.pop()
    if found <= WHOLE_NUMBERS:
        return "BIGINT" if "UBIGINT" not in found else "HUGEINT"
    if found <= WHOLE_NUMBERS | FLOATS or all(
        item in WHOLE_NUMBERS | FLOATS or item.startswith("DECIMAL") for item in found
    ):
        return "DOUBLE"
    return "VARCHAR"


def is_known(type_name: str) -> bool:
    """Tell whether a type can be named in a CAST; others (lists, structs) are left as DuckDB reads them."""
    return (
        type_name in _PLAIN.values() or type_name in {"HUGEINT", "TIMESTAMP", "TIMESTAMPTZ"} or "DECIMAL" in type_name
    )


def cast(column: exp.Expression, *, found: str, wanted: str) -> exp.Expression:
    """Return the expression that brings a column to a type."""
    value = opaque(column) if found in FLOATS else column
    return cast_to(value, wanted) if is_known(wanted) else value


def cast_id(column: exp.Expression, *, found: str) -> exp.Expression:
    """Return the expression that makes an identifier text: 170.0 becomes '170', NaN becomes NULL.

    A pandas column of whole numbers with gaps is stored as DOUBLE; the identifier is still the whole number.

    Examples
    --------
    >>> cast_id(exp.column("c0"), found="BIGINT").sql("duckdb")
    'CAST(c0 AS TEXT)'
    """
    if found not in FLOATS:
        return cast_to(column, "VARCHAR")
    is_nan = call("isnan", opaque(column.copy()))
    whole = exp.EQ(this=column.copy(), expression=call("trunc", column.copy()))
    exact = exp.LT(this=exp.Abs(this=column.copy()), expression=exp.Literal.number("1e18"))
    return (
        exp.Case()
        .when(is_nan, exp.Null())
        .when(exp.And(this=whole, expression=exact), cast_to(cast_to(column.copy(), "HUGEINT"), "VARCHAR"))
        .else_(cast_to(column.copy(), "VARCHAR"))
    )
