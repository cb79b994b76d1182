"""Decoded chunks kept per process, the least recently used forgotten first, within a limit in bytes."""

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError

DEFAULT_BYTES = 256 * 2**20
OWNERS = itertools.count()  # numbers that tell the chunks and files of one reader from those of all others


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """What the cache of decoded chunks of this process has done since it started or was cleared.

    Attributes
    ----------
    hits, misses
        Chunks found, and chunks that had to be decoded.
    bytes_decoded
        Bytes of pixels that were decoded.
    bytes_held, bytes_limit
        Bytes of pixels held now, and at most.
    entries
        Chunks held now.
    """

    hits: int
    misses: int
    bytes_decoded: int
    bytes_held: int
    bytes_limit: int
    entries: int


class ChunkCache:
    """Arrays by key within a limit in bytes. The lock is held for look-ups only, never while anything is decoded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        """Start empty with a fresh lock, also in a forked child, whose copy of the lock may be held for ever."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, AnyArray] = OrderedDict()
        self._held = self._hits = self._misses = self._decoded = 0

    def get(self, *keys: Hashable) -> AnyArray | None:
        """Return the array under the first of ``keys`` that is held, now the most recently used, or count a miss."""
        with self._lock:
            for key in keys:
                array = self._entries.get(key)
                if array is not None:
                    self._hits += 1
                    self._entries.move_to_end(key)
                    return array
            self._misses += 1
            return None

    def put(self, key: Hashable, array: AnyArray) -> None:
        """Keep a decoded array, forgetting the least recently used ones; one larger than the limit is only counted."""
        array.flags.writeable = False
        with self._lock:
            self._decoded += array.nbytes
            if array.nbytes > self._limit:
                return
            old = self._entries.pop(key, None)
            self._held += array.nbytes - (0 if old is None else old.nbytes)
            self._entries[key] = array
            self._shrink()

    def resize(self, limit: int) -> None:
        """Change the limit, forgetting what no longer fits."""
        with self._lock:
            self._limit = limit
            self._shrink()

    def info(self) -> CacheInfo:
        """Return the counters."""
        with self._lock:
            return CacheInfo(
                hits=self._hits,
                misses=self._misses,
                bytes_decoded=self._decoded,
                bytes_held=self._held,
                bytes_limit=self._limit,
                entries=len(self._entries),
            )

    def _shrink(self) -> None:
        """Forget the least recently used arrays until the rest fits."""
        while self._held > self._limit:
            self._held -= self._entries.popitem(last=False)[1].nbytes


CHUNKS = ChunkCache(DEFAULT_BYTES)
os.register_at_fork(after_in_child=CHUNKS._clear)


def set_cache_bytes(limit: int) -> None:
    """Set how many bytes of decoded chunks this process keeps; 0 keeps none.

    Each DataLoader worker is a process with its own cache; a forked worker inherits the limit, not the chunks.

    Raises
    ------
    ArgumentError
        A negative limit.

    Examples
    --------
    >>> set_cache_bytes(512 * 2**20)
    >>> cache_info().bytes_limit
    536870912
    >>> set_cache_bytes(DEFAULT_BYTES)
    """
    if limit < 0:
        raise ArgumentError(f"The cache holds 0 or more bytes; received {limit}.")
    CHUNKS.resize(limit)


def cache_info() -> CacheInfo:
    """Return what this process's cache of decoded chunks holds and has done.

    Examples
    --------
    >>> cache_info().bytes_limit == DEFAULT_BYTES
    True
    """
    return CHUNKS.info()


def clear_cache() -> None:
    """Forget all decoded chunks of this process and set its counters to zero."""
    CHUNKS._clear()
