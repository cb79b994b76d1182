"""What changes when a file is written: one form of it for all rooms, as plain numbers, which are asked for per tile.

A file that a rename has replaced has another inode, even where its size and its time are those of the one before. One
that is written anew in place, of the same size, may be given its time back; no program can set that of the change.
"""

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int, int]
"""Inode, modification time (ns), size, and time of the last change of any kind (ns): on one machine, in one place."""
LastingStamp: TypeAlias = tuple[int, int]
"""Size and modification time (ns): what is written to files, as a copy, or another machine, has other inodes."""

SETTLED_NS = 2 * 10**9
"""How long the time of a file must have passed to tell it from any later time: two seconds, as FAT counts."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file of which the status is known."""
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns


def same_content(one: Stamp | None, other: Stamp | None) -> bool:
    """Tell whether stamps are of one file as written once; None is that of no file.

    A second link to a file and other rights are changes of it too: what is remembered of it may be read again for them,
    and nobody may be refused.

    Examples
    --------
    >>> same_content((7, 1, 2, 3), (7, 1, 2, 4)), same_content((7, 1, 2, 3), None)
    (True, False)
    """
    return one is other or (one is not None and other is not None and one[:3] == other[:3])


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
    _, modified, size, _ = stamp(path)
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


def settled_stamps(paths: Iterable[str | Path]) -> tuple[Stamp, ...] | None:
    """Return the stamps of files by which another process knows them again; None where one is gone or not settled.

    Examples
    --------
    >>> settled_stamps(["no/such/file"]) is None
    True
    """
    found = []
    for path in paths:
        current = stamp_if_there(path)
        if current is None or not is_settled(current[1], current[3]):
            return None
        found.append(current)
    return tuple(found)
