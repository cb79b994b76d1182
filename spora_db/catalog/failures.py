"""What a failure of DuckDB means to a user: a name that does not exist, a broken file, or DuckDB's own words."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from spora_db.errors import FileFormatError, QueryError, SporaError, unknown
from spora_db.guard.text import tokens_of, where
from spora_db.sources import Branch

_NOT_OF_A_FILE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.SyntaxException,
)
_MISSING_COLUMN = re.compile(r'column "([^"]+)" (?:was )?not found|not have a column named "([^"]+)"')
_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")
_MISSING_ALIAS = re.compile(r'Referenced table "([^"]+)" not found')
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "([^"]+)" \(use: (.+)\)')
_OUR_OWN = re.compile(r"Invalid Input Error: (Marker '.*)", re.DOTALL)  # sql/macros call error()
_CANDIDATES = re.compile(r"Candidate (?:bindings|tables): (.+)")


def failure(
    error: duckdb.Error, *, connection: duckdb.DuckDBPyConnection, relations: Sequence[str], named: Iterable[str],
    branches: Iterable[Branch], lake: Path, text: str = "",
) -> SporaError:  # fmt: skip
    """Return our error for one of DuckDB's.

    Parameters
    ----------
    error
        DuckDB's error.
    connection
        Where it happened; it is still usable.
    relations
        All relations there are.
    named
        Those that the failed statement names.
    branches
        The SELECTs over files that the statement stands on.
    lake
        The lake's folder.
    text
        The statement as a user wrote it, for the place of a name in it.
    """
    message = str(error)
    if isinstance(error, duckdb.BinderException):
        if match := _AMBIGUOUS.search(message):
            choice = match[2].replace("'", "")
            return QueryError(f"The column {match[1]!r}{_place(text, match[1])} is ambiguous. Write {choice}.")
        candidates = re.findall('"([^"]+)"', found[1]) if (found := _CANDIDATES.search(message)) else []
        if match := _MISSING_ALIAS.search(message):
            return unknown("relation or alias", match[1], candidates, where=_place(text, match[1]).removeprefix(" in "))
        if match := _MISSING_COLUMN.search(message):
            name = match[1] or match[2]
            columns = {relation: connection.table(relation).columns for relation in relations if relation in set(named)}
            listed = [column for own in columns.values() for column in own]
            scope = ", ".join(columns)
            if not listed or name.lower() in map(str.lower, listed):
                listed, scope = candidates, "its FROM clause"
            return unknown("column", name, listed, where=scope + _place(text, name).replace(" in ", ", ", 1))
    if isinstance(error, duckdb.CatalogException) and (match := _MISSING_TABLE.search(message)):
        return unknown("relation", match[1], relations, where=f"lake {str(lake)!r}")
    if match := _OUR_OWN.search(message):
        return QueryError(match[1])
    if not isinstance(error, _NOT_OF_A_FILE):
        broken = _broken_file(message, list(branches), connection.execute)
        if broken is not None:
            return broken
    return QueryError(f"DuckDB: {message}")


def _place(text: str, name: str) -> str:
    """Return where a name stands in a text, if it stands in one place only."""
    places = [token.start for token in tokens_of(text) if token.text.lower() == name.lower()] if text else []
    return f" in {where(text, places[0])}" if len(places) == 1 else ""


def _broken_file(message: str, branches: list[Branch], execute: Callable[[str], Any]) -> FileFormatError | None:
    """Return the error for the file that a message names or, reading them one by one, the first that is broken."""
    for branch in branches:
        if any(str(path) in message for path in branch.files):
            return _broken(branch, message)
    for branch in branches:
        try:  # not count(COLUMNS(*)): DuckDB answers that from the footer
            execute(f"SELECT max(hash(COLUMNS(*))) FROM ({branch.sql()})").fetchall()
        except duckdb.Error as error:
            return _broken(branch, str(error))
    return None


def _broken(branch: Branch, reason: str) -> FileFormatError:
    files = ", ".join(str(path) for path in branch.files)
    return FileFormatError(f"{files} cannot be read: {reason.partition(chr(10))[0]}. Download or write the file again.")
