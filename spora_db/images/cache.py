"""Decoded chunks that are kept: by each process for itself, or in a folder for all, within a limit in bytes.

They are kept as small as they fit without loss, counts as uint16: batches of 43 channels of float32 are then read in
0.65 of the time, from half the memory.
"""

import hashlib
import itertools
import logging
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, WriteError, did_you_mean, unknown
from spora_db.files.cache_folders import lasting_folder, run_folder
from spora_db.files.recent import Recent
from spora_db.files.shared_folder import SharedFolder
from spora_db.images.pixels import ChunkPlanes, narrowed
from spora_db.images.shared_chunks import MAPPED, SharedChunks

logger = logging.getLogger(__name__)

CacheChoice: TypeAlias = "Literal['shared', 'process'] | str | os.PathLike[str]"
"""One copy for all processes of a run, one in each, or a folder that is kept from run to run."""
DEFAULT_BYTES = 256 * 2**20
OWNERS = itertools.count()  # numbers that tell the open files of one reader from those of all others


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """What the cache of decoded chunks has done for this process since it was chosen or cleared.

    Attributes
    ----------
    hits, misses
        Chunks found, and chunks that had to be decoded.
    shared
        Of the hits, those that another process or run had decoded, each counted when this process first finds it.
    bytes_decoded
        Bytes of pixels that were decoded.
    bytes_held, bytes_limit
        Bytes held now, of counts fewer than were decoded, and at most; of a shared cache, by all processes together.
    entries
        Chunks held now; of a shared cache likewise.
    """

    hits: int
    misses: int
    shared: int
    bytes_decoded: int
    bytes_held: int
    bytes_limit: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCache:
    """Where processes keep decoded chunks.

    Attributes
    ----------
    own_bytes
        Bytes of chunks that each process keeps for itself.
    folder
        Where it keeps them instead for all, or None.
    """

    own_bytes: int
    folder: SharedFolder | None = None

    @property
    def limit(self) -> int:
        """Bytes of chunks that a process finds, at most."""
        return self.own_bytes if self.folder is None else self.folder.limit


CHUNKS = Recent[Hashable, ChunkPlanes](DEFAULT_BYTES, size=lambda planes: planes.pixels.nbytes)
"""What this process keeps for itself."""
_SHARED: list[SharedChunks] = []
"""What it keeps for all instead, none or one."""
_DECODED = [0]
"""Bytes of pixels that it has decoded."""
os.register_at_fork(after_in_child=lambda: _start_anew())
_TOLD: list[str] = []
"""Why chunks cannot be shared, once this process has said so."""


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


def find_chunk(*keys: Hashable) -> ChunkPlanes | None:
    """Return the chunk under the first of the keys that is kept, None where it has to be decoded."""
    if _ANEW.get():
        keys = ()
    found = _SHARED[0].get(*keys) if _SHARED else None
    return CHUNKS.get(*keys) if found is None else found


def is_kept(*keys: Hashable) -> bool:
    """Tell whether a chunk is kept under one of the keys, without counting it as asked for."""
    if _ANEW.get():
        return False
    return any(key in CHUNKS or bool(_SHARED and key in _SHARED[0]) for key in keys)


@contextmanager
def decoding_anew() -> Iterator[None]:
    """Let this thread decode every chunk anew in this block, as where decoding is measured."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


def keep_chunk(key: Hashable, chunk: AnyArray) -> ChunkPlanes:
    """Keep a chunk, read-only, and return it as it is kept; nobody looks how small it fits where none is.

    It is decoded, and in the type in which it is delivered.
    """
    kept = narrowed(chunk) if _SHARED or CHUNKS.limit else chunk
    kept.flags.writeable = False
    _DECODED[0] += chunk.nbytes
    planes = ChunkPlanes(kept)
    if not (_SHARED and _SHARED[0].put(key, kept)):
        CHUNKS.put(key, planes)
    return planes


def choose_cache(cache: CacheChoice, *, cache_bytes: int, processes: int = 1) -> ChunkCache:
    """Return the cache of some processes; see `set_cache`, which chooses for this one.

    Raises
    ------
    ArgumentError
        A negative limit.
    UnknownNameError
        A word that is nearly one of the choices.
    WriteError
        The folder named cannot hold a cache.

    Examples
    --------
    >>> choose_cache("process", cache_bytes=2**30, processes=4).limit
    268435456
    """
    if cache_bytes < 0:
        raise ArgumentError(f"The cache holds 0 or more bytes; received {cache_bytes}.")
    own = ChunkCache(own_bytes=cache_bytes // processes)
    if cache == "process" or not cache_bytes:
        return own
    if cache != "shared":
        _check_folder(cache)
        return ChunkCache(own_bytes=own.own_bytes, folder=lasting_folder(cache, limit=cache_bytes))
    try:
        return ChunkCache(own_bytes=own.own_bytes, folder=run_folder(limit=cache_bytes))
    except WriteError as error:
        if not _TOLD:
            logger.warning("Each process keeps decoded chunks for itself, as cache='process' does: %s", error)
            _TOLD.append(str(error))
        return own


def _check_folder(cache: CacheChoice) -> None:
    """Refuse a text that is a folder only by a slip: it would be made, and hold chunks."""
    words = ("shared", "process")
    if isinstance(cache, str) and (not cache or (os.sep not in cache and did_you_mean(cache, words))):
        raise unknown("cache", cache, words, remedy=f"Or name a folder by its path, such as './{cache or 'chunks'}'.")


def cache_in_use() -> ChunkCache:
    """Return where this process keeps decoded chunks."""
    return ChunkCache(own_bytes=CHUNKS.limit, folder=_SHARED[0].folder if _SHARED else None)


def use_cache(chosen: ChunkCache) -> None:
    """Let this process, and those that it forks, find and keep chunks there."""
    folder = None if not _SHARED else _SHARED[0].folder
    if chosen.folder is not folder:
        MAPPED.clear()
        _SHARED[:] = [] if chosen.folder is None else [SharedChunks(chosen.folder)]
    if CHUNKS.limit != chosen.own_bytes:
        CHUNKS.resize(chosen.own_bytes)


def set_cache(cache: CacheChoice, *, cache_bytes: int = DEFAULT_BYTES) -> None:
    """Choose where this process, and those that it forks, such as workers of a plain DataLoader, keep decoded chunks.

    ``dataset.loader(cache=..., cache_bytes=...)`` chooses for its workers, however they start.

    Parameters
    ----------
    cache
        ``"process"``: each process for itself. ``"shared"``: one copy for all in /dev/shm that ends with this process;
        where that is too small or cannot be written to, a log line says so and it is ``"process"``. Or a folder on a
        local disk, which is kept from run to run and may serve several runs at once. Chunks are kept as uint16 where
        all their values fit.
    cache_bytes
        Bytes of decoded chunks that are kept: of a process by itself, or by all that share. 0 keeps none.

    Raises
    ------
    ArgumentError
        A negative limit.
    UnknownNameError
        A word that is nearly one of the choices.
    WriteError
        The folder named cannot hold a cache: it cannot be written to, is another user's, or holds other files.

    Examples
    --------
    >>> set_cache("shared", cache_bytes=2**20)
    >>> cache_info().bytes_limit
    1048576
    >>> set_cache("process")
    """
    use_cache(choose_cache(cache, cache_bytes=cache_bytes))


def set_cache_bytes(limit: int) -> None:
    """Set how many bytes of decoded chunks this process keeps for itself, as ``set_cache("process")`` does.

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
    set_cache("process", cache_bytes=limit)


def cache_info() -> CacheInfo:
    """Return what the cache of decoded chunks holds, and has done for this process.

    Examples
    --------
    >>> set_cache("process")
    >>> cache_info().bytes_limit == DEFAULT_BYTES
    True
    """
    shared = _SHARED[0] if _SHARED else None
    return CacheInfo(
        hits=CHUNKS.hits + (MAPPED.hits + shared.found if shared else 0),
        misses=CHUNKS.misses,
        shared=shared.found if shared else 0,
        bytes_decoded=_DECODED[0],
        bytes_held=CHUNKS.held + (shared.folder.held if shared else 0),
        bytes_limit=shared.folder.limit if shared else CHUNKS.limit,
        entries=len(CHUNKS) + (len(shared.folder.names()) if shared else 0),
    )


def clear_cache() -> None:
    """Forget all decoded chunks of this process and set its counters to zero; what it shares stays for the others."""
    CHUNKS.clear()
    _start_anew()


def _start_anew() -> None:
    _DECODED[0] = 0
    _SHARED[:] = [SharedChunks(shared.folder) for shared in _SHARED]
