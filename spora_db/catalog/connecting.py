"""How the catalog talks to DuckDB: a connection closed to all but listed files, and the values of a statement."""

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from spora_db.catalog.sql_files import bounds
from spora_db.errors import ArgumentError

Parameters = Mapping[str, object] | Sequence[object] | None

SESSION = {"TimeZone": "UTC", "Calendar": "gregorian"}
"""What DuckDB takes from the machine otherwise: times with a zone have one text and one date everywhere."""


def spill_folder() -> Path:
    """Return a folder, not made yet, for what one connection cannot hold in memory."""
    return Path(tempfile.gettempdir()) / f"spora-db-{uuid.uuid4().hex}"


def connect(
    allowed: Sequence[str], *, limits: Mapping[str, str | int | None], spill: Path
) -> duckdb.DuckDBPyConnection:
    """Open a connection that can read the allowed files and nothing else, and cannot be reconfigured.

    Functions that make long values of short ones, or take as long, have bounds there (``sql/bounds``): within one call
    DuckDB hears no interrupt, and no limit counts what it makes.

    Raises
    ------
    ArgumentError
        If DuckDB refuses a limit.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": str(spill),
    }
    config |= {name: value for name, value in limits.items() if value is not None}
    try:
        connection = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        message = f"DuckDB refuses memory_limit, threads = {tuple(limits.values())}: {error}"
        raise ArgumentError(message) from error
    for name, value in SESSION.items():
        connection.execute(f"SET {name} = '{value}'")
    for macro in bounds().values():
        connection.execute(macro)
    connection.execute("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")  # COLUMNS(c -> ...), as DuckDB before 2 has it
    connection.execute(f"SET allowed_paths = {allowed}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


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
