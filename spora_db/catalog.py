"""The catalog: DuckDB views over a lake's files, closed to everything else. The only module that owns a connection.

Opening lists folders and reads no file. A relation is made the first time a statement names it: the footers of its files
are read (``sources``), its folders are listed (``listings``), and the file of the same name in ``sql/views`` is run. A broken
file therefore spoils the relations that need it, with an error that names it, and no other.
"""

import contextlib
import os
import re
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow as pa

from spora_db.errors import ArgumentError, FileFormatError, QueryError, SporaError, TableError, unknown
from spora_db.sources.expressions import literal_glob, text_list
from spora_db.guard import check_select
from spora_db.layout import scan
from spora_db.result import Result
from spora_db.sources import LISTINGS, SOURCES, Origin, SourceQuery, listing_query, listing_table
from spora_db.sql_files import names_in_text, needs, sql_text

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
CHECKS: Mapping[str, tuple[str, ...]] = {
    "tissues": ("tissue_rows",),
    "tissue_channels": ("panel_names", "panel_rows"),
    "markers": ("panel_names", "panel_rows"),
    "tile_coordinates": ("tile_rows",),
}
_AT_FIRST_USE = ("tissues", "tissue_channels", "markers")  # tile_rows groups 5 M rows: only `Catalog.check` runs it
_MISSING_COLUMN = re.compile(r'column "([^"]+)" (?:was )?not found|not have a column named "([^"]+)"')
_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")


class Catalog:
    """A lake as a read-only database.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    memory_limit
        The most memory DuckDB may take, such as ``"4GB"``; None leaves DuckDB's own limit (80 % of the machine).
    threads
        Number of threads; None takes one per core.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, or no dataset in it.

    Notes
    -----
    The connection lives in memory and is closed to everything outside: DuckDB may open the parquet files that were
    listed at opening and nothing else, loads no extension, sees no Python variable, and its settings are locked.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> pathlib.Path(folder.name, "cohort", "imc", "1_0mpp", "images").mkdir(parents=True)
    >>> with Catalog(folder.name) as catalog:
    ...     catalog.sql("SELECT dataset, modalities, n_images FROM datasets").fetchall()
    [('cohort', ['imc'], 0)]
    """

    def __init__(
        self, lake: str | os.PathLike[str], *, memory_limit: str | None = None, threads: int | None = None
    ) -> None:
        self._folders = scan(lake)
        self._limits = {"memory_limit": memory_limit, "threads": threads}
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._made: set[str] = set()
        self._checked: set[str] = set()
        self._sources: dict[str, SourceQuery] = {}
        self._connection: duckdb.DuckDBPyConnection | None = self._connect()

    @property
    def lake(self) -> Path:
        """The folder that ``path`` in ``images``, ``masks`` and ``datasets`` is relative to."""
        return self._folders.root

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations, in the order in which they build on each other."""
        return VIEWS

    def sql(self, text: str, params: Parameters = None) -> Result:
        """Answer one SELECT of a user over the relations.

        Parameters
        ----------
        text
            One SELECT; ``?`` or ``$name`` stand for values.
        params
            The values, in order or by name.

        Returns
        -------
        Result
            Behaves like a DuckDB relation: ``.df()``, ``.arrow()``, ``.fetchall()``, ``.columns``, ``.show()``.

        Raises
        ------
        QueryError
            If the text is refused, does not parse or does not run.
        UnknownNameError
            For a relation or column that does not exist; the message lists near ones.
        FileFormatError
            If a file that the answer needs is broken.
        TableError
            If a table contradicts itself or another one.
        """
        return self.run(check_select(text, relations=VIEWS), params)

    def run(self, text: str, params: Parameters = None) -> Result:
        """Run SQL that spora-db wrote itself: as `sql`, without the guard."""
        names = self._prepare(names_in_text(text))
        with self._guarded(names):
            relation = self._open().sql(text, params=params or None)
        return Result(relation, guarded=lambda: self._guarded(names))

    def columns(self, relation: str) -> tuple[str, ...]:
        """Return the names of a relation's columns.

        Raises
        ------
        UnknownNameError
            If there is no such relation.
        """
        if relation not in VIEWS:
            raise unknown("relation", relation, VIEWS, where=f"lake {str(self.lake)!r}")
        return tuple(self.run(f"SELECT * FROM {relation} LIMIT 0").columns)

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable as a relation, without copying it."""
        with self._guarded(frozenset()):
            self._open().register(name, table)

    @contextlib.contextmanager
    def registered(self, name: str, table: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable as a relation within a ``with`` block."""
        self.register(name, table)
        try:
            yield
        finally:
            with self._guarded(frozenset()):
                self._open().unregister(name)

    def check(self, *relations: str) -> None:
        """Check the tables that relations stand on, all of them where none is named.

        Raises
        ------
        TableError
            At the first contradiction: a name in one table and not in the other, a row that must be unique repeated.
        """
        for name in dict.fromkeys(check for relation in relations or CHECKS for check in CHECKS.get(relation, ())):
            _raise_contradiction(self._check_rows(name))

    def check_channels(self, modality: str | None = None) -> None:
        """Check that the panels and the measured channels of a modality (of all) name the same channels.

        Raises
        ------
        TableError
            If a name is in one table and not in the other, or repeated.
        """
        for name in CHECKS["tissue_channels"]:
            _raise_contradiction([row for row in self._check_rows(name) if modality in (None, row[1])])

    def schema(self) -> Result:
        """Describe every column of every relation.

        Returns
        -------
        Result
            ``relation, column, type, cohorts, problem``: ``cohorts`` lists, where files were reconciled or a name had
            to change, ``dataset: type`` (and the name in the file); ``problem`` is the error of a relation that cannot
            be read.
        """
        rows: list[tuple[str, str | None, str | None, str | None, str | None]] = []
        for relation in VIEWS:
            try:
                described = self.run(f"SELECT * FROM {relation} LIMIT 0")
            except SporaError as error:
                rows.append((relation, None, None, None, str(error)))
                continue
            cohorts = self._cohorts(relation)
            rows += [
                (relation, column, kind, cohorts.get(column), None)
                for column, kind in zip(described.columns, described.types, strict=True)
            ]
        names = ("relation", "column", "type", "cohorts", "problem")
        table = pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})
        with self._guarded(frozenset()):
            return Result(self._open().from_arrow(table), guarded=lambda: self._guarded(frozenset()))

    def _cohorts(self, relation: str) -> dict[str, str]:
        """Return, for columns whose files differ in type or name, what each dataset has."""
        origins = [o for name in self._prepare([relation]) if name in SOURCES for o in self._source(name).origins]
        found: dict[str, list[Origin]] = {}
        for origin in origins:
            found.setdefault(origin.column, []).append(origin)
        return {
            column: ", ".join(
                f"{o.dataset}: {o.type}" + (f" ({o.file_name!r})" if o.file_name != column else "") for o in here
            )
            for column, here in found.items()
            if len({o.type for o in here}) > 1 or any(o.file_name != column for o in here)
        }

    def ddl(self) -> str:
        """Return the script that makes all relations in any DuckDB: paste it into its shell.

        Images and masks are listed in the script; parquet files are read from where they are, by whoever runs it.
        """
        parts = [f"CREATE VIEW {name} AS\n{listing_query(name, self._folders).sql('duckdb')};" for name in LISTINGS]
        for name in SOURCES:
            parts.append(f"CREATE VIEW {name} AS\n{self._source(name).sql()};")
        parts += [sql_text("views", name) for name in VIEWS]
        parts += [sql_text("macros", name) for name in MACROS]
        return "\n\n".join(part.rstrip() for part in parts) + "\n"

    def close(self) -> None:
        """Close the connection. Closing twice is no error."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({str(self.lake)!r}: {', '.join(dataset.name for dataset in self._folders.datasets)})"

    def __reduce__(self) -> NoReturn:
        message = "A Catalog cannot be pickled: it owns a database connection. Hand over the path of the lake instead."
        raise TypeError(message)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Open a connection that can read the lake's parquet files and nothing else, and cannot be reconfigured."""
        spill = Path(tempfile.gettempdir()) / f"spora-db-{uuid.uuid4().hex}"
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": str(spill),
        }
        config |= {name: value for name, value in self._limits.items() if value is not None}
        try:
            connection = duckdb.connect(":memory:", config=config)
            # Files, not folders: within an allowed folder, `link/../x` would reach beside the target of a symbolic link.
            paths = [table.path for dataset in self._folders.datasets for table in dataset.tables]
            allowed = {form for path in paths for form in (str(path), os.path.realpath(path))}
            allowed |= {literal_glob(path) for path in allowed}
            quoted = text_list(sorted(allowed)).sql("duckdb")
            connection.execute(f"SET allowed_paths = {quoted}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            raise ArgumentError(f"DuckDB cannot be opened with {self._limits}: {error}") from error
        return connection

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise QueryError(f"The catalog of {self.lake} is closed.")
        if self._pid != os.getpid():
            raise QueryError("A Catalog does not survive a fork: DuckDB's threads stay behind. Open a new one.")
        return self._connection

    def _source(self, name: str) -> SourceQuery:
        if name not in self._sources:
            self._sources[name] = SOURCES[name](self._folders)
        return self._sources[name]

    def _prepare(self, names: Iterable[str]) -> frozenset[str]:
        """Make the named relations and macros and all they stand on, if not there yet; return all their names."""
        used: set[str] = set()
        for name in sorted(names):
            if name in VIEWS or name in MACROS:
                used |= self._prepare(needs("views" if name in VIEWS else "macros", name))
            elif name in SOURCES:
                used |= self._prepare(self._source(name).listings)
            elif name not in LISTINGS:
                continue
            used.add(name)
            with self._lock:
                self._make(name)
        return frozenset(used)

    def _make(self, name: str) -> None:
        if name not in self._made:
            with self._guarded(frozenset({name})):
                if name in LISTINGS:
                    self._open().from_arrow(listing_table(name, self._folders)).create(name)
                elif name in SOURCES:
                    self._open().execute(f"CREATE VIEW {name} AS {self._source(name).sql()}")
                else:
                    self._open().execute(sql_text("views" if name in VIEWS else "macros", name))
            self._made.add(name)
        if name in _AT_FIRST_USE and name not in self._checked:
            self.check(name)
            self._checked.add(name)

    @contextlib.contextmanager
    def _guarded(self, names: frozenset[str]) -> Iterator[None]:
        """Run one thing at a time on the connection; an error of DuckDB becomes one of ours."""
        with self._lock:
            try:
                yield
            except duckdb.Error as error:
                self._fail(error, names)

    def _fail(self, error: duckdb.Error, names: frozenset[str]) -> NoReturn:
        message = str(error)
        if isinstance(error, duckdb.BinderException) and (match := _MISSING_COLUMN.search(message)):
            relations = [name for name in VIEWS if name in names and name in self._made]
            known = {column: None for name in relations for column in self._open().table(name).columns}
            raise unknown("column", match[1] or match[2], known, where=", ".join(relations)) from error
        if isinstance(error, duckdb.CatalogException) and (match := _MISSING_TABLE.search(message)):
            raise unknown("relation", match[1], VIEWS, where=f"lake {str(self.lake)!r}") from error
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self._made.clear()  # DuckDB refuses all further work on a database after a fatal error
            self._connection = self._connect()
        if not isinstance(error, duckdb.ProgrammingError | duckdb.PermissionException):
            self._name_broken_file(names)
        raise QueryError(f"DuckDB: {message}") from error

    def _name_broken_file(self, names: frozenset[str]) -> None:
        """Read the files behind some relations one by one and raise for the first that cannot be read."""
        for name in sorted(names & self._sources.keys()):
            self._prepare(self._sources[name].listings)
            for branch in self._sources[name].branches:
                try:
                    self._open().execute(f"SELECT count(COLUMNS(*)) FROM ({branch.select.sql('duckdb')})").fetchall()
                except duckdb.Error as error:
                    files = ", ".join(str(path) for path in branch.files)
                    message = f"{files} cannot be read: {error}. Download or write the file again."
                    raise FileFormatError(message) from error

    def _check_rows(self, name: str) -> list[tuple[str | None, ...]]:
        return self.run(sql_text("checks", name).rstrip().rstrip(";")).fetchall()


def _raise_contradiction(rows: Sequence[tuple[str | None, ...]]) -> None:
    if rows:
        dataset, modality, name, problem = rows[0]
        more = f" ({len(rows)} such contradictions)" if len(rows) > 1 else ""
        place = f"{dataset}/{modality}" if modality else dataset
        message = f"{place}: {name!r} {problem}{more}. Correct the file."
        raise TableError(message)
