"""Casts in other engines: those that give the same value everywhere, and those that may fail.

Engines write floating-point numbers differently (``1.0`` is ``1`` in PostgreSQL), round them differently to whole ones
(half to even in DuckDB and PostgreSQL, towards zero in Spark), and read different texts as numbers (Spark reads
``1d``). What of this can be said in plain SQL is, the rest is refused.
"""

from collections.abc import Mapping
from typing import Literal

from sqlglot import exp

from spora_db.dialects.forms import Forms, called, table
from spora_db.dialects.kinds import Typed
from spora_db.dialects.literals import literal_moment, literal_text, literal_whole
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.names import fold

_DIGITS = "[0-9]+(_[0-9]+)*"
_SPACE = r"[ \t\n\f\r\x0B]*"
_NUMBER = f"^{_SPACE}[-+]?({_DIGITS}([.]({_DIGITS})?)?|[.]{_DIGITS})([eE][-+]?{_DIGITS})?{_SPACE}$"
_NAN = f"^{_SPACE}[-+]?[nN][aA][nN]{_SPACE}$"
_INFINITY = f"{_SPACE}[iI][nN][fF]([iI][nN][iI][tT][yY])?{_SPACE}$"
_CODED = f"^{_SPACE}0([xX][0-9a-fA-F]+|[bB][01]+){_SPACE}$"
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "INTEGER": 32, "BIGINT": 64}
_MOMENTS: Mapping[str, Literal["date", "timestamp"]] = {"DATE": "date", "TIMESTAMP": "timestamp"}
_HEX_DIGITS = 13  # 52 bits, which a DOUBLE holds
_WHOLE = ("floor", "ceil", "ceiling", "trunc", "round")
_REMEDY = "Cast numbers to DOUBLE, whole ones to BIGINT or VARCHAR, texts to DOUBLE, timestamps to DATE; round before."


def _read(plain: str, otherwise: str) -> str:
    """Return what a text is as a number, by how it is written; ``_`` may stand between digits."""
    return f"CASE WHEN $a ~ '{_NUMBER}' THEN {plain} {otherwise} END"


def _within(value: str, name: str) -> str:
    """Return a number as a whole one where the type holds it; a DOUBLE knows no halves at the bounds of BIGINT."""
    bound = 2 ** (_BITS[name] - 1)
    least, most = (f"{bound}.0", f"{bound}.0") if name == "BIGINT" else (f"{bound}.5", f"{bound - 1}.5")
    return f"CASE WHEN {value} >= -{least} AND {value} < {most} THEN CAST({value} AS {name}) END"


def _whole_texts(name: str) -> tuple[str, ...]:
    """Return the form for a text that may be a whole number, halves rounded away from zero; ``0x10`` is an error."""
    postgres, spark = (
        _read(_within(f"round({number})", name), f"WHEN $a ~ '{_CODED}' THEN CAST({stop} AS {name})")
        for number, stop in ((_EXACT, f"CAST({_MESSAGE} AS DOUBLE)"), (_TRIED, f"raise_error({_MESSAGE})"))
    )
    return (name, "text", "integer", postgres, "" if name == "BIGINT" else spark)


_SPECIAL = (
    f"WHEN $a ~ '{_NAN}' THEN CAST('NaN' AS DOUBLE) WHEN $a ~ '^[-]{_INFINITY}' THEN -CAST('Infinity' AS DOUBLE) "
    f"WHEN $a ~ '^[+]?{_INFINITY}' THEN CAST('Infinity' AS DOUBLE)"
)
_EXACT = "CAST(replace($a, '_', '') AS DECIMAL)"
_TRIED = "TRY_CAST(replace($a, '_', '') AS DOUBLE)"  # Spark may compute it before it looks at the condition
_MESSAGE = "'TRY_CAST of a coded number: ' || $a"

_CASTS = table(
    ("TEXT", "string", "text", "$a"),
    *((name, "exact", "integer", f"CAST($a AS {name})") for name in _BITS),
    *((name, "boolean", "integer", f"CAST(CAST($a AS INT) AS {name})") for name in _BITS),
    ("HUGEINT", "exact", "wide", "CAST($a AS DECIMAL(38, 0))"),
    ("DOUBLE", "number", "double", "CAST($a AS DOUBLE)"),
    ("DOUBLE", "text", "double", "CAST($a AS DOUBLE)"),
    ("BOOLEAN", "boolean", "boolean", "$a"),
    ("DATE", "moment", "date", "CAST($a AS DATE)"),
    ("TIMESTAMP", "moment", "timestamp", "CAST($a AS TIMESTAMP)"),
    # hexadecimal digits, as sampling reads them: a DOUBLE
    ("0x", "text", "double", "CAST(CAST(CAST('x' || lpad($a, 16, '0') AS BIT(64)) AS BIGINT) AS DOUBLE)",
     "CAST(conv($a, 16, 10) AS DOUBLE)"),
)  # fmt: skip
_TRIES = table(
    ("DOUBLE", "text", "double", _read("CAST(replace($a, '_', '') AS DOUBLE)", _SPECIAL), _read(_TRIED, _SPECIAL)),
    ("BIGINT", "integer", "integer", "CAST($a AS BIGINT)"),
    *((name, "exact", "integer", _within("$a", name), f"TRY_CAST($a AS {name})") for name in _BITS),
    *(_whole_texts(name) for name in _BITS),
)
"""PostgreSQL has no TRY_CAST, so the value is looked at first."""


def cast(node: exp.Expr, scope: Scope) -> Typed:
    """Translate CAST, also as ``::`` and as a literal of a type."""
    if isinstance(node.this, exp.DPipe) and literal_text(node.this.this) == "0x":
        return _hexadecimal(node.this.expression, scope)
    name, text = _target(node), literal_text(node.this)
    if (kind := _MOMENTS.get(name)) is not None and text is not None:
        if (moment := literal_moment(text, kind)) is None:
            raise Untranslatable("A date written so", "Write '2020-01-31'.")
        return Typed(tree=moment, kind=kind)
    return _cast(_CASTS, name, node, scope)


def try_cast(node: exp.Expr, scope: Scope) -> Typed:
    """Translate TRY_CAST."""
    name = _target(node)
    return _cast({name: (*_TRIES.get(name, ()), *_CASTS.get(name, ()))}, name, node, scope)


def _cast(forms: Forms, name: str, node: exp.Expr, scope: Scope) -> Typed:
    typed, source = scope.typed(node.this), node.this.unnest()
    is_whole = isinstance(source, exp.Anonymous) and fold(source.name) in _WHOLE
    rounds = name in _BITS and typed.kind in ("decimal", "double") and not is_whole
    refuse(not forms.get(name) or (rounds and scope.dialect == "spark"), f"A cast to {name}", _REMEDY)
    return called(forms, name, [typed], scope.dialect)


def _target(node: exp.Expr) -> str:
    """Return the type that is cast to."""
    assert isinstance(node, exp.Cast)
    if node.to.is_type(exp.DType.TEXT, exp.DType.VARCHAR):
        return "TEXT"  # DuckDB does not mind a length, others cut
    name = node.to.sql("duckdb").upper()
    return "HUGEINT" if name == "INT128" else name


def _hexadecimal(start: exp.Expr, scope: Scope) -> Typed:
    """Read digits that are few enough: the start of a text, as ``substr(key, 1, 13)``."""
    is_start = isinstance(start, exp.Anonymous) and fold(start.name) in ("substr", "substring")
    given = start.expressions if is_start else []
    length = literal_whole(given[2]) if len(given) == 3 and literal_whole(given[1]) == 1 else None
    is_short = length is not None and 0 < length <= _HEX_DIGITS
    refuse(not is_short, "A hexadecimal number", f"Cast '0x' || substr(text, 1, n) with n up to {_HEX_DIGITS}.")
    return called(_CASTS, "0x", [scope.typed(start)], scope.dialect)
