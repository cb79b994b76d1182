"""PIVOT without listed values, which is several statements to DuckDB's parser, in the form that is one query."""

from collections.abc import Iterator

from sqlglot import Token, TokenType

from spora_db.guard.text import refuse
from spora_db.names import fold

PLACEHOLDER = " IN ('')"
"""Stands in the static form for the values that DuckDB takes from the data."""

_PIVOT = ("pivot", "pivot_wider")
_ENDS = ("using", "group", "order", "limit", "offset", "union", "intersect", "except", "qualify")
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)


def open_pivots(tokens: list[Token]) -> Iterator[tuple[int, int]]:
    """Yield the first and last character (exclusive) of what stands for the values of a column of each PIVOT.

    Both are the place behind the column where nothing stands, as in ``PIVOT t ON split``; they hold a query where one
    is written, ``PIVOT t ON split IN (SELECT ...)``. Lists of values are not among them.

    Parameters
    ----------
    tokens
        Of the statement.

    Examples
    --------
    >>> import sqlglot
    >>> text = "PIVOT t ON a, b IN (1), c IN (SELECT 2) USING count(*)"
    >>> [text[start:end] for start, end in open_pivots(sqlglot.tokenize(text, read="duckdb"))]
    ['', ' IN (SELECT 2)']
    """
    for at, token in enumerate(tokens):
        if token.token_type is not TokenType.IDENTIFIER and fold(token.text) in _PIVOT:
            yield from _of_one(tokens, at + 1)


def refuse_open_pivots(tokens: list[Token], *, text: str) -> None:
    """Refuse a PIVOT whose columns hang on the data.

    Raises
    ------
    QueryError
        At the column whose values are not listed.
    """
    for start, end in open_pivots(tokens):
        remedy = "List them: PIVOT tissues ON split IN ('train', 'val') USING ..."
        refuse(text, start=start - 1, end=end, finding="a PIVOT without its values.", remedy=remedy)


def _of_one(tokens: list[Token], start: int) -> Iterator[tuple[int, int]]:
    """Yield those of the PIVOT whose source starts at a token."""
    same = list(_same_depth(tokens, start))
    words = [(at, fold(tokens[at].text) if tokens[at].token_type is not TokenType.IDENTIFIER else "") for at in same]
    ends = [number for number, (_, word) in enumerate(words) if word in _ENDS]
    on = [number for number, (_, word) in enumerate(words) if word == "on" and (not ends or number < ends[0])]
    if not on:
        return
    columns = words[on[-1] + 1 : ends[0] if ends else None]
    column: list[tuple[int, str]] = []
    for at, word in [*columns, (-1, ",")]:
        if word != ",":
            column.append((at, word))
            continue
        if column:
            yield from _of_column(tokens, column)
        column = []


def _of_column(tokens: list[Token], column: list[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    listed = next((number for number, (_, word) in enumerate(column) if word == "in"), None)
    last = tokens[column[-1][0]]
    if listed is None:
        yield last.end + 1, last.end + 1
        return
    inside = column[listed][0] + 2
    if inside < len(tokens) and fold(tokens[inside].text) in ("select", "with", "from", "values"):
        yield tokens[column[listed][0] - 1].end + 1, last.end + 1


def _same_depth(tokens: list[Token], start: int) -> Iterator[int]:
    """Yield the tokens up to the end of the parenthesis around them: of those in brackets, the brackets alone."""
    depth = 0
    for at in range(start, len(tokens)):
        kind = tokens[at].token_type
        if kind in _CLOSING:
            depth -= 1
        if depth < 0 or kind is TokenType.SEMICOLON:
            return
        if depth == 0:
            yield at
        depth += kind in _OPENING
