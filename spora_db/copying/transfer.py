"""Files brought over: each whole, its bytes pinned to what was listed, noted as it is there, compared at the end.

A killed run leaves what it has brought and a journal of it; the next run goes on from there. The journal has a line per
file, as JSON: its name, what the original was, and the crc32c of its bytes. A line that a kill has cut short is none.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import google_crc32c

from spora_db.copying.places import CopiedFile, place_of
from spora_db.errors import FileFormatError, SporaError, WriteError, reason
from spora_db.files.stores import ObjectState

T = TypeVar("T")

PIECE = 2**23
"""Bytes that are read at once."""
AT_ONCE = 16
"""Files under way at once: a remote lake answers each after tens of milliseconds."""


class Brought(NamedTuple):
    """A file that is there: what its original was, and the crc32c of its bytes."""

    state: ObjectState
    sum: int


class Transfer(NamedTuple):
    """What a run has done: files and bytes that it brought, and files that were there from an earlier one."""

    files: int
    bytes: int
    kept: int


def bring(
    files: Sequence[CopiedFile],
    folder: Path,
    *,
    journal: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Transfer:
    """Copy files into a folder, but for those that the journal knows to be there.

    Parameters
    ----------
    files
        The files.
    folder
        Where they go, each by its name.
    journal
        The journal; lines are added.
    progress
        Called with how many of how many files are there.

    Raises
    ------
    FileFormatError
        If a file is another one than when it was listed, or the disk gives back other bytes than were written.
    StoreError
        If a file cannot be read.
    WriteError
        If one cannot be written.
    """
    known = _read_journal(journal)
    missing = [file for file in files if not _is_there(file, folder, known)]
    kept = len(files) - len(missing)
    with journal.open("a", encoding="utf-8") as notes:
        notes.write("\n")  # ends a line that a kill has cut short
        for done, (file, found) in enumerate(_each(lambda file: _bring(file, folder), missing), start=kept + 1):
            known[file.name] = found
            notes.write(json.dumps([file.name, found.state.size, found.state.version, found.sum]) + "\n")
            notes.flush()
            if progress is not None:
                progress(done, len(files))
    for file, total in _each(lambda file: _sum_of(folder / file.name), files):
        if total != known[file.name].sum:
            (folder / file.name).unlink()
            raise FileFormatError(
                f"{folder / file.name} holds other bytes than were written: the disk or its memory is at fault. It was "
                "removed; run the same copy again, and check the disk."
            )
    return Transfer(files=len(missing), bytes=sum(file.state.size for file in missing), kept=kept)


def _each(work: Callable[[CopiedFile], T], files: Sequence[CopiedFile]) -> Iterator[tuple[CopiedFile, T]]:
    """Yield each file with what becomes of it, many at once; after an error no further one is begun."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield from zip(files, pool.map(work, files), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_there(file: CopiedFile, folder: Path, known: Mapping[str, Brought]) -> bool:
    found = known.get(file.name)
    if found is None or found.state != file.state:
        return False
    try:
        return (folder / file.name).stat().st_size == file.state.size
    except OSError:
        return False


def _bring(file: CopiedFile, folder: Path) -> Brought:
    """Copy one file under a temporary name, and give it its own when it is whole."""
    path = folder / file.name
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as target:
            total = _write(file, target)
        temporary.replace(path)
    except SporaError:  # of reading
        temporary.unlink(missing_ok=True)
        raise
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WriteError(
            f"Could not write {path}: {reason(error)}. Free space there or name another folder, and run the same copy "
            "again: it goes on from here."
        ) from error
    return Brought(file.state, total)


def _write(file: CopiedFile, target: IO[bytes]) -> int:
    store, key = place_of(file.path)
    total = 0
    for offset in range(0, file.state.size, PIECE):
        data = store.read(key, offset=offset, size=min(PIECE, file.state.size - offset), state=file.state)
        total = google_crc32c.extend(total, data)
        target.write(data)
    return int(total)


def _sum_of(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while data := file.read(PIECE):
            total = google_crc32c.extend(total, data)
    return int(total)


def _read_journal(path: Path) -> dict[str, Brought]:
    found = {}
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            name, size, version, total = json.loads(line)
        except ValueError:
            continue
        found[name] = Brought(ObjectState(size=size, version=version), total)
    return found


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what is not named of a folder: files that an earlier run took, or left half-written, and empty folders."""
    wanted = {str(folder / name) for name in names}
    for inner, _, files in os.walk(folder, topdown=False):
        for file in files:
            path = Path(inner) / file
            if str(path) not in wanted:
                path.unlink()
        if not any(Path(inner).iterdir()):
            Path(inner).rmdir()
