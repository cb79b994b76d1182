"""What changes when a file is written: one form of it for all rooms, as plain numbers, which are asked for per tile.

A file that a rename has replaced has another inode, even where its size and its time are those of the one before.
"""

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int]
"""Inode, modification time (ns) and size; for as long as a process runs."""
LastingStamp: TypeAlias = tuple[int, int]
"""Size and modification time (ns): what is written to files, as a copy, or another machine, has other inodes."""
SettledStamp: TypeAlias = tuple[int, int, int, int]
"""Inode, modification time, time of the last change of any kind (both in ns), and size; see `settled_stamps`."""

SETTLED_NS = 2 * 10**9
"""How long the time of a file must have passed to tell it from any later time: two seconds, as FAT counts."""


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
        return stamp_of(os.stat(path))  # noqa: PTH116 - as above
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


def is_settled(*times: int) -> bool:
    """Tell whether times of files (ns) are so long ago that a later change has another one.

    What was changed just now may be changed again within the same tick of the clock that its time is taken from.

    Examples
    --------
    >>> is_settled(0, 1), is_settled(0, time.time_ns())
    (True, False)
    """
    latest = time.time_ns() - SETTLED_NS
    return all(at < latest for at in times)


def settled_stamps(paths: Iterable[str | Path]) -> tuple[SettledStamp, ...] | None:
    """Return the stamps of files by which another process knows them again; None where one is gone or not settled.

    A program can set a file's modification time, as after it has written the file anew, in place and of the same size;
    no program can set the time of that change.

    Examples
    --------
    >>> settled_stamps(["no/such/file"]) is None
    True
    """
    found = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - as above
        except OSError:
            return None
        if not is_settled(status.st_mtime_ns, status.st_ctime_ns):
            return None
        found.append((status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
    return tuple(found)
