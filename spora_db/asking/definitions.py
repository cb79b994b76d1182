"""The relations that a statement defines itself: CTEs, and sub-selects that have a name."""

import re
from collections.abc import Iterator, Mapping

from spora_db.asking.statements import masked

_CTE_HEAD = re.compile(
    r"(?:\bWITH(?:\s+RECURSIVE)?|,)\s*(\w+)\s*(\([^()]*\))?\s*AS\s*(?:(?:NOT\s+)?MATERIALIZED\s*)?$", re.IGNORECASE
)
_DERIVED_HEAD = re.compile(r"(?:\bFROM|\bJOIN|\bLATERAL|,)\s*$", re.IGNORECASE)
_DERIVED_NAME = re.compile(r"\s*(?:AS\s+)?(\w+)\s*(\([^()]*\))?", re.IGNORECASE)
_NEAR = 500
"""Characters beside a parenthesis in which its name stands."""
_QUERY = re.compile(r"\s*(?:SELECT|WITH|\()", re.IGNORECASE)


def definitions(statement: str) -> dict[str, str]:
    """Return what a statement defines, in the order in which each may use those before it.

    A parenthesis that is not closed defines nothing yet; the rest of the statement need not be complete.

    Parameters
    ----------
    statement
        SQL, as far as it is typed.

    Returns
    -------
    dict[str, str]
        By name, the definition as it would stand after WITH.

    Examples
    --------
    >>> definitions("WITH c(n) AS (SELECT 1) SELECT x. FROM (SELECT age FROM tissues) x, c")
    {'c': 'c(n) AS (SELECT 1)', 'x': 'x AS (SELECT age FROM tissues)'}
    """
    found = {}
    for start, end, before, after in _parentheses(masked(statement)):
        if not _QUERY.match(statement, start + 1):
            continue
        match = _CTE_HEAD.search(before)
        if match is None and _DERIVED_HEAD.search(before):
            match = _DERIVED_NAME.match(after)
        if match is not None:
            found[match[1]] = f"{match[1]}{match[2] or ''} AS {statement[start : end + 1]}"
    return found


def query_of(name: str, defined: Mapping[str, str], *, recursive: bool) -> str:
    """Return a query for the rows of one definition.

    Parameters
    ----------
    name
        One of those defined.
    defined
        What `definitions` returns; those that the one does not need may be broken.
    recursive
        Whether a definition may use itself.

    Examples
    --------
    >>> query_of("b", {"a": "a AS (SELECT 1)", "b": "b AS (SELECT * FROM a)", "c": "c AS (SELECT)"}, recursive=False)
    'WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b'
    """
    needed = [name]
    for item in needed:  # it grows
        others = (other for other in defined if other not in needed)
        needed += [other for other in others if re.search(rf"\b{other}\b", defined[item])]
    parts = ", ".join(text for other, text in defined.items() if other in needed)
    return f"WITH {'RECURSIVE ' if recursive else ''}{parts} SELECT * FROM {name}"


def _parentheses(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield every closed pair in the order of its end: both places, the text before it and the text after it."""
    opened = []
    for place, letter in enumerate(text):
        if letter == "(":
            opened.append(place)
        elif letter == ")" and opened:
            start = opened.pop()
            yield start, place, text[max(0, start - _NEAR) : start], text[place + 1 : place + _NEAR]
