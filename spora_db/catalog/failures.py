"""What a failure of DuckDB means to a user: a name that does not exist, a broken file, or DuckDB's own words."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from spora_db.errors import FileFormatError, QueryError, SporaError, unknown
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


def failure(
    error: duckdb.Error, *, connection: duckdb.DuckDBPyConnection, relations: Sequence[str], named: Iterable[str],
    branches: Iterable[Branch], lake: Path,
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
    """
    message = str(error)
    if isinstance(error, duckdb.BinderException) and (match := _MISSING_COLUMN.search(message)):
        known = {name: connection.table(name).columns for name in relations if name in set(named)}
        columns = [column for listed in known.values() for column in listed]
        return unknown("column", match[1] or match[2], columns, where=", ".join(known))
    if isinstance(error, duckdb.CatalogException) and (match := _MISSING_TABLE.search(message)):
        return unknown("relation", match[1], relations, where=f"lake {str(lake)!r}")
    if not isinstance(error, _NOT_OF_A_FILE):
        broken = _broken_file(message, list(branches), connection.execute)
        if broken is not None:
            return broken
    return QueryError(f"DuckDB: {message}")


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
