"""Functions and operators as tables: the kinds of values that each takes, and its words in the two engines.

A call is translated by the first form of its name that takes what is given; one that none takes is refused. Literals
are kinds too, because engines find the empty text in different places and count from the end in different ways.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import cast

import sqlglot
from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, EXACT, NUMBERS, ORDERED, Kind, Typed
from spora_db.dialects.literals import literal_of, literal_text, literal_whole
from spora_db.dialects.targets import Dialect, Untranslatable
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import cast_to
from spora_db.sqltext.names import fold

BYTES, LETTERS, PLAIN = 'COLLATE "C"', 'COLLATE "und-x-icu"', 'COLLATE "default"'
"""Where PostgreSQL compares texts by their bytes and folds the case of all letters, as DuckDB does by itself.

Texts of such a collation cannot be compared with plain columns, so the third stands around results.
"""
DATE_PARTS = ("year", "quarter", "month", "day")

GROUPS: Mapping[str, tuple[Kind, ...]] = {
    "moment": ("date", "timestamp"),
    "whole": ("integer", "wide"),
    "fixed": ("integer", "wide", "decimal"),
    "exact": EXACT,
    "number": NUMBERS,
    "ordered": ORDERED,
    "compared": COMPARED,
    "value": (*COMPARED, "other"),
}
"""Names of several kinds together; any other word for a group is a kind."""
_NULLS: Mapping[Kind, tuple[Kind, ...]] = {"integer": NUMBERS, "text": ("text",), "date": ("date", "timestamp")}
_DOUBLES = {"double": "exact", "real": "number"}  # numbers that are brought to DOUBLE
_WHOLES = {"back": (-inf, -1), "count": (0, inf), "place": (1, inf), "digits": (0, 15)}
_TEXTS = {"letters": (), "unit": ("day",), "part": DATE_PARTS}
"""What a form takes beside groups: literal numbers within bounds, and literal texts, any or some."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to call a function or an operator.

    Attributes
    ----------
    takes
        What each value must be; also ``string``, for what has the same text everywhere, and ``nonzero``.
    gives
        The kind of the result; ``same`` is that of the first value, ``highest`` the number that holds all.
    postgres, spark
        The call, with ``$a``, ``$b``, ``$c`` for the values; empty where an engine has none.
    """

    takes: tuple[str, ...]
    gives: str
    postgres: str
    spark: str


Forms = Mapping[str, tuple[Form, ...]]


def table(*rows: tuple[str, ...]) -> Forms:
    """Return forms by name, in order.

    Parameters
    ----------
    *rows
        Names; what each value must be; what it gives; and, unless it is called alike everywhere, the words in
        PostgreSQL, and those in Spark where they are others.
    """
    found: dict[str, tuple[Form, ...]] = {}
    for names, takes, gives, *words in rows:
        for name in names.split():
            values = [f"${'abc'[at]}" for at in range(len(takes.split()))]
            plain = f"{name}({', '.join(values)})" if name.isidentifier() else f" {name} ".join(values)
            said = words or [plain]
            found[name] = (*found.get(name, ()), Form(tuple(takes.split()), gives, said[0], said[-1]))
    return found


def called(
    forms: Forms, name: str, given: Sequence[Typed], dialect: Dialect, *, condition: exp.Expr | None = None
) -> Typed:
    """Translate a call by the table that it is in; values are NULL where the condition of FILTER does not hold."""
    for form in forms[name]:
        words = form.spark if dialect == "spark" else form.postgres
        if not words or len(form.takes) != len(given):
            continue
        found = [taken(value, word, dialect) for word, value in zip(form.takes, given, strict=True)]
        values = [value for value in found if value is not None]
        if len(values) == len(given):
            parts = [value.tree if condition is None else exp.Case().when(condition, value.tree) for value in values]
            return Typed(tree=filled(words, parts), kind=_kind(form.gives, [value.kind for value in values]))
    ways = " or ".join(f"({', '.join(form.takes)})" for form in forms[name])
    kinds = ", ".join(value.kind for value in given)
    raise Untranslatable(f"{name} of ({kinds})", f"It takes {ways}, places and letters written out.")


def _kind(gives: str, kinds: list[Kind]) -> Kind:
    if gives == "highest":
        return max(kinds, key=NUMBERS.index)
    return kinds[0] if gives == "same" else cast(Kind, gives)


def taken(value: Typed, word: str, dialect: Dialect) -> Typed | None:
    """Return a value as a form takes it; None where it does not."""
    if word == "string":
        return as_text(value, dialect)
    if word in _DOUBLES:
        found = of_group(value, _DOUBLES[word])
        is_other = found is not None and found.kind != "double"
        return Typed(tree=cast_to(value.tree, "DOUBLE"), kind="double") if is_other else found
    if word in _WHOLES:
        whole = literal_whole(value.tree)
        fits = whole is not None and _WHOLES[word][0] <= whole <= _WHOLES[word][1]
    elif word in _TEXTS:
        text = literal_text(value.tree)
        fits = bool(text) and (not _TEXTS[word] or fold(text or "") in _TEXTS[word])
    elif word == "nonzero":
        literal = literal_of(value.tree)
        fits = literal is not None and not literal.is_string and float(literal.name) != 0
    else:
        return of_group(value, word)
    return value if fits else None


def of_group(value: Typed, group: str) -> Typed | None:
    """Return a value that is of one of a group's kinds, or NULL of one: PostgreSQL knows no NULL * NULL."""
    kinds = GROUPS.get(group, (group,))
    null = next((kind for kind, among in _NULLS.items() if set(kinds) <= set(among)), None)
    if value.kind == "null" and null is not None:
        return Typed(tree=cast_to(value.tree, "INT" if null == "integer" else null.upper()), kind=null)
    return value if value.kind in (*kinds, "null") else None


def as_text(value: Typed, dialect: Dialect) -> Typed:
    """Return a value as the text that DuckDB makes of it; refuse what engines write differently."""
    if value.kind in ("text", "integer", "wide", "boolean", "null"):
        return Typed(tree=value.tree if value.kind == "text" else cast_to(value.tree, "TEXT"), kind="text")
    if value.kind == "date":
        words = "to_char($a, 'YYYY-MM-DD')" if dialect == "postgres" else "CAST($a AS TEXT)"
        return Typed(tree=filled(words, [value.tree]), kind="text")
    what = f"The column {value.tree.name!r}" if isinstance(value.tree, exp.Column) else "An expression"
    noun = "floating-point number" if value.kind in ("float", "double") else value.kind
    raise Untranslatable(
        f"{what} is a {noun}, whose text differs between DuckDB and other engines: its text",
        "Compare numbers with numbers, and group by a column of text or whole numbers.",
    )


def failure(message: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Return what stops the engine with a message: PostgreSQL quotes a text that is no number."""
    return filled("raise_error($a)" if dialect == "spark" else "CAST($a AS DOUBLE)", [message])


@cache
def _parsed(words: str) -> exp.Expr:
    tree: exp.Expr = sqlglot.parse_one(words, dialect=DIALECT)
    for division in tree.find_all(exp.Div):  # as it stands; sqlglot would keep DuckDB's meaning by casts
        division.set("typed", True)  # noqa: FBT003
        division.set("safe", False)  # noqa: FBT003
    for kind in tree.find_all(exp.DataType):
        if kind.sql("duckdb") == "DECIMAL(18, 3)":  # what DuckDB means by DECIMAL
            kind.set("expressions", [])
    return tree


def wrapped(tree: exp.Expr) -> exp.Expr:
    """Put what is no single word or call into parentheses."""
    loose = isinstance(tree, exp.Binary | exp.Unary | exp.Predicate) and not isinstance(tree, exp.Paren)
    return exp.Paren(this=tree) if loose else tree


def filled(words: str, parts: Iterable[exp.Expr]) -> exp.Expr:
    """Return SQL with trees in the places of ``$a``, ``$b``, ``$c``.

    Examples
    --------
    >>> print(filled("$a / nullif($b, 0)", [exp.column("x"), exp.column("y")]).sql("postgres"))
    x / NULLIF(y, 0)
    """
    values = dict(zip("abc", parts, strict=False))

    def put(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        value = values[node.name].copy()
        return value if isinstance(node.parent, exp.Anonymous | exp.Cast) else wrapped(value)

    return _parsed(words).transform(put)
