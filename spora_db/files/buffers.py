"""Memory that is used again once nothing views it: touching fresh memory can cost as much as decoding into it.

Writing 8 MB of fresh memory takes about 1 ms on plain Linux and 10 to 20 ms in sandboxed containers; decoding a chunk
of 11 MB takes 4 ms.
"""

import os
import sys
import threading
import weakref
from typing import Final

import numpy as np

from spora_db.arrays import UInt8

LINE: Final = 64
"""Bytes that caches of processors hold together."""


def aligned(size: int) -> UInt8:
    """Return ``size`` bytes of fresh memory from the beginning of a line on: what lies in two takes twice the time."""
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size]


class BufferPool:
    """Buffers that are lent again when the last array on them is gone; made once, for as long as the process lives.

    Parameters
    ----------
    smallest
        Bytes below which memory comes from malloc, which keeps it for the next call itself.
    spare
        How many times larger than what is asked for a buffer may be.
    keep, keep_bytes
        Free buffers that are kept, and their bytes, at most; older ones are given back to the system.
    """

    def __init__(
        self, *, smallest: int = 0, spare: int = 1, keep: int = sys.maxsize, keep_bytes: int = sys.maxsize
    ) -> None:
        self.smallest, self.spare, self.keep, self.keep_bytes = smallest, spare, keep, keep_bytes
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Start empty with a fresh lock, as a forked child must: its copy of the lock may be held for ever."""
        self._lock = threading.RLock()  # garbage collection may return a buffer while this thread takes one
        self.free: list[UInt8] = []

    def take(self, size: int) -> UInt8:
        """Return ``size`` bytes of memory with any contents."""
        if size < self.smallest:
            return np.empty(size, np.uint8)
        with self._lock:
            buffer = next((own for own in reversed(self.free) if size <= own.nbytes <= self.spare * size), None)
            self.free = [own for own in self.free if own is not buffer]
        if buffer is None:
            buffer = aligned(size)
        lent = np.frombuffer(buffer.data, np.uint8, size)  # over bytes: views of it refer to it, not to the buffer
        weakref.finalize(lent, self._return, buffer).atexit = False
        return lent

    def _return(self, buffer: UInt8) -> None:
        with self._lock:
            self.free.append(buffer)
            while len(self.free) > self.keep or sum(own.nbytes for own in self.free) > self.keep_bytes:
                del self.free[:1]
