"""Decoded chunks kept per process, the least recently used forgotten first, within a limit in bytes."""

import hashlib
import itertools
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.files.recent import Recent

DEFAULT_BYTES = 256 * 2**20
OWNERS = itertools.count()  # numbers that tell the open files of one reader from those of all others


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


_ANEW: ContextVar[bool] = ContextVar("_ANEW", default=False)


def identity(*facts: object) -> bytes:
    """Return what tells the chunks of an image from those of all others, in every process alike.

    Parameters
    ----------
    facts
        Values whose texts say all that decoded pixels follow from, as path, stamps and encoding do; but for what
        the key of each chunk says.

    Examples
    --------
    >>> identity("a.ome.tiff", (7, 1, 2)) == identity("a.ome.tiff", (8, 1, 2))
    False
    """
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).digest()


def find_chunk(*keys: Hashable) -> AnyArray | None:
    """Return the chunk under the first of the keys that is kept, None where it has to be decoded."""
    return CHUNKS.get(*(() if _ANEW.get() else keys))


@contextmanager
def decoding_anew() -> Iterator[None]:
    """Let this thread decode every chunk anew in this block, as where decoding is measured."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


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
