"""DuckDB's functions in other engines: a list of those that are known to mean the same, each with its translation.

A function that is not listed is refused. What is listed was run on PostgreSQL and gave DuckDB's answer, edges included
(``tests/test_dialects.py`` runs each one); for the others their manuals say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from spora_db.dialects import numbers
from spora_db.dialects import text_functions as texts
from spora_db.dialects.aggregates import AGGREGATES, WINDOWS, aggregate
from spora_db.dialects.casts import failure
from spora_db.dialects.kinds import COMPARED, ORDERED, Typed, common, literal_text, literal_whole, wrapped
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Dialect, refused
from spora_db.dialects.text_functions import Rule, Values, joined
from spora_db.dialects.texts import BYTES, PLAIN, collated
from spora_db.sqltext.expressions import call
from spora_db.sqltext.names import fold

_MACROS = ("has_all_markers", "has_any_marker", "n_markers")
_PARTS = ("year", "quarter", "month", "day")
_MANY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of DuckDB: how many values it takes, what translates it, and the engines that lack it."""

    rule: Rule
    least: int = 1
    most: int = 1
    lacking: tuple[Dialect, ...] = ()


def function(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a call by name.

    Raises
    ------
    QueryError
        If the function, or such a call of it, is not known to mean the same.
    """
    name, values = fold(node.name), node.expressions
    if name in AGGREGATES:
        assert isinstance(node, exp.Anonymous)
        return aggregate(node, scope)
    known = FUNCTIONS.get(name)
    if known is None or scope.dialect in known.lacking:
        remedy = "Ask for markers with .channels(require=[...]), which can be translated."
        if name not in _MACROS:
            there = (key for key, item in FUNCTIONS.items() if scope.dialect not in item.lacking)
            remedy = f"Say it with plain operators, CASE, or one of: {', '.join(sorted((*there, *AGGREGATES)))}."
        if name in WINDOWS:
            remedy = f"Write {name}() OVER (ORDER BY ...)."
        if name == "random":
            remedy = "Draw rows with .sample(n, seed=), which takes the same ones everywhere."
        raise refused(f"The function {name}", scope.dialect, remedy=remedy, node=node)
    if not known.least <= len(values) <= known.most:
        raise refused(f"{name} of {len(values)} values", scope.dialect, remedy="Call it with fewer or more.", node=node)
    return known.rule(values, scope)


def coalesce(values: Values, scope: Scope) -> Typed:
    """Translate ``coalesce`` and ``ifnull``."""
    trees, kind = common([scope.typed(value) for value in values], dialect=scope.dialect, node=values[0])
    return Typed(tree=exp.Coalesce(this=trees[0], expressions=trees[1:]), kind=kind)


def nullif(values: Values, scope: Scope) -> Typed:
    """Translate ``nullif``."""
    typed = [scope.of_kind(value, *COMPARED, what="The function nullif") for value in values]
    trees, _ = common(typed, dialect=scope.dialect, node=values[0])
    return Typed(tree=exp.Nullif(this=trees[0], expression=trees[1]), kind=typed[0].kind)


def choice(values: Values, scope: Scope) -> Typed:
    """Translate ``if``."""
    trees, kind = common([scope.typed(value) for value in values[1:]], dialect=scope.dialect, node=values[0])
    return Typed(tree=exp.Case().when(scope.condition(values[0]), trees[0]).else_(trees[1]), kind=kind)


def extreme(name: str) -> Rule:
    """Return the translation of ``greatest`` or ``least``, which leave out NULLs."""

    def translated(values: Values, scope: Scope) -> Typed:
        typed = [scope.of_kind(value, *ORDERED, what=f"The function {name.lower()}") for value in values]
        trees, kind = common(typed, dialect=scope.dialect, node=values[0])
        if kind != "text":
            return Typed(tree=call(name, *trees), kind=kind)
        called = call(name, *(collated(tree, BYTES, scope.dialect) for tree in trees))
        return Typed(tree=collated(called, PLAIN, scope.dialect), kind="text")

    return translated


def _literals(value: exp.Expr, scope: Scope) -> list[exp.Expr]:
    """Return the values of a list that is written out; NULLs are never equal to anything."""
    items = value.expressions if isinstance(value, exp.Array) else []
    items = [item for item in items if not isinstance(item, exp.Null)]
    if not items or any(literal_text(item) is None and literal_whole(item) is None for item in items):
        raise refused("A list that is not written out", scope.dialect, remedy="Write x IN ('a', 'b').", node=value)
    return items


def listed(values: Values, scope: Scope) -> Typed:
    """Translate ``list_contains`` of a list that is written out: IN."""
    typed = [scope.typed(value) for value in (values[1], *_literals(values[0], scope))]
    trees, _ = common(typed, dialect=scope.dialect, node=values[1])
    return Typed(tree=exp.In(this=wrapped(trees[0]), expressions=trees[1:]), kind="boolean")


def place_in_list(values: Values, scope: Scope) -> Typed:
    """Translate ``list_position`` in a list that is written out, NULL without."""
    typed = [scope.typed(value) for value in (values[1], *_literals(values[0], scope))]
    trees, _ = common(typed, dialect=scope.dialect, node=values[1])
    case = exp.Case(this=trees[0])
    for place, tree in enumerate(trees[1:], start=1):
        case = case.when(tree, exp.Literal.number(place))
    return Typed(tree=case, kind="integer", sign="positive")


def part_of(name: str) -> Rule:
    """Return the translation of ``year``, ``month`` and so on."""

    def translated(values: Values, scope: Scope) -> Typed:
        value = scope.of_kind(values[0], "date", "timestamp", what=f"The function {name}").tree
        tree = exp.cast(exp.Extract(this=exp.var(name.upper()), expression=value), exp.DType.BIGINT)
        return Typed(tree=tree, kind="integer")

    return translated


def date_part(values: Values, scope: Scope) -> Typed:
    """Translate ``date_part`` of a part that starts at the same moment everywhere."""
    name = fold(literal_text(values[0]) or "")
    if name not in _PARTS:
        remedy = f"Ask for {', '.join(_PARTS)}."
        raise refused("Such a part of a date", scope.dialect, remedy=remedy, node=values[0])
    return part_of(name)(values[1:], scope)


def date_diff(values: Values, scope: Scope) -> Typed:
    """Translate ``date_diff('day', start, end)`` of dates."""
    if fold(literal_text(values[0]) or "") != "day":
        raise refused("date_diff of such a part", scope.dialect, remedy="Ask for 'day'.", node=values[0])
    start, end_ = (scope.of_kind(value, "date", what="date_diff").tree for value in values[1:])
    return numbers.days_between(start, end_, scope)


def error(values: Values, scope: Scope) -> Typed:
    """Translate ``error``, by which a weight below zero stops a query; how its number is written does not matter."""
    parts = [scope.typed(part) for part in values[0].flatten()] if isinstance(values[0], exp.DPipe) else []
    parts = parts or [scope.typed(values[0])]
    texts = [part.tree if part.kind == "text" else exp.cast(part.tree, exp.DType.TEXT) for part in parts]
    return Typed(tree=failure(joined(texts), scope), kind="null")


def _named(
    names: str, rule: Rule, *, least: int = 1, most: int | None = None, lacking: tuple[Dialect, ...] = ()
) -> dict[str, Function]:
    known = Function(rule=rule, least=least, most=least if most is None else most, lacking=lacking)
    return dict.fromkeys(names.split(), known)


def pi(values: Values, scope: Scope) -> Typed:
    """Translate ``pi``."""
    del values, scope
    return Typed(
        tree=exp.cast(exp.Literal.number("3.141592653589793"), exp.DType.DOUBLE), kind="double", sign="positive"
    )


def modulo(values: Values, scope: Scope) -> Typed:
    """Translate ``mod``."""
    return numbers.remainder(exp.Mod(this=values[0], expression=values[1]), scope)


FUNCTIONS: Mapping[str, Function] = {
    **_named("lower lcase", texts.folded("LOWER")),
    **_named("upper ucase", texts.folded("UPPER")),
    **_named("length len char_length character_length", texts.length),
    **_named("substr substring", texts.substring, least=2, most=3),
    **_named("left", texts.end_of_text("LEFT"), least=2),
    **_named("right", texts.end_of_text("RIGHT"), least=2),
    **_named("lpad", texts.padded("LPAD"), least=3),
    **_named("rpad", texts.padded("RPAD"), least=3),
    **_named("trim", texts.trimmed(None), most=2),
    **_named("ltrim", texts.trimmed("LEADING"), most=2),
    **_named("rtrim", texts.trimmed("TRAILING"), most=2),
    **_named("replace", texts.replaced, least=3),
    **_named("split_part", texts.split_part, least=3, lacking=("bigquery",)),
    **_named("position strpos instr", texts.position, least=2),
    **_named("contains", texts.contains, least=2),
    **_named("starts_with prefix", texts.starts_with, least=2),
    **_named("ends_with suffix", texts.ends_with, least=2),
    **_named("regexp_matches", texts.matched("regexp_matches", is_whole=False), least=2),
    **_named("regexp_full_match", texts.matched("regexp_full_match", is_whole=True), least=2),
    **_named("concat", texts.concat, most=_MANY),
    **_named("concat_ws", texts.concat_ws, least=2, most=_MANY),
    **_named("md5", texts.md5),
    **_named("coalesce", coalesce, most=_MANY),
    **_named("ifnull", coalesce, least=2),
    **_named("nullif", nullif, least=2),
    **_named("if", choice, least=3),
    **_named("greatest", extreme("GREATEST"), least=2, most=_MANY, lacking=("bigquery", "snowflake")),
    **_named("least", extreme("LEAST"), least=2, most=_MANY, lacking=("bigquery", "snowflake")),
    **_named("list_contains list_has array_contains array_has", listed, least=2),
    **_named("list_position list_indexof array_position array_indexof", place_in_list, least=2),
    **_named("abs", numbers.absolute),
    **_named("ceil ceiling", numbers.to_whole("CEIL")),
    **_named("floor", numbers.to_whole("FLOOR")),
    **_named("trunc", numbers.truncated),
    **_named("round", numbers.rounded, most=2),
    **_named("sqrt", numbers.root),
    **_named("ln", numbers.logarithm("LN")),
    **_named("log log10", numbers.logarithm("LOG10")),
    **_named("exp", numbers.exponential),
    **_named("pow power", numbers.power, least=2),
    **_named("mod", modulo, least=2),
    **_named("isnan", numbers.is_nan),
    **_named("isfinite", numbers.is_finite),
    **_named("isinf", numbers.is_infinite),
    **_named("pi", pi, least=0),
    **{name: Function(rule=part_of(name)) for name in _PARTS},
    **_named("dayofmonth", part_of("day")),
    **_named("date_part datepart extract", date_part, least=2),
    **_named("date_diff datediff", date_diff, least=3),
    **_named("error", error),
}
"""The functions of values that can be translated, by their name in DuckDB; aggregates are `AGGREGATES`."""
