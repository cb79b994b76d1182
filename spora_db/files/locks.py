"""Lock files that the system releases with the process, so that a killed run never blocks the next one."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import WriteError

UNLOCKABLE = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)
"""What a file system says that has no locks; whoever holds one there writes what others may write too."""

_HELD: set[int] = set()


class HeldElsewhereError(WriteError):
    """Another process holds a lock.

    Examples
    --------
    >>> issubclass(HeldElsewhereError, WriteError)
    True
    """


@contextlib.contextmanager
def lock_file(path: Path, *, shared: bool = False, wait: bool = True, keep: bool = True) -> Iterator[None]:
    """Hold a lock file, which is made with its folder where there is none.

    Parameters
    ----------
    path
        The file.
    shared
        Whether others may hold it at the same time, shared as well.
    wait
        Whether to wait for those who hold it.
    keep
        Whether the file stays; else it is removed in the end by whoever holds it alone.

    Raises
    ------
    HeldElsewhereError
        Another process, or another part of this one, holds it, and one is not to wait.
    WriteError
        The file cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, lock_file(Path(folder) / "lock"):
    ...     with lock_file(Path(folder) / "lock", wait=False):
    ...         pass
    Traceback (most recent call last):
    spora_db.files.locks.HeldElsewhereError: ...
    """
    descriptor = _held(path, shared=shared, wait=wait)
    _HELD.add(descriptor)
    try:
        yield
    finally:
        if not keep:
            with contextlib.suppress(OSError):
                if shared:
                    _lock(descriptor, shared=False, wait=False)
                path.unlink()
        _HELD.discard(descriptor)
        release(descriptor)


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Hold a file that is there and that nobody holds, to clear away what a killed process left.

    Raises
    ------
    OSError
        Somebody holds it, there is none, or its file system has no locks, so that nobody can tell.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, held_alone(Path(file.name)), held_alone(Path(file.name)):
    ...     pass
    Traceback (most recent call last):
    BlockingIOError: ...
    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    _HELD.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        _HELD.discard(descriptor)
        release(descriptor)


def _held(path: Path, *, shared: bool, wait: bool) -> int:
    """Return the descriptor of the file that is there now, locked."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # the folder was removed by a run that has just ended
            continue
        except OSError as error:
            raise WriteError(f"Could not write {path}: {error.strerror or error}.") from error
        try:
            _lock(descriptor, shared=shared, wait=wait)
            held, current = os.fstat(descriptor), path.stat()
            if (held.st_ino, held.st_dev) == (current.st_ino, current.st_dev):
                return descriptor
        except FileNotFoundError:  # the holder before us removed the file: lock the one that is there now
            pass
        except BlockingIOError as error:
            os.close(descriptor)
            raise HeldElsewhereError(f"{path} is held by another run.") from error
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool, wait: bool) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise


def release(descriptor: int) -> None:
    """Let go of a lock, and close its file: closing alone would leave it to whoever has a copy of the descriptor."""
    import fcntl

    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _let_go() -> None:
    """Close what a fork has copied: a worker that outlives its killed parent must not hold the parent's locks."""
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)
