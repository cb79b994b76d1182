"""DuckDB's dialect as the guard reads it: functions by the name they were written with, JSON keys and arrows untouched.

sqlglot translates between engines, so it turns ``list_has_any(a, b)`` into ``a && b``, ``mod(a, b)`` into ``a % b`` and
``json ->> 'a.b'`` into ``json ->> '$.a.b'``. The first two bind differently beside other operators, the third asks for
another key. Here a query is only checked and written down again, so nothing of this is wanted.
"""

from collections.abc import Collection
from typing import ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser

SPELLED_VALUES = "spelled_values"
"""Set in the ``meta`` of a SELECT that was written as VALUES alone."""

_POSTFIX = {TokenType.DCOLON, TokenType.DOT, TokenType.L_BRACKET}


class _GuardParser(DuckDBParser):
    FUNCTIONS = {}  # noqa: RUF012 -- the base class declares it
    FUNCTION_PARSERS: ClassVar = {
        name: parser
        for name, parser in DuckDBParser.FUNCTION_PARSERS.items()
        if name in {"CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM", "TRY_CAST"}  # words among arguments
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar = {
        name: parser for name, parser in DuckDBParser.NO_PAREN_FUNCTION_PARSERS.items() if name != "IF"
    }
    LAMBDAS: ClassVar = {  # DuckDB 2.0 reads x -> y as JSON extraction everywhere; lambdas are lambda x: y
        token: build for token, build in DuckDBParser.LAMBDAS.items() if token is not TokenType.ARROW
    }
    TYPE_LITERAL_PARSERS: ClassVar = {}  # JSON '...' is a cast
    ARRAY_CONSTRUCTORS: ClassVar = {"ARRAY": exp.Array}  # list(x)[1] is an element of a list
    _literal_of_type = -1

    def _parse_types(self, *args: bool, **options: bool) -> exp.Expr | None:
        found: exp.Expr | None = super()._parse_types(*args, **options)
        self._literal_of_type = -1 if found is None else self._index
        return found

    def _parse_column_ops(self, this: exp.Expr | None) -> exp.Expr | None:
        """Leave the text of ``DATE '2024-01-31'`` alone: what follows it applies to the date (`_parse_type`)."""
        if isinstance(this, exp.Literal) and self._index - 1 == self._literal_of_type:
            return this
        return super()._parse_column_ops(this)

    def _parse_type(self, *args: bool, **options: bool) -> exp.Expr | None:
        this: exp.Expr | None = super()._parse_type(*args, **options)
        if isinstance(this, exp.Cast) and self._curr.token_type in _POSTFIX:
            return super()._parse_column_ops(this)
        return this

    def _parse_interval_span(self, this: exp.Expr, parse_function_unit: bool = True) -> exp.Interval:  # noqa: FBT001, FBT002
        """Read the unit and nothing else: sqlglot takes '2 hours' apart and makes a text of a number."""
        del parse_function_unit
        known = self._curr.text.upper() in self.dialect.VALID_INTERVAL_UNITS
        return exp.Interval(this=this, unit=self._parse_var(any_token=True, upper=True) if known else None)

    def _parse_join(
        self,
        skip_join_token: bool = False,  # noqa: FBT001, FBT002
        parse_bracket: bool = False,  # noqa: FBT001, FBT002
        alias_tokens: Collection[TokenType] | None = None,
    ) -> exp.Join | None:
        """Refuse a JOIN without a condition, of which sqlglot makes a cross join."""
        comma = self._curr.token_type is TokenType.COMMA
        join: exp.Join | None = super()._parse_join(skip_join_token, parse_bracket, alias_tokens)
        if join and not (comma or join.kind == "CROSS" or join.method in ("NATURAL", "POSITIONAL")):
            self._check_join(join)
        return join

    def _check_join(self, join: exp.Join) -> None:
        if join.this.name == "_":  # how sqlglot's builder reads the kind of a join; check_reading refuses a user's
            return
        if not join.args.get("on") and not join.args.get("using"):
            self.raise_error("A JOIN has no condition: ON ..., USING (...), or CROSS JOIN for all pairs", self._prev)

    def _parse_in(self, this: exp.Expr | None, alias: bool = False) -> exp.In:  # noqa: FBT001, FBT002
        """Keep the list of ``x IN [1, 2]`` a list."""
        if self._curr.token_type is TokenType.L_BRACKET:
            return exp.In(this=this, field=self._parse_column())
        return super()._parse_in(this, alias=alias)

    def _parse_primary(self) -> exp.Expr | None:
        """Keep .5 as it is: 0.5 has another type."""
        if self._match_pair(TokenType.DOT, TokenType.NUMBER):
            return exp.Literal.number(f".{self._prev.text}")
        found: exp.Expr | None = super()._parse_primary()
        return found

    def _parse_star_ops(self) -> exp.Expr | None:
        """Keep the star of ``*COLUMNS(...)``, which spreads the columns over the arguments of one call."""
        unpacked = self._curr.text.upper() == "COLUMNS"
        found: exp.Expr | None = super()._parse_star_ops()
        if unpacked and isinstance(found, exp.Anonymous):
            found.set("unpack", True)  # noqa: FBT003
        return found

    def _values_to_select(self, values: exp.Values) -> exp.Select:
        select: exp.Select = super()._values_to_select(values)
        select.meta[SPELLED_VALUES] = True
        return select


class _GuardGenerator(DuckDBGenerator):
    MULTI_ARG_DISTINCT = True

    def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
        return f"{self.sql(expression, 'this')} IGNORE NULLS"

    def select_sql(self, expression: exp.Select) -> str:
        if SPELLED_VALUES in expression.meta and not any(
            part for name, part in expression.args.items() if name not in ("expressions", "from_")
        ):
            return f"VALUES {self.expressions(expression.args['from_'].this)}"
        return super().select_sql(expression)

    def extract_sql(self, expression: exp.Extract) -> str:
        return f"EXTRACT({self.sql(expression, 'this')} FROM {self.sql(expression, 'expression')})"

    def withingroup_sql(self, expression: exp.WithinGroup) -> str:
        order = self.sql(expression, "expression").strip()
        return f"{self.sql(expression, 'this')} WITHIN GROUP ({order})"

    def interval_sql(self, expression: exp.Interval) -> str:
        this = self.sql(expression, "this")
        written = this if isinstance(expression.this, exp.Literal | exp.Paren) else f"({this})"
        return f"INTERVAL {written} {self.sql(expression, 'unit')}".rstrip()

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        return ("*" if expression.args.get("unpack") else "") + super().anonymous_sql(expression)

    def join_sql(self, expression: exp.Join, join_op: str | None = None) -> str:
        if not any(expression.args.get(name) for name in ("on", "using", "method", "side", "kind")):
            return f", {self.sql(expression, 'this')}"  # sqlglot writes JOIN ... ON TRUE before UNNEST
        return super().join_sql(expression, join_op)


class GuardDialect(DuckDB):
    """DuckDB without sqlglot's rewriting of functions and JSON paths.

    Examples
    --------
    >>> import sqlglot
    >>> print(sqlglot.parse_one("mod(a, 2) = (j ->> 'a.b')", read=GuardDialect).sql(dialect=GuardDialect))
    MOD(a, 2) = (j ->> 'a.b')
    """

    Parser = _GuardParser
    Generator = _GuardGenerator

    class Tokenizer(DuckDB.Tokenizer):
        """DuckDB's, where ``?::INT`` is a parameter and a cast, not an operator of Databricks."""

        KEYWORDS: ClassVar = {word: kind for word, kind in DuckDB.Tokenizer.KEYWORDS.items() if word != "?::"}

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """Return the path as it was written."""
        return path


DIALECT = GuardDialect
"""The dialect in which all SQL of this package is read and written."""
