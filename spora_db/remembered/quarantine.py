"""The quarantine: which rows of a lake could not be read, kept beside the user's state, as lakes are read-only.

One file of JSON lines per lake, ``quarantine/<digest of the lake's path>.jsonl`` in the folder that SPORA_STATE_DIR
names, else in ``~/.local/state/spora-db`` (``XDG_STATE_HOME`` moves it). Every record is appended by one write, so that
workers and ranks may write at the same time; duplicates collapse when it is read.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from spora_db.errors import TableError, WriteError
from spora_db.files.folders import user_folder
from spora_db.files.whole_numbers import LEAST, whole_numbers
from spora_db.remembered.folders import lake_digest
from spora_db.sqltext.names import positions

logger = logging.getLogger(__name__)

VARIABLE = "SPORA_STATE_DIR"
SCHEMA = pa.schema(
    {
        "dataset": pa.string(),
        "tissue_id": pa.string(),
        "modality": pa.string(),
        "mpp": pa.float64(),
        "tile_size": pa.int64(),
        "tile_id": pa.int64(),
        "cell_id": pa.int64(),
        "row": pa.int64(),
        "col": pa.int64(),
        "error": pa.string(),
        "time": pa.timestamp("us"),
    }
)
"""A tile has no ``cell_id``, a cell no ``tile_id``, a whole tissue neither; ``time`` is UTC."""
IDENTITY = tuple(name for name in SCHEMA.names if name not in ("error", "time"))
Record = Mapping[str, Any]


def state_folder() -> Path:
    """Return the folder of what spora-db remembers for this user and cannot make again."""
    own = os.environ.get(VARIABLE)
    return Path(own).expanduser() if own else user_folder("state")


def quarantine_path(lake: str | Path) -> Path:
    """Return the file that holds the quarantine of a lake."""
    return state_folder().absolute() / "quarantine" / f"{lake_digest(lake, size=16)}.jsonl"


class Quarantine:
    """Records rows that could not be read; pickles, and any number of processes may write to the same file.

    Parameters
    ----------
    path
        The file, as `quarantine_path` returns it; its folder is made.

    Raises
    ------
    WriteError
        If the folder cannot be made, or not be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[Any, ...]] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(path if path.exists() else path.parent, os.W_OK)
        except OSError as error:
            raise self._unwritable(error) from error
        if not writable:
            raise self._unwritable("permission denied")

    def record(self, record: Record, error: Exception) -> None:
        """Append the columns `IDENTITY` of what could not be read and why, unless it is there already.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        if self._known is None:
            self._known = {_key(line) for line in _lines(self.path)}
        if _key(record) in self._known:
            return
        text = {name: record.get(name) for name in IDENTITY}
        text |= {"error": f"{type(error).__name__}: {error}", "time": datetime.now(UTC).isoformat()}
        line = (json.dumps(text) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                written = os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as problem:
            raise self._unwritable(problem) from problem
        if written != len(line):
            raise self._unwritable("the disk is full")
        self._known.add(_key(record))

    def _unwritable(self, reason: object) -> WriteError:
        return WriteError(
            f"The quarantine {self.path} cannot be written: {reason}. Let the environment variable {VARIABLE} name a "
            "folder that can."
        )


def read_quarantine(lake: str | Path) -> pa.Table:
    """Return the quarantine of a lake as a table of `SCHEMA`, sorted by identity; of records of a row the first.

    Examples
    --------
    >>> read_quarantine("a lake without one").num_rows
    0
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in _lines(quarantine_path(lake)):
        found.setdefault(_key(line), line)
    rows = sorted(found.values(), key=lambda line: [(line[name] is not None, line[name] or 0) for name in IDENTITY[3:]])
    rows.sort(key=lambda line: [line[name] for name in IDENTITY[:3]])
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def forget_quarantine(lake: str | Path) -> int:
    """Forget the quarantine of a lake, once its files are repaired; return how many rows were in it.

    Raises
    ------
    WriteError
        If its file cannot be removed.

    Examples
    --------
    >>> forget_quarantine("a lake without one")
    0
    """
    rows: int = read_quarantine(lake).num_rows
    path = quarantine_path(lake)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"The quarantine {path} cannot be removed: {error.strerror}.") from error
    return rows


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """Yield the records of a file; lines that are none (a network disk may tear them) are told and passed over."""
    if not path.exists():
        return
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            record = _record(json.loads(text))
        except (ValueError, RecursionError, pa.ArrowException) as error:
            logger.warning("%s, line %d, is no record and is passed over: %r", path, number, error)
            continue
        yield record


def _record(line: object) -> dict[str, Any]:
    """Return one line of the file as a record, with the columns `SCHEMA`."""
    if not isinstance(line, dict) or not isinstance(line.get("time"), str) or not line.keys() >= set(SCHEMA.names):
        raise ValueError(f"expected an object with {', '.join(SCHEMA.names)}")
    time = datetime.fromisoformat(line["time"]).astimezone(UTC).replace(tzinfo=None)
    record = {name: line[name] for name in SCHEMA.names} | {"time": time}
    pa.Table.from_pylist([record], schema=SCHEMA)
    return record


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in IDENTITY)


def excluded_rows(table: pa.Table) -> pa.Table:
    """Return what a table says to exclude: those of the columns `IDENTITY` that it has, the others null.

    Raises
    ------
    TableError
        If one of these columns is missing or null, or a column has no fitting type or values, or stands there in
        several cases.

    Examples
    --------
    >>> rows = excluded_rows(pa.table({"dataset": ["a"], "tissue_id": ["t1"], "tile_id": [3]}))
    >>> rows.select(["dataset", "tissue_id", "tile_id", "row"]).to_pylist()
    [{'dataset': 'a', 'tissue_id': 't1', 'tile_id': 3, 'row': None}]
    """
    own = {name: _spelled(name, table) for name in IDENTITY}
    for name in ("dataset", "tissue_id"):
        if own[name] is None or table.column(own[name]).null_count:
            raise TableError(
                f"exclude(): expected a column {name} without nulls; got {', '.join(table.column_names)}. "
                "Rows are identified by dataset, tissue_id and tile_id; whole tissues by dataset and tissue_id."
            )
    columns = {}
    for name in IDENTITY:
        kind, spelled = SCHEMA.field(name).type, own[name]
        try:
            found = pa.nulls(table.num_rows, kind) if spelled is None else table.column(spelled)
            if pa.types.is_integer(kind):
                least = LEAST if name in ("row", "col") else 0  # the tile around a cell may begin before the image
                found = whole_numbers(found, what=f"exclude(): the column {name}", least=least)
            columns[name] = found.cast(kind)
        except pa.ArrowException as error:
            raise TableError(f"exclude(): the column {name} cannot be read as {kind}: {error}") from error
    return pa.table(columns, schema=pa.schema([SCHEMA.field(name) for name in IDENTITY]))


def _spelled(name: str, table: pa.Table) -> str | None:
    """Return the column of a name: in its exact spelling, else in another case; None where there is none.

    One that is passed over would not be without effect: a row without ``cell_id`` stands for its whole tissue.
    """
    found = [table.column_names[at] for at in positions(name, table.column_names)]
    if len(found) > 1:
        raise TableError(f"exclude(): {' and '.join(found)} may both be the column {name}. Drop or rename the others.")
    return found[0] if found else None
