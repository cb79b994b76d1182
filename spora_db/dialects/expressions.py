"""Expressions in other engines: a list of the operators and forms that mean the same, each with its translation.

What sqlglot reads as any other node is refused: a construct that DuckDB gains tomorrow is, too, until somebody has
looked what it does elsewhere.
"""

from collections.abc import Callable, Mapping

from sqlglot import exp

from spora_db.dialects.aggregates import filtered, window
from spora_db.dialects.casts import cast, try_cast
from spora_db.dialects.comparisons import between, case, compared, is_in, is_value
from spora_db.dialects.forms import called, table
from spora_db.dialects.functions import function
from spora_db.dialects.kinds import Typed
from spora_db.dialects.patterns import escaped, glob, like, similar
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.expressions import call, cast_to

NodeRule = Callable[[exp.Expr, Scope], Typed]

_MOST_DIGITS = 38
_LARGEST = 2**63 - 1
_REMEDY = (
    "Say it with comparisons, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT, CASE, CAST, + - * / // %, ||, EXISTS, and the "
    "functions that can be translated."
)

# by zero DuckDB divides to infinity, others to an error or NULL; minus zero shows in its text alone
_INFINITY = "CAST('Infinity' AS DOUBLE)"
_SIGNED = f"CASE WHEN CAST($b AS TEXT) LIKE '-%' THEN -{_INFINITY} ELSE {_INFINITY} END"
OPERATORS = table(
    ("+ - *", "exact exact", "highest"),
    ("+", "date integer", "date", "$a + CAST($b AS INT)", "date_add($a, $b)"),
    ("-", "date integer", "date", "$a - CAST($b AS INT)", "date_sub($a, $b)"),
    ("-", "date date", "integer", "$a - $b", "datediff($a, $b)"),
    ("/", "double nonzero", "double"),
    ("/", "double fixed", "double", f"CASE WHEN $b = 0 THEN $a * {_INFINITY} ELSE $a / $b END"),
    ("/", "double double", "double", f"CASE WHEN $b = 0 THEN $a * {_SIGNED} ELSE $a / $b END"),
    ("//", "integer integer", "integer", "$a / $b", "$a // $b"),
    ("%", "integer integer", "integer"),
    ("minus", "number", "same", "-$a"),
    ("||", "string string", "text"),
)
"""What stands between values, by its sign."""
_SIGNS: Mapping[type[exp.Expr], str] = {
    **{exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%", exp.DPipe: "||"},
    exp.Neg: "minus",
}
_WORDED: Mapping[type[exp.Expr], tuple[str, ...]] = {
    exp.Abs: ("abs", "this"),
    exp.Pow: ("pow", "this", "expression"),
    exp.Substring: ("substring", "this", "start", "length"),
    exp.StrPosition: ("position", "this", "substr"),
}
"""Functions that sqlglot reads as nodes of their own, and where their values are."""


def expression(node: exp.Expr, scope: Scope) -> Typed:
    """Translate an expression."""
    rule = RULES.get(type(node))
    if rule is None:
        raise Untranslatable(*_KNOWN.get(type(node), (node.key.upper(), _REMEDY)))
    extra = [name for name, value in node.args.items() if value and name not in _PARTS]
    refuse(extra, f"{node.key.upper()} with {', '.join(extra).strip('_').upper()}", "Leave that out.")
    return rule(node, scope)


def _literal(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a literal: a number with a point is a DECIMAL, one with an exponent a DOUBLE."""
    del scope
    if node.args["is_string"]:
        return Typed(tree=exp.Literal.string(node.name), kind="text")
    text, literal = node.name.lower(), exp.Literal.number(node.name)
    if "e" in text:
        return Typed(tree=cast_to(literal, "DOUBLE"), kind="double")
    is_whole = text.isdigit()
    is_long = (is_whole and int(text) > _LARGEST) or len(text) > _MOST_DIGITS
    refuse(is_long, "A number of so many digits", "Write it with an exponent, as 1e20.")
    return Typed(tree=literal, kind="integer" if is_whole else "decimal")


def _paren(node: exp.Expr, scope: Scope) -> Typed:
    typed = scope.typed(node.this)
    return Typed(tree=typed.tree if isinstance(typed.tree, exp.Paren) else exp.Paren(this=typed.tree), kind=typed.kind)


def _column(node: exp.Expr, scope: Scope) -> Typed:
    assert isinstance(node, exp.Column)
    return scope.column(node)


def _constant(node: exp.Expr, scope: Scope) -> Typed:
    del scope
    return Typed(tree=node.copy(), kind="null" if isinstance(node, exp.Null) else "boolean")


def _connected(node: exp.Expr, scope: Scope) -> Typed:
    """Translate AND, OR and NOT."""
    sides = {name: scope.condition(side) for name, side in node.args.items() if side}
    return Typed(tree=type(node)(**sides), kind="boolean")


def _exists(node: exp.Expr, scope: Scope) -> Typed:
    return Typed(tree=exp.Exists(this=scope.query(node.this.unnest()).tree), kind="boolean")


def _scalar(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a sub-select that is one value."""
    refuse(not isinstance(node.this, exp.Query), "Such a sub-select", "Write (SELECT ...).")
    inner = scope.query(node.unnest())
    refuse(len(inner.kinds) != 1, "A sub-select of several columns", "Select one.")
    return Typed(tree=exp.Subquery(this=inner.tree), kind=inner.kinds[0])


def _operator(node: exp.Expr, scope: Scope) -> Typed:
    sign = _SIGNS[type(node)]
    given = [scope.typed(side) for side in (node.this, node.args.get("expression")) if side is not None]
    is_plain = sign == "//" and not {value.kind for value in given} <= {"integer", "wide", "null"}
    return called(OPERATORS, "/" if is_plain else sign, given, scope.dialect)


def _worded(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a function that has words among its arguments, or a sign."""
    name, *parts = _WORDED[type(node)]
    return function(call(name, *(value for part in parts if (value := node.args.get(part)) is not None)), scope)


def _trim(node: exp.Expr, scope: Scope) -> Typed:
    names = {"LEADING": "ltrim", "TRAILING": "rtrim"}
    name = names.get(str(node.args.get("position") or "").upper(), "trim")
    return function(call(name, *(part for part in (node.this, node.args.get("expression")) if part is not None)), scope)


def _extract(node: exp.Expr, scope: Scope) -> Typed:
    return function(call("extract", exp.Literal.string(node.this.name), node.args["expression"]), scope)


RULES: Mapping[type[exp.Expr], NodeRule] = {
    exp.Literal: _literal,
    **dict.fromkeys((exp.Null, exp.Boolean), _constant),
    exp.Column: _column,
    exp.Paren: _paren,
    **dict.fromkeys((exp.And, exp.Or, exp.Not), _connected),
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
    **dict.fromkeys(_SIGNS, _operator),
    **dict.fromkeys(_WORDED, _worded),
    exp.Case: case,
    exp.Cast: cast,
    exp.TryCast: try_cast,
    exp.Trim: _trim,
    exp.Extract: _extract,
    exp.Filter: filtered,
    exp.Window: window,
    exp.Anonymous: function,
}
"""The class of a node, and what translates it; any other is refused."""

_PARTS = frozenset((
    "this", "expression", "expressions", "is_string", "safe", "typed", "negate", "table", "db", "catalog", "query",
    "low", "high", "ifs", "default", "to", "start", "length", "substr", "position", "partition_by", "order", "spec",
    "over",
))  # fmt: skip
"""What the translations look at; a node that has anything else is refused."""

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
