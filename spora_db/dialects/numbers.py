"""Arithmetic in other engines: division, rounding and the functions of numbers, with DuckDB's answers at their edges.

DuckDB divides as floating-point numbers, by zero too (infinity; elsewhere an error or NULL), rounds halves away from
zero (PostgreSQL rounds those of a DOUBLE to even) and gives infinity or NaN where a function has no value.
"""

from collections.abc import Callable, Sequence

from sqlglot import exp

from spora_db.dialects.casts import constant
from spora_db.dialects.kinds import NUMBERS, Kind, Sign, Typed, literal_of, literal_whole, wrapped
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import SPARK, refused

EXACT: tuple[Kind, ...] = ("integer", "wide", "decimal", "double")
"""Kinds that engines compute with alike; FLOAT is computed in half the digits here and in all of them there."""
_ZERO, _HALF = "0", "0.5"
_WHOLE_FROM = "9007199254740992.0"  # 2**53: no fractions beyond
_MOST_DIGITS = 15


def sign_of(value: float) -> Sign:
    """Return what is known about a number."""
    return "positive" if value > 0 else "nonnegative" if value == 0 else "any"


def highest(left: Kind, right: Kind) -> Kind:
    """Return the kind of number that holds two kinds."""
    if "null" in (left, right):
        return left if right == "null" else right
    return max(left, right, key=NUMBERS.index)


def _literal(text: str) -> exp.Expr:
    return exp.Literal.number(text)


def _no_decimals_in_bigquery(kind: Kind, scope: Scope, node: exp.Expr) -> None:
    """BigQuery reads 0.1 as a floating-point number: three times it is not 0.3 there."""
    if kind == "decimal" and scope.dialect == "bigquery":
        raise refused("Computing with decimals", scope.dialect, remedy="Cast a number to DOUBLE before.", node=node)


def arithmetic(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``+ - *`` of numbers, and days before and after a date."""
    assert isinstance(node, exp.Add | exp.Sub | exp.Mul)
    kinds = ("date", *EXACT) if not isinstance(node, exp.Mul) else EXACT
    left, right = (scope.of_kind(side, *kinds, what="Arithmetic") for side in (node.this, node.expression))
    if "date" in (left.kind, right.kind):
        return _days(node, left, right, scope)
    kind = highest(left.kind, right.kind)
    _no_decimals_in_bigquery(kind, scope, node)
    signs = {left.sign, right.sign}
    sign: Sign = "any"
    if "any" not in signs and not isinstance(node, exp.Sub):
        sure = "positive" in signs if isinstance(node, exp.Add) else signs == {"positive"}
        sign = "positive" if sure else "nonnegative"
    tree = type(node)(this=left.tree, expression=right.tree)
    return Typed(tree=tree, kind=kind, sign=sign, is_whole=kind == "double" and left.is_whole and right.is_whole)


def _days(node: exp.Expr, left: Typed, right: Typed, scope: Scope) -> Typed:
    if left.kind == right.kind == "date" and isinstance(node, exp.Sub):
        return days_between(right.tree, left.tree, scope)
    if left.kind != "date" or right.kind != "integer":
        remedy = "Write date + days, date - days or date - date."
        raise refused("Computing with dates so", scope.dialect, remedy=remedy, node=node)
    if scope.dialect in SPARK:
        called = "DATE_ADD" if isinstance(node, exp.Add) else "DATE_SUB"
        return Typed(tree=exp.Anonymous(this=called, expressions=[left.tree, right.tree]), kind="date")
    days = right.tree
    if scope.dialect == "postgres":  # which adds no BIGINT to a date
        days = exp.cast(days, exp.DType.INT)
    return Typed(tree=exp.Paren(this=type(node)(this=left.tree, expression=wrapped(days))), kind="date")


def days_between(start: exp.Expr, end: exp.Expr, scope: Scope) -> Typed:
    """Return the days from one date to another."""
    start, end = wrapped(start), wrapped(end)
    tree: exp.Expr = exp.Paren(this=exp.Sub(this=end, expression=start))
    if scope.dialect in SPARK:
        tree = exp.Anonymous(this="DATEDIFF", expressions=[end, start])
    elif scope.dialect == "bigquery":
        tree = exp.Anonymous(this="DATE_DIFF", expressions=[end, start, exp.var("DAY")])
    elif scope.dialect == "snowflake":
        tree = exp.Anonymous(this="DATEDIFF", expressions=[exp.var("DAY"), start, end])
    return Typed(tree=tree, kind="integer")


def divide(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``/``, and ``//``, which is the same in DuckDB unless both numbers are whole."""
    assert isinstance(node, exp.Div | exp.IntDiv)
    left, right = (scope.of_kind(side, *EXACT, what="A division") for side in (node.this, node.expression))
    if isinstance(node, exp.IntDiv) and {left.kind, right.kind} <= {"integer", "wide"}:
        return _divide_whole(node, left, right, scope)
    over = left.tree if left.kind == "double" else exp.cast(left.tree, exp.DType.DOUBLE)
    plain = _quotient(over, right.tree)
    sign: Sign = "positive" if left.sign == right.sign == "positive" else "any"
    if _is_not_zero(right, scope):
        return Typed(tree=plain, kind="double", sign=sign)
    under = wrapped(right.tree)
    if scope.dialect == "bigquery":
        return Typed(tree=exp.Anonymous(this="IEEE_DIVIDE", expressions=[over, right.tree]), kind="double")
    infinity: exp.Expr = constant("Infinity")
    if right.kind == "double":  # minus zero, as -d makes of it, equals zero and shows in its text alone
        minus = exp.Like(this=exp.cast(under.copy(), exp.DType.TEXT), expression=exp.Literal.string("-%"))
        infinity = exp.Case().when(minus, constant("-Infinity")).else_(infinity)
    endless = exp.Mul(this=wrapped(over.copy()), expression=infinity)  # 0 / 0 is NaN, as 0 * Infinity is
    case = exp.Case().when(exp.EQ(this=under.copy(), expression=_literal(_ZERO)), endless).else_(plain)
    return Typed(tree=case, kind="double")


def _quotient(over: exp.Expr, under: exp.Expr) -> exp.Div:
    return exp.Div(this=wrapped(over), expression=wrapped(under), typed=True, safe=False)


def _is_not_zero(value: Typed, scope: Scope) -> bool:
    literal = literal_of(value.tree)
    is_literal = literal is not None and not literal.is_string and float(literal.name) != 0
    return is_literal or value.sign == "positive" or value.tree.sql() in scope.positive


def _divide_whole(node: exp.Expr, left: Typed, right: Typed, scope: Scope) -> Typed:
    """Divide whole numbers, towards zero; by zero it is an error in DuckDB and where it is not NULL."""
    if "wide" in (left.kind, right.kind):
        raise refused("// of numbers beyond BIGINT", scope.dialect, remedy="Cast them to BIGINT.", node=node)
    over, under = wrapped(left.tree), wrapped(right.tree)
    tree: exp.Expr = exp.Paren(this=exp.Div(this=over, expression=under, typed=True, safe=False))
    if scope.dialect in SPARK:
        tree = exp.Paren(this=exp.IntDiv(this=over, expression=under))
    elif scope.dialect == "bigquery":
        tree = exp.Anonymous(this="DIV", expressions=[over, under])
    elif scope.dialect == "snowflake":  # / has six digits after the point there: it divides what leaves no rest
        rest = exp.Paren(this=exp.Sub(this=over, expression=exp.Mod(this=over.copy(), expression=under)))
        tree = exp.cast(exp.Div(this=rest, expression=under.copy(), typed=True, safe=False), exp.DType.BIGINT)
    return Typed(tree=tree, kind="integer")


def remainder(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``%`` of whole numbers, with the sign of the first."""
    assert isinstance(node, exp.Mod)
    left, right = (scope.of_kind(side, "integer", what="%") for side in (node.this, node.expression))
    tree = exp.Mod(this=wrapped(left.tree), expression=wrapped(right.tree))
    return Typed(tree=exp.Paren(this=tree) if scope.dialect != "bigquery" else tree, kind="integer")


def negative(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a minus sign."""
    typed = scope.of_kind(node.this, *NUMBERS, what="A minus sign")
    return Typed(tree=exp.Neg(this=typed.tree), kind=typed.kind, is_whole=typed.is_whole)


def absolute(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``abs``."""
    typed = scope.of_kind(values[0], *EXACT, what="The function abs")
    tree = exp.Anonymous(this="ABS", expressions=[typed.tree])
    return Typed(tree=tree, kind=typed.kind, sign="nonnegative", is_whole=typed.is_whole)


def to_whole(name: str) -> Callable[[Sequence[exp.Expr], Scope], Typed]:
    """Return the translation of ``floor`` or ``ceil``: BIGINT in Spark, which makes 0 of NaN."""

    def translated(values: Sequence[exp.Expr], scope: Scope) -> Typed:
        typed = scope.of_kind(values[0], *EXACT, what=f"The function {name.lower()}")
        _no_decimals_in_bigquery(typed.kind, scope, values[0])
        if typed.kind in ("integer", "wide"):
            return Typed(tree=exp.cast(typed.tree, exp.DType.DOUBLE), kind="double", is_whole=True)
        tree: exp.Expr = exp.Anonymous(this=name, expressions=[typed.tree])
        if typed.kind == "double" and scope.dialect in SPARK:
            size = exp.Anonymous(this="ABS", expressions=[typed.tree.copy()])
            small = exp.LT(this=size, expression=exp.cast(_literal(_WHOLE_FROM), exp.DType.DOUBLE))
            tree = exp.Case().when(small, exp.cast(tree, exp.DType.DOUBLE)).else_(typed.tree.copy())
        return Typed(tree=tree, kind=typed.kind, is_whole=True)

    return translated


def truncated(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``trunc`` of a DOUBLE."""
    value = scope.double(values[0], what="The function trunc").tree
    if scope.dialect not in SPARK:
        return Typed(tree=exp.Anonymous(this="TRUNC", expressions=[value]), kind="double", is_whole=True)
    up, down = (to_whole(name)(values, scope).tree for name in ("CEIL", "FLOOR"))
    below = exp.LT(this=wrapped(value), expression=_literal(_ZERO))
    return Typed(tree=exp.Case().when(below, up).else_(down), kind="double", is_whole=True)


def rounded(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``round``: halves away from zero, to places as DuckDB does it, by a multiplication."""
    places = literal_whole(values[1]) if len(values) == 2 else 0
    if places is None or not 0 <= places <= _MOST_DIGITS:
        remedy = f"Round to 0 to {_MOST_DIGITS} digits after the point."
        raise refused("Rounding to such places", scope.dialect, remedy=remedy, node=values[1])
    typed = scope.of_kind(values[0], *EXACT, what="The function round")
    _no_decimals_in_bigquery(typed.kind, scope, values[0])
    if typed.kind in ("integer", "wide"):
        return typed
    if typed.kind == "decimal":
        given = [typed.tree, _literal(str(places))] if places else [typed.tree]
        return Typed(tree=exp.Anonymous(this="ROUND", expressions=given), kind="decimal", is_whole=not places)
    if not places:
        return Typed(tree=_round(typed.tree, scope), kind=typed.kind, is_whole=True)
    power = exp.cast(_literal(f"1{'0' * places}"), exp.DType.DOUBLE)
    moved = exp.Paren(this=exp.Mul(this=wrapped(typed.tree), expression=power))
    return Typed(tree=exp.Paren(this=_quotient(_round(moved, scope), power.copy())), kind=typed.kind)


def _round(value: exp.Expr, scope: Scope) -> exp.Expr:
    if scope.dialect != "postgres":
        return exp.Anonymous(this="ROUND", expressions=[value])
    whole = exp.Anonymous(this="TRUNC", expressions=[value])
    rest = exp.Anonymous(this="ABS", expressions=[exp.Sub(this=wrapped(value.copy()), expression=whole.copy())])
    is_half = exp.GTE(this=rest, expression=_literal(_HALF))
    sign = exp.Anonymous(this="SIGN", expressions=[value.copy()])
    return exp.Case().when(is_half, exp.Add(this=whole.copy(), expression=sign)).else_(whole)


def root(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``sqrt``: NaN below zero."""
    typed = scope.double(values[0], what="The function sqrt")
    called = exp.Anonymous(this="SQRT", expressions=[typed.tree])
    if typed.sign != "any":
        return Typed(tree=called, kind="double", sign=typed.sign)
    value = wrapped(typed.tree)
    case = exp.Case().when(exp.GTE(this=value.copy(), expression=_literal(_ZERO)), called)
    return Typed(
        tree=case.when(exp.Not(this=exp.Is(this=value.copy(), expression=exp.null())), constant("NaN")), kind="double"
    )


def logarithm(name: str) -> Callable[[Sequence[exp.Expr], Scope], Typed]:
    """Return the translation of ``ln`` or ``log10``: minus infinity at zero, NaN below."""

    def translated(values: Sequence[exp.Expr], scope: Scope) -> Typed:
        typed = scope.double(values[0], what=f"The function {name.lower()}")
        called: exp.Expr = exp.Anonymous(this=name, expressions=[typed.tree])
        if name == "LOG10":
            if scope.dialect == "snowflake":  # by a division of logarithms: that of 1000 is less than 3
                raise refused("The function log10", scope.dialect, remedy="Compare the number itself.", node=values[0])
            called = exp.Anonymous(this="LOG" if scope.dialect == "postgres" else name, expressions=[typed.tree])
        if typed.sign == "positive":
            return Typed(tree=called, kind="double")
        value = wrapped(typed.tree)
        case = exp.Case().when(exp.GT(this=value.copy(), expression=_literal(_ZERO)), called)
        case = case.when(exp.EQ(this=value.copy(), expression=_literal(_ZERO)), constant("-Infinity"))
        case = case.when(exp.Not(this=exp.Is(this=value.copy(), expression=exp.null())), constant("NaN"))
        return Typed(tree=case, kind="double")

    return translated


def exponential(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``exp``; where DuckDB goes on to infinity, PostgreSQL stops with an error."""
    value = scope.double(values[0], what="The function exp").tree
    return Typed(tree=exp.Anonymous(this="EXP", expressions=[value]), kind="double", sign="nonnegative")


def power(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``pow`` and ``**`` to a whole number."""
    exponent = literal_whole(values[1])
    if exponent is None or exponent < 0:
        remedy = "Raise to a whole number of 0 or more; sqrt is a root."
        raise refused("Raising to such a power", scope.dialect, remedy=remedy, node=values[1])
    value = scope.double(values[0], what="The function pow")
    sign: Sign = "nonnegative" if exponent % 2 == 0 else value.sign
    tree = exp.Anonymous(this="POWER", expressions=[value.tree, exp.cast(_literal(str(exponent)), exp.DType.DOUBLE)])
    return Typed(tree=tree, kind="double", sign=sign)


def _any_double(value: exp.Expr, scope: Scope, *, what: str) -> exp.Expr:
    """Return a number of any kind as DOUBLE: whether it is one at all does not depend on its digits."""
    typed = scope.of_kind(value, *NUMBERS, what=what)
    return typed.tree if typed.kind == "double" else exp.cast(typed.tree, exp.DType.DOUBLE)


def is_nan(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``isnan``: NaN equals itself, but for BigQuery; Spark's own makes a truth value of NULL."""
    value = _any_double(values[0], scope, what="The function isnan")
    if scope.dialect == "bigquery":
        return Typed(tree=exp.IsNan(this=value), kind="boolean")
    return Typed(tree=exp.EQ(this=wrapped(value), expression=constant("NaN")), kind="boolean")


def is_finite(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``isfinite``."""
    value = wrapped(_any_double(values[0], scope, what="The function isfinite"))
    above = exp.GT(this=value, expression=constant("-Infinity"))
    below = exp.LT(this=value.copy(), expression=constant("Infinity"))
    return Typed(tree=exp.Paren(this=exp.and_(above, below)), kind="boolean")


def is_infinite(values: Sequence[exp.Expr], scope: Scope) -> Typed:
    """Translate ``isinf``."""
    size = exp.Anonymous(this="ABS", expressions=[_any_double(values[0], scope, what="The function isinf")])
    return Typed(tree=exp.EQ(this=size, expression=constant("Infinity")), kind="boolean")
