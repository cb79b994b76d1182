"""DuckDB's functions in other engines: a list of those that are known to mean the same, each with its translation.

A function that is not listed is refused. What is listed was run on both engines and gave DuckDB's answer, edges
included: DuckDB rounds halves away from zero (PostgreSQL those of a DOUBLE to even), gives infinity or NaN where a
function has no value, and leaves out NULLs in texts.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce

from sqlglot import exp

from spora_db.dialects.aggregates import AGGREGATES, WINDOWS, aggregate
from spora_db.dialects.forms import BYTES, DATE_PARTS, LETTERS, PLAIN, as_text, called, failure, filled, table
from spora_db.dialects.kinds import Typed, common
from spora_db.dialects.literals import literal_of, literal_text
from spora_db.dialects.patterns import matched
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refuse
from spora_db.sqltext.expressions import call
from spora_db.sqltext.names import fold

_TWO, _MANY = range(2, 3), 1000
_MACROS = ("has_all_markers", "has_any_marker", "n_markers")
_NAN, _INFINITY = "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)"
_POWER = "CAST('1e' || $b AS DOUBLE)"
_WHOLE_FROM = "CAST(9007199254740992.0 AS DOUBLE)"  # 2**53: no fractions beyond


def _in_spark(name: str) -> str:
    """Return ``ceil`` or ``floor`` of a DOUBLE: BIGINT in Spark, which makes 0 of NaN."""
    return f"CASE WHEN abs($a) < {_WHOLE_FROM} THEN CAST({name}($a) AS DOUBLE) ELSE $a END"


def _halves_away(value: str) -> str:
    """Return a DOUBLE rounded by PostgreSQL as others do."""
    return f"CASE WHEN abs({value} - trunc({value})) >= 0.5 THEN trunc({value}) + sign({value}) ELSE trunc({value}) END"


def _logarithm(words: str) -> str:
    return f"CASE WHEN $a > 0 THEN {words} WHEN $a = 0 THEN -{_INFINITY} WHEN $a < 0 THEN {_NAN} END"


FORMS = table(
    ("lower lcase", "text", "text", f"lower($a {LETTERS}) {PLAIN}", "lower($a)"),
    ("upper ucase", "text", "text", f"upper($a {LETTERS}) {PLAIN}", "upper($a)"),
    ("length len char_length character_length", "text", "integer", "length($a)"),
    ("substr substring", "text back", "text", "right($a, -$b)"),
    ("substr substring", "text place", "text", "substring($a FROM $b)"),
    ("substr substring", "text place count", "text", "substring($a FROM $b FOR $c)"),
    ("left right", "text count", "text"),
    ("lpad rpad", "text count letters", "text"),
    ("trim", "text letters", "text", "trim($b FROM $a)"),
    ("ltrim", "text letters", "text", "trim(LEADING $b FROM $a)"),
    ("rtrim", "text letters", "text", "trim(TRAILING $b FROM $a)"),
    ("replace", "text letters text", "text"),
    ("split_part", "text letters place", "text"),
    ("position strpos instr", "text letters", "integer", "strpos($a, $b)", "instr($a, $b)"),
    ("contains", "text letters", "boolean", "strpos($a, $b) > 0", "contains($a, $b)"),
    ("starts_with prefix", "text letters", "boolean", "starts_with($a, $b)", "startswith($a, $b)"),
    ("ends_with suffix", "text letters", "boolean", "right($a, length($b)) = $b", "endswith($a, $b)"),
    ("md5", "text", "text"),
    ("abs", "exact", "same"),
    ("ceil ceiling floor", "whole", "double", "CAST($a AS DOUBLE)"),
    ("ceil ceiling", "decimal", "decimal", "ceil($a)"),
    ("ceil ceiling", "double", "double", "ceil($a)", _in_spark("ceil")),
    ("floor", "decimal", "decimal"),
    ("floor", "double", "double", "floor($a)", _in_spark("floor")),
    ("trunc", "double", "double", "trunc($a)",
     f"CASE WHEN $a < 0 THEN {_in_spark('ceil')} ELSE {_in_spark('floor')} END"),
    ("round", "whole", "same", "$a"),
    ("round", "whole digits", "same", "$a"),
    ("round", "decimal", "decimal"),
    ("round", "decimal digits", "decimal"),
    ("round", "double", "double", _halves_away("$a"), "round($a)"),
    ("round", "double digits", "double", f"{_halves_away(f'($a * {_POWER})')} / {_POWER}",
     f"round($a * {_POWER}) / {_POWER}"),
    ("sqrt", "double", "double", f"CASE WHEN $a >= 0 THEN sqrt($a) WHEN $a < 0 THEN {_NAN} END"),
    ("ln", "double", "double", _logarithm("ln($a)")),
    ("log log10", "double", "double", _logarithm("log($a)"), _logarithm("log10($a)")),
    ("exp", "double", "double"),  # where DuckDB goes on to infinity, PostgreSQL stops with an error
    ("pow power", "double count", "double", "power($a, CAST($b AS DOUBLE))"),
    ("mod", "integer integer", "integer", "$a % $b"),
    ("isnan", "real", "boolean", f"$a = {_NAN}"),  # it equals itself; Spark's own makes a truth value of NULL
    ("isfinite", "real", "boolean", f"($a > -{_INFINITY} AND $a < {_INFINITY})"),
    ("isinf", "real", "boolean", f"abs($a) = {_INFINITY}"),
    ("pi", "", "double", "CAST(3.141592653589793 AS DOUBLE)"),
    *((part, "moment", "integer", f"CAST(date_part('{part}', $a) AS BIGINT)") for part in DATE_PARTS),
    ("dayofmonth", "moment", "integer", "CAST(date_part('day', $a) AS BIGINT)"),
    ("date_part datepart extract", "part moment", "integer", "CAST(date_part($a, $b) AS BIGINT)"),
    ("date_diff datediff", "unit date date", "integer", "$c - $b", "datediff($c, $b)"),
)  # fmt: skip
"""Functions that take a fixed number of values."""

FunctionRule = Callable[[list[exp.Expr], Scope], Typed]


def _plainer(values: list[exp.Expr], scope: Scope, *, words: str) -> Typed:
    """Translate a function that plainer SQL says in DuckDB too."""
    return scope.typed(filled(words, values))


def _coalesce(values: list[exp.Expr], scope: Scope) -> Typed:
    trees, kind = common([scope.typed(value) for value in values])
    return Typed(tree=exp.Coalesce(this=trees[0], expressions=trees[1:]), kind=kind)


def _extreme(values: list[exp.Expr], scope: Scope, *, name: str) -> Typed:
    """Translate ``greatest`` or ``least``, which leave out NULLs."""
    trees, kind = common([scope.of_group(value, "ordered", what=f"The function {name}") for value in values])
    if kind != "text" or scope.dialect == "spark":
        return Typed(tree=call(name, *trees), kind=kind)
    found = call(name, *(filled(f"$a {BYTES}", [tree]) for tree in trees))
    return Typed(tree=filled(f"$a {PLAIN}", [found]), kind=kind)


def _items(value: exp.Expr) -> list[exp.Expr]:
    """Return the values of a list that is written out; NULLs are never equal to anything."""
    items = [item for item in value.expressions if not isinstance(item, exp.Null)]
    is_literal = isinstance(value, exp.Array) and all(literal_of(item) is not None for item in items)
    refuse(not items or not is_literal, "A list that is not written out", "Write x IN ('a', 'b').")
    return items


def _is_listed(values: list[exp.Expr], scope: Scope) -> Typed:
    return scope.typed(exp.In(this=values[1], expressions=_items(values[0])))


def _place_in_list(values: list[exp.Expr], scope: Scope) -> Typed:
    case = exp.Case(this=values[1])
    for place, item in enumerate(_items(values[0]), start=1):
        case = case.when(item, exp.Literal.number(place))
    return scope.typed(case)


def _concat(values: list[exp.Expr], scope: Scope) -> Typed:
    """Translate ``concat``, which leaves out NULLs; elsewhere one of them makes the whole NULL."""
    texts = [filled("coalesce(CAST($a AS VARCHAR), '')", [value]) for value in values]
    return scope.typed(_joined(texts))


def _joined(texts: Sequence[exp.Expr]) -> exp.Expr:
    return reduce(lambda whole, text: filled("$a || $b", [whole, text]), texts)


def _concat_ws(values: list[exp.Expr], scope: Scope) -> Typed:
    texts = [as_text(scope.typed(value), scope.dialect).tree for value in values]
    refuse(not literal_text(texts[0]), "concat_ws with such a text between", "Write it in quotes.")
    return Typed(tree=call("CONCAT_WS", *texts), kind="text")


def _error(values: list[exp.Expr], scope: Scope) -> Typed:
    """Translate ``error``, by which a weight below zero stops a query; how its number is written does not matter."""
    parts = [scope.typed(part).tree for part in list(values[0].flatten()) or values]
    message = _joined([filled("CAST($a AS TEXT)", [part]) for part in parts])
    return Typed(tree=failure(message, scope.dialect), kind="null")


_RULES: Mapping[str, tuple[FunctionRule, range]] = {
    "if": (partial(_plainer, words="CASE WHEN $a THEN $b ELSE $c END"), range(3, 4)),
    "nullif": (partial(_plainer, words="CASE WHEN $a = $b THEN NULL ELSE $a END"), _TWO),
    "ifnull": (_coalesce, _TWO),
    "coalesce": (_coalesce, range(1, _MANY)),
    "greatest": (partial(_extreme, name="greatest"), range(2, _MANY)),
    "least": (partial(_extreme, name="least"), range(2, _MANY)),
    **dict.fromkeys(("list_contains", "list_has", "array_contains", "array_has"), (_is_listed, _TWO)),
    **dict.fromkeys(("list_position", "list_indexof", "array_position", "array_indexof"), (_place_in_list, _TWO)),
    "concat": (_concat, range(1, _MANY)),
    "concat_ws": (_concat_ws, range(2, _MANY)),
    "regexp_matches": (partial(matched, is_whole=False), _TWO),
    "regexp_full_match": (partial(matched, is_whole=True), _TWO),
    "error": (_error, range(1, 2)),
}
"""What else can be said, and how many values it takes."""

FUNCTIONS = frozenset((*FORMS, *_RULES))
"""The functions of values that can be translated, by their name in DuckDB; aggregates are `AGGREGATES`."""
_OTHERS = f"Say it with plain operators, CASE, or one of: {', '.join(sorted((*FUNCTIONS, *AGGREGATES)))}."
_REMEDIES: Mapping[str, str] = {
    **dict.fromkeys(_MACROS, "Ask for markers with .channels(require=[...]), which can be translated."),
    **{name: f"Write {name}() OVER (ORDER BY ...)." for name in WINDOWS},
    "random": "Draw rows with .sample(n, seed=), which takes the same ones everywhere.",
}
"""What to write instead of some functions."""


def function(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a call by name."""
    name, values = fold(node.name), list(node.expressions)
    if name in AGGREGATES:
        return aggregate(node, scope)
    if name in FORMS:
        return called(FORMS, name, [scope.typed(value) for value in values], scope.dialect)
    refuse(name not in _RULES, f"The function {name}", _REMEDIES.get(name, _OTHERS))
    rule, counts = _RULES[name]
    refuse(len(values) not in counts, f"{name} of {len(values)} values", "Call it with fewer or more.")
    return rule(values, scope)
