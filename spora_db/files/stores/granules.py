"""What has been read of a remote file, kept in a sparse file of the same size: shared by processes, safe from kills.

A granule is 4 KiB. Beside the file lies one crc32c per granule, 0 for one that is not there; it is written after the
granule, so a process that is killed between leaves a granule to be read anew. The first time that a process reads a
granule that another one wrote, it compares the sum: what a power cut has lost is read anew too.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import google_crc32c
import numpy as np

from spora_db.arrays import Bools

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
        self._lock = threading.Lock()
        self._seen: Bools = np.zeros(-(-size // GRANULE), bool)
        self._data, self._sums = (os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for file in (path, sums))

    def __del__(self) -> None:
        """Close both files."""
        for descriptor in (self._data, self._sums):
            if descriptor >= 0:
                os.close(descriptor)

    def read(self, offset: int, size: int, *, fetch: ReadRanges) -> bytes:
        """Return bytes; those that are not there yet are fetched, and kept.

        Raises
        ------
        OSError
            They cannot be kept, as on a full disk.
        """
        first, last = offset // GRANULE, -(-(offset + size) // GRANULE)
        with self._lock:
            if not self._seen[first:last].all():
                self._fill(first, last, fetch)
        return os.pread(self._data, size, offset)

    def _fill(self, first: int, last: int, fetch: ReadRanges) -> None:
        kept = np.zeros(last - first, "<u4")
        found = np.frombuffer(os.pread(self._sums, 4 * (last - first), 4 * first), np.uint8)
        kept.view(np.uint8)[: len(found)] = found
        for number in np.flatnonzero((kept != 0) & ~self._seen[first:last]).tolist():
            self._seen[first + number] = _sum(self._granule(first + number)) == kept[number]
        runs = _runs(~self._seen[first:last])
        spans = [(GRANULE * (first + start), self._end(first + stop)) for start, stop in runs]
        for (start, stop), data in zip(spans, fetch([(start, stop - start) for start, stop in spans]), strict=True):
            sums = [_sum(data[at : at + GRANULE]) for at in range(0, len(data), GRANULE)]
            _write(self._data, data, start)
            _write(self._sums, np.array(sums, "<u4").tobytes(), 4 * (start // GRANULE))
            self._seen[start // GRANULE : -(-stop // GRANULE)] = True

    def _end(self, granule: int) -> int:
        return min(GRANULE * granule, self.size)

    def _granule(self, number: int) -> bytes:
        start = GRANULE * number
        return os.pread(self._data, self._end(number + 1) - start, start)


def _sum(data: bytes) -> int:
    """Return the crc32c of bytes, 1 where it is 0, which means that there are none."""
    return int(google_crc32c.value(data)) or 1


def _runs(wanted: Bools) -> list[tuple[int, int]]:
    """Return where runs of true begin and end.

    Examples
    --------
    >>> _runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
