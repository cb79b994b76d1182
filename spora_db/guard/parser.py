"""DuckDB's own parser: the tree of a text as DuckDB reads it. Nothing is bound or run."""

import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from spora_db.files.forks import fork_only_with

if TYPE_CHECKING:
    import duckdb

Tree = Any
"""Of dicts, lists and values, as json.loads returns it."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "lock_configuration": True,
    "python_enable_replacements": False,
    "threads": 1,
}
_SHORT = "skip_null := true, skip_empty := true, skip_default := true"
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


class _Parser:
    """A connection that parses one text at a time; none is open in a fork, where DuckDB's threads would be missing.

    It is empty and closed to everything.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._types: dict[str, str] = {}
        os.register_at_fork(before=self._close)  # runs after the next: what is registered last runs first
        fork_only_with(self._lock)

    def read(self, text: str) -> str:
        """Return DuckDB's tree of a text, or its error, as JSON, without what is empty or as it is by default."""
        return self._ask(f"SELECT json_serialize_sql($1, {_SHORT})", text)

    def tree(self, text: str) -> Tree:
        """Return DuckDB's tree of a text, or its error."""
        return parsed(self.read(text))

    def types(self) -> dict[str, str]:
        """Return DuckDB's own name for each name of a type, both in upper case."""
        with self._lock:
            if not self._types:
                named = "SELECT upper(type_name), logical_type FROM duckdb_types() WHERE type_name <> 'json'"
                self._types = dict(self._open().execute(named).fetchall())
            return self._types

    def _ask(self, question: str, text: str) -> str:
        with self._lock:
            found = self._open().execute(question, [text]).fetchone()
        assert found is not None
        return str(found[0])

    def _open(self) -> "duckdb.DuckDBPyConnection":
        import duckdb  # pictures need the guard's names, and no database

        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config=_CONFIG)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


PARSER = _Parser()


def parsed(text: str) -> Tree:
    """Return what json.loads does, for any depth: Python's own gives up where hundreds of calls are nested.

    Examples
    --------
    >>> parsed('{"a": [1, {"b": null}], "c": "x"}')
    {'a': [1, {'b': None}], 'c': 'x'}
    >>> deep = parsed("[" * 5000 + "]" * 5000)
    """
    try:
        return json.loads(text)
    except RecursionError:
        return _parsed_flat(text)


def _parsed_flat(text: str) -> Tree:
    top: list[Tree] = []
    open_ones: list[Tree] = [top]
    names: list[str | None] = [None]
    for piece in _PIECE.findall(text):
        if piece in ",:":
            continue
        if piece in "]}":
            open_ones.pop()
            names.pop()
            continue
        holder = open_ones[-1]
        if isinstance(holder, dict) and names[-1] is None:
            names[-1] = json.loads(piece)
            continue
        value: Tree = {} if piece == "{" else [] if piece == "[" else json.loads(piece)
        if isinstance(holder, dict):
            holder[names[-1]] = value
            names[-1] = None
        else:
            holder.append(value)
        if piece in "[{":
            open_ones.append(value)
            names.append(None)
    return top[0]
