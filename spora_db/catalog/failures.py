"""What a failure of DuckDB means to a user: a name that does not exist, a broken file, or DuckDB's own words."""

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from spora_db.catalog.describe import cohort_types
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import QueryError, SporaError, TableError, unknown
from spora_db.guard.text import quoting, tokens_of, where
from spora_db.sources import Branch, Origin
from spora_db.sources.duckdb_types import is_known
from spora_db.sources.features import PREFIX
from spora_db.sources.footers import broken_parquet
from spora_db.sources.reconcile import TEXT
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import identifier, try_cast
from spora_db.sqltext.names import fold

_NOT_OF_A_FILE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.SyntaxException,
)
_SELDOM_OF_A_FILE = (
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfMemoryException,
    duckdb.OutOfRangeException,
)
_ABOUT_FILES = re.compile(r"parquet|thrift|snappy|zstd|gzip|decompress|magic bytes|checksum|\bfile\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_OF_A_COLUMN = re.compile(r"source column c[0-9]+\b")  # as sources call the columns of files
_MISSING_COLUMN = re.compile(r'column "([^"]+)" (?:was )?not found|not have a column named "([^"]+)"')
_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")
_MISSING_ALIAS = re.compile(r'Referenced table "([^"]+)" not found')
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "([^"]+)" \(use: (.+)\)')
_TYPES = re.compile(r"Cannot compare values of type|No function matches the given name and argument types")
_NO_NANOSECONDS = " Few functions take nanoseconds with a time zone: write CAST(... AS TIMESTAMPTZ), microseconds."
_PLAIN = ("VARCHAR", "NULL")
_MACRO = re.compile(r"\b(n_markers|has_all_markers|has_any_marker)\b", re.IGNORECASE)
_NO_LIST_OF_TEXTS = re.compile(r"UNNEST\(\) can only|argument types 'lower\(")  # of what the macros are given
_OUR_OWN = re.compile(r"Invalid Input Error: ((?:Marker '|A call of ).*)", re.DOTALL)  # macros and bounds
_OF_A_SOURCE = re.compile(r"Invalid Input Error: (The column '.*)", re.DOTALL)  # sources.whole_numbers does
_UNKNOWN_MARKER = re.compile(r"Invalid Input Error: Marker '(.*)' is in no panel\.", re.DOTALL)
_UNKNOWN_PLACE = re.compile(r"Invalid Input Error: (Dataset|Modality) '(.*)' is not in the lake\.", re.DOTALL)
_KNOWN_PLACES = {
    "dataset": "SELECT dataset FROM source_datasets",
    "modality": "SELECT unnest(modalities) FROM source_datasets",
}
_TRACE = "Stack Trace:"
_MORE_MEMORY = "Ask for less at a time, or open the lake with Catalog(..., memory_limit='8GB', threads=1)."
_CANDIDATES = re.compile(r"Candidate (?:bindings|tables): (.+)")


def failure(
    error: duckdb.Error, *, connection: duckdb.DuckDBPyConnection, relations: Sequence[str], named: Iterable[str],
    columns_of: Callable[[str], Iterable[str]], branches: Iterable[Branch], origins: Sequence[Origin], lake: Path,
    ran: str = "", text: str = "",
) -> SporaError:  # fmt: skip
    """Return our error for one of DuckDB's.

    Parameters
    ----------
    error, connection
        DuckDB's error, and where it happened; it is still usable.
    relations, named
        All relations there are, and those that the failed statement names.
    columns_of
        What returns the columns of one.
    branches, origins
        The SELECTs over files that the statement stands on, and where the columns of its relations come from.
    lake
        The lake's folder.
    ran, text
        The statement as it was run, and as a user wrote it, for the place of a name in it.
    """
    message = str(error)
    if isinstance(error, duckdb.BinderException):
        if match := _AMBIGUOUS.search(message):
            choice = match[2].replace("'", "")
            return QueryError(f"The column {match[1]!r}{_place(text, match[1])} is ambiguous. Write {choice}.")
        candidates = re.findall('"([^"]+)"', told[1]) if (told := _CANDIDATES.search(message)) else []
        if match := _MISSING_ALIAS.search(message):
            if (lacked := _lacks(match[1], ran, columns_of, relations)) is not None:
                name, relation, own = lacked
                return unknown("column", name, own, where=relation + _place(text, name).replace(" in ", ", ", 1))
            return unknown("relation or alias", match[1], candidates, where=_place(text, match[1]).removeprefix(" in "))
        if match := _MISSING_COLUMN.search(message):
            name = match[1] or match[2]
            read = [relation for relation in relations if relation in set(named) and not _is_cte(relation, ran)]
            columns = {relation: columns_of(relation) for relation in read}
            listed = [column for own in columns.values() for column in own]
            scope = ", ".join(columns)
            if not listed or name.lower() in map(str.lower, listed):
                listed, scope = candidates, "its FROM clause"
            place = _place(text, name).replace(" in ", ", ", 1)
            return unknown("column", name, listed, where=scope + place, remedy=quoting(text, name))
        if _NO_LIST_OF_TEXTS.search(message) and (macro := _MACRO.search(ran)):
            return QueryError(f"{macro[0].lower()} wants a list of markers as its last argument, such as ['CD3e'].")
        if _TYPES.search(message):
            advice = _NO_NANOSECONDS if "TIMESTAMPTZ_NS" in message else _clashes(text or ran, origins)
            return QueryError(f"DuckDB: {message.partition(chr(10))[0].rstrip('.')}.{advice}")
    if isinstance(error, duckdb.CatalogException) and (match := _MISSING_TABLE.search(message)):
        if match[1].startswith(PREFIX):
            sets = [name.removeprefix(PREFIX) for name in relations if name.startswith(PREFIX)]
            return unknown("feature set", match[1].removeprefix(PREFIX), sets, where=f"lake {str(lake)!r}")
        return unknown("relation", match[1], relations, where=f"lake {str(lake)!r}")
    if match := _UNKNOWN_MARKER.search(message):
        known = [row[0] for row in connection.execute(sql_text("questions", "known_markers")).fetchall()]
        return unknown("channel", match[1], known, where="the panels of this lake")
    if match := _UNKNOWN_PLACE.search(message):
        kind = match[1].lower()
        return unknown(kind, match[2], [row[0] for row in connection.execute(_KNOWN_PLACES[kind]).fetchall()])
    if match := _OUR_OWN.search(message):
        return QueryError(match[1])
    if match := _OF_A_SOURCE.search(message):
        return TableError(match[1])
    if _may_be_of_a_file(error):
        broken = _broken_file(message, list(branches), connection.execute)
        if broken is not None:
            return broken
    if isinstance(error, duckdb.OutOfMemoryException):  # its own advice, SET and PRAGMA, is refused here
        said = message.partition("Possible solutions")[0].rstrip()
        return QueryError(f"DuckDB: {said}. {_MORE_MEMORY}")
    return QueryError(f"DuckDB: {message.partition(_TRACE)[0].rstrip()}")


def _may_be_of_a_file(error: duckdb.Error) -> bool:
    """Tell a broken file from a statement that fails on good ones, by DuckDB's words without the values in them."""
    if isinstance(error, _SELDOM_OF_A_FILE):
        return _says_file(str(error)) or _OF_A_COLUMN.search(str(error)) is not None
    return not isinstance(error, _NOT_OF_A_FILE)


def _says_file(message: str) -> bool:
    return _ABOUT_FILES.search(_QUOTED.sub("", message.partition("\nLINE")[0])) is not None


def _lacks(
    alias: str, ran: str, columns_of: Callable[[str], Iterable[str]], relations: Sequence[str]
) -> tuple[str, str, list[str]] | None:
    """Return the column that a relation of a sub-select lacks, the relation, and its columns; None for another fault.

    DuckDB looks for the relation of ``l.grad`` outside the sub-select then, and says that there is no ``l``.
    """
    try:
        tree = sqlglot.parse_one(ran, dialect=DIALECT)
    except SqlglotError:
        return None
    asked = [item.name for item in tree.find_all(exp.Column) if fold(item.table) == fold(alias)]
    for table in tree.find_all(exp.Table):
        relation = table.name.lower()
        if fold(table.alias_or_name) == fold(alias) and relation in relations and not _is_cte(relation, ran):
            own = list(columns_of(relation))
            return next(((name, relation, own) for name in asked if fold(name) not in map(fold, own)), None)
    return None


def _is_cte(relation: str, text: str) -> bool:
    """Tell whether a statement gives a relation's name to a CTE."""
    named = rf'(?<!\w){relation}"?\s*(\([^()]*\)\s*)?AS\s*((NOT\s+)?MATERIALIZED\s*)?\('
    return re.search(named, text, re.IGNORECASE) is not None


def _place(text: str, name: str) -> str:
    """Return where a name stands in a text, if it stands in one place only."""
    places = [token.start for token in tokens_of(text) if token.text.lower() == name.lower()] if text else []
    return f" in {where(text, places[0])}" if len(places) == 1 else ""


def _clashes(text: str, origins: Sequence[Origin]) -> str:
    """Say which of the columns that a text names have other types in other cohorts, and what to do."""
    said = ""
    for column, cohorts in cohort_types(origins).items():
        if re.search(rf"(?<!\w){re.escape(fold(column))}(?!\w)", fold(text)):
            kinds = [found.type for found in origins if found.column == column and found.type not in _PLAIN]
            cast = try_cast(identifier(column), next(filter(is_known, kinds), TEXT)).sql(DIALECT)
            listed = textwrap.shorten(cohorts, 300, placeholder=" ...")
            said += f" Cohorts have {column!r} in different types ({listed}): write {cast}."
    return said


def _broken_file(message: str, branches: list[Branch], execute: Callable[[str], Any]) -> SporaError | None:
    """Return the error for the file that a message names or, reading them one by one, the first that is broken."""
    for branch in branches:
        if _says_file(message) and any(str(path) in message for path in branch.files):
            return _broken(branch, message)
    for branch in (branch for branch in branches if branch.files):
        try:  # not count(COLUMNS(*)): DuckDB answers that from the footer
            execute(f"SELECT max(hash(COLUMNS(*))) FROM ({branch.sql()})").fetchall()
        except duckdb.Error as error:
            if _may_be_of_a_file(error):  # not where a relation is gone with its connection, or memory is short
                return _broken(branch, str(error))
    return None


def _broken(branch: Branch, reason: str) -> SporaError:
    files = ", ".join(str(path) for path in branch.files)
    return broken_parquet(files, reason.partition("\n")[0].rstrip("."))
