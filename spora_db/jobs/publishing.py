"""Puts finished files in their final place: all complete beforehand, by rename, one run at a time."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from spora_db import __version__
from spora_db.errors import FileFormatError, WriteError
from spora_db.files.locks import lock_file
from spora_db.files.parquet import read_provenance
from spora_db.files.stamps import Stamp, same_content, stamp_if_there
from spora_db.files.writing import sync_folder
from spora_db.jobs.work_folder import LOCK, WorkFolder

Standing: TypeAlias = Literal["absent", "same", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The files that a run makes, in the order in which they appear; the last one is looked for by readers.

    Attributes
    ----------
    files
        Final paths, all in one folder.
    provenance
        What is recorded in the last of them.
    earlier
        Where the last of them lies in an earlier layer of the lake, which it would hide; None where in none.
    """

    files: tuple[Path, ...]
    provenance: Mapping[str, Any]
    earlier: Path | None = None

    @property
    def main(self) -> Path:
        """The file that is put in place last."""
        return self.files[-1]

    @property
    def there(self) -> Path:
        """The file that readers see now, or will see."""
        return self.main if self.earlier is None or self.main.exists() else self.earlier

    def standing(self) -> Standing:
        """Tell whether the target is there, and whether it was made in the way that is asked for now.

        Which tissues failed says nothing of how it was made; see `failed`.
        """
        if not self.there.exists():
            return "absent"
        return "different" if self.made_otherwise() else "same"

    def made_otherwise(self) -> str:
        """Say in what the target was made otherwise than is asked for now; empty where in nothing."""
        record = self._record()
        if record is None:
            return "by another program, or it cannot be read"
        there, asked = record.get("parameters") or {}, self.provenance["parameters"]
        if there != asked:
            names = sorted(name for name in {*there, *asked} if there.get(name) != asked.get(name))
            return "with other parameters: " + ", ".join(
                f"{name} is {there.get(name)!r} there, {asked.get(name)!r} now" for name in names
            )
        for name, text in (
            ("made", "as a {}; asked for is a {}"),
            ("spora_db", "by spora-db {}; this is {}"),
            ("tissues", "of {} tissues; there are {} now"),
        ):
            if record.get(name) != self.provenance[name]:
                return text.format(record.get(name), self.provenance[name])
        return ""

    @property
    def recorded(self) -> bool:
        """Whether the target says how it was made."""
        return self._record() is not None

    def failed(self) -> tuple[str, ...]:
        """Return the tissues that the target was made without, because they failed."""
        record = self._record()
        return tuple(map(str, (record or {}).get("failed") or ()))

    def _record(self) -> dict[str, Any] | None:
        try:
            return read_provenance(self.there)
        except FileFormatError:
            return None

    def stamp(self) -> Stamp | None:
        """Return what changes when another run puts its own files in place."""
        return stamp_if_there(self.there)


def provenance(made: str, parameters: Mapping[str, Any], *, tissues: int) -> dict[str, Any]:
    """Return what is recorded in a file: what it is, how it was made and of how many tissues. JSON values only."""
    return {
        "made": made,
        "parameters": dict(parameters),
        "spora_db": __version__,
        "tissues": tissues,
        "failed": [],
    }


def exists_error(target: Target) -> WriteError:
    """Return the error for a target that is there already, saying how it was made."""
    how = "by another run just now"
    if target.standing() == "same":
        failed = target.failed()
        without = f", without tissues that failed then: {', '.join(failed[:5])}{', ...' if len(failed) > 5 else ''}"
        how = f"with the same parameters{without if failed else ''}"
    elif target.standing() == "different":
        how = target.made_otherwise()
    return WriteError(
        f"{target.there} exists already, made {how}. It was left as it is; to replace it, run again with --overwrite "
        "(overwrite=True)."
    )


def publish(
    target: Target,
    *,
    work: WorkFolder,
    write: Callable[[Path], Sequence[Path]],
    before: Stamp | None,
    overwrite: bool,
) -> bool:
    """Write the files of a target in the work folder and rename them into place, the last one last.

    Parameters
    ----------
    target
        What to make.
    work
        The run's work folder, on the same file system; removed in the end.
    write
        Given a folder, writes all files there, and returns them in the order of ``target.files``.
    before
        The target's stamp when the run began.
    overwrite
        Whether a target that was there before the run is replaced.

    Returns
    -------
    bool
        False where another run made the same files in the meantime, and those were kept.

    Raises
    ------
    WriteError
        The disk is full, or the target exists and may not be replaced.
    """
    with lock_file(work.path.parent / LOCK):
        first = work.committing or same_content(target.stamp(), before if overwrite else None)
        if first:
            _rename(target, work=work, write=write)
        elif target.standing() != "same":
            raise exists_error(target)
        work.remove()
    work.sweep()
    return first


def _rename(target: Target, *, work: WorkFolder, write: Callable[[Path], Sequence[Path]]) -> None:
    staged = work.path / f".staged-{os.getpid()}"
    try:
        files = write(staged)
        target.main.parent.mkdir(parents=True, exist_ok=True)
        work.mark_committing()
        for file, final in zip(files, target.files, strict=True):
            file.replace(final)
        sync_folder(target.main.parent)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"Could not write {target.main}: {error.strerror or error}.") from error
    finally:
        _clear(staged)


def _clear(staged: Path) -> None:
    with contextlib.suppress(OSError):
        for file in staged.iterdir():
            file.unlink()
        staged.rmdir()
