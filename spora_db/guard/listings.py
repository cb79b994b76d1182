"""SHOW TABLES and information_schema, written so that they list the catalog's relations and none of the engine's."""

from collections.abc import Collection, Iterator

from sqlglot import Token, TokenType, exp

from spora_db.guard.relations import SCHEMA
from spora_db.guard.text import refuse
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

_SHOWN = ("database", "schema", "name", "column_names", "column_types", "temporary")


def with_listings(query: str, tokens: list[Token], *, relations: Collection[str], expected: int) -> str:
    """Return a query in which whatever lists tables or columns is a sub-select that lists the catalog's.

    Parameters
    ----------
    query, tokens
        One query, and its tokens.
    relations
        The catalog's.
    expected
        How often the query lists something, as DuckDB read it.

    Raises
    ------
    QueryError
        If they are not found in the text.

    Examples
    --------
    >>> import sqlglot
    >>> text = "SELECT name FROM (SHOW TABLES)"
    >>> with_listings(text, sqlglot.tokenize(text, read="duckdb"), relations=["tiles", "cells"], expected=1)
    "SELECT name FROM (SELECT UNNEST(['cells', 'tiles']) AS name)"
    """
    pieces, end, count = [], 0, 0
    for start, after, listing in _listings(tokens, relations):
        pieces += [query[end:start], listing]
        end = after
        count += 1
    if count != expected:
        remedy = "Write SHOW TABLES, or information_schema.tables, in full."
        refuse(query, start=0, end=len(query), finding="a list of tables that cannot be found here.", remedy=remedy)
    return "".join(pieces) + query[end:]


def _listings(tokens: list[Token], relations: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Yield first and last character (exclusive) of each listing, and the SQL in its place."""
    words = [fold(token.text) for token in tokens]
    for at, token in enumerate(tokens):
        first = at == 0 or tokens[at - 1].token_type is TokenType.L_PAREN
        last = at + 1 == len(tokens) or tokens[at + 1].token_type is TokenType.R_PAREN
        if first and words[at : at + 2] == ["show", "tables"]:
            of_schema = words[at + 2 : at + 4] == ["from", SCHEMA]
            yield token.start, tokens[at + 1 + 2 * of_schema].end + 1, _names(relations)
        elif first and words[at : at + 3] == ["show", "all", "tables"]:
            yield token.start, tokens[at + 2].end + 1, _shown(relations)
        elif first and last and words[at] in ("describe", "desc", "show"):
            yield token.start, token.end + 1, _shown(relations)
        elif words[at] == "information_schema" and words[at + 1 : at + 2] == ["."]:
            named = tokens[at + 2]
            alias = "" if _has_alias(tokens, at + 3) else f" AS {fold(named.text)}"
            yield token.start, named.end + 1, f"({_of_schema(fold(named.text), relations)}){alias}"


def _names(relations: Collection[str]) -> str:
    names = exp.Array(expressions=[exp.Literal.string(name) for name in sorted(relations)])
    return exp.select(exp.alias_(exp.Unnest(expressions=[names]), "name")).sql(DIALECT)


def _shown(relations: Collection[str]) -> str:
    """Return SHOW ALL TABLES of the relations; sqlglot has no tree for it."""
    listed = ", ".join(exp.Literal.string(name).sql(DIALECT) for name in sorted(relations))
    return f"SELECT {', '.join(_SHOWN)} FROM (SHOW ALL TABLES) WHERE schema = '{SCHEMA}' AND name IN ({listed})"


def _of_schema(name: str, relations: Collection[str]) -> str:
    ours = exp.column("table_name").isin(*sorted(relations))
    in_schema = exp.column("table_schema").eq(SCHEMA)
    return exp.select("*").from_(exp.table_(name, db="information_schema")).where(in_schema, ours).sql(DIALECT)


def _has_alias(tokens: list[Token], at: int) -> bool:
    """Tell whether a name follows: AS, or a word that is none of those that go on after a relation."""
    if at >= len(tokens):
        return False
    kind = tokens[at].token_type
    return kind in (TokenType.ALIAS, TokenType.VAR, TokenType.IDENTIFIER)
