"""What a value is, as far as engines differ about it: kinds of types, and the kind that several values share.

Engines agree about comparing two texts or two whole numbers. They do not about a text beside a number, a FLOAT beside
0.1 (DuckDB takes 0.1 as FLOAT, others take both as DOUBLE), or a date beside a text. So each value that is translated
carries its kind; values that meet are brought to one kind in the text itself, or refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast

import numpy as np
from sqlglot import exp

from spora_db.dialects.targets import Dialect, refused

Kind = Literal["text", "integer", "wide", "decimal", "float", "double", "boolean", "date", "timestamp", "null", "other"]
"""`wide` are whole numbers beyond BIGINT, decimals elsewhere; `other` is only passed on, as a column of a result."""
Sign = Literal["positive", "nonnegative", "any"]

NUMBERS: tuple[Kind, ...] = ("integer", "wide", "decimal", "float", "double")
"""Kinds of numbers, each held by those after it."""
ORDERED: tuple[Kind, ...] = (*NUMBERS, "text", "date", "timestamp")
COMPARED: tuple[Kind, ...] = (*ORDERED, "boolean")

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "integer"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "UBIGINT"), "wide"),
    **dict.fromkeys(("FLOAT", "REAL"), "float"),
    **{"DOUBLE": "double", "VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp"},
}
_TYPES = {"integer": "BIGINT", "decimal": "DOUBLE", "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}([.][0-9]{1,18})?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A translated expression.

    Attributes
    ----------
    tree
        The expression as the engine has it.
    kind
        What DuckDB has in its place.
    sign
        What is known about a number: by a positive one can be divided anywhere.
    is_whole
        Whether a floating-point number has no fraction, so that all engines cast it to the same whole number.
    """

    tree: exp.Expr
    kind: Kind
    sign: Sign = "any"
    is_whole: bool = False


def kind_of(type_name: str) -> Kind:
    """Return the kind of a DuckDB type.

    Examples
    --------
    >>> kind_of("UINTEGER"), kind_of("DECIMAL(9, 2)"), kind_of("VARCHAR"), kind_of("VARCHAR[]")
    ('integer', 'decimal', 'text', 'other')
    """
    name = type_name.upper()
    if name.endswith("]"):
        return "other"
    if name.startswith(("DECIMAL", "NUMERIC")):
        return "decimal"
    return _KINDS.get(name, "other")  # ENUM too: DuckDB orders its values as they were declared


def literal_of(tree: exp.Expr) -> exp.Literal | None:
    """Return the literal that an expression is, its parentheses and sign aside."""
    tree = tree.unnest()
    tree = tree.this.unnest() if isinstance(tree, exp.Neg) else tree
    return tree if isinstance(tree, exp.Literal) else None


def literal_text(tree: exp.Expr) -> str | None:
    """Return the text of a literal text; None for anything else."""
    tree = tree.unnest()
    return tree.name if isinstance(tree, exp.Literal) and tree.is_string else None


def literal_whole(tree: exp.Expr) -> int | None:
    """Return the value of a literal whole number, its sign included; None for anything else."""
    found = literal_of(tree)
    if found is None or found.is_string or not found.name.isdigit():
        return None
    return -int(found.name) if isinstance(tree.unnest(), exp.Neg) else int(found.name)


def wrapped(tree: exp.Expr) -> exp.Expr:
    """Put what is no single word or call into parentheses."""
    loose = isinstance(tree, exp.Binary | exp.Unary | exp.Predicate) and not isinstance(tree, exp.Paren)
    return exp.Paren(this=tree) if loose else tree


def common(values: Sequence[Typed], *, dialect: Dialect, node: exp.Expr) -> tuple[list[exp.Expr], Kind]:
    """Bring values to the kind that DuckDB compares them in.

    Parameters
    ----------
    values
        What meets: two operands, the values of a list, the branches of a CASE.
    dialect
        The engine.
    node
        Where they meet, for the error.

    Returns
    -------
    tuple of list of expressions, and str
        The values, literals rewritten, and their kind.

    Raises
    ------
    QueryError
        If engines would convert the values in different ways.
    """
    kinds = {value.kind for value in values} - {"null"}
    if "text" in kinds and len(kinds) > 1:
        kinds.discard("text")
        shared = _shared(kinds)
        values = [
            _read(value, shared, dialect=dialect, node=node) if value.kind == "text" else value for value in values
        ]
    if "double" not in kinds and "float" in kinds and len(kinds) > 1:
        values = [_as_float(value, dialect=dialect, node=node) for value in values]
    if kinds == {"date", "timestamp"}:
        moment = exp.DataType.build("TIMESTAMP", dialect="duckdb")
        values = [
            replace(value, tree=exp.cast(value.tree, moment.copy())) if value.kind == "date" else value
            for value in values
        ]
    found = _shared(kinds)
    values = [_typed_null(value, found) for value in values]
    if found is None:
        both = " and ".join(sorted(kinds))
        raise refused(f"Comparing {both}", dialect, remedy="Cast one of them to the type of the other.", node=node)
    if found == "double" and len(values) > 2:  # two whole numbers in a list are compared as what all of them are
        values = [_as_double(value) for value in values]
    return [value.tree for value in values], found


def _typed_null(value: Typed, kind: Kind | None) -> Typed:
    """Give a type to what is NULL in every case, such as a CASE of nothing else, which is a text in PostgreSQL."""
    type_name = _TYPES.get(kind or "null")
    if value.kind != "null" or isinstance(value.tree, exp.Null) or type_name is None:
        return value
    return replace(value, tree=exp.cast(value.tree, exp.DataType.build(type_name, dialect="duckdb")))


def _as_double(value: Typed) -> Typed:
    keep = value.kind in ("double", "null") or literal_of(value.tree) is not None
    return value if keep else replace(value, tree=exp.cast(value.tree, exp.DType.DOUBLE), kind="double")


def _shared(kinds: set[Kind]) -> Kind | None:
    if kinds <= {"date", "timestamp"} and len(kinds) > 1:
        return "timestamp"
    if kinds and kinds <= set(NUMBERS):
        return max(kinds, key=NUMBERS.index)
    if len(kinds) > 1:
        return None
    return kinds.copy().pop() if kinds else "null"


def _read(value: Typed, kind: Kind | None, *, dialect: Dialect, node: exp.Expr) -> Typed:
    """Read a literal text as DuckDB does beside another type."""
    text = literal_text(value.tree)
    if text is not None:
        if (kind == "integer" and _WHOLE.fullmatch(text)) or (kind in ("float", "double") and _NUMBER.fullmatch(text)):
            return Typed(tree=number(text), kind="integer" if _WHOLE.fullmatch(text) else "decimal")
        if kind in ("date", "timestamp") and (moment := literal_moment(text, cast(Kind, kind))) is not None:
            return Typed(tree=moment, kind=cast(Kind, kind))
    raise refused(
        f"A text beside a {kind or 'value of another type'}", dialect, remedy="Write a literal of that type.", node=node
    )


def number(text: str) -> exp.Expr:
    """Return the literal of a number, its sign before it."""
    literal = exp.Literal.number(text.removeprefix("-"))
    return exp.Neg(this=literal) if text.startswith("-") else literal


def literal_moment(text: str, kind: Kind) -> exp.Cast | None:
    """Return a date or timestamp written in full, as every engine reads it; None for another text.

    Examples
    --------
    >>> print(literal_moment("2020-01-31", "date"))
    CAST('2020-01-31' AS DATE)
    >>> literal_moment("2020-02-31", "date") is None
    True
    """
    found = _MOMENT.fullmatch(text)
    if found is None or (kind == "date" and found[1]):
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    whole = text.replace("T", " ") if found[1] or kind == "date" else f"{text} 00:00:00"
    type_name = "DATE" if kind == "date" else "TIMESTAMP"
    return exp.Cast(this=exp.Literal.string(whole), to=exp.DataType.build(type_name, dialect="duckdb"))


def _as_float(value: Typed, *, dialect: Dialect, node: exp.Expr) -> Typed:
    """Round a literal to the FLOAT that DuckDB compares, written as the DOUBLE of the same value."""
    literal = literal_of(value.tree)
    if value.kind in ("float", "null"):
        return value
    if literal is None or literal.is_string:
        raise refused(
            "A FLOAT beside a number of another type", dialect, remedy="Write CAST(... AS DOUBLE).", node=node
        )
    rounded = exp.Literal.number(repr(float(np.float32(literal.name))))
    negative = isinstance(value.tree.unnest(), exp.Neg)
    return replace(value, tree=exp.Neg(this=rounded) if negative else rounded, kind="float")
