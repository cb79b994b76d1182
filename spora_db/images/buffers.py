"""Memory for decoded chunks, used again once nobody views it: touching fresh memory can cost as much as decoding.

Writing 8 MB of fresh memory takes about 1 ms on plain Linux and 10 to 20 ms in sandboxed containers; decoding a chunk
of 11 MB takes 4 ms.
"""

import os
import sys
import threading
from collections import deque
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, UInt8

SMALLEST = 2**18  # bytes: below, malloc itself keeps memory for the next call
MAX_IDLE_BYTES = 64 * 2**20
MAX_LENT = 4


def _unviewed() -> int:
    """Return how many references an object has that only a container holds, as this interpreter counts."""
    held = [np.empty(1, np.uint8)]
    return sys.getrefcount(held[0])


UNVIEWED = _unviewed()


class BufferPool:
    """Buffers that are lent again when no array views them; a view anywhere keeps its buffer from being lent."""

    def __init__(self) -> None:
        self.forget_all()

    def forget_all(self) -> None:
        """Start empty with a fresh lock, as a forked child must."""
        self._lock = threading.Lock()
        self._idle: list[UInt8] = []
        self._lent: deque[UInt8] = deque(maxlen=MAX_LENT)

    def take(self, size: int) -> UInt8:
        """Return ``size`` bytes of memory with any contents."""
        if size < SMALLEST:
            return np.empty(size, np.uint8)
        with self._lock:
            buffer = self._free(size)
            if buffer is None:
                buffer = np.empty(size, np.uint8)
            self._lent.append(buffer)
        return buffer

    def _free(self, size: int) -> UInt8 | None:
        """Take out a buffer that nothing views: one given back, or one lent lately that was never kept."""
        for position, buffer in enumerate(self._idle):
            if buffer.size == size:
                return self._idle.pop(position)
        for position in range(len(self._lent)):
            if self._lent[position].size == size and sys.getrefcount(self._lent[position]) == UNVIEWED:
                buffer = self._lent[position]
                del self._lent[position]
                return buffer
        return None

    def give(self, dropped: list[AnyArray]) -> None:
        """Empty a list of arrays that nobody needs any more, keeping the buffers that nothing else views."""
        with self._lock:
            while dropped:
                held: list[Any] = [dropped.pop().base]
                if not isinstance(held[0], np.ndarray) or held[0].size < SMALLEST or held[0].dtype != np.uint8:
                    continue
                lent = any(other is held[0] for other in self._lent)
                if held[0].flags.owndata and sys.getrefcount(held[0]) == UNVIEWED + lent:
                    self._idle += held
            while sum(buffer.size for buffer in self._idle) > MAX_IDLE_BYTES:
                self._idle.pop(0)


BUFFERS = BufferPool()
os.register_at_fork(after_in_child=BUFFERS.forget_all)
