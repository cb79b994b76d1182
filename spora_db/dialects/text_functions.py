"""DuckDB's functions of texts in other engines, called with the letters and numbers that they look for written out.

Written out, because engines find the empty text in different places and count from the end in different ways.
"""

from collections.abc import Callable, Sequence

from sqlglot import exp

from spora_db.dialects.casts import as_text
from spora_db.dialects.kinds import Typed, literal_text, literal_whole, wrapped
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refused
from spora_db.dialects.texts import LETTERS, PLAIN, collated, regexp
from spora_db.sqltext.expressions import call

Values = Sequence[exp.Expr]
Rule = Callable[[Values, Scope], Typed]


def _text(value: exp.Expr, scope: Scope) -> exp.Expr:
    return scope.of_kind(value, "text", what="A function of texts").tree


def _letters(value: exp.Expr, scope: Scope) -> exp.Literal:
    """Return a literal of at least one letter, which the empty text is not: engines find it in different places."""
    text = literal_text(value)
    if not text:
        raise refused("A text to look for that is no literal", scope.dialect, remedy="Write it in quotes.", node=value)
    return exp.Literal.string(text)


def _number(value: exp.Expr, scope: Scope, *, least: int) -> exp.Expr:
    number = literal_whole(value)
    if number is None or number < least:
        raise refused("Such a place in a text", scope.dialect, remedy=f"Write a number of {least} or more.", node=value)
    return exp.Literal.number(number)


def folded(name: str) -> Rule:
    """Return the translation of ``lower`` or ``upper``."""

    def translated(values: Values, scope: Scope) -> Typed:
        called = call(name, collated(_text(values[0], scope), LETTERS, scope.dialect))
        return Typed(tree=collated(called, PLAIN, scope.dialect), kind="text")

    return translated


def length(values: Values, scope: Scope) -> Typed:
    """Translate ``length`` of a text, in letters."""
    return Typed(tree=call("LENGTH", _text(values[0], scope)), kind="integer", sign="nonnegative")


def substring(values: Values, scope: Scope) -> Typed:
    """Translate ``substr`` from a place that is counted from the start, or its end."""
    text, start = _text(values[0], scope), literal_whole(values[1])
    if start is not None and start < 0 and len(values) == 2:
        return Typed(tree=call("RIGHT", text, exp.Literal.number(-start)), kind="text")
    given = {"start": _number(values[1], scope, least=1)}
    if len(values) == 3:
        given["length"] = _number(values[2], scope, least=0)
    return Typed(tree=exp.Substring(this=wrapped(text), **given), kind="text")


def end_of_text(name: str) -> Rule:
    """Return the translation of ``left`` or ``right``."""

    def translated(values: Values, scope: Scope) -> Typed:
        return Typed(tree=call(name, _text(values[0], scope), _number(values[1], scope, least=0)), kind="text")

    return translated


def padded(name: str) -> Rule:
    """Return the translation of ``lpad`` or ``rpad``."""

    def translated(values: Values, scope: Scope) -> Typed:
        given = _number(values[1], scope, least=0), _letters(values[2], scope)
        return Typed(tree=call(name, _text(values[0], scope), *given), kind="text")

    return translated


def trimmed(side: str | None) -> Rule:
    """Return the translation of ``trim``, ``ltrim`` or ``rtrim``; without letters they drop what each engine likes."""

    def translated(values: Values, scope: Scope) -> Typed:
        if len(values) == 1:
            raise refused("trim without letters", scope.dialect, remedy="Say which: trim(x, ' ').", node=values[0])
        tree = exp.Trim(this=wrapped(_text(values[0], scope)), expression=_letters(values[1], scope), position=side)
        return Typed(tree=tree, kind="text")

    return translated


def replaced(values: Values, scope: Scope) -> Typed:
    """Translate ``replace``."""
    called = call("REPLACE", _text(values[0], scope), _letters(values[1], scope), _text(values[2], scope))
    return Typed(tree=called, kind="text")


def split_part(values: Values, scope: Scope) -> Typed:
    """Translate ``split_part``."""
    given = _letters(values[1], scope), _number(values[2], scope, least=1)
    return Typed(tree=call("SPLIT_PART", _text(values[0], scope), *given), kind="text")


def position(values: Values, scope: Scope) -> Typed:
    """Translate ``strpos`` and ``instr``: the place of a text in another one, 0 without."""
    tree = exp.StrPosition(this=wrapped(_text(values[0], scope)), substr=_letters(values[1], scope))
    return Typed(tree=tree, kind="integer", sign="nonnegative")


def contains(values: Values, scope: Scope) -> Typed:
    """Translate ``contains`` of texts."""
    found = exp.GT(this=position(values, scope).tree, expression=exp.Literal.number(0))
    return Typed(tree=found, kind="boolean")


def starts_with(values: Values, scope: Scope) -> Typed:
    """Translate ``starts_with``."""
    text, start = _text(values[0], scope), _letters(values[1], scope)
    return Typed(tree=exp.StartsWith(this=text, expression=start), kind="boolean")


def ends_with(values: Values, scope: Scope) -> Typed:
    """Translate ``ends_with``, by the letters at the end."""
    text, last = _text(values[0], scope), _letters(values[1], scope)
    there = call("RIGHT", text, exp.Literal.number(len(last.name)))
    return Typed(tree=exp.EQ(this=there, expression=last), kind="boolean")


def matched(name: str, *, is_whole: bool) -> Rule:
    """Return the translation of ``regexp_matches`` or ``regexp_full_match``, without options."""

    def translated(values: Values, scope: Scope) -> Typed:
        return regexp(values[0], values[1], scope, is_whole=is_whole, what=f"The function {name}", node=values[1])

    return translated


def concat(values: Values, scope: Scope) -> Typed:
    """Translate ``concat``, which leaves out NULLs; elsewhere one of them makes the whole NULL."""
    parts = [_or_nothing(as_text(scope.typed(value), scope, node=value)) for value in values]
    return Typed(tree=wrapped(joined(parts)), kind="text")


def _or_nothing(text: exp.Expr) -> exp.Expr:
    return text if isinstance(text, exp.Literal) else exp.Coalesce(this=text, expressions=[exp.Literal.string("")])


def joined(parts: Sequence[exp.Expr]) -> exp.Expr:
    """Return texts one after the other."""
    whole = wrapped(parts[0])
    for part in parts[1:]:
        whole = exp.DPipe(this=whole, expression=wrapped(part))
    return whole


def concat_ws(values: Values, scope: Scope) -> Typed:
    """Translate ``concat_ws``, which leaves out NULLs; BigQuery has none, and Snowflake's becomes NULL."""
    separator = _letters(values[0], scope)
    parts = [as_text(scope.typed(value), scope, node=value) for value in values[1:]]
    if scope.dialect not in ("bigquery", "snowflake"):
        return Typed(tree=call("CONCAT_WS", separator, *parts), kind="text")
    each = [_or_nothing(_after(separator, part)) for part in parts]
    start = exp.Literal.number(len(separator.name) + 1)
    return Typed(tree=exp.Substring(this=joined(each), start=start), kind="text")


def _after(separator: exp.Expr, part: exp.Expr) -> exp.Expr:
    if isinstance(part, exp.Literal):
        return exp.Literal.string(separator.name + part.name)
    return exp.DPipe(this=separator.copy(), expression=wrapped(part))


def md5(values: Values, scope: Scope) -> Typed:
    """Translate ``md5``, in hexadecimal digits."""
    return Typed(tree=exp.MD5(this=_text(values[0], scope)), kind="text")
