"""Open files per process, read by position: no shared file offset, no lock while reading, few descriptors."""

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TypeAlias

from spora_db.errors import FileFormatError

MAX_OPEN_FILES = 128
Signature: TypeAlias = tuple[int, int, int]


def signature(path: str | Path) -> Signature:
    """Return what changes when the file at ``path`` is written or replaced: inode, modification time (ns), size.

    Raises
    ------
    OSError
        There is no file, or none that holds bytes: a folder, at which zarr-python reads the fill value, or a pipe, at
        which opening waits without end.
    """
    status = os.stat(path)  # noqa: PTH116 - called per chunk: a Path would cost more than the call itself
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is a folder or a device, no file")
    return status.st_ino, status.st_mtime_ns, status.st_size


def broken(path: object, found: str, *, expected: str, remedy: str = "Copy or download it again.") -> FileFormatError:
    """Build the error for a file whose bytes are not what they should be."""
    return FileFormatError(f"The image file {path} is broken: {found}. Expected {expected}. {remedy}")


def describe(head: bytes) -> str:
    """Say what a file that begins with ``head`` seems to be."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a git-lfs pointer, not the data (run `git lfs pull`)"
    if head.lstrip()[:1] == b"<":
        return "it is a web page or XML text"
    return f"it begins with {head[:16]!r}"


class OpenFile:
    """A file descriptor that closes with its last user, so that forgetting the file never closes it under a reader."""

    __slots__ = ("_descriptor", "path", "signature")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        status = os.fstat(self._descriptor)
        self.signature: Signature = (status.st_ino, status.st_mtime_ns, status.st_size)

    def __del__(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self.signature[2]

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly ``size`` bytes from ``offset``.

        Raises
        ------
        FileFormatError
            The file ends earlier, or the disk fails.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise broken(
                self.path,
                f"it has {self.size} bytes, but its contents point to bytes {offset} to {offset + size}",
                expected="a complete file",
            )
        try:
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size:  # signals and some network file systems give less than asked
                more = os.pread(self._descriptor, size - len(data), offset + len(data))
                if not more:
                    raise broken(self.path, "it was cut short while it was read", expected=f"{self.size} bytes")
                data += more
        except OSError as error:
            raise FileFormatError(f"Could not read {self.path}: {error.strerror or error}. Check the disk.") from error
        return data


class OpenFiles:
    """Descriptors by (owner, path), the least recently used forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.forget_all()

    def forget_all(self) -> None:
        """Start empty with a fresh lock; a forked child thereby closes its own copies of the descriptors."""
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[int, str], OpenFile] = OrderedDict()

    def get(self, owner: int, path: str, current: Signature | None = None) -> OpenFile:
        """Return the open file, opened anew when it is not what ``current`` says is on disk now."""
        key = (owner, path)
        with self._lock:
            file = self._files.get(key)
            if file is not None and (current is None or file.signature == current):
                self._files.move_to_end(key)
                return file
        file = OpenFile(path)
        with self._lock:
            self._files[key] = file
            self._files.move_to_end(key)
            while len(self._files) > self._limit:
                self._files.popitem(last=False)
        return file

    def forget(self, owner: int) -> None:
        """Forget all files of one reader."""
        with self._lock:
            for key in [key for key in self._files if key[0] == owner]:
                del self._files[key]


FILES = OpenFiles(MAX_OPEN_FILES)
os.register_at_fork(after_in_child=FILES.forget_all)
