"""A hidden folder beside a target where the results of units lie until all are there: a killed run resumes from it.

``<folder>/.<target>.work/<fingerprint of the parameters>/<digest of the tissue and of what is read>.npz``

Results appear whole or not at all. Parameters and inputs are in the names, so results of other parameters, or of a mask
that has changed since, are never mixed in. Several runs and shards may fill one folder at the same time: whatever they
write under one name is the same.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spora_db import __version__
from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError, WriteError
from spora_db.files.failures import FILE_FAILURES
from spora_db.files.stamps import lasting_stamp
from spora_db.files.writing import atomic_path

FORMAT = 1  # of the files in the folder; raised when they change, so that old ones are not taken for new ones
COMMITTING = "committing"
TRASH = ".trash-"
LOCK = "lock"
TRIES = 8  # to write while other runs end and take the folder away


def fingerprint(value: object) -> str:
    """Return 16 hexadecimal digits that stand for a JSON value, this version of the package included.

    Examples
    --------
    >>> fingerprint({"stride": 64}) == fingerprint({"stride": 64}), fingerprint({"stride": 64}) == fingerprint({})
    (True, False)
    """
    text = json.dumps([FORMAT, __version__, value], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_state(path: Path) -> list[object]:
    """Return what changes when a file, or anything in a folder, is written: names, sizes and modification times.

    A path that does not exist has a state too, the same for all such paths.
    """
    try:
        own = lasting_stamp(path)
    except OSError:
        return [path.name, None]
    if not path.is_dir():
        return [path.name, *own]
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(path, followlinks=True):
        folders.sort()
        for name in sorted(names):
            size, modified = lasting_stamp(os.path.join(folder, name))  # noqa: PTH118 - of up to 100,000 files
            digest.update(f"{os.path.relpath(folder, path)}/{name} {size} {modified}\n".encode())
    return [path.name, digest.hexdigest()]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFolder:
    """Where the results of one run's units lie.

    Attributes
    ----------
    path
        The folder, named by the fingerprint of the parameters, inside the hidden folder beside the target.
    """

    path: Path

    @classmethod
    def beside(cls, target: Path, *, parameters: Mapping[str, Any]) -> "WorkFolder":
        """Return the work folder of a target (a file or a folder), whether it exists or not.

        Examples
        --------
        >>> folder = WorkFolder.beside(Path("tiling/224_tile_coordinates.parquet"), parameters={"stride": 112})
        >>> folder.path.parent.as_posix()
        'tiling/.224_tile_coordinates.work'
        """
        name = target.name.removesuffix(".parquet")
        return cls(path=target.parent / f".{name}.work" / fingerprint(dict(parameters)))

    def result(self, tissue_id: str, *, inputs: object, stage: str = "") -> Path:
        """Return the file for the result of a tissue that is computed from ``inputs`` (JSON values)."""
        return self.path / f"{fingerprint([tissue_id, inputs, stage])}.npz"

    def open(self) -> None:
        """Make the folder, and find out now whether it can be written to.

        Raises
        ------
        WriteError
            The lake is read-only, or the disk is full.
        """
        probe = self.path / f".probe-{os.getpid()}-{secrets.token_hex(4)}"

        def write_probe() -> None:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"x")
                probe.unlink()
            except OSError as error:
                raise WriteError(
                    f"Could not write in {self.path.parent.parent}: {error.strerror or error}. Results are written "
                    "beside the lake's files; make the folder writable, or work on a copy of the lake."
                ) from error

        _until_stands(write_probe)

    @property
    def used(self) -> bool:
        """Whether an earlier run left results here, or another run is at work."""
        return self.path.is_dir()

    @property
    def committing(self) -> bool:
        """Whether a run was killed while it put the final files in place."""
        return (self.path / COMMITTING).is_file()

    def mark_committing(self) -> None:
        """Note that all results are here and the final files are about to be put in place."""
        with atomic_path(self.path / COMMITTING) as temporary:
            temporary.write_bytes(b"")

    def record_failure(self, tissue_id: str, reason: str | None, *, result: Path) -> None:
        """Note why a tissue has no result, for the step that merges shards; None forgets it.

        The name of the result stands for what was read: a failure says nothing of a tissue whose files changed since.
        """
        path = self.path / f"failed-{fingerprint(tissue_id)}.json"
        if reason is None:
            path.unlink(missing_ok=True)
            return
        text = json.dumps({"tissue_id": tissue_id, "reason": reason, "result": result.name})
        _until_stands(lambda: _write(path, lambda stream: stream.write(text.encode())))

    def failures(self, results: Iterable[Path]) -> dict[str, str]:
        """Return the reasons that any run or shard noted, by tissue, of results that are asked for now.

        A note that is damaged, or forgotten meanwhile by another run, says nothing: its tissue has no result yet.
        """
        names = {path.name for path in results}
        found = [entry for path in self.path.glob("failed-*.json") if (entry := _noted(path)) is not None]
        return {tissue: reason for tissue, reason, result in found if result in names}

    def remove(self) -> None:
        """Delete the results in one step, so that a run that is killed meanwhile leaves all of them or none."""
        trash = self.path.parent / f"{TRASH}{os.getpid()}-{secrets.token_hex(4)}"
        with contextlib.suppress(OSError):  # another run was quicker
            self.path.rename(trash)

    def sweep(self) -> bool:
        """Clear away what finished runs left, and the hidden folder itself; tell whether it was there and is gone.

        Results of unfinished runs stay.
        """
        around = self.path.parent
        if not around.is_dir():
            return False
        for leftover in around.glob(f"{TRASH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with contextlib.suppress(OSError):
            if [entry.name for entry in around.iterdir()] in ([], [LOCK]):
                (around / LOCK).unlink(missing_ok=True)
                around.rmdir()
        return not around.exists()

    def others(self) -> list[Path]:
        """Return work folders of the same target with other parameters: of unfinished runs, or of runs at work."""
        around = self.path.parent
        found: Iterable[Path] = around.iterdir() if around.is_dir() else ()
        return sorted(path for path in found if path != self.path and not path.name.startswith(".") and path.is_dir())


def _noted(path: Path) -> tuple[str, str, str] | None:
    """Return tissue, reason and result of a failure's note; None where it cannot be read."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = [entry.get(name) for name in ("tissue_id", "reason", "result")] if isinstance(entry, dict) else []
    texts = [part for part in parts if isinstance(part, str)]
    return (texts[0], texts[1], texts[2]) if len(texts) == 3 else None


def write_result(path: Path, *, arrays: Mapping[str, AnyArray], record: Mapping[str, Any]) -> None:
    """Write arrays and a record of JSON values and numpy's numbers as one file, whole or not at all."""
    text = json.dumps(record, sort_keys=True, default=np.generic.item).encode()
    named: dict[str, Any] = {"record": np.frombuffer(text, np.uint8), **arrays}
    _until_stands(lambda: _write(path, lambda stream: np.savez(stream, **named)))


def _write(path: Path, content: Callable[[BinaryIO], object]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        content(stream)


def _until_stands(write: Callable[[], None]) -> None:
    """Write, and again where another run has just finished and taken the folder away meanwhile."""
    for left in reversed(range(TRIES)):
        try:
            write()
        except WriteError as error:
            if not left or not isinstance(error.__cause__, FileNotFoundError):
                raise
        else:
            return


def read_result(path: Path) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Return what `write_result` wrote; nothing in the file is executed.

    Raises
    ------
    FileFormatError
        The file was damaged after it was written.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        record = json.loads(arrays.pop("record").tobytes() if "record" in arrays else b"")
    except FileNotFoundError:
        raise
    except FILE_FAILURES as error:
        raise FileFormatError(
            f"The intermediate result {path} is damaged ({error}). Delete it and run again: it is computed anew."
        ) from error
    return arrays, record
