"""DuckDB's functions in other engines: one small rewriting per function, each to plain SQL or the engine's own call.

A rewriting takes a node, the target's name and what tells the DuckDB type of an operand; it returns the new node.
"""

from collections.abc import Callable
from typing import NoReturn

from sqlglot import exp

from spora_db.errors import QueryError

TypeOf = Callable[[exp.Expr], str]
Rewrite = Callable[[exp.Expr, str, TypeOf], exp.Expr]

OWN = frozenset(
    ["collect_set", "conv", "error", "lpad", "raise_error", "regexp_instr", "sort_array", "stack", "to_number"]
)
"""Functions that rewritings call by the target's own name."""

_FLOATS = ("DOUBLE", "FLOAT", "REAL")
_NUMBERS = (*_FLOATS, "INT", "DECIMAL", "HUGEINT")
_NUMBER_TEXT = "^[[:space:]]*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?[[:space:]]*$"
_NO_MACROS = ["has_all_markers", "has_any_marker", "n_markers"]


def refuse_unknown(call: exp.Anonymous, dialect: str) -> NoReturn:
    """Raise for a function that is DuckDB's own.

    Raises
    ------
    QueryError
        Always; the message names the function.
    """
    remedy = "Say it with plain operators, or ask this query in DuckDB."
    if call.name.lower() in _NO_MACROS:
        remedy = "Ask for markers with .channels(require=[...]), which can be translated."
    raise QueryError(f"The function {call.name.lower()} has no translation to {dialect}. {remedy}")


def is_float(kind: str) -> bool:
    """Tell whether a DuckDB type is a floating-point number, whose text differs between engines.

    Examples
    --------
    >>> is_float("DOUBLE"), is_float("BIGINT")
    (True, False)
    """
    return kind.upper() in _FLOATS


def _double(value: exp.Expr) -> exp.Cast:
    return exp.cast(value, exp.DType.DOUBLE)


def _text(value: exp.Expr) -> exp.Expr:
    known = isinstance(value, exp.Literal) and value.is_string
    if known or (isinstance(value, exp.Cast) and value.is_type(exp.DType.TEXT, exp.DType.VARCHAR)):
        return value
    return exp.cast(value, exp.DType.TEXT)


def _cast(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Read the text ``0x...`` as a number (PostgreSQL before 16, Spark, Snowflake do not); name wide integers."""
    del type_of
    assert isinstance(node, exp.Cast)
    joined = node.this
    if node.is_type(exp.DType.INT128):
        return exp.cast(joined, exp.DataType.build("DECIMAL(38, 0)", dialect="duckdb"))
    if not (isinstance(joined, exp.DPipe) and isinstance(joined.this, exp.Literal) and joined.this.name == "0x"):
        return node
    digits = joined.expression
    if dialect == "postgres":
        padded = exp.Anonymous(this="lpad", expressions=[digits, exp.Literal.number(16), exp.Literal.string("0")])
        bits = exp.DPipe(this=exp.Literal.string("x"), expression=padded)
        return _double(exp.cast(exp.cast(bits, exp.DataType.build("bit(64)", dialect="postgres")), exp.DType.BIGINT))
    if dialect in ("spark", "databricks"):
        bases = [exp.Literal.number(16), exp.Literal.number(10)]
        return _double(exp.Anonymous(this="conv", expressions=[digits, *bases]))
    if dialect == "snowflake":
        return _double(exp.Anonymous(this="to_number", expressions=[digits, exp.Literal.string("X" * 13)]))
    return _double(node)


def _try_cast(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Cast without failing: numbers need no trying, and PostgreSQL first looks whether a text is a number."""
    assert isinstance(node, exp.TryCast)
    kind = type_of(node.this).upper()
    if any(number in kind for number in _NUMBERS):
        return exp.cast(node.this, node.to)
    if dialect != "postgres":
        return node
    if not node.is_type(*exp.DataType.NUMERIC_TYPES):
        raise QueryError(f"TRY_CAST to {node.to.sql('duckdb')} has no translation to {dialect}; use CAST.")
    number = exp.RegexpLike(this=_text(node.this.copy()), expression=exp.Literal.string(_NUMBER_TEXT))
    value = node.this if node.is_type(exp.DType.DOUBLE, exp.DType.FLOAT) else _double(node.this)
    return exp.Case().when(number, exp.cast(value, node.to))


def _key_text(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Make every part of ``concat_ws`` text, which DuckDB and PostgreSQL do by themselves."""
    for part in node.expressions[1:]:
        whole = part.this if isinstance(part, exp.Cast) else part
        if isinstance(whole, exp.Column) and is_float(type_of(whole)):
            raise QueryError(
                f"The column {whole.name!r} is a floating-point number. Its text differs between DuckDB and {dialect}, "
                "so rows would be drawn differently there. Group by a column of text or whole numbers."
            )
    if dialect not in ("bigquery", "snowflake"):
        node.set("expressions", [_text(part) for part in node.expressions])
        return node
    separator, *parts = node.expressions  # no part is ever NULL: identities and checked groups
    joined: exp.Expr = _text(parts[0])
    for part in parts[1:]:
        joined = exp.DPipe(this=exp.DPipe(this=joined, expression=separator.copy()), expression=_text(part))
    return joined


def _join(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    del dialect, type_of
    for side in ("this", "expression"):
        value = node.args[side]
        if isinstance(value, exp.Column):
            node.set(side, _text(value))
    return node


def _divide(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Divide as floating-point numbers: Spark and Snowflake divide decimals, to six digits; PostgreSQL is known."""
    del type_of
    if dialect in ("spark", "databricks", "snowflake") and not isinstance(node.this, exp.Cast):
        node.set("this", _double(exp.paren(node.this, copy=False)))
    return node


def _is_nan(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    del type_of
    if dialect in ("spark", "databricks", "bigquery"):
        return node
    return exp.EQ(this=node.this, expression=_double(exp.Literal.string("NaN")))


def _full_match(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    del type_of
    pattern = node.args["expression"]
    if not (isinstance(pattern, exp.Literal) and pattern.is_string):
        raise QueryError(f"regexp_full_match with a pattern that is no literal has no translation to {dialect}.")
    return exp.RegexpLike(this=node.this, expression=exp.Literal.string(f"^({pattern.name})$"))


def _regexp(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Find a pattern anywhere in a text, in Snowflake, whose ``regexp_like`` matches whole texts."""
    del type_of
    pattern = node.expression.name
    if dialect != "snowflake" or (pattern.startswith("^(") and pattern.endswith(")$")):
        return node
    found = exp.Anonymous(this="regexp_instr", expressions=[node.this, node.expression])
    return exp.GT(this=found, expression=exp.Literal.number(0))


def _position(node: exp.Expr, listed: exp.Array) -> exp.Expr:
    case = exp.Case(this=node)
    for place, item in enumerate(listed.expressions):
        case = case.when(item.copy(), exp.Literal.number(place + 1))
    return case


def _contains(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    del dialect, type_of
    if not isinstance(node.this, exp.Array):
        return node
    return exp.In(this=node.expression, expressions=list(node.this.expressions))


def _call(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Rewrite functions that sqlglot does not know."""
    del type_of
    assert isinstance(node, exp.Anonymous)
    name, arguments = node.name.lower(), node.expressions
    if name == "isfinite":
        low, high = (_double(exp.Literal.string(text)) for text in ("-inf", "inf"))
        value = exp.paren(arguments[0], copy=False)
        return exp.paren(exp.and_(exp.GT(this=value, expression=low), exp.LT(this=value.copy(), expression=high)))
    if name == "list_position" and isinstance(arguments[0], exp.Array):
        return _position(arguments[1], arguments[0])
    if name == "trunc":
        return exp.Floor(this=arguments[0])
    if name == "error" and dialect in ("postgres", "snowflake"):
        return _double(arguments[0])  # a text that is no number: the engine's message quotes it
    if name == "error" and dialect in ("spark", "databricks"):
        return exp.Anonymous(this="raise_error", expressions=arguments)
    return node


def _distinct_list(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Collect distinct values in order, in Spark, whose ``collect_list`` knows no order."""
    del type_of
    distinct = node.this.this if isinstance(node.this, exp.Order) else node.this
    if dialect not in ("spark", "databricks") or not isinstance(distinct, exp.Distinct):
        return node
    collected = exp.Anonymous(this="collect_set", expressions=distinct.expressions)
    return exp.Anonymous(this="sort_array", expressions=[collected])


def _case(node: exp.Expr, dialect: str, type_of: TypeOf) -> exp.Expr:
    """Compare a floating-point group with numbers: its text is ``2.0`` in DuckDB and ``2`` elsewhere."""
    del dialect
    group = node.this
    if not (isinstance(group, exp.Cast) and isinstance(group.this, exp.Column) and is_float(type_of(group.this))):
        return node
    if group.is_type(exp.DType.TEXT, exp.DType.VARCHAR):
        node.set("this", group.this)
        for branch in node.args["ifs"]:
            branch.set("this", exp.Literal.number(branch.this.name))
    return node


REWRITES: tuple[tuple[type[exp.Expr], Rewrite], ...] = (
    (exp.TryCast, _try_cast),
    (exp.Cast, _cast),
    (exp.ConcatWs, _key_text),
    (exp.DPipe, _join),
    (exp.Div, _divide),
    (exp.IsNan, _is_nan),
    (exp.RegexpFullMatch, _full_match),
    (exp.RegexpLike, _regexp),
    (exp.ArrayContains, _contains),
    (exp.ArrayAgg, _distinct_list),
    (exp.Case, _case),
    (exp.Anonymous, _call),
)
"""The class of a node, and what rewrites it."""
