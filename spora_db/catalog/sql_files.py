"""The SQL texts that ship with the package: where they are, what their headers say, and their trees."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import sqlglot
from sqlglot import exp

from spora_db.errors import QueryError, unknown
from spora_db.sqltext.accessions import with_accessions
from spora_db.sqltext.dialect import DIALECT

_HEADER = re.compile(r"-- (?:(\w+):)?\s+(.*)")
Folder = Literal["bounds", "views", "macros", "queries", "checks", "portable", "questions"]


@cache
def sql_folder() -> Path:
    """Return the folder of SQL files: inside an installed package, or at the top of a checkout.

    Examples
    --------
    >>> sorted(path.name for path in sql_folder().iterdir() if path.is_dir())
    ['bounds', 'checks', 'macros', 'portable', 'queries', 'questions', 'views']
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "views").is_dir():
            return folder
    message = (
        f"The SQL files of spora-db are neither in {package / 'sql'} nor in {package.parent / 'sql'}: install it again."
    )
    raise QueryError(message)


@cache
def sql_text(folder: Folder, name: str) -> str:
    """Return the text of one SQL file.

    Raises
    ------
    UnknownNameError
        If there is no such file; the message lists those that exist.
    """
    path = sql_folder() / folder / f"{name}.sql"
    if name not in sql_names(folder):
        raise unknown(f"file in sql/{folder}", name, sql_names(folder), where=str(path.parent))
    return with_accessions(path.read_text(encoding="utf-8"))


@cache
def sql_names(folder: Folder) -> tuple[str, ...]:
    """Return the names of the SQL files in a folder, sorted."""
    return tuple(sorted(path.stem for path in (sql_folder() / folder).glob("*.sql")))


def header(folder: Folder, name: str) -> Mapping[str, str]:
    """Return what the comment at the top of a SQL file says, by its words; a word may take several lines.

    Examples
    --------
    >>> header("queries", "cohorts")["grain"]
    'dataset'
    """
    found: dict[str, str] = {}
    word = ""
    for line in sql_text(folder, name).splitlines():
        match = _HEADER.fullmatch(line)
        if match is None:
            break
        word = match[1] or word
        found[word] = f"{found.get(word, '')} {match[2]}".strip()
    return found


@cache
def statement(folder: Folder, name: str) -> exp.Expr:
    """Return the parsed text of one SQL file."""
    return sqlglot.parse_one(sql_text(folder, name), dialect=DIALECT)


@cache
def bounds() -> Mapping[str, str]:
    """Return the macros of ``sql/bounds`` by the function that they stand for; one text may serve several functions.

    Examples
    --------
    >>> bounds()["rpad"] == bounds()["lpad"].replace("lpad", "rpad")
    True
    """
    found = {}
    for name in sql_names("bounds"):
        for function in header("bounds", name).get("names", name).split(", "):
            found[function] = re.sub(rf"\b{name}\b", function, sql_text("bounds", name))
    return found
