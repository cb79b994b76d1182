"""Where an import writes: beside what must stay, and whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import ArgumentError, DatasetNotFoundError, SporaError, WriteError
from spora_db.files.stores.remote_files import check_writable
from spora_db.importing.leftovers import REPLACED, held
from spora_db.importing.options import ImportOptions
from spora_db.layout import layers, scan
from spora_db.layout.layers import refresh


def check_lake(lake: Path) -> None:
    """Refuse a lake whose last layer cannot be written to, or that lacks another one."""
    *below, last = layers(lake)
    check_writable(last)
    refresh(layers(lake))
    for root in below:
        if not root.is_dir():
            raise DatasetNotFoundError(f"No folder {root}. Correct the path; only the last layer is made if absent.")


def check_target(options: ImportOptions, source: Path | None, *, overwrite: bool) -> None:
    """Refuse to write over what must stay."""
    target, there = options.target, layers(options.there)
    if (target.parent / "metadata").is_dir():
        raise ArgumentError(f"{target.parent} is a dataset, not a lake. Give the folder that holds the datasets.")
    if not any(map(os.path.lexists, (target, *there))):
        return
    if not overwrite:
        raise WriteError(
            f"{there[0]} exists. Choose another name, or pass overwrite (--overwrite) to replace the dataset."
        )
    if options.overwrite and there != (target,):
        raise WriteError(
            f"{there[0]} lies in a layer that is not written to, so it cannot be replaced. Choose another name, or add "
            "to it (--add)."
        )
    try:
        is_dataset = [item.path for item in scan(there).datasets] == [Path(os.path.abspath(there[-1]))]  # noqa: PTH100
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
