"""Where an import writes: beside what must stay, and whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import ArgumentError, DatasetNotFoundError, SporaError, WriteError
from spora_db.importing.leftovers import REPLACED, held
from spora_db.layout import scan


def check_target(target: Path, source: Path | None, *, overwrite: bool) -> None:
    """Refuse to write over what must stay."""
    if (target.parent / "metadata").is_dir():
        raise ArgumentError(f"{target.parent} is a dataset, not a lake. Give the folder that holds the datasets.")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise WriteError(
            f"{target} exists. Choose another name, or pass overwrite (--overwrite) to replace the dataset."
        )
    try:
        is_dataset = [item.path for item in scan(target).datasets] == [Path(os.path.abspath(target))]  # noqa: PTH100
    except DatasetNotFoundError:
        is_dataset = False
    if target.is_symlink() or not is_dataset:
        raise WriteError(f"{target} exists and is no dataset's folder; it is left alone. Choose another name.")
    if source is not None and source.resolve().is_relative_to(target.resolve()):
        raise ArgumentError(f"The source {source} lies in {target}, which would be replaced. Move it elsewhere first.")


@contextlib.contextmanager
def whole_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder of the target's name in a hidden one; it takes the target's place when the block ends well."""
    lake = target.parent
    made = [folder for folder in (lake, *lake.parents) if not folder.exists()]
    hidden = lake / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    old = hidden / REPLACED
    try:
        with held(hidden):
            partial = hidden / target.name
            partial.mkdir()
            yield partial
            if overwrite and target.exists():
                target.rename(old)
            partial.rename(target)
            made = []
    except SporaError:
        raise
    except OSError as error:
        raise WriteError(
            f"Could not write {target}: {error.strerror or error}. Nothing half-written is left there. Check that the "
            "folder can be written to and that the disk has room, then run again."
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)  # where this fails too, the old dataset stays in the hidden folder
        shutil.rmtree(hidden, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
