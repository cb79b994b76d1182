"""What a value is, as far as engines differ about it: kinds of types, and the kind that several values share.

Engines agree about comparing two texts or two whole numbers. They do not about a text beside a number, a FLOAT beside
0.1 (DuckDB takes 0.1 as FLOAT, others take both as DOUBLE), or a date beside a text. So each value that is translated
carries its kind; values that meet are brought to one kind in the text itself, or refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from spora_db.dialects.literals import literal_moment, literal_of, literal_text, number
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.expressions import cast_to

Kind = Literal["text", "integer", "wide", "decimal", "float", "double", "boolean", "date", "timestamp", "null", "other"]
"""`wide` are whole numbers beyond BIGINT, decimals elsewhere; `other` is only passed on, as a column of a result."""

NUMBERS: tuple[Kind, ...] = ("integer", "wide", "decimal", "float", "double")
"""Kinds of numbers, each held by those after it."""
EXACT: tuple[Kind, ...] = ("integer", "wide", "decimal", "double")
"""Kinds that engines compute with alike; FLOAT is computed in half the digits here and in all of them there."""
ORDERED: tuple[Kind, ...] = (*NUMBERS, "text", "date", "timestamp")
COMPARED: tuple[Kind, ...] = (*ORDERED, "boolean")

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "integer"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "UBIGINT"), "wide"),
    **dict.fromkeys(("FLOAT", "REAL"), "float"),
    **{"DOUBLE": "double", "VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp"},
}
_NULLS = {"integer": "BIGINT", "decimal": "DOUBLE", "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}
_NUMBER = re.compile(r"-?[0-9]{1,18}([.][0-9]{1,18})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A translated expression, as the engine has it, and the kind that DuckDB has in its place."""

    tree: exp.Expr
    kind: Kind


def kind_of(type_name: str) -> Kind:
    """Return the kind of a DuckDB type.

    Examples
    --------
    >>> kind_of("UINTEGER"), kind_of("DECIMAL(9, 2)"), kind_of("VARCHAR"), kind_of("VARCHAR[]")
    ('integer', 'decimal', 'text', 'other')
    """
    name = type_name.upper()
    if name.startswith(("DECIMAL", "NUMERIC")) and not name.endswith("]"):
        return "decimal"
    return _KINDS.get(name, "other")  # ENUM too: DuckDB orders its values as they were declared


def common(values: Sequence[Typed]) -> tuple[list[exp.Expr], Kind]:
    """Bring values that meet to the kind that DuckDB compares them in: operands, items of a list, branches of a CASE.

    Values that engines would convert in different ways are refused.
    """
    kinds = {value.kind for value in values} - {"null"}
    if "text" in kinds and len(kinds) > 1:
        kinds.discard("text")
        beside = shared(kinds)
        values = [_read(value, beside) if value.kind == "text" else value for value in values]
    if "double" not in kinds and "float" in kinds:
        values = [_as_float(value) for value in values]
    found = shared(kinds)
    if found is None:
        remedy = "Cast one of them to the type of the other."
        raise Untranslatable(f"Comparing {' and '.join(sorted(kinds))}", remedy)
    return [_brought(value, found, among=len(values)) for value in values], found


def _brought(value: Typed, kind: Kind, *, among: int) -> exp.Expr:
    """Return a value as one of a kind that all of them share."""
    if value.kind == "date" and kind == "timestamp":
        return cast_to(value.tree, "TIMESTAMP")
    if value.kind == "null" and not isinstance(value.tree, exp.Null) and kind in _NULLS:
        return cast_to(value.tree, _NULLS[kind])  # a CASE of nothing but NULL is a text in PostgreSQL
    is_other = value.kind not in ("double", "null") and literal_of(value.tree) is None
    if kind == "double" and among > 2 and is_other:  # two whole numbers in a list are compared as what all of them are
        return cast_to(value.tree, "DOUBLE")
    return value.tree


def shared(kinds: set[Kind]) -> Kind | None:
    """Return the kind that holds all of some kinds; None where there is none."""
    if kinds and kinds <= set(NUMBERS):
        return max(kinds, key=NUMBERS.index)
    if kinds == {"date", "timestamp"}:
        return "timestamp"
    return None if len(kinds) > 1 else next(iter(kinds), "null")


def alike(*kinds: Kind) -> Kind | None:
    """Return the kind of two columns that meet, which cannot be converted in the text; None where they would be."""
    found = set(kinds) - {"null"}
    return shared(found) if len(found) < 2 or found <= set(EXACT) else None


def _as_float(value: Typed) -> Typed:
    """Return a literal as the FLOAT that DuckDB compares it as."""
    if value.kind in ("float", "null"):
        return value
    literal = literal_of(value.tree)
    is_other = literal is None or literal.is_string
    refuse(is_other, "A FLOAT beside a number of another type", "Write CAST(... AS DOUBLE).")
    return Typed(tree=cast_to(value.tree, "FLOAT"), kind="float")


def _read(value: Typed, kind: Kind | None) -> Typed:
    """Read a literal text as DuckDB does beside another type."""
    text = literal_text(value.tree) or ""
    found = _NUMBER.fullmatch(text)
    if found and (kind in ("float", "double") or (kind == "integer" and not found[1])):
        return Typed(tree=number(text), kind="decimal" if found[1] else "integer")
    if kind in ("date", "timestamp") and (moment := literal_moment(text, kind)) is not None:
        return Typed(tree=moment, kind=kind)
    raise Untranslatable(f"A text beside a {kind or 'value of another type'}", "Write a literal of that type.")
