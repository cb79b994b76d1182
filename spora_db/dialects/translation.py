"""Translates a statement as a whole: parsed as the guard reads it, every part written anew, then as text."""

from collections.abc import Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError

from spora_db.dialects.expressions import expression
from spora_db.dialects.kinds import Kind, kind_of
from spora_db.dialects.names import resolved
from spora_db.dialects.queries import query
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Dialect, Untranslatable, check_dialect
from spora_db.errors import QueryError
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

ViewColumns = Mapping[str, Mapping[str, str]]
"""By relation, by column, in order: the type in DuckDB."""


def translate(text: str, *, dialect: Dialect, columns: ViewColumns) -> str:
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
    FROM "t" AS "t"
    """
    check_dialect(dialect)
    try:
        tree: exp.Expr = sqlglot.parse_one(text, dialect=DIALECT)
    except ParseError as error:
        raise QueryError(f"The SQL cannot be read for translation to {dialect}: {error}") from error
    is_view = isinstance(tree, exp.Create) and tree.kind == "VIEW"
    scope = Scope(
        dialect=dialect, expression=expression, select=query, known=_known(columns), tables={}, makes_view=is_view
    )
    try:
        asked = tree.args["expression"] if is_view else tree
        if not isinstance(asked, exp.Query):
            raise Untranslatable(asked.key.upper(), "Write a SELECT.")
        found = scope.query(resolved(asked, columns)).tree
    except Untranslatable as error:
        raise error.told(dialect) from None
    return write(
        exp.Create(kind="VIEW", this=exp.to_table(tree.this.name), expression=found) if is_view else found, dialect
    )


def _known(columns: ViewColumns) -> dict[str, tuple[str, dict[str, tuple[str, Kind]]]]:
    return {
        fold(name): (name, {fold(column): (column, kind_of(kind)) for column, kind in types.items()})
        for name, types in columns.items()
    }


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
        raise Untranslatable(f"A part of it ({error})", "Say it otherwise.").told(dialect) from error
