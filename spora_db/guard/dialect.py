"""DuckDB's dialect as the guard reads it: functions by the name they were written with, JSON keys and arrows untouched.

sqlglot translates between engines, so it turns ``list_has_any(a, b)`` into ``a && b``, ``mod(a, b)`` into ``a % b`` and
``json ->> 'a.b'`` into ``json ->> '$.a.b'``. The first two bind differently beside other operators, the third asks for
another key. Here a query is only checked and written down again, so nothing of this is wanted.
"""

from typing import ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser


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


class _GuardGenerator(DuckDBGenerator):
    def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
        return f"{self.sql(expression, 'this')} IGNORE NULLS"

    def withingroup_sql(self, expression: exp.WithinGroup) -> str:
        order = self.sql(expression, "expression").strip()
        return f"{self.sql(expression, 'this')} WITHIN GROUP ({order})"


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

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """Return the path as it was written."""
        return path


DIALECT = GuardDialect
"""The dialect in which all SQL of this package is read and written."""
