"""Translates a statement as a whole: parsed as the guard reads it, every part written anew, then as text."""

from collections.abc import Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError

from spora_db.dialects import expressions, queries
from spora_db.dialects.kinds import Typed, kind_of
from spora_db.dialects.scope import Relation, Scope, Translated
from spora_db.dialects.targets import Dialect, can_name, check_dialect, refused
from spora_db.errors import QueryError
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

Columns = Mapping[str, Mapping[str, str]]
"""By relation, by column, in order: the type in DuckDB."""


class _Translator:
    """Translates queries and expressions inside each other."""

    def expression(self, node: exp.Expr, scope: Scope) -> Typed:
        return expressions.expression(node, scope)

    def query(self, node: exp.Expr, scope: Scope) -> Translated:
        return queries.query(node, scope)


def translate(text: str, *, dialect: Dialect, columns: Columns) -> str:
    """Return a statement of DuckDB in another engine's SQL, identifiers quoted.

    Parameters
    ----------
    text
        A SELECT, or a CREATE VIEW over one, in DuckDB's dialect.
    dialect
        The other engine.
    columns
        The columns of the relations that the text names, with their types in DuckDB. Those whose names the other
        engine does not allow are not there.

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
        fold(name): Relation(
            name=name,
            columns={column: kind_of(kind) for column, kind in types.items() if can_name(column, dialect)},
        )
        for name, types in columns.items()
    }
    is_view = isinstance(tree, exp.Create) and tree.kind == "VIEW"
    scope = Scope(dialect=dialect, translator=_Translator(), known=known, makes_view=is_view)
    if not is_view:
        return write(queries.query(tree, scope).tree, dialect)
    query = queries.query(tree.args["expression"], scope).tree
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
