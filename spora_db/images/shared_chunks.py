"""Decoded chunks in a folder that processes share."""

import hashlib
import logging
import os
import struct
import time
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import numpy as np

import spora_db
from spora_db.arrays import AnyArray
from spora_db.files.recent import Recent
from spora_db.files.shared_folder import SharedFolder
from spora_db.images.pixels import ChunkPlanes

logger = logging.getLogger(__name__)

HEAD: Final = struct.Struct("<8s3q32x")
"""Before the pixels of a file: their type, planes, rows and cols; 64 bytes, so that pixels are aligned."""
TOUCHED: Final = 1.0
"""Seconds after which a chunk that is used is noted as such again."""
MAPPINGS: Final = 16_384
"""Chunks that a process maps at a time; Linux allows 65,530 mappings."""


@dataclass(slots=True)
class MappedChunk:
    """A chunk that this process maps, and when it noted that it uses it, in seconds."""

    planes: ChunkPlanes
    name: str
    noted: float


MAPPED: Final = Recent[Hashable, MappedChunk](MAPPINGS)


class SharedChunks:
    """Decoded chunks in a shared folder, as one process sees them.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: SharedFolder) -> None:
        self.folder = folder
        self.full = False
        self.found = 0
        self._removals = folder.removals
        MAPPED.clear()

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether a chunk is there; that is no use of it."""
        return key in MAPPED or self.folder.has(name_of(key))

    def get(self, *keys: Hashable) -> ChunkPlanes | None:
        """Return the chunk under the first of the keys that is there, read-only."""
        if self._removals != self.folder.removals:
            self._let_go()
        chunk = MAPPED.get(*keys)
        if chunk is None:
            chunk = next(filter(None, map(self._map, keys)), None)
            self.found += chunk is not None
        if chunk is None:
            return None
        if (now := time.monotonic()) - chunk.noted > TOUCHED:
            chunk.noted = now
            self.folder.touch(chunk.name)
        return chunk.planes

    def put(self, key: Hashable, chunk: AnyArray) -> bool:
        """Let all processes find a chunk, and return whether they do."""
        if self.full:
            return False
        try:
            there = self.folder.write(name_of(key), partial(self._write, chunk), size=HEAD.size + chunk.nbytes)
        except OSError as error:
            self._give_up(error)
            return False
        if there:
            self._map(key)
        return there

    def _write(self, chunk: AnyArray, descriptor: int) -> int:
        """Write a chunk, and return its bytes; planes that do not lie so one by one, which takes no second chunk."""
        if self._removals != self.folder.removals:
            self._let_go()  # of what made room for it
        head = _all(descriptor, memoryview(HEAD.pack(chunk.dtype.str.encode(), *chunk.shape)))
        return head + sum(_all(descriptor, np.ascontiguousarray(plane).data) for plane in chunk)

    def _map(self, key: Hashable) -> MappedChunk | None:
        try:
            memory = self.folder.read(name := name_of(key))
        except OSError as error:  # of a disk, or of a limit of mappings: no fault of the image
            self._give_up(error)
            return None
        if memory is None:
            return None
        try:
            code, *shape = HEAD.unpack_from(memory)
            pixels = np.frombuffer(memory, code.rstrip(b"\0").decode(), offset=HEAD.size).reshape(shape)
        except (struct.error, ValueError, TypeError):  # it is cut short, or all zeros
            self.folder.discard(name)
            return None
        MAPPED.put(key, chunk := MappedChunk(ChunkPlanes.of(pixels), name, 0.0))
        return chunk

    def _give_up(self, error: OSError) -> None:
        """Ask no more for room, as a chunk that does not fit is written in vain; said unless the run has ended."""
        if not self.full and self.folder.path.exists():
            logger.warning(
                "The cache %s takes no more chunks (%s): this process keeps those that it decodes now for itself.",
                self.folder.path, error.strerror or error,
            )  # fmt: skip
        self.full = True

    def _let_go(self) -> None:
        """Unmap what was removed: it takes memory for as long as it is mapped."""
        self._removals, names = self.folder.removals, self.folder.names()
        MAPPED.forget(lambda key: name_of(key) not in names)


@lru_cache(maxsize=MAPPINGS)
def name_of(key: Hashable) -> str:
    """Return the name of a chunk's file: a digest of its key, and of the version that decoded it.

    Examples
    --------
    >>> len(name_of((b"image", (0, 0, 0))))
    32
    """
    return hashlib.blake2b(repr((spora_db.__version__, key)).encode(), digest_size=16).hexdigest()


def _all(descriptor: int, data: memoryview) -> int:
    """Write all bytes, of which the system may take a part only, and return how many they are."""
    rest = data.cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return data.nbytes
