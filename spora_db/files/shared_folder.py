"""Files that processes share in one folder: each appears whole, they are bounded, and who is killed does no harm.

1. Under the folder's lock `SharedFolder.write` makes room and a hidden file, which it locks while it lives.
2. It fills the file, which under the folder's lock again gets its name.
3. `SharedFolder.read` maps it: what was removed since stays mapped as it was.

Locks are those of the system, which end with the process that holds them.
"""

import contextlib
import errno
import mmap
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from spora_db.files.locks import held_alone, release
from spora_db.files.writing import take_room

MARKER: Final = "spora-db-cache"
"""The file by which a folder is known as one of ours; nothing is removed from any other."""
STATE: Final = "state"
"""Two numbers, and the lock: bytes held, and how often files were removed."""
OURS: Final = re.compile(rf"{MARKER}|{STATE}|\.?[0-9a-f]{{32}}")
SLACK: Final = 16
"""Removing makes room for this part of the limit at once, as it lists the folder: 6 µs a file."""


class CachedFile(NamedTuple):
    """A file of a folder: when it was last used (ns), its bytes, its name; they make room in this order."""

    used: int
    size: int
    name: str


class SharedFolder:
    """A folder of files that processes share; made by `lasting_folder` and `run_folder` of `cache_folders`.

    Parameters
    ----------
    path
        The folder.
    limit
        Bytes that its files take at most.
    lasting
        Whether files must survive a failure of power.
    """

    def __init__(self, path: Path, *, limit: int, lasting: bool) -> None:
        self.path, self.limit, self.lasting = path, limit, lasting
        self._at = f"{path}/"  # a chunk of 200 KB is written in 0.1 ms, half of which would go into Path objects
        self._counted = (-1, -1)
        with self._locked():
            pass

    def __reduce__(self) -> tuple[Callable[..., "SharedFolder"], tuple[Path]]:
        """Reduce to what another process opens."""
        return partial(SharedFolder, limit=self.limit, lasting=self.lasting), (self.path,)

    @property
    def held(self) -> int:
        """Bytes of the files."""
        return int(self._state[0])

    @property
    def removals(self) -> int:
        """How often files were removed; where it has not changed, all files that were there still are."""
        return int(self._state[1])

    def names(self) -> set[str]:
        """Return the names of all files, none where the folder is gone, or its disk fails."""
        try:
            return {name for name in os.listdir(self.path) if len(name) == 32}  # noqa: PTH208 - 3,000 in 0.8 ms
        except OSError:
            return set()

    def has(self, name: str) -> bool:
        """Tell whether there is a file."""
        return os.path.exists(self._at + name)  # noqa: PTH110

    def read(self, name: str) -> pa.Buffer | None:
        """Return the mapped bytes of a file, None where there is none.

        Raises
        ------
        OSError
            It cannot be read or mapped.
        """
        try:
            with pa.memory_map(self._at + name) as file:  # Python's mmap would hold a descriptor for each
                return file.read_buffer()
        except FileNotFoundError:
            return None

    def discard(self, name: str) -> None:
        """Remove a file that is not whole, as a broken disk or half a copy of the folder leaves one."""
        with contextlib.suppress(OSError), self._locked():
            (self.path / name).unlink()
            self._make_room(0, recount=True)  # it has other bytes now than were counted

    def touch(self, name: str) -> None:
        """Note that a file is used, where its disk is not one to be read only by now."""
        with contextlib.suppress(OSError):
            os.utime(self._at + name)

    def write(self, name: str, fill: Callable[[int], int], *, size: int) -> bool:
        """Let `fill` write a file of so many bytes, given its descriptor, and return them; then give it its name.

        Nothing changes if there is one of that name, which has 32 hexadecimal digits, or if another process is writing
        it: workers that read neighbouring tiles decode the same at the same time. Room is made before, as a disk may
        have no more than the limit, and again after, as others may have taken it meanwhile.

        Returns
        -------
        bool
            Whether it is there, or about to be; not if it is larger than the limit, which is not written at all.

        Raises
        ------
        OSError
            The folder is gone, or full before its limit.
        """
        import fcntl

        hidden = f"{self._at}.{name}"
        with self._locked():
            if os.path.exists(self._at + name):  # noqa: PTH110
                return True
            if os.path.exists(hidden) and not _left(hidden):  # noqa: PTH110
                return True
            if not self._make_room(size):
                return False
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed: see _left
        try:
            if fill(descriptor) != size:  # the last bytes of a disk take a part of what is written, and no error
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.lasting:
                os.fdatasync(descriptor)
            with self._locked():
                self._make_room(size)
                self._state[0] += size  # first: a writer that is killed here must not leave bytes uncounted
                os.rename(hidden, self._at + name)  # noqa: PTH104
                hidden = ""
            return True
        finally:
            if hidden:  # before it is let go of: then it is for the next to remove, who writes one of that name
                Path(hidden).unlink(missing_ok=True)
            release(descriptor)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder, which threads open each for themselves; it is gone where somebody has emptied it."""
        import fcntl

        descriptor = os.open(self._at + STATE, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            status = os.fstat(descriptor)
            if self._counted != (status.st_dev, status.st_ino):  # at first, and where somebody has made it anew
                self._count(descriptor)
                self._counted = (status.st_dev, status.st_ino)
            yield
        finally:
            release(descriptor)

    def _count(self, descriptor: int) -> None:
        """Map the numbers that all processes share, and count what is there."""
        os.ftruncate(descriptor, 16)
        take_room(descriptor)
        self._state = np.frombuffer(mmap.mmap(descriptor, 16), np.int64)
        self._make_room(0, recount=True)

    def _make_room(self, size: int, *, recount: bool = False) -> bool:
        """Remove files until `size` more bytes fit, those first that were not used for longest; some may be mapped."""
        if size > self.limit:
            return False
        if self.held + size <= self.limit and not recount:
            return True
        files = self._files()
        self._state[0] = sum(file.size for file in files)
        if self.held + size > self.limit:
            for file in sorted(files):
                (self.path / file.name).unlink(missing_ok=True)
                self._state[0] -= file.size
                if self.held + size <= self.limit - self.limit // SLACK:
                    break
            self._state[1] += 1
        return True

    def _files(self) -> list[CachedFile]:
        """Return the files, and remove hidden ones whose writers were killed."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if len(entry.name) == 32:
                    status = entry.stat(follow_symlinks=False)
                    found.append(CachedFile(status.st_mtime_ns, status.st_size, entry.name))
                elif OURS.fullmatch(entry.name) and entry.name.startswith("."):
                    _left(entry.path)
        return found


def _left(hidden: str) -> bool:
    """Remove a hidden file if its writer was killed, and return whether it was."""
    with contextlib.suppress(OSError), held_alone(Path(hidden)):
        Path(hidden).unlink()
        return True
    return False
