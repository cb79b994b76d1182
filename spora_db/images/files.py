"""Open files per process, read by position: no shared file offset, no lock while reading, few descriptors."""

import os

from spora_db.errors import FileFormatError, SporaError
from spora_db.files.descriptors import open_at_once
from spora_db.files.failures import no_descriptor, reader_error, telling
from spora_db.files.recent import Recent
from spora_db.files.stamps import Stamp, same_content, stamp_if_there, stamp_of
from spora_db.files.stores.mirror import mirror_of
from spora_db.files.stores.remote_files import again

MAX_OPEN_FILES = open_at_once()


def broken(path: object, found: str, *, expected: str, remedy: str = "") -> FileFormatError:
    """Build the error for a file whose bytes are not what they should be, such as after half a copy."""
    remedy = remedy or again(str(path))
    return FileFormatError(f"The image file {path} is broken: {found}. Expected {expected}. {remedy}")


class telling_unopened:
    """Tell what the system says in this block of a file that it does not give; errors of ours pass."""

    def __init__(self, path: object, *, expected: str) -> None:
        self._path, self._expected = path, expected

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise what tells the error."""
        if isinstance(error, OSError) and not isinstance(error, SporaError):
            raise unopened(self._path, error, expected=self._expected) from error


def unopened(path: object, error: OSError, *, expected: str) -> SporaError:
    """Build the error for a file that the system does not give: broken, unless any other would not be given either."""
    if no_descriptor(error):
        return reader_error(f"The image file {path}", error, library="spora-db")
    return broken(path, str(error), expected=expected, remedy="Check the disk and its rights.")


def telling_broken(path: object, *, library: str, expected: str) -> telling:
    """Tell what a library raises while it reads an image: as a broken file, by the kind of the error and its words."""

    def unreadable(error: Exception) -> FileFormatError:
        return broken(path, f"{type(error).__name__}: {error}", expected=expected)

    return telling(f"The image {path}", library=library, broken=unreadable)


def check_unchanged(path: str, known: Stamp) -> None:
    """Refuse what was decoded of a file that is no longer what it was before: it may be of two states.

    Raises
    ------
    FileFormatError
        The file was written again, or is gone.
    """
    if not same_content(stamp_if_there(path), known):
        raise FileFormatError(
            f"The image file {path} was written again while it was read. Open the image again, once it is whole."
        )


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

    __slots__ = ("_descriptor", "_remote", "path", "stamp")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self.path = path
        self._remote = mirror_of(path)
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.stamp: Stamp = stamp_of(os.fstat(self._descriptor))

    def __del__(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def is_remote(self) -> bool:
        """Whether its bytes come over a network, if they are not kept."""
        return self._remote is not None

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self.stamp[2]

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
        if self._remote is not None:
            return self._remote.read(self.path, offset, size)
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


FILES = Recent[tuple[int, str], OpenFile](MAX_OPEN_FILES)
"""Open files by (owner, path)."""


def open_file(owner: int, path: str, current: Stamp | None = None) -> OpenFile:
    """Return the open file, opened anew when it is not what ``current`` says is on disk now."""
    file = FILES.get((owner, path))
    if file is None or not (current is None or file.stamp == current):
        file = OpenFile(path)
        FILES.put((owner, path), file)
    return file


def close_files(owner: int) -> None:
    """Forget the open files of one reader; they are opened again when needed."""
    FILES.forget(lambda key: key[0] == owner)
