"""What the copies of remote lakes take of the disk: told, bounded, cleared; no file but theirs is ever touched."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from spora_db.errors import ArgumentError, SporaError, WriteError
from spora_db.files.folders import user_folder
from spora_db.files.locks import lock_file

CACHE_VARIABLE = "SPORA_CACHE_DIR"
"""The environment variable that names the folder of copies; by default one in the user's folder for caches."""
BYTES_VARIABLE = "SPORA_CACHE_BYTES"
"""The environment variable that says how many bytes of images all copies keep together."""
DEFAULT_BYTES = 20 * 10**9
ADDRESS = "address"
"""The file by which a folder is known for a copy."""


def mirrors_folder() -> str:
    """Return the folder of all copies: what the environment names, else one of the user's."""
    return _mirrors_folder(os.environ.get(CACHE_VARIABLE))


@lru_cache(maxsize=8)
def _mirrors_folder(chosen: str | None) -> str:
    return f"{Path(chosen).absolute() if chosen else user_folder('cache')}/lakes"


class KeptLake(NamedTuple):
    """One copy: the address of the lake, its folder, and the bytes on disk."""

    address: str
    folder: Path
    bytes: int


def kept_bytes_limit() -> int:
    """Return how many bytes of images copies may keep.

    Raises
    ------
    ArgumentError
        If the environment variable is no whole number of bytes.
    """
    text = os.environ.get(BYTES_VARIABLE, str(DEFAULT_BYTES))
    if not text.strip().isdigit():
        raise ArgumentError(f"{BYTES_VARIABLE}={text!r} is no number of bytes. Write it as 20000000000.")
    return int(text)


def kept_lakes(base: Path) -> list[KeptLake]:
    """Return the copies below a folder, by address."""
    found = []
    for note in base.glob(f"*/{ADDRESS}"):
        used = sum(_bytes(path) for path in note.parent.rglob("*"))
        found.append(KeptLake(note.read_text(encoding="utf-8"), note.parent, used))
    return sorted(found)


def clear(base: Path, address: str | None = None) -> list[KeptLake]:
    """Remove the copy of one lake, or all, and return what was removed."""
    chosen = [kept for kept in kept_lakes(base) if address in (None, kept.address)]
    for kept in chosen:
        shutil.rmtree(kept.folder)
    return chosen


def trim(base: Path, limit: int) -> None:
    """Remove the images that were opened longest ago, until the others take at most `limit` bytes.

    A process that reads one of them goes on with what it has open.
    """
    images = sorted(_images(base))
    held = sum(size for _, size, _ in images)
    for _, size, sums in images:
        if held <= limit:
            break
        for path in (sums, sums.with_suffix(".data")):
            path.unlink(missing_ok=True)
        held -= size


def _images(base: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield what was kept of every image: when it was opened last, its bytes, the file of its sums."""
    for note in base.glob(f"*/{ADDRESS}"):
        for sums in (note.parent / "notes").rglob("*.sums"):
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                yield sums.stat().st_mtime, _bytes(sums.with_suffix(".data")), sums


def _bytes(path: Path) -> int:
    """Return what a file takes of the disk: a sparse one less than its size."""
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Say of what cannot be written to a copy why, and how another place for it is named.

    Raises
    ------
    WriteError
        In place of an `OSError` of the system: no rights, a disk that is full or only read.
    """
    try:
        yield
    except SporaError:
        raise
    except OSError as error:
        base, whose = Path(mirrors_folder()).parent, ""
        with contextlib.suppress(OSError):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            whose = f", and {there} belongs to another user" if there.stat().st_uid != os.geteuid() else ""
        raise WriteError(
            f"What is read of remote lakes cannot be kept below {base}: {error.strerror or error}{whose}. Free space "
            f"there, or name another folder, of your own, with {CACHE_VARIABLE}."
        ) from error


@contextlib.contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock file of a copy, as one process at a time does.

    Raises
    ------
    WriteError
        It cannot be made.
    """
    with kept_in(folder):
        (folder / name).touch()
    with lock_file(folder / name):
        yield


def made(folder: Path) -> None:
    """Make a folder that only its owner enters.

    Raises
    ------
    WriteError
        It cannot be made.
    """
    with kept_in(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole; one that holds these very bytes stays, with its time.

    Raises
    ------
    WriteError
        It cannot be written.
    """
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return
    made(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with kept_in(path.parent):
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
