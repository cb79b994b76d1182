"""How a file becomes another one of the same size and time: renamed over, or written anew in place."""

import os
from collections.abc import Callable
from pathlib import Path


def replaced(path: Path, write: Callable[[Path], object]) -> None:
    """Write another file, and rename it over a first one, of whose size and time it is."""
    before, other = path.stat(), path.with_name(f"other-{path.name}")
    write(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def in_place(path: Path, write: Callable[[Path], object]) -> None:
    """Write another file into a first one, of whose size and time it is."""
    before, other = path.stat(), path.with_name(f"other-{path.name}")
    write(other)
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the clock that the file system reads has moved
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.unlink()
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
