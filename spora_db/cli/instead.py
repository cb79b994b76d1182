"""What there is for statements that DuckDB's own shell answers and that are no SELECT."""

import re

from spora_db.errors import ArgumentError

_SCHEMA = ".schema RELATION lists columns and their types"
_COMMANDS = {
    "EXPLAIN": ".explain SELECT ... shows the plan and the files that a query reads",
    "DESCRIBE": _SCHEMA,
    "DESC": _SCHEMA,
    "SHOW": ".tables lists the relations, .schema their columns",
    "PRAGMA": ".tables lists the relations, .schema their columns",
}
"""Commands of the shell."""
_SELECTS = {
    "SUMMARIZE": "SELECT count(*), count(age), min(age), max(age), avg(age) FROM tissues",
    "VALUES": "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(number, letter)",
    "PIVOT": "SELECT dataset, count(*) FILTER (WHERE split = 'train') AS train FROM tiles GROUP BY dataset",
    "UNPIVOT": "SELECT tissue_id, 'age' AS name, age AS value FROM tissues",
}
"""SELECTs with much the same answer."""
_BEFORE_WORD = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_FIRST_WORD = re.compile(rf"{_BEFORE_WORD}(\w+)", re.DOTALL)


def check_statement(text: str, *, in_shell: bool) -> None:
    """Refuse a statement that has something in its place here; whatever else is wrong, the guard says.

    Parameters
    ----------
    text
        One statement.
    in_shell
        Whether it was typed into the shell, which has commands.

    Raises
    ------
    ArgumentError
        For such a statement; the message says what to do instead.

    Examples
    --------
    >>> check_statement("VALUES (1)", in_shell=True)
    Traceback (most recent call last):
    ...
    spora_db.errors.ArgumentError: VALUES starts no query here. Write a SELECT, such as
      SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(number, letter)
    """
    first = _FIRST_WORD.match(text)
    word = first[1].upper() if first else ""
    if word in _SELECTS:
        raise ArgumentError(f"{word} starts no query here. Write a SELECT, such as\n  {_SELECTS[word]}")
    if word in _COMMANDS:
        place = "In this shell" if in_shell else "Open the shell with spora-db sql LAKE, where"
        raise ArgumentError(f"{word} starts no query here. {place} {_COMMANDS[word]}.")
