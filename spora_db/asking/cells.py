"""One value of an answer as text: for a cell of a table or of CSV, and as JSON."""

import json
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa


def cell_text(value: object, kind: pa.DataType) -> str:
    """Return a value as one cell: binary in hex, an interval as ISO 8601, a list joined, what is nested deeper as JSON.

    Parameters
    ----------
    value
        As pyarrow gives it to Python; not None.
    kind
        Its type.

    Examples
    --------
    >>> cell_text(b"ab", pa.binary()), cell_text(["imc", "he"], pa.list_(pa.string()))
    ('6162', 'imc, he')
    """
    if isinstance(value, list) and is_list(kind) and not pa.types.is_nested(kind.value_type):
        return ", ".join("NULL" if item is None else cell_text(item, kind.value_type) for item in value)
    if pa.types.is_nested(kind):
        return json_text(value, kind)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, pa.MonthDayNano):
        return iso_interval(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def shown_text(value: object, kind: pa.DataType) -> str:
    """Return a value as a table for people has it: NULL, true and false, floats with all their digits, ``[a, b]``.

    Parameters
    ----------
    value
        As pyarrow gives it to Python.
    kind
        Its type.

    Examples
    --------
    >>> shown_text(1234567.891, pa.float64()), shown_text(0.1 + 2**-30, pa.float32()), shown_text(None, pa.string())
    ('1234567.891', '0.1', 'NULL')
    >>> shown_text(["imc", None], pa.list_(pa.string())), shown_text(True, pa.bool_())
    ('[imc, NULL]', 'true')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(float(str(np.float32(value))) if pa.types.is_float32(kind) else value)
    if isinstance(value, list) and is_list(kind):
        return "[" + ", ".join(shown_text(item, kind.value_type) for item in value) + "]"
    return cell_text(value, kind)


def json_text(value: object, kind: pa.DataType | None = None) -> str:
    """Return a value as JSON: exact numbers, null for NaN and infinity, a map as an object, the rest as `cell_text`.

    Parameters
    ----------
    value
        As pyarrow gives it to Python.
    kind
        Its type; None where it is not known, inside a union: there a map is a list of pairs.

    Examples
    --------
    >>> print(json_text([Decimal("1.50"), float("nan"), 2**63, b"ab"]))
    [1.50, null, 9223372036854775808, "6162"]
    >>> print(json_text([("CD3", 7)], pa.map_(pa.string(), pa.int64())))
    {"CD3": 7}
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "null"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        kinds = {field.name: field.type for field in kind} if kind and pa.types.is_struct(kind) else {}
        return _object({name: json_text(item, kinds.get(name)) for name, item in value.items()})
    if isinstance(value, list | tuple) and not isinstance(value, pa.MonthDayNano):
        if kind and pa.types.is_map(kind):
            return _object({_key(key, kind.key_type): json_text(item, kind.item_type) for key, item in value})
        inner = kind.value_type if kind and is_list(kind) else None
        return "[" + ", ".join(json_text(item, inner) for item in value) + "]"
    return json.dumps(cell_text(value, kind or pa.string()), ensure_ascii=False)


def iso_interval(value: pa.MonthDayNano) -> str:
    """Return an interval as ISO 8601 has it: months, days and seconds are kept apart, each with its own sign.

    Examples
    --------
    >>> iso_interval(pa.MonthDayNano([14, 2, 3_723_500_000_000])), iso_interval(pa.MonthDayNano([0, -3, 0]))
    ('P14M2DT1H2M3.5S', 'P-3D')
    """
    sign, rest = "-" if value.nanoseconds < 0 else "", abs(value.nanoseconds)
    minutes, nanoseconds = divmod(rest, 60 * 10**9)
    seconds = f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}".rstrip("0").rstrip(".")
    parts = {"H": str(minutes // 60), "M": str(minutes % 60), "S": seconds}
    date = "".join(f"{number}{unit}" for number, unit in ((value.months, "M"), (value.days, "D")) if number)
    time = "".join(f"{sign}{number}{unit}" for unit, number in parts.items() if number != "0")
    return f"P{date}" + (f"T{time}" if time else "") if date or time else "PT0S"


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a type is a list, of any or of fixed length; a map is none."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in members.items()) + "}"


def _key(key: object, kind: pa.DataType) -> str:
    return key if isinstance(key, str) else cell_text(key, kind)
