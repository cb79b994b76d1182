"""What has been read of a remote file, kept in a sparse file of the same size: shared by processes, safe from kills.

A granule is 4 KiB. Beside the file lies one crc32c per granule, 0 for one that is not there; it is written after the
granule, so a process that is killed between leaves a granule to be read anew. The first time that a process reads a
granule that another one wrote, it compares the sum: what a power cut has lost is read anew too. Who fetches a granule
holds a lock on its sum, so that processes which need the same fetch it once.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import google_crc32c
import numpy as np

from spora_db.arrays import Bools, Int64

GRANULE = 4096
ReadRanges = Callable[[Sequence[tuple[int, int]]], Sequence[bytes]]
"""Gives the bytes of ranges (offset, size) of the remote file."""


class Granules:
    """One sparse file; from any thread of the process that opened it.

    Parameters
    ----------
    path, sums
        The sparse file and the file of sums, made if they are not there.
    size
        Bytes of the file.

    Raises
    ------
    OSError
        One of them cannot be opened.
    """

    def __init__(self, path: Path, sums: Path, size: int) -> None:
        self.size = size
        self._data = self._sums = -1
        self._changed = threading.Condition()
        self._seen: Bools = np.zeros(-(-size // GRANULE), bool)
        self._coming: Bools = np.zeros_like(self._seen)
        self._data, self._sums = (os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for file in (path, sums))

    def __del__(self) -> None:
        """Close both files."""
        for descriptor in (self._data, self._sums):
            if descriptor >= 0:
                os.close(descriptor)

    def read(self, offset: int, size: int, *, fetch: ReadRanges) -> bytes:
        """Return bytes; those that are not there yet are fetched, and kept; what others fetch is waited for.

        Raises
        ------
        OSError
            They cannot be kept, as on a full disk.
        """
        while not self.has(offset, size):
            runs = self.claim([(offset, size)])
            try:
                if runs:
                    for (start, _), data in zip(runs, fetch(runs), strict=True):
                        self.keep(start, data)
            finally:
                self.release(runs)
            self.wait(offset, size)
        return os.pread(self._data, size, offset)

    def has(self, offset: int, size: int) -> bool:
        """Tell whether bytes are known to be there."""
        first, last = _granules(offset, size)
        return bool(self._seen[first:last].all())

    def claim(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return which ranges (offset, size), whole granules, are to be fetched: neither there nor on their way.

        They are the caller's, who fetches them, calls `keep`, and then `release`, whatever has happened.

        Raises
        ------
        OSError
            What is there cannot be read.
        """
        with self._changed:
            lacking = [np.empty(0, np.int64)]
            for offset, size in ranges:
                first, last = _granules(offset, size)
                if not self._seen[first:last].all():
                    self._look(first, last)
                    lacking.append(first + np.flatnonzero(~(self._seen[first:last] | self._coming[first:last])))
            runs = [run for run in _runs(np.unique(np.concatenate(lacking))) if self._hold(*run)]
            for start, stop in runs:
                self._coming[start:stop] = True
        return [(GRANULE * start, self._end(stop) - GRANULE * start) for start, stop in runs]

    def keep(self, offset: int, data: bytes) -> None:
        """Keep bytes of the file; of a granule that they hold a part of, none.

        Raises
        ------
        OSError
            They cannot be written.
        """
        skipped = -offset % GRANULE
        offset, data = offset + skipped, data[skipped:]
        if offset + len(data) < self.size:
            data = data[: len(data) // GRANULE * GRANULE]
        if not data:
            return
        sums = [_sum(data[at : at + GRANULE]) for at in range(0, len(data), GRANULE)]
        _write(self._data, data, offset)
        _write(self._sums, np.array(sums, "<u4").tobytes(), 4 * (offset // GRANULE))
        first, last = _granules(offset, len(data))
        with self._changed:
            self._seen[first:last] = True

    def release(self, runs: Iterable[tuple[int, int]]) -> None:
        """Let go of what was claimed: who waits for it finds it there, or fetches it."""
        with self._changed:
            for offset, size in runs:
                first, last = _granules(offset, size)
                self._coming[first:last] = False
                _lock(self._sums, fcntl.F_UNLCK, 4 * first, 4 * (last - first))
            self._changed.notify_all()

    def wait(self, offset: int, size: int) -> None:
        """Wait until nobody, in this process or another, fetches any of some bytes, unless all are there."""
        first, last = _granules(offset, size)
        with self._changed:
            self._changed.wait_for(lambda: not self._coming[first:last].any())
        if not self.has(offset, size):
            _lock(self._sums, fcntl.F_RDLCK, 4 * first, 4 * (last - first), wait=True)
            _lock(self._sums, fcntl.F_UNLCK, 4 * first, 4 * (last - first))

    def _hold(self, first: int, last: int) -> bool:
        """Keep other processes from granules that this one is to fetch; False where another does so, or just has."""
        if not _lock(self._sums, fcntl.F_WRLCK, 4 * first, 4 * (last - first)):
            return False
        self._look(first, last)
        if self._seen[first:last].all():
            _lock(self._sums, fcntl.F_UNLCK, 4 * first, 4 * (last - first))
            return False
        return True

    def _look(self, first: int, last: int) -> None:
        """Note which granules are there that another process, or a run before, has kept."""
        kept = np.zeros(last - first, "<u4")
        found = np.frombuffer(os.pread(self._sums, 4 * (last - first), 4 * first), np.uint8)
        kept.view(np.uint8)[: len(found)] = found
        for number in np.flatnonzero((kept != 0) & ~self._seen[first:last]).tolist():
            self._seen[first + number] = _sum(self._granule(first + number)) == kept[number]

    def _end(self, granule: int) -> int:
        return min(GRANULE * granule, self.size)

    def _granule(self, number: int) -> bytes:
        start = GRANULE * number
        return os.pread(self._data, self._end(number + 1) - start, start)


def _granules(offset: int, size: int) -> tuple[int, int]:
    """Return the first granule of some bytes, and the one after the last."""
    return offset // GRANULE, -(-(offset + size) // GRANULE)


def _sum(data: bytes) -> int:
    """Return the crc32c of bytes, 1 where it is 0, which means that there are none."""
    return int(google_crc32c.value(data)) or 1


def _runs(numbers: Int64) -> list[tuple[int, int]]:
    """Return where runs of sorted numbers begin, and the number after each.

    Examples
    --------
    >>> _runs(np.array([0, 1, 3]))
    [(0, 2), (3, 4)]
    """
    if not len(numbers):
        return []
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(numbers, cuts)]


def _lock(descriptor: int, kind: int, offset: int, size: int, *, wait: bool = False) -> bool:
    """Lock bytes of an open file, and return False where another one holds some: of another process, or opened anew.

    The system lets go of them when the process ends. Where it has no such locks, two may fetch the same.
    """
    command = getattr(fcntl, "F_OFD_SETLKW" if wait else "F_OFD_SETLK", None)
    if command is None or not size:
        return True
    try:
        fcntl.fcntl(descriptor, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, size, 0))
    except BlockingIOError:
        return False
    except OSError:  # a folder of the network without locks
        return True
    return True


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
