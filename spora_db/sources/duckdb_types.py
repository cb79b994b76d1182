"""The DuckDB types of the columns of a parquet file, as names: what DuckDB itself reads there, nested ones too.

Arrow spells one type in many ways (a list is a list, large_list, list_view or fixed-size list); parquet stores one.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

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
    "binary_view": "BLOB",
    "date32[day]": "DATE",
    "date64[ms]": "DATE",
    "time32[s]": "TIME",
    "time32[ms]": "TIME",
    "time64[us]": "TIME",
    "time64[ns]": "TIME_NS",
    "null": NULL,
}
_EXTENSIONS = {"arrow.uuid": "UUID", "arrow.json": "JSON"}
_LOGICAL = {"JSON": "JSON", "ENUM": "VARCHAR", "INTERVAL": "INTERVAL", "UUID": "UUID"}
"""What parquet says of bytes that Arrow has no word for."""
_KNOWN = {*_PLAIN.values(), "HUGEINT", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "TIMESTAMPTZ_NS"}
_KNOWN |= {*_LOGICAL.values()} - {NULL}
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)
WIDEST_DECIMAL = 38
"""Digits; DuckDB reads wider ones as DOUBLE."""
_DECIMAL = re.compile(r"DECIMAL\((\d+), (\d+)\)")
_TOKEN = re.compile(r'"(?:[^"]|"")*"|.', re.DOTALL)
_FIELD = re.compile(r'"((?:[^"]|"")*)" (.*)', re.DOTALL)
Shape = Literal["LIST", "MAP", "STRUCT"]
StructFields = tuple[tuple[str, str], ...]


def duckdb_type(arrow: pa.DataType, leaves: Iterator[pq.ColumnSchema] | None = None) -> str:
    """Name the DuckDB type of an arrow column; a type that DuckDB may read as anything keeps its arrow name.

    So does a duration: DuckDB reads a number of units, and two cohorts of different units have no common type.

    Parameters
    ----------
    arrow
        The type.
    leaves
        The columns of the parquet file from the first of this one's on, which are taken: parquet knows dates of
        96 bits, intervals, enums and JSON, where Arrow sees times and bytes.

    Examples
    --------
    >>> duckdb_type(pa.large_string()), duckdb_type(pa.dictionary(pa.int8(), pa.string())), duckdb_type(pa.null())
    ('VARCHAR', 'VARCHAR', 'NULL')
    >>> duckdb_type(pa.large_list(pa.list_view(pa.float16()))), duckdb_type(pa.map_(pa.string(), pa.int8()))
    ('FLOAT[][]', 'MAP(VARCHAR, TINYINT)')
    >>> duckdb_type(pa.struct({"a b": pa.int64(), "c": pa.list_(pa.null())}))
    'STRUCT("a b" BIGINT, "c" NULL[])'
    """
    if pa.types.is_map(arrow):
        key, item = duckdb_type(arrow.key_type, leaves), duckdb_type(arrow.item_type, leaves)
        return f"MAP({key}, {item})"
    if isinstance(arrow, _LISTS):
        return duckdb_type(arrow.value_type, leaves) + "[]"
    if pa.types.is_struct(arrow):
        return struct(
            (arrow.field(at).name, duckdb_type(arrow.field(at).type, leaves)) for at in range(arrow.num_fields)
        )
    if isinstance(arrow, pa.BaseExtensionType) and arrow.extension_name not in _EXTENSIONS:
        return duckdb_type(arrow.storage_type, leaves)
    if pa.types.is_dictionary(arrow):
        return duckdb_type(arrow.value_type, leaves)
    return _leaf(arrow, None if leaves is None else next(leaves))


def _leaf(arrow: pa.DataType, column: pq.ColumnSchema | None) -> str:
    if isinstance(arrow, pa.BaseExtensionType):
        return _EXTENSIONS[arrow.extension_name]
    if pa.types.is_timestamp(arrow):
        nanoseconds = arrow.unit == "ns" and (column is None or column.physical_type != "INT96")
        return ("TIMESTAMP" if arrow.tz is None else "TIMESTAMPTZ") + ("_NS" if nanoseconds else "")
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision}, {arrow.scale})" if arrow.precision <= WIDEST_DECIMAL else "DOUBLE"
    name = _PLAIN.get(str(arrow), "BLOB" if pa.types.is_fixed_size_binary(arrow) else str(arrow))
    if column is not None and name in ("BLOB", "VARCHAR"):
        said = {column.logical_type.type, column.converted_type}
        return next((kind for word, kind in _LOGICAL.items() if word in said), name)
    return name


def is_known(type_name: str) -> bool:
    """Tell whether a type can be named in a CAST; others are left as DuckDB reads them.

    Examples
    --------
    >>> is_known("DECIMAL(5, 2)[]"), is_known("extension<arrow.opaque>"), is_known("NULL[]")
    (True, False, False)
    """
    inner = parts(type_name)
    if inner is not None:
        return all(is_known(kind) for _, kind in inner[1])
    return type_name != NULL and (type_name in _KNOWN or _DECIMAL.fullmatch(type_name) is not None)


def digits(type_name: str) -> tuple[int, int] | None:
    """Return how many digits a DECIMAL has, and how many of them after its point; None for another type.

    Examples
    --------
    >>> digits("DECIMAL(5, 2)"), digits("DOUBLE")
    ((5, 2), None)
    """
    match = _DECIMAL.fullmatch(type_name)
    return (int(match[1]), int(match[2])) if match else None


def struct(fields: Iterable[tuple[str, str]]) -> str:
    """Name the type of a struct."""
    named = (f"{exp.to_identifier(name, quoted=True).sql('duckdb')} {kind}" for name, kind in fields)
    return f"STRUCT({', '.join(named)})"


@cache
def parts(type_name: str) -> tuple[Shape, StructFields] | None:
    """Take a nested type apart: what it is, and the types within, of structs with their names; None for a plain one.

    Examples
    --------
    >>> parts('STRUCT("a" MAP(VARCHAR, BIGINT), "b, c" DECIMAL(5, 2)[])')
    ('STRUCT', (('a', 'MAP(VARCHAR, BIGINT)'), ('b, c', 'DECIMAL(5, 2)[]')))
    >>> parts("DECIMAL(5, 2)[]"), parts("DECIMAL(5, 2)")
    (('LIST', (('', 'DECIMAL(5, 2)'),)), None)
    """
    if type_name.endswith("[]"):
        return "LIST", (("", type_name.removesuffix("[]")),)
    if type_name.startswith("MAP("):
        return "MAP", tuple(("", kind) for kind in _listed(type_name[4:-1]))
    if type_name.startswith("STRUCT("):
        fields = (_FIELD.fullmatch(field) for field in _listed(type_name[7:-1]))
        return "STRUCT", tuple((field[1].replace('""', '"'), field[2]) for field in fields if field)
    return None


def _listed(text: str) -> list[str]:
    """Split a text at the commas that are in no parentheses and no quotes."""
    depth, items = 0, [""]
    for token in _TOKEN.findall(text):
        depth += (token == "(") - (token == ")")
        if token == "," and not depth:
            items.append("")
        else:
            items[-1] += token
    return [item.strip() for item in items if item.strip()]
