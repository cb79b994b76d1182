"""What a forked child inherits of DuckDB: to end a database whose threads stayed in the parent crashes or hangs."""

import gc
import os
import weakref
from typing import Protocol

import duckdb


class Connected(Protocol):
    """Whatever owns a connection."""

    @property
    def connection(self) -> duckdb.DuckDBPyConnection | None:
        """The connection; None when closed."""


_alive: "weakref.WeakSet[Connected]" = weakref.WeakSet()
_inherited: list[duckdb.DuckDBPyConnection] = []


def keep_in_forks(owner: Connected) -> None:
    """Let no forked child end the connection of an owner.

    Parameters
    ----------
    owner
        Forgotten once nothing else refers to it.
    """
    _alive.add(owner)


def _keep_inherited() -> None:
    """Refer to connections in use; what only waits for the garbage collector is kept from it."""
    gc.freeze()
    _inherited.extend(connection for owner in _alive if (connection := owner.connection) is not None)


os.register_at_fork(after_in_child=_keep_inherited)
