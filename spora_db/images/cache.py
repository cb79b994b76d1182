"""Decoded chunks kept per process, the least recently used forgotten first, within a limit in bytes."""

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.files.recent import Recent

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


CHUNKS = Recent[Hashable, AnyArray](DEFAULT_BYTES, size=attrgetter("nbytes"))


def keep_chunk(key: Hashable, chunk: AnyArray) -> None:
    """Keep a decoded chunk, read-only."""
    chunk.flags.writeable = False
    CHUNKS.put(key, chunk)


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
    return CacheInfo(
        hits=CHUNKS.hits,
        misses=CHUNKS.misses,
        bytes_decoded=CHUNKS.put_in,
        bytes_held=CHUNKS.held,
        bytes_limit=CHUNKS.limit,
        entries=len(CHUNKS),
    )


def clear_cache() -> None:
    """Forget all decoded chunks of this process and set its counters to zero."""
    CHUNKS.clear()
