"""The catalog that a process used last, kept for its next question: to open one takes longer than most answers.

A kept catalog is lent again only if a new one would be the same: the lake's folders are listed anew, and parquet files
are compared whenever a statement names them. It belongs to one borrower at a time, and no fork sees it.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator

from spora_db.catalog.interface import Catalog
from spora_db.files.forks import fork_only_with
from spora_db.layout import LakePath

_kept: Catalog | None = None
_lock = threading.RLock()


@contextlib.contextmanager
def lent_catalog(lake: LakePath) -> Iterator[Catalog]:
    """Lend a catalog of a lake for a ``with`` block: the one used last, if it is still right, else a new one.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, or no dataset in it.
    """
    catalog = _keep(None)
    if catalog is None or not catalog.stands_for(lake):
        if catalog is not None:
            catalog.close()
        catalog = Catalog(lake)
    try:
        yield catalog
    except BaseException:
        catalog.close()
        raise
    catalog.forget_questions()
    if (other := _keep(catalog)) is not None:
        other.close()


def close_kept_catalog() -> None:
    """Close the catalog that is kept, if any: its threads end, its files and memory are given back."""
    if (catalog := _keep(None)) is not None:
        catalog.close()


def _keep(catalog: Catalog | None) -> Catalog | None:
    """Keep a catalog, or none, and return the one that was kept."""
    global _kept
    with _lock:
        before, _kept = _kept, catalog
    return before


atexit.register(close_kept_catalog)
os.register_at_fork(before=close_kept_catalog)  # while the fork holds the lock: the last one registered comes first
fork_only_with(_lock)
