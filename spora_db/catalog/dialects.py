"""The same SELECT for another engine: what is known to mean the same there is translated, all else is refused.

``translate`` reads a text as the guard does, every function by DuckDB's own name, and writes each part anew:

1. queries clause by clause (``dialect_queries``, ``dialect_orders``), names resolved (``dialect_scope``);
2. expressions by the class of their node (``dialect_expressions``), functions by name (``dialect_functions``,
   ``dialect_aggregates``), with the kinds of their operands (``dialect_kinds``).

Each of these is a list of what is allowed. Nothing is passed on in the hope that it works there: the entries were run
on PostgreSQL and gave DuckDB's rows, those that have another word in Spark there too; for BigQuery and Snowflake the
manuals say so. What remains different: letters whose number changes with their case (``ß``), the last digit of
logarithms and sums of floating-point numbers, overflows, at which other engines stop, and in BigQuery a NaN that meets
another one in IN, CASE or USING.
"""

from collections.abc import Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError

from spora_db.catalog import dialect_expressions, dialect_queries
from spora_db.catalog.dialect_kinds import Typed, kind_of
from spora_db.catalog.dialect_scope import Relation, Scope, Translated
from spora_db.catalog.dialect_targets import DIALECTS, Dialect, check_dialect, refused
from spora_db.errors import QueryError
from spora_db.guard.dialect import DIALECT
from spora_db.guard.text import fold

__all__ = ["DIALECTS", "Columns", "Dialect", "check_dialect", "translate", "write"]


Columns = Mapping[str, Mapping[str, str]]
"""By relation, by column, in order: the type in DuckDB."""


class _Translator:
    """Translates queries and expressions inside each other."""

    def expression(self, node: exp.Expr, scope: Scope) -> Typed:
        return dialect_expressions.expression(node, scope)

    def query(self, node: exp.Expr, scope: Scope) -> Translated:
        return dialect_queries.query(node, scope)


def translate(text: str, *, dialect: Dialect, columns: Columns) -> str:
    """Return a statement of DuckDB in another engine's SQL, identifiers quoted.

    Parameters
    ----------
    text
        A SELECT, or a CREATE VIEW over one, in DuckDB's dialect.
    dialect
        The other engine.
    columns
        The columns of the relations that the text names, with their types in DuckDB.

    Raises
    ------
    QueryError
        If the text holds something that is not known to mean the same there; the message names it, and what to do.

    Examples
    --------
    >>> columns = {"t": {"a": "INTEGER", "b": "DATE"}}
    >>> print(translate("SELECT * EXCLUDE (b) FROM t", dialect="postgres", columns=columns))
    SELECT
      "t"."a" AS "a"
    FROM "t"
    """
    check_dialect(dialect)
    try:
        tree: exp.Expr = sqlglot.parse_one(text, dialect=DIALECT)
    except ParseError as error:
        raise QueryError(f"The SQL cannot be read for translation to {dialect}: {error}") from error
    known = {
        fold(name): Relation(name=name, columns={column: kind_of(kind) for column, kind in types.items()})
        for name, types in columns.items()
    }
    is_view = isinstance(tree, exp.Create) and tree.kind == "VIEW"
    scope = Scope(dialect=dialect, translator=_Translator(), known=known, makes_view=is_view)
    if not is_view:
        return write(dialect_queries.query(tree, scope).tree, dialect)
    query = dialect_queries.query(tree.args["expression"], scope).tree
    return write(exp.Create(kind="VIEW", this=exp.to_table(tree.this.name), expression=query), dialect)


def write(tree: exp.Expr, dialect: Dialect) -> str:
    """Return a tree as text of a dialect, comments left out.

    Raises
    ------
    QueryError
        If sqlglot knows that the dialect lacks something.
    """
    try:
        return tree.sql(dialect, identify=True, pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise refused(f"A part of it ({error})", dialect, remedy="Say it otherwise.") from error
