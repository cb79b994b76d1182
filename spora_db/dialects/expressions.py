"""Expressions in other engines: a list of the operators and forms that mean the same, each with its translation.

What sqlglot reads as any other node is refused: a construct that DuckDB gains tomorrow is, too, until somebody has
looked what it does elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlglot import exp

from spora_db.dialects import numbers
from spora_db.dialects.aggregates import filtered, window
from spora_db.dialects.cases import case
from spora_db.dialects.casts import as_text, cast, try_cast
from spora_db.dialects.comparisons import between, compared, is_in, is_value
from spora_db.dialects.functions import function
from spora_db.dialects.kinds import Typed
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refused
from spora_db.dialects.text_functions import joined
from spora_db.dialects.texts import escaped, glob, like, similar

Rule = Callable[[exp.Expr, Scope], Typed]

_MOST_DIGITS = 38
_LARGEST = 2**63 - 1
_REMEDY = (
    "Say it with comparisons, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT, CASE, CAST, + - * / // %, ||, EXISTS, and the "
    "functions that can be translated."
)


def expression(node: exp.Expr, scope: Scope) -> Typed:
    """Translate an expression.

    Raises
    ------
    QueryError
        If it, or a part of it, is not known to mean the same; the message names the part and what to do.
    """
    rule = RULES.get(type(node))
    if rule is None:
        name, remedy = _KNOWN.get(type(node), (node.key.upper(), _REMEDY))
        raise refused(name, scope.dialect, remedy=remedy, node=node)
    parts = _PARTS.get(type(node), _ANY)
    if extra := [name for name, value in node.args.items() if value and name not in parts]:
        what = f"{node.key.upper()} with {', '.join(extra).strip('_').upper()}"
        raise refused(what, scope.dialect, remedy="Leave that out.", node=node)
    return rule(node, scope)


def _literal(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a literal: a number with a point is a DECIMAL, one with an exponent a DOUBLE."""
    assert isinstance(node, exp.Literal)
    if node.is_string:
        return Typed(tree=exp.Literal.string(node.name), kind="text")
    text, literal = node.name.lower(), exp.Literal.number(node.name)
    sign = numbers.sign_of(float(text))
    if "e" in text:
        return Typed(tree=exp.cast(literal, exp.DType.DOUBLE), kind="double", sign=sign)
    is_whole = text.isdigit()
    if (is_whole and int(text) > _LARGEST) or len(text) > _MOST_DIGITS:
        raise refused(
            "A number of so many digits", scope.dialect, remedy="Write it with an exponent, as 1e20.", node=node
        )
    return Typed(tree=literal, kind="integer" if is_whole else "decimal", sign=sign)


def _paren(node: exp.Expr, scope: Scope) -> Typed:
    typed = scope.typed(node.this)
    return replace(typed, tree=typed.tree if isinstance(typed.tree, exp.Paren) else exp.Paren(this=typed.tree))


def _column(node: exp.Expr, scope: Scope) -> Typed:
    assert isinstance(node, exp.Column)
    return scope.column(node)


def _boolean(node: exp.Expr, scope: Scope) -> Typed:
    del scope
    return Typed(tree=exp.Boolean(this=node.this), kind="boolean")


def _null(node: exp.Expr, scope: Scope) -> Typed:
    del node, scope
    return Typed(tree=exp.Null(), kind="null")


def _connected(node: exp.Expr, scope: Scope) -> Typed:
    """Translate AND and OR."""
    assert isinstance(node, exp.And | exp.Or)
    sides = scope.condition(node.this), scope.condition(node.expression)
    return Typed(tree=type(node)(this=sides[0], expression=sides[1]), kind="boolean")


def _not(node: exp.Expr, scope: Scope) -> Typed:
    return Typed(tree=exp.Not(this=scope.condition(node.this)), kind="boolean")


def _joined(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``||`` of texts, and of what every engine writes alike."""
    assert isinstance(node, exp.DPipe)
    parts = [as_text(scope.typed(part), scope, node=part) for part in (node.this, node.expression)]
    return Typed(tree=exp.Paren(this=joined(parts)), kind="text")


def _exists(node: exp.Expr, scope: Scope) -> Typed:
    inner = scope.translator.query(node.this.unnest(), scope)
    return Typed(tree=exp.Exists(this=inner.tree), kind="boolean")


def _scalar(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a sub-select that is one value."""
    if not isinstance(node.this, exp.Query):
        raise refused("Such a sub-select", scope.dialect, remedy="Write (SELECT ...).", node=node)
    inner = scope.translator.query(node.unnest(), scope)
    kinds = list(inner.columns.values())
    if len(kinds) != 1:
        raise refused("A sub-select of several columns", scope.dialect, remedy="Select one.", node=node)
    return Typed(tree=exp.Subquery(this=inner.tree), kind=kinds[0])


def _called(name: str, *parts: str) -> Rule:
    """Return the translation of a function that has words among its arguments, as a call of `name`."""

    def translated(node: exp.Expr, scope: Scope) -> Typed:
        given = [value for part in parts if (value := node.args.get(part)) is not None]
        return function(exp.Anonymous(this=name, expressions=given), scope)

    return translated


def _trim(node: exp.Expr, scope: Scope) -> Typed:
    names = {"LEADING": "ltrim", "TRAILING": "rtrim"}
    name = names.get(str(node.args.get("position") or "").upper(), "trim")
    return _called(name, "this", "expression")(node, scope)


def _extract(node: exp.Expr, scope: Scope) -> Typed:
    part = exp.Literal.string(node.this.name)
    return function(exp.Anonymous(this="extract", expressions=[part, node.args["expression"]]), scope)


def _absolute(node: exp.Expr, scope: Scope) -> Typed:
    return numbers.absolute([node.this], scope)


def _power(node: exp.Expr, scope: Scope) -> Typed:
    return numbers.power([node.this, node.args["expression"]], scope)


RULES: Mapping[type[exp.Expr], Rule] = {
    exp.Literal: _literal,
    exp.Null: _null,
    exp.Boolean: _boolean,
    exp.Column: _column,
    exp.Paren: _paren,
    **dict.fromkeys((exp.And, exp.Or), _connected),
    exp.Not: _not,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ), compared),
    exp.Is: is_value,
    exp.In: is_in,
    exp.Between: between,
    exp.Exists: _exists,
    exp.Subquery: _scalar,
    **dict.fromkeys((exp.Like, exp.ILike), like),
    exp.Escape: escaped,
    exp.Glob: glob,
    **dict.fromkeys((exp.SimilarTo, exp.RegexpLike), similar),
    exp.DPipe: _joined,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), numbers.arithmetic),
    **dict.fromkeys((exp.Div, exp.IntDiv), numbers.divide),
    exp.Mod: numbers.remainder,
    exp.Neg: numbers.negative,
    exp.Abs: _absolute,
    exp.Pow: _power,
    exp.Case: case,
    exp.Cast: cast,
    exp.TryCast: try_cast,
    exp.Substring: _called("substring", "this", "start", "length"),
    exp.StrPosition: _called("position", "this", "substr"),
    exp.Trim: _trim,
    exp.Extract: _extract,
    exp.Filter: filtered,
    exp.Window: window,
    exp.Anonymous: function,
}
"""The class of a node, and what translates it; any other is refused."""

_ANY = frozenset(("this", "expression", "expressions", "is_string", "safe", "typed", "negate"))
_PARTS: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.Column: frozenset(("this", "table", "db", "catalog")),
    exp.In: frozenset(("this", "expressions", "query", "field")),
    exp.Between: frozenset(("this", "low", "high", "symmetric")),
    exp.Case: frozenset(("this", "ifs", "default")),
    **dict.fromkeys((exp.Cast, exp.TryCast), frozenset(("this", "to", "safe"))),
    exp.Substring: frozenset(("this", "start", "length")),
    exp.StrPosition: frozenset(("this", "substr")),
    exp.Trim: frozenset(("this", "expression", "position")),
    exp.Window: frozenset(("this", "partition_by", "order", "spec", "over", "alias", "first")),
}
"""What the translations look at, by class; a node that has anything else is refused."""

_KNOWN: Mapping[type[exp.Expr], tuple[str, str]] = {
    exp.Bracket: ("An element or slice, x[...],", "Write substr(text, n, 1), or split_part(text, '-', n)."),
    exp.Array: ("A list", "Write x IN ('a', 'b')."),
    exp.Any: ("ANY (...)", "Write IN (SELECT ...), or compare with (SELECT min(...) ...)."),
    exp.All: ("ALL (...)", "Write NOT IN (SELECT ...), or compare with (SELECT max(...) ...)."),
    exp.Tuple: ("A tuple", "Write its parts, joined with AND."),
    exp.Interval: ("An INTERVAL", "Write date + days."),
    exp.CurrentDate: ("current_date", "Write the date, as DATE '2020-01-31'."),
    exp.Dot: ("A field of a struct", "Use columns of plain types."),
    exp.Distinct: ("DISTINCT in this function", "Only count(DISTINCT x) can be said."),
    exp.Order: ("ORDER BY in this function", "Use row_number() OVER (... ORDER BY ...)."),
}
"""What is often written and has no translation: its name, and what to write instead."""
