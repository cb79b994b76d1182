"""The one connection to DuckDB: closed to all but listed files, used by one thread at a time, and never by a fork.

A forked child inherits a database whose threads stayed in the parent: to end it there crashes or hangs. So a child
keeps all connections of its parent, untouched, for as long as it lives.
"""

import atexit
import gc
import os
import shutil
import tempfile
import threading
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from spora_db.catalog.sql_files import bounds
from spora_db.errors import ArgumentError, QueryError

Parameters = Mapping[str, object] | Sequence[object] | None
ResourceLimits = Mapping[str, str | int | None]
"""``memory_limit`` and ``threads`` of DuckDB; None leaves its own."""

SESSION = {"TimeZone": "UTC", "Calendar": "gregorian"}
"""What DuckDB takes from the machine otherwise: times with a zone have one text and one date everywhere."""


class Connection:
    """A connection that can read the allowed files and nothing else, and cannot be reconfigured.

    Functions that make long values of short ones, or take as long, have bounds there (``sql/bounds``) as soon as a text
    names them (`bound`): within one call DuckDB hears no interrupt, and no limit counts what it makes.

    Parameters
    ----------
    lake
        The lake's folder, for errors.
    allowed
        Paths that may be read.
    limits
        DuckDB's.

    Raises
    ------
    ArgumentError
        If DuckDB refuses a limit.
    """

    def __init__(self, lake: Path, allowed: Sequence[str], *, limits: ResourceLimits) -> None:
        self.lock = threading.RLock()
        self.allowed = allowed
        self._lake = lake
        self._limits = limits
        self._pid = os.getpid()
        self._spill = Path(tempfile.gettempdir()) / f"spora-db-{uuid.uuid4().hex}"  # made by DuckDB, if ever
        self._duckdb: duckdb.DuckDBPyConnection | None = None
        self._bounded: set[str] = set()
        self.renew()
        _alive.add(self)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._duckdb is None

    def use(self) -> duckdb.DuckDBPyConnection:
        """Return DuckDB's connection.

        Raises
        ------
        QueryError
            If it was closed, or this is a fork.
        """
        if self._duckdb is None:
            message = f"The catalog of {self._lake} is closed."
            raise QueryError(message)
        if self._pid != os.getpid():
            message = "A Catalog does not survive a fork: DuckDB's threads stay in the parent. Open a new one."
            raise QueryError(message)
        return self._duckdb

    def renew(self) -> None:
        """Connect anew, to an empty database."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": str(self._spill),
        }
        config |= {name: value for name, value in self._limits.items() if value is not None}
        try:
            connection = duckdb.connect(":memory:", config=config)
        except duckdb.Error as error:
            message = f"DuckDB refuses memory_limit, threads = {tuple(self._limits.values())}: {error}"
            raise ArgumentError(message) from error
        for name, value in SESSION.items():
            connection.execute(f"SET {name} = '{value}'")
        connection.execute("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")  # COLUMNS(c -> ...), as DuckDB before 2 has it
        # a footer of 800 columns takes 5 ms, several times a statement; of a file that was written since none is taken
        connection.execute("SET parquet_metadata_cache = true")
        connection.execute(f"SET allowed_paths = {self.allowed}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        self._duckdb, self._bounded = connection, set()

    def bound(self, text: str) -> None:
        """Give bounds to the functions that a text may call; all 20 would take half of the time of opening.

        A name within a word, a quoted one or a text counts as a call: no bound is forgotten.
        """
        spelled = text.lower()
        for function, macro in bounds().items():
            if function in spelled and function not in self._bounded:
                self.use().execute(macro)
                self._bounded.add(function)

    def interrupt(self) -> None:
        """End the statement that runs in another thread, or in the one whose signal is being handled."""
        if self._duckdb is not None and self._pid == os.getpid():
            self._duckdb.interrupt()

    def close(self) -> None:
        """Close it. Closing twice is no error."""
        with self.lock:
            if self._duckdb is not None and self._pid == os.getpid():
                self._duckdb.close()
                shutil.rmtree(self._spill, ignore_errors=True)  # DuckDB leaves the folder where it was made
            self._duckdb = None


_alive: "weakref.WeakSet[Connection]" = weakref.WeakSet()
_inherited: list[duckdb.DuckDBPyConnection] = []


@atexit.register
def _close_those_in_use() -> None:
    """Close connections before the interpreter ends: else functions in Python that they hold are told as leaks."""
    for owner in list(_alive):
        if owner.lock.acquire(blocking=False):  # a thread that is asking goes on
            owner.close()


def _keep_inherited() -> None:
    """Refer to connections in use; what only waits for the garbage collector is kept from it."""
    gc.freeze()
    _inherited.extend(owner._duckdb for owner in _alive if owner._duckdb is not None)


os.register_at_fork(after_in_child=_keep_inherited)


def checked(params: Parameters) -> Parameters:
    """Return the parameters of a statement, None where there are none.

    Raises
    ------
    ArgumentError
        If they are neither a mapping nor a sequence of values: what a set holds has no order, a text is one value.

    Examples
    --------
    >>> checked(["imc"])
    ['imc']
    """
    if params is None:
        return None
    if isinstance(params, str | bytes | bytearray) or not isinstance(params, Mapping | Sequence):
        message = (
            f"params must be a list or tuple of values for ?, or a mapping for $name, received "
            f"{type(params).__name__}: {params!r:.100}. Write [value] for one value."
        )
        raise ArgumentError(message)
    return params or None
