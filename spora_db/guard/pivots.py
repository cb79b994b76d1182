"""PIVOT without listed values, which is several statements to DuckDB's parser, in the form that is one query."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import Token, TokenType

from spora_db.guard.text import CLOSING, OPENING, refuse
from spora_db.sqltext.names import fold

_VALUES = ") IN ('')"
_PIVOT = ("pivot", "pivot_wider")
_QUERIES = ("select", "with", "from", "values", "table", "pivot", "unpivot", "show", "describe", "desc", "summarize")
_ENDS = ("using", "group", "order", "limit", "offset", "union", "intersect", "except", "qualify")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class OpenColumn:
    """A column of a PIVOT whose values come from the data, by its places in the text.

    Attributes
    ----------
    start
        Its first character.
    end
        Behind its last.
    after
        Behind the query that stands for its values, ``IN (SELECT ...)``; `end` where nothing is written.
    """

    start: int
    end: int
    after: int


def open_pivots(tokens: list[Token]) -> list[OpenColumn]:
    """Return the columns of all PIVOTs in a statement that have no list of values.

    Examples
    --------
    >>> import sqlglot
    >>> text = "PIVOT t ON a, b IN (1), c IN (SELECT 2) USING count(*)"
    >>> columns = open_pivots(sqlglot.tokenize(text, read="duckdb"))
    >>> [(text[column.start : column.end], text[column.end : column.after]) for column in columns]
    [('a', ''), ('c', ' IN (SELECT 2)')]
    """
    return sorted(_open(tokens))


def listed_values(query: str, columns: list[OpenColumn]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return a query with a list of values for every open column, and what was put into it: places, numbers of letters.

    Examples
    --------
    >>> listed_values("PIVOT t ON a", [OpenColumn(start=11, end=12, after=12)])
    ("PIVOT t ON (a) IN ('')", ((11, 1), (13, 9)))
    """
    parsed, added, end = "", [], 0
    for column in columns:
        if column.start < end:  # inside of a query that stands for values, which is checked by itself
            continue
        parsed += query[end : column.start]
        added.append((len(parsed), 1))
        parsed += f"({query[column.start : column.end]}"
        added.append((len(parsed), len(_VALUES) - (column.after - column.end)))
        parsed += _VALUES
        end = column.after
    return parsed + query[end:], tuple(added)


def _open(tokens: list[Token]) -> Iterator[OpenColumn]:
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
    for column in open_pivots(tokens):
        remedy = "List them: PIVOT tissues ON split IN ('train', 'val') USING ..."
        refuse(text, start=column.start, end=column.after, finding="a PIVOT without its values.", remedy=remedy)


def _of_one(tokens: list[Token], start: int) -> Iterator[OpenColumn]:
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


def _of_column(tokens: list[Token], column: list[tuple[int, str]]) -> Iterator[OpenColumn]:
    values = next((number for number, (_, word) in enumerate(column) if word == "in"), None)
    first, last = tokens[column[0][0]].start, tokens[column[-1][0]].end + 1
    if values is None:
        yield OpenColumn(start=first, end=last, after=last)
        return
    inside = column[values][0] + 2
    if inside < len(tokens) and fold(tokens[inside].text) in _QUERIES:
        yield OpenColumn(start=first, end=tokens[column[values][0] - 1].end + 1, after=last)


def _same_depth(tokens: list[Token], start: int) -> Iterator[int]:
    """Yield the tokens up to the end of the parenthesis around them: of those in brackets, the brackets alone."""
    depth = 0
    for at in range(start, len(tokens)):
        kind = tokens[at].token_type
        if kind in CLOSING:
            depth -= 1
        if depth < 0 or kind is TokenType.SEMICOLON:
            return
        if depth == 0:
            yield at
        depth += kind in OPENING
