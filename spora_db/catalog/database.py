"""The database behind a catalog: one DuckDB connection, closed to everything but the lake's parquet files.

A relation is made the first time a statement names it: the footers of its files are read or its folders listed
(``sources``), then the file of the same name in ``sql/views`` is run. A broken file therefore spoils the relations that
need it, with an error that names it, and no other.
"""

import contextlib
import gc
import os
import re
import tempfile
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow as pa

from spora_db.catalog.describe import CHECKED_AT_FIRST_USE, CHECKS, raise_contradiction
from spora_db.catalog.result import Result
from spora_db.catalog.sql_files import names_in_text, needs, sql_text
from spora_db.errors import ArgumentError, FileFormatError, QueryError, unknown
from spora_db.layout import Lake
from spora_db.sources import LISTINGS, SOURCES, Branch, Origin, SourceQuery, allowed_paths, listing_table, signature

VIEWS = (
    "datasets",
    "tissues",
    "cells",
    "images",
    "masks",
    "channels",
    "channels_per_tissue",
    "tissue_channels",
    "markers",
    "tile_coordinates",
    "tile_stats",
    "standardization_stats",
    "tiles",
)
MACROS = ("n_markers", "has_all_markers", "has_any_marker")


Parameters = Mapping[str, object] | Sequence[object] | None

# 50,000 tissues x 150 channels are 1 MB of bits in memory and 5,550 columns on disk: 0.1 s or 1 s for each query.
_IN_MEMORY = frozenset({"source_channels", "source_panels", "source_panel_columns"})
_NOT_OF_A_FILE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.SyntaxException,
)
_MISSING_COLUMN = re.compile(r'column "([^"]+)" (?:was )?not found|not have a column named "([^"]+)"')
_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")


_alive: "weakref.WeakSet[Database]" = weakref.WeakSet()
_inherited: list[duckdb.DuckDBPyConnection] = []


def _keep_inherited() -> None:
    """Keep in a forked child what it inherited: to end a DuckDB whose threads stayed in the parent crashes or hangs.

    Databases in use are referred to; what only waits for the garbage collector is kept from it.
    """
    gc.freeze()
    _inherited.extend(connection for database in _alive if (connection := database.connection) is not None)


os.register_at_fork(after_in_child=_keep_inherited)


class Database:
    """One in-memory DuckDB that answers over a lake's files, read-only by construction of what it may open.

    Parameters
    ----------
    folders
        The lake.
    limits
        ``memory_limit`` and ``threads`` of DuckDB; None leaves its own.
    """

    def __init__(self, folders: Lake, *, limits: Mapping[str, str | int | None]) -> None:
        self.registered: dict[str, pa.Table] = {}
        self._folders = folders
        self._limits = limits
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._made: set[str] = set()
        self._checked: set[str] = set()
        self._asked: set[str] = set()
        self._sources: dict[str, SourceQuery] = {}
        self._signatures: dict[str, object] = {}
        self._connection: duckdb.DuckDBPyConnection | None = self._connect()
        _alive.add(self)

    def run(self, text: str, params: Parameters = None) -> Result:
        """Make the relations that a statement names and return its rows."""
        names = names_in_text(text)
        used = self._prepare(names)
        self._asked |= used
        with self._guarded(names, used):
            relation = self._open().sql(text, params=params or None)
        return Result(relation, guarded=lambda: self._guarded(names, used))

    def show(self, table: pa.Table) -> Result:
        """Return an Arrow table as a result."""
        with self._guarded():
            return Result(self._open().from_arrow(table), guarded=self._guarded)

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable as a relation, without copying it."""
        with self._guarded():
            self._open().register(name, table)
            self.registered[name] = table

    def unregister(self, name: str) -> None:
        """Forget a registered table."""
        with self._guarded():
            self._open().unregister(name)
            self.registered.pop(name, None)

    def origins(self, relation: str) -> list[Origin]:
        """Return where the columns of a relation come from, file by file."""
        used = self._prepare([relation])
        return [origin for name in SOURCES if name in used for origin in self._sources[name].origins]

    def files(self, relations: Iterable[str]) -> list[Path]:
        """Return the parquet files that relations stand on."""
        used = self._prepare(relations)
        return [path for name in SOURCES if name in used for path in self._sources[name].files]

    def files_used(self) -> frozenset[Path]:
        """Return the files behind all relations that statements named so far."""
        return frozenset(path for name in self._asked & self._sources.keys() for path in self._sources[name].files)

    def check_rows(self, check: str) -> list[tuple[str | None, ...]]:
        """Return the contradictions that a check finds."""
        return self.run(sql_text("checks", check).rstrip().removesuffix(";")).fetchall()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection | None:
        """The connection, for whoever has to keep it; None when closed."""
        return self._connection

    def close(self) -> None:
        """Close the connection. Closing twice is no error."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Open a connection that can read the lake's parquet files and nothing else, and cannot be reconfigured."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"spora-db-{uuid.uuid4().hex}"),
        }
        config |= {name: value for name, value in self._limits.items() if value is not None}
        try:
            connection = duckdb.connect(":memory:", config=config)
        except duckdb.Error as error:
            message = f"DuckDB refuses memory_limit, threads = {tuple(self._limits.values())}: {error}"
            raise ArgumentError(message) from error
        connection.execute(f"SET allowed_paths = {allowed_paths(self._folders)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            message = f"The catalog of {self._folders.root} is closed."
            raise QueryError(message)
        if self._pid != os.getpid():
            message = "A Catalog does not survive a fork: DuckDB's threads stay in the parent. Open a new one."
            raise QueryError(message)
        return self._connection

    def _source(self, name: str) -> SourceQuery:
        """Return a source, built anew when one of its files was written since: its columns are known by position."""
        known = self._sources.get(name)
        if known is not None and self._signatures[name] == signature(known.files):
            return known
        if known is not None:
            self._forget(name)
        built = self._build(name)
        self._sources[name], self._signatures[name] = built, signature(built.files)
        return built

    def _build(self, name: str) -> SourceQuery:
        return SOURCES[name](self._folders)

    def _forget(self, name: str) -> None:
        """Drop a source and everything that may stand on it."""
        kinds = {name: "TABLE" if name in _IN_MEMORY else "VIEW"}
        kinds |= dict.fromkeys(VIEWS, "VIEW") | dict.fromkeys(MACROS, "MACRO")
        for relation in reversed(kinds):
            if relation in self._made:
                self._open().execute(f"DROP {kinds[relation]} {relation}")
        self._made -= kinds.keys()
        self._checked.clear()
        del self._sources[name]

    def _prepare(self, names: Iterable[str]) -> frozenset[str]:
        """Make the named relations and macros and all they stand on, if not there yet; return all their names."""
        used: set[str] = set()
        with self._lock:
            for name in sorted(names):
                if name in VIEWS or name in MACROS:
                    used |= self._prepare(needs("views" if name in VIEWS else "macros", name))
                elif name in SOURCES:
                    used |= self._prepare(self._source(name).listings)
                elif name not in LISTINGS:
                    continue
                used.add(name)
                self._make(name)
        return frozenset(used)

    def _make(self, name: str) -> None:
        if name not in self._made:
            with self._guarded(used=frozenset({name})):
                if name in LISTINGS:
                    self._open().from_arrow(listing_table(name, self._folders)).create(name)
                elif name in SOURCES:
                    kind = "TABLE" if name in _IN_MEMORY else "VIEW"
                    self._open().execute(f"CREATE {kind} {name} AS {self._sources[name].sql()}")
                else:
                    self._open().execute(sql_text("views" if name in VIEWS else "macros", name))
            self._made.add(name)
        if name in CHECKED_AT_FIRST_USE and name not in self._checked:
            for check in CHECKS[name]:
                raise_contradiction(self.check_rows(check))
            self._checked.add(name)

    @contextlib.contextmanager
    def _guarded(self, names: Iterable[str] = (), used: frozenset[str] = frozenset()) -> Iterator[None]:
        """Run one thing at a time on the connection; an error of DuckDB becomes one of ours."""
        with self._lock:
            try:
                yield
            except duckdb.Error as error:
                self._fail(error, names, used)

    def _fail(self, error: duckdb.Error, names: Iterable[str], used: frozenset[str]) -> NoReturn:
        message = str(error)
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):  # it refuses all further work
            self._made.clear()
            self._connection = self._connect()
        elif isinstance(error, duckdb.BinderException) and (match := _MISSING_COLUMN.search(message)):
            relations = [name for name in VIEWS if name in names]
            known = [column for name in relations for column in self._open().table(name).columns]
            raise unknown("column", match[1] or match[2], known, where=", ".join(relations)) from error
        elif isinstance(error, duckdb.CatalogException) and (match := _MISSING_TABLE.search(message)):
            raise unknown("relation", match[1], VIEWS, where=f"lake {str(self._folders.root)!r}") from error
        if not isinstance(error, _NOT_OF_A_FILE):
            self._name_broken_file(message, used)
        raise QueryError(f"DuckDB: {message}") from error

    def _name_broken_file(self, message: str, used: frozenset[str]) -> None:
        """Raise for the file that an error names or, reading them one by one, the first that cannot be read."""
        branches = [branch for name in SOURCES if name in used for branch in self._sources[name].branches]
        for branch in branches:
            if any(str(path) in message for path in branch.files):
                raise _broken(branch, message)
        for branch in branches:
            try:  # not count(COLUMNS(*)): DuckDB answers that from the footer
                self._open().execute(f"SELECT max(hash(COLUMNS(*))) FROM ({branch.sql()})").fetchall()
            except duckdb.Error as error:
                raise _broken(branch, str(error)) from error


def _broken(branch: Branch, reason: str) -> FileFormatError:
    files = ", ".join(str(path) for path in branch.files)
    return FileFormatError(f"{files} cannot be read: {reason.partition(chr(10))[0]}. Download or write the file again.")
