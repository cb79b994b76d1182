"""Files and folders that appear whole or not at all: under a temporary name beside them, fsync, rename, fsync.

What belongs to a lake, or to its user, is written by `atomic_path`. Two others rename without fsync, as what they
write can be made again: `write_whole` of `stores.kept` keeps what a remote lake says, where `atomic_path` refuses to
write, and leaves a file that holds the same bytes its time; `SharedFolder` holds what processes share, within a limit.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from spora_db.errors import SporaError, WriteError
from spora_db.files.stores.remote_files import check_writable

SYNCED_AT_ONCE: Final = 8
"""Files that are waited for at once: of 200 files of 1 MB, one after another took 1.0 s, eight at once 0.2."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; what lies there becomes ``path`` when the block ends without an error.

    What is temporary is hidden, in the folder of ``path`` (which is made if absent) and named by process and chance,
    so two runs at once never share it. It is gone after an error; a killed process can leave it behind, but never a
    half-written ``path``.

    Parameters
    ----------
    path
        The file or folder to write. What is there is replaced only by something complete: a file in one step.

    Yields
    ------
    Path
        Where to write. It does not exist yet, and must be an ordinary file, or a folder of them, when the block ends.

    Raises
    ------
    WriteError
        The folder is read-only, the disk is full, or the block raised any other ``OSError``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     print([(file.name, file.read_text()) for file in Path(folder).iterdir()])
    [('note.txt', 'whole')]
    """
    path = Path(path)
    check_writable(path)
    token = f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    temporary, old = path.with_name(f"{token}.tmp"), path.with_name(f"{token}.old.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync_all(temporary)
        if temporary.is_dir() and os.path.lexists(path):
            path.rename(old)
        temporary.replace(path)
    except SporaError:
        raise
    except OSError as error:
        if os.path.lexists(old) and not path.exists():
            old.rename(path)
        reason = error.strerror or str(error)
        raise WriteError(
            f"Could not write {path}: {reason}. Nothing half-written is left there. "
            "Check that the folder can be written to and that the disk has room, then run again."
        ) from error
    finally:
        for rest in (temporary, old):  # after a failure the first error is the one to tell
            if rest.is_dir() and not rest.is_symlink():
                shutil.rmtree(rest, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    rest.unlink()
    sync_folder(path.parent)


def named_file(path: str | Path) -> Path:
    """Return the path of a file that a user names to write; unlike a lake's own folders, its folder is not made.

    Raises
    ------
    WriteError
        Its folder is not there, such as a misspelt one, or the path is a folder itself.

    Examples
    --------
    >>> named_file("no/such/folder/answer.csv")
    Traceback (most recent call last):
    spora_db.errors.WriteError: Could not write no/such/folder/answer.csv: there is no folder no/such/folder. ...
    """
    path = Path(path)
    try:
        found = "it is a folder. Name a file in it." if path.is_dir() else ""
        if not path.parent.is_dir():
            absent = not os.path.lexists(path.parent)
            found = f"there is no folder {path.parent}." if absent else f"{path.parent} is no folder."
            found += " Make it first, or correct the path."
    except OSError as error:
        found = f"{error.strerror or error}. Check the path and its rights."
    if found:
        raise WriteError(f"Could not write {path}: {found}")
    return path


def made_folder(path: str | Path) -> Path:
    """Return a folder to write to, made where there is none; the folder that it is in must be there.

    Raises
    ------
    WriteError
        It cannot be made, or is no folder.
    """
    path = Path(path)
    try:
        path.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise WriteError(f"No folder {path} was made: there is no {path.parent}. Correct the path.") from error
    except OSError as error:
        raise WriteError(f"No folder {path} was made: {error.strerror or error}.") from error
    return path


def publish_folder(made: Path, path: Path) -> None:
    """Give a finished folder, on the same disk, the name under which it is looked for; nothing may be there yet.

    Raises
    ------
    WriteError
        If something is there, or the disk does not take it.
    """
    try:
        _sync_all(made)
        made.rename(path)
    except OSError as error:
        raise WriteError(f"Could not write {path}: {error.strerror or error}. {made} is finished; move it.") from error
    sync_folder(path.parent)


def take_room(descriptor: int) -> None:
    """Have the disk keep room for all bytes of a file that is mapped and written: a full one ends the process there.

    Raises
    ------
    OSError
        The disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     size = file.truncate(2**20)
    ...     take_room(file.fileno())
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)


def _sync_all(path: Path) -> None:
    """Wait until a file, or a folder with all in it, is on the disk."""
    if path.is_dir():
        with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:
            list(pool.map(_sync, path.rglob("*")))
    _sync(path)


def sync_folder(path: Path) -> None:
    """Wait until the list of names in a folder is on the disk, where the file system can."""
    with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder; its files are whole
        _sync(path)


def _sync(path: Path) -> None:
    """Wait until what ``path`` holds is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
