"""Folders for caches that processes share: one that is kept from run to run, and one that ends with its run.

A folder of a run is locked for as long as the process that made it, or a child that it forked, lives; the next run
removes what nobody locks.
"""

import contextlib
import os
import secrets
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spora_db.errors import WriteError
from spora_db.files.locks import held_alone
from spora_db.files.shared_folder import MARKER, OURS, STATE, SharedFolder

SHARED_MEMORY: Final = Path("/dev/shm")


def lasting_folder(path: str | os.PathLike[str], *, limit: int) -> SharedFolder:
    """Return a folder that is kept from run to run, made where there is none; on a local disk.

    Raises
    ------
    WriteError
        It cannot be written to, belongs to another user or may be written to by others, or holds other files.
    """
    folder = Path(path).absolute()
    with _told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise WriteError(
                f"The cache folder {folder} belongs to user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o};"
                f" expected one of user {os.geteuid()} that nobody else may write to. Name another folder, or chmod "
                "go-w it."
            )
        others = sorted(path.name for path in folder.iterdir())
        if others and not (folder / MARKER).exists():  # asked for last: another run may have begun just now
            raise WriteError(
                f"The cache folder {folder} holds other files: {', '.join(others[:3])}. Name an empty folder, or one "
                "that does not exist yet."
            )
        for name in (MARKER, STATE):
            (folder / name).touch(0o600)
        return SharedFolder(folder, limit=limit, lasting=True)


def run_folder(*, limit: int) -> SharedFolder:
    """Return a folder in shared memory that is gone with this process; those that killed ones left go now.

    Raises
    ------
    WriteError
        There is no shared memory, or less than `limit` bytes of it.
    """
    import fcntl

    under = SHARED_MEMORY
    with _told(under):
        for left in under.glob(f"{MARKER}-{os.geteuid()}-*"):
            if left.lstat().st_uid == os.geteuid() and left.is_dir() and not left.is_symlink():
                with contextlib.suppress(OSError), held_alone(left / MARKER):
                    _remove(left)
        space = os.statvfs(under)
        if (free := space.f_bavail * space.f_frsize) < limit:
            raise WriteError(
                f"{under} has {free / 2**20:,.0f} MiB free, and a shared cache takes up to {limit / 2**20:,.0f} MiB. "
                "Give the machine or container more shared memory (docker run --shm-size), lower cache_bytes, or name "
                "a folder on a local disk."
            )
        path = under / f"{MARKER}-{os.geteuid()}-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        descriptor = os.open(path / f".{MARKER}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (path / STATE).touch(0o600)
        (path / f".{MARKER}").rename(path / MARKER)  # it is seen only once it is locked
        folder = SharedFolder(path, limit=limit, lasting=False)
    weakref.finalize(folder, _end, path, descriptor, os.getpid())
    return folder


def _end(path: Path, descriptor: int, process: int) -> None:
    """Remove the folder of a run, unless this is a child."""
    if os.getpid() == process:
        _remove(path)
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        for file in path.iterdir():
            if OURS.fullmatch(file.name):
                file.unlink(missing_ok=True)
        path.rmdir()


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell why a folder cannot hold a cache."""
    try:
        yield
    except WriteError:
        raise
    except (OSError, ImportError) as error:  # no fcntl: a system without such locks
        reason = getattr(error, "strerror", None) or error
        raise WriteError(
            f"{folder} cannot hold a cache: {reason}. Name a folder on a local disk that can be written to."
        ) from error
