"""The guard in front of free SQL: a statement that asks is run as it was written, once every node of it is known.

1. The text is cut into tokens for what characters show (``text``); EXPLAIN is taken off.
2. DuckDB's own parser reads the rest, without binding or running anything, and every node of its tree is checked
   (``nodes``). The same parser reads the same text when it runs: there is no second reading that could differ. Where
   queries are built on a user's SQL, in conditions and `SporaQuery.from_sql`, `check_select` checks it as well.
3. A PIVOT whose values come from the data is several statements to DuckDB; it is checked with values in their place.
4. What lists tables and columns (SHOW TABLES, information_schema) is written anew so that it lists the catalog's.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlglot import Token

from spora_db.guard.checks import check_select
from spora_db.guard.listings import with_listings
from spora_db.guard.nodes import Asked, Checker, Listings, Source, refuse_unread
from spora_db.guard.parser import PARSER
from spora_db.guard.pivots import OpenColumn, listed_values, open_pivots
from spora_db.guard.text import check_brackets, one_statement, refuse, refuse_word, tokens_of
from spora_db.sqltext.named import Named

_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
_OPTION = r"(?:ANALYZE|FORMAT\s+'?(?:TEXT|JSON|HTML|GRAPHVIZ|YAML|MERMAID)'?)"
_EXPLAIN = re.compile(
    rf"{_GAP}*EXPLAIN(?:{_GAP}+ANALYZE(?!\w)|{_GAP}*\({_GAP}*{_OPTION}(?:{_GAP}*,{_GAP}*{_OPTION})*{_GAP}*\))?(?!\w){_GAP}*",
    re.IGNORECASE | re.DOTALL,
)
_REMEDY = (
    "A query is one SELECT, or a short form of one. Ask with SELECT, FROM, TABLE, VALUES, PIVOT, UNPIVOT, DESCRIBE, "
    "SUMMARIZE, SHOW TABLES or EXPLAIN over the lake's relations; nothing is written."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement that may run.

    Attributes
    ----------
    text
        What to run.
    names
        What it names.
    explains
        Whether it is an EXPLAIN, which stands in no other query.
    """

    text: str
    names: Named
    explains: bool = False


def check_statement(text: str, *, relations: Collection[str]) -> Statement:
    """Check one statement of a user that asks, and return what to run.

    Parameters
    ----------
    text
        SQL as DuckDB reads it; ``?`` and ``$name`` are parameters.
    relations
        The relations that may be read, without regard to ASCII case, bare or qualified by ``main``.

    Raises
    ------
    QueryError
        For what DuckDB does not parse, and for anything that is not known to be harmless; the message shows the place.
    UnknownNameError
        For a relation that does not exist; the message lists near ones.

    Examples
    --------
    >>> check_statement("FROM tiles WHERE row > 0; -- all", relations=["tiles"]).text
    'FROM tiles WHERE row > 0'
    >>> check_statement("DESCRIBE 'secret.parquet'", relations=["tiles"])
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: SQL refused at line 1, column 10: the file name 'secret.parquet' as a relation.
      DESCRIBE 'secret.parquet'
               ^^^^^^^^^^^^^^^^
    ...
    """
    explain = _explained(text)
    prefix = text[:explain]
    query = re.sub(r"[^\n]", " ", prefix) + text[explain:]  # places stay what they are
    tokens = tokens_of(query)
    check_brackets(tokens)
    tokens, query = one_statement(tokens, query, empty=_REMEDY)
    found = _check(query, tokens, text=text, relations=relations)
    if found.listings:
        query = with_listings(query, tokens, relations=relations, expected=found.listings)
        listed = _check(query, tokens_of(query), text=query, relations=relations, listings="read")
        found = replace(found, names=found.names | listed.names)
    return Statement(text=(prefix + query.lstrip()).strip(), names=found.names, explains=bool(prefix))


def _check(
    query: str, tokens: list[Token], *, text: str, relations: Collection[str], listings: Listings = "counted"
) -> Asked:
    """Check what DuckDB reads; a PIVOT that takes its values from the data is read in its static form."""
    source, tree = Source(text=text, parsed=query), PARSER.tree(query)
    columns: list[OpenColumn] = []
    if tree["error"] and "Only SELECT" in str(tree.get("error_message")):
        columns = open_pivots(tokens)
        if not columns:
            refuse_word(tokens, text, remedy=_REMEDY)
        parsed, added = listed_values(query, columns)
        source = Source(text=text, parsed=parsed, added=added)
        tree = PARSER.tree(parsed)
    if tree["error"]:
        if "Only SELECT" in str(tree.get("error_message")):
            refuse_word(tokens, text, remedy=_REMEDY)
        if not open_pivots(tokens):
            check_select(query, relations=relations)  # it may know better what is wrong
        refuse_unread(tree, source=source)
    if len(tree["statements"]) != 1:
        refuse(text, start=0, end=len(text), finding="a second statement.", remedy="Ask one thing at a time.")
    found = Checker(source, relations=relations, listings=listings).check(tree["statements"])
    for column in columns:
        if column.after == column.end:
            continue
        start = query.index("(", column.end)
        inner = re.sub(r"[^\n]", " ", query[:start]) + query[start : column.after]
        more = _check(inner, tokens_of(inner), text=text, relations=relations, listings=listings)
        found = Asked(names=found.names | more.names, listings=found.listings + more.listings)
    return found


def _explained(text: str) -> int:
    """Return the number of characters of EXPLAIN with what belongs to it, 0 where the statement is none."""
    found = _EXPLAIN.match(text)
    return found.end() if found else 0
