"""Casts in other engines: those that give the same value everywhere, and those that may fail.

Engines write floating-point numbers differently (``1.0`` is ``1`` in PostgreSQL), round them differently to whole ones
(half to even in DuckDB and PostgreSQL, away from zero in BigQuery, towards it in Spark), and read different texts as
numbers (Spark reads ``1d``). What of this can be said in plain SQL is, the rest is refused.
"""

from sqlglot import exp

from spora_db.dialects.kinds import (
    Kind,
    Sign,
    Typed,
    kind_of,
    literal_moment,
    literal_text,
    literal_whole,
    wrapped,
)
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import SPARK, refused
from spora_db.dialects.texts import matches
from spora_db.errors import QueryError

_DIGITS = "[0-9]+(_[0-9]+)*"
_SPACE = r"[ \t\n\f\r\x0B]*"
_NUMBER = f"^{_SPACE}[-+]?({_DIGITS}([.]({_DIGITS})?)?|[.]{_DIGITS})([eE][-+]?{_DIGITS})?{_SPACE}$"
_NAN = f"^{_SPACE}[-+]?[nN][aA][nN]{_SPACE}$"
_INFINITY = f"{_SPACE}[iI][nN][fF]([iI][nN][iI][tT][yY])?{_SPACE}$"
_CODED = f"^{_SPACE}0([xX][0-9a-fA-F]+|[bB][01]+){_SPACE}$"
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "INTEGER": 32, "BIGINT": 64}
_TO_DOUBLE: tuple[Kind, ...] = ("integer", "wide", "decimal", "float", "double", "text")
_DATES = {"postgres": "YYYY-MM-DD", "snowflake": "YYYY-MM-DD", "bigquery": "%Y-%m-%d"}
_HEX_DIGITS = 13  # 52 bits, which a DOUBLE holds


def constant(text: str) -> exp.Cast:
    """Return a floating-point number that has no literal: ``NaN``, ``Infinity``."""
    return exp.cast(exp.Literal.string(text), exp.DType.DOUBLE)


def failure(message: exp.Expr, scope: Scope) -> exp.Expr:
    """Return what stops the engine with a message."""
    if scope.dialect in SPARK:
        return exp.Anonymous(this="RAISE_ERROR", expressions=[message])
    if scope.dialect == "bigquery":
        return exp.Anonymous(this="ERROR", expressions=[message])
    return exp.cast(message, exp.DType.DOUBLE)  # a text that is no number: the engine's message quotes it


def as_text(typed: Typed, scope: Scope, *, node: exp.Expr) -> exp.Expr:
    """Return a value as the text that DuckDB makes of it.

    Raises
    ------
    QueryError
        If engines write such values differently.
    """
    if typed.kind == "text":
        return typed.tree
    if typed.kind in ("integer", "wide", "boolean", "null"):
        return exp.cast(typed.tree, exp.DType.TEXT)
    if typed.kind == "date":
        if scope.dialect in SPARK:
            return exp.cast(typed.tree, exp.DType.TEXT)
        style = exp.Literal.string(_DATES[scope.dialect])
        if scope.dialect == "bigquery":
            return exp.Anonymous(this="FORMAT_DATE", expressions=[style, typed.tree])
        return exp.Anonymous(this="TO_CHAR", expressions=[typed.tree, style])
    what = f"The column {node.name!r}" if isinstance(node, exp.Column) else "An expression"
    noun = "floating-point number" if typed.kind in ("float", "double") else typed.kind
    raise refused(
        f"{what} is a {noun}, whose text differs between DuckDB and other engines: its text",
        scope.dialect,
        remedy="Compare numbers with numbers, and group by a column of text or whole numbers.",
        node=node,
    )


def cast(node: exp.Expr, scope: Scope) -> Typed:
    """Translate CAST, also as ``::`` and as a literal of a type."""
    assert isinstance(node, exp.Cast)
    if hexadecimal := _hexadecimal(node, scope):
        return hexadecimal
    name, kind = _target(node, scope)
    text = literal_text(node.this)
    if kind in ("date", "timestamp") and text is not None:
        moment = literal_moment(text, kind)
        if moment is None:
            raise refused("A date written so", scope.dialect, remedy="Write '2020-01-31'.", node=node)
        return Typed(tree=moment, kind=kind)
    typed = scope.typed(node.this)
    if typed.kind == "null":
        return Typed(tree=exp.cast(typed.tree, _type(name)), kind=kind)
    if kind == "text":
        return Typed(tree=as_text(typed, scope, node=node.this), kind="text")
    if kind in ("integer", "wide"):
        return _whole(typed, name, kind, scope, node)
    same = typed.kind == kind and kind in ("boolean", "date", "timestamp")
    if same or (kind == "double" and typed.kind in _TO_DOUBLE) or {kind, typed.kind} == {"date", "timestamp"}:
        return Typed(tree=exp.cast(typed.tree, _type(name)), kind=kind, sign=typed.sign)
    raise _no_cast(f"CAST of {typed.kind} to {name}", scope, node)


def _no_cast(what: str, scope: Scope, node: exp.Expr) -> QueryError:
    remedy = "Cast numbers to DOUBLE, whole ones to BIGINT or VARCHAR, texts to DOUBLE, timestamps to DATE."
    return refused(what, scope.dialect, remedy=remedy, node=node)


def _type(name: str) -> exp.DataType:
    return exp.DataType.build("DECIMAL(38, 0)" if name == "HUGEINT" else name, dialect="duckdb")


def _target(node: exp.Cast, scope: Scope) -> tuple[str, Kind]:
    """Return the type that is cast to, among those that all engines have."""
    if node.to.is_type(exp.DType.TEXT, exp.DType.VARCHAR):
        return "TEXT", "text"  # DuckDB does not mind a length, others cut
    name = node.to.sql("duckdb").upper()
    name = "HUGEINT" if name == "INT128" else name
    kind: Kind = "integer" if name in _BITS else kind_of(name)
    if kind not in ("integer", "wide", "double", "boolean", "date", "timestamp") or name.startswith("U"):
        raise _no_cast(f"A cast to {name}", scope, node)
    return name, kind


def _whole(typed: Typed, name: str, kind: Kind, scope: Scope, node: exp.Expr) -> Typed:
    """Cast to whole numbers what rounds to the same ones everywhere."""
    is_exact = typed.kind in ("integer", "wide") or (typed.kind in ("decimal", "double") and typed.is_whole)
    is_rounded_alike = typed.kind in ("decimal", "double") and scope.dialect == "postgres"
    if typed.kind == "boolean" and kind == "integer":  # PostgreSQL casts it to INTEGER only
        return Typed(tree=exp.cast(exp.cast(typed.tree, exp.DType.INT), _type(name)), kind=kind, sign="nonnegative")
    if is_exact or is_rounded_alike:
        sign: Sign = typed.sign if is_exact or typed.sign == "any" else "nonnegative"  # 0.1 becomes 0
        return Typed(tree=exp.cast(typed.tree, _type(name)), kind=kind, sign=sign)
    if typed.kind == "double":
        raise refused(
            "Rounding by CAST", scope.dialect, remedy="Write CAST(floor(x) AS BIGINT), with ceil or round.", node=node
        )
    raise _no_cast(f"CAST of {typed.kind} to {name}", scope, node)


def _hexadecimal(node: exp.Cast, scope: Scope) -> Typed | None:
    """Read ``0x`` before hexadecimal digits, as sampling does: PostgreSQL before 16, Spark and Snowflake do not.

    The number is a DOUBLE there. It is translated where its digits are few enough: the start of a text, as
    ``substr(key, 1, 13)``.
    """
    joined = node.this
    if not (isinstance(joined, exp.DPipe) and literal_text(joined.this) == "0x"):
        return None
    start = joined.expression
    called = start.name.lower() if isinstance(start, exp.Anonymous) else ""
    given = start.expressions
    length = literal_whole(given[2]) if called in ("substr", "substring") and len(given) == 3 else None
    if length is None or not 0 < length <= _HEX_DIGITS or literal_whole(given[1]) != 1:
        remedy = f"Cast '0x' || substr(text, 1, n) with n up to {_HEX_DIGITS}."
        raise refused("A hexadecimal number", scope.dialect, remedy=remedy, node=node)
    digits = scope.typed(start).tree
    value: exp.Expr = exp.DPipe(this=joined.this.copy(), expression=digits)
    if scope.dialect == "postgres":
        padded = exp.Anonymous(this="LPAD", expressions=[digits, exp.Literal.number(16), exp.Literal.string("0")])
        bits = exp.DPipe(this=exp.Literal.string("x"), expression=padded)
        value = exp.cast(exp.cast(bits, exp.DataType.build("bit(64)", dialect="postgres")), exp.DType.BIGINT)
    elif scope.dialect in SPARK:
        bases = [exp.Literal.number(16), exp.Literal.number(10)]
        value = exp.Anonymous(this="CONV", expressions=[digits, *bases])
    elif scope.dialect == "bigquery":
        value = exp.cast(value, exp.DType.BIGINT)
    else:
        value = exp.Anonymous(this="TO_NUMBER", expressions=[digits, exp.Literal.string("X" * length)])
    return Typed(tree=exp.cast(value, exp.DType.DOUBLE), kind="double", sign="nonnegative", is_whole=True)


def try_cast(node: exp.Expr, scope: Scope) -> Typed:
    """Translate TRY_CAST: PostgreSQL has none, so the value is looked at first."""
    assert isinstance(node, exp.TryCast)
    name, kind = _target(node, scope)
    typed = scope.typed(node.this)
    if typed.kind == "null" or kind == "text" or (kind in ("double", "wide") and typed.kind != "text"):
        return cast(node, scope)
    if kind == "double" and typed.kind == "text":
        return Typed(tree=_number(typed.tree, scope), kind="double")
    if kind == "integer" and typed.kind == "text" and (scope.dialect == "postgres" or _BITS[name] <= 32):
        return Typed(tree=_whole_number(typed.tree, name, scope), kind="integer")
    if kind == "integer" and typed.kind in ("integer", "wide", "decimal", "double"):
        if typed.kind == "integer" and name == "BIGINT":
            return cast(node, scope)
        _whole(typed, name, kind, scope, node)  # refuses what is rounded in different ways
        if scope.dialect in SPARK:
            return Typed(tree=exp.TryCast(this=typed.tree, to=_type(name), safe=True), kind="integer")
        return Typed(tree=_within(typed.tree, name), kind="integer")
    raise _no_cast(f"TRY_CAST of {typed.kind} to {name}", scope, node)


def _within(value: exp.Expr, name: str) -> exp.Expr:
    """Cast a number where the type holds it."""
    bound = 2 ** (_BITS[name] - 1)
    low = exp.GTE(this=wrapped(value), expression=exp.Neg(this=exp.Literal.number(f"{bound}.5")))
    high = exp.LT(this=wrapped(value.copy()), expression=exp.Literal.number(f"{bound - 1}.5"))
    if name == "BIGINT":  # a DOUBLE knows no halves there
        low = exp.GTE(this=wrapped(value), expression=exp.Neg(this=exp.Literal.number(f"{bound}.0")))
        high = exp.LT(this=wrapped(value.copy()), expression=exp.Literal.number(f"{bound}.0"))
    return exp.Case().when(exp.and_(low, high), exp.cast(value.copy(), _type(name)))


def _plain(text: exp.Expr) -> exp.Expr:
    """Drop the underscores that DuckDB allows between digits."""
    return exp.Anonymous(this="REPLACE", expressions=[text.copy(), exp.Literal.string("_"), exp.Literal.string("")])


def _number(text: exp.Expr, scope: Scope) -> exp.Expr:
    double = exp.DataType.build("DOUBLE")
    value: exp.Expr = exp.cast(_plain(text), double)
    if scope.dialect != "postgres":  # never fails, and an engine may compute it before it looks at the condition
        value = exp.TryCast(this=_plain(text), to=double, safe=True)
    case = exp.Case().when(matches(text.copy(), _NUMBER, scope.dialect), value)
    for pattern, found in ((_NAN, "NaN"), (f"^[-]{_INFINITY}", "-Infinity"), (f"^[+]?{_INFINITY}", "Infinity")):
        case = case.when(matches(text.copy(), pattern, scope.dialect), constant(found))
    return case


def _whole_number(text: exp.Expr, name: str, scope: Scope) -> exp.Expr:
    """Read a text as a whole number, halves rounded away from zero; ``0x10`` and ``0b1`` stop the engine."""
    kind = exp.DataType.build("DECIMAL") if scope.dialect == "postgres" else exp.DataType.build("DOUBLE")
    value: exp.Expr = exp.cast(_plain(text), kind)
    if scope.dialect != "postgres":
        value = exp.TryCast(this=_plain(text), to=kind, safe=True)
    rounded = exp.Anonymous(this="ROUND", expressions=[value])
    message = exp.DPipe(this=exp.Literal.string("TRY_CAST of a coded number: "), expression=text.copy())
    coded = exp.cast(failure(message, scope), _type(name))
    case = exp.Case().when(matches(text.copy(), _NUMBER, scope.dialect), _within(rounded, name))
    return case.when(matches(text.copy(), _CODED, scope.dialect), coded)
