"""Files of remote lakes where code and libraries expect files: to read, and never to write."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.errors import WriteError
from spora_db.files.stores.mirror import Mirror, mirror_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RemoteFile(io.RawIOBase):
    """A file of a remote lake as Python reads files, for libraries that want one."""

    def __init__(self, owner: Mirror, path: str, size: int) -> None:
        super().__init__()
        self.name, self._owner, self._size, self._at = path, owner, size, 0

    def readable(self) -> bool:
        """Return whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Return whether one can read from anywhere: always."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read from."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Choose where the next byte is read from."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read as much as the buffer takes, or there is."""
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), self._size - self._at))
        view[:size] = self._owner.read(self.name, self._at, size) if size else b""
        self._at += size
        return size


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes, one of a remote lake too."""
    found = opened(path)
    return found.open("rb") if isinstance(found, Path) else found


def opened(path: Path) -> Path | io.BufferedReader:
    """Return what a library opens in place of a file: its path or, of a remote lake, the file itself."""
    found = mirror_of(path)
    state = None if found is None else found.find(str(path))
    if found is None or state is None:
        return path
    return io.BufferedReader(RemoteFile(found, str(path), state.size), 2**16)


def fetch_whole(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Bring the files among these that lie in remote lakes and are not there yet, many at once: tables, documents.

    Whoever reads a table by its path calls this first.

    Raises
    ------
    StoreError, FileFormatError
        One of them is gone, or another one, or cannot be read.
    """
    wanted: dict[Mirror, list[Path]] = {}
    for path in paths:
        if (found := mirror_of(path)) is not None:
            wanted.setdefault(found, []).append(Path(path))
    for found, files in wanted.items():
        found.fetch(files)


def again(path: str | os.PathLike[str]) -> str:
    """Say how a broken file becomes whole: one of a remote lake where it lies, as its copy here only follows it.

    Examples
    --------
    >>> again("/data/lake/cohort/channels.parquet")
    'Copy or download it again.'
    """
    if (found := mirror_of(path)) is None:
        return "Copy or download it again."
    return f"Upload it again to {found.address}, or tell its keepers."


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse to write into the copy of a remote lake.

    Raises
    ------
    WriteError
        If a path lies in one.
    """
    if (found := mirror_of(path)) is not None:
        raise WriteError(
            f"{found.address} is not written to. Put a folder over it, as with --into mine, or "
            f"Catalog([{found.address!r}, 'mine']); to publish it: aws s3 sync mine {found.address}"
        )
