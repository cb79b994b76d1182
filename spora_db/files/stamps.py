"""What changes when a file is written: one form of it for all rooms, as plain numbers, which are asked for per tile.

A file that a rename has replaced has another inode, even where its size and its time are those of the one before.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int]
"""Inode, modification time (ns) and size; for as long as a process runs."""
LastingStamp: TypeAlias = tuple[int, int]
"""Size and modification time (ns): what is written to files, as a copy, or another machine, has other inodes."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file of which the status is known."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def stamp(path: str | Path) -> Stamp:
    """Return the stamp of a file or folder; what changes in a folder is its list of names.

    Raises
    ------
    OSError
        There is none.
    """
    return stamp_of(os.stat(path))  # noqa: PTH116 - called per tile: a Path would cost more than the call itself


def file_stamp(path: str | Path) -> Stamp:
    """Return the stamp of a file.

    Raises
    ------
    OSError
        There is no file, or none that holds bytes: a folder, at which zarr-python reads the fill value, or a pipe, at
        which opening waits without end.
    """
    status = os.stat(path)  # noqa: PTH116 - called per chunk
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is a folder or a device, no file")
    return stamp_of(status)


def stamps(paths: Iterable[str | Path]) -> tuple[Stamp | None, ...]:
    """Return the stamps of files or folders, None where one is gone.

    Examples
    --------
    >>> stamps(["no/such/file"])
    (None,)
    """
    return tuple(map(stamp_if_there, paths))


def stamp_if_there(path: str | Path) -> Stamp | None:
    """Return the stamp of a file or folder, None where there is none."""
    try:
        return stamp(path)
    except OSError:
        return None


def lasting_stamp(path: str | Path) -> LastingStamp:
    """Return what of a file's stamp is written to other files.

    Raises
    ------
    OSError
        There is no file.
    """
    _, modified, size = stamp(path)
    return size, modified
