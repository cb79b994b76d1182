"""Literals as they are written: texts, numbers with a sign, dates."""

import re
from datetime import datetime
from typing import Literal

from sqlglot import exp

from spora_db.sqltext.expressions import cast_to

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?)?")


def literal_of(tree: exp.Expr) -> exp.Literal | None:
    """Return the literal that an expression is, its parentheses and sign aside."""
    tree = tree.unnest()
    tree = tree.this.unnest() if isinstance(tree, exp.Neg) else tree
    return tree if isinstance(tree, exp.Literal) else None


def literal_text(tree: exp.Expr) -> str | None:
    """Return the text of a literal text; None for anything else."""
    tree = tree.unnest()
    return tree.name if isinstance(tree, exp.Literal) and tree.is_string else None


def literal_whole(tree: exp.Expr | None) -> int | None:
    """Return the value of a literal whole number, its sign included; None for anything else."""
    found = None if tree is None else literal_of(tree)
    if tree is None or found is None or found.is_string or not found.name.isdigit():
        return None
    return -int(found.name) if isinstance(tree.unnest(), exp.Neg) else int(found.name)


def number(text: str) -> exp.Expr:
    """Return the literal of a number, its sign before it."""
    literal = exp.Literal.number(text.removeprefix("-"))
    return exp.Neg(this=literal) if text.startswith("-") else literal


def literal_moment(text: str, kind: Literal["date", "timestamp"]) -> exp.Cast | None:
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
    return cast_to(exp.Literal.string(whole), kind.upper())
