"""The tree of a copy: empty files as large as the remote ones, and beside it what each of them stands for.

A placeholder is never written to: it keeps the time by which readers tell that a file is another one now.
"""

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path

from spora_db.files.stores.granules import Granules
from spora_db.files.stores.kept import alone, kept_in, made, write_whole
from spora_db.files.stores.manifest import is_by_time
from spora_db.files.stores.store import ObjectState

LEFT = ("data", "sums", "prepared")
"""Notes on what was read of a file, which are of no use once it is another one."""


class Placeholders:
    """The files below one folder that stand for remote ones.

    Parameters
    ----------
    folder
        Holds ``tree``, and ``notes`` on what is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder, folder / "tree"

    def place(self, name: str, state: ObjectState) -> None:
        """Make the empty file of a remote one, as large as it, unless it is there for this very state, or whole.

        One process at a time does: a file that got its place twice would count as written again. So one of which only
        the time was known keeps its place when its version is learned.

        Raises
        ------
        WriteError
            The disk is full, or not to be written to.
        """
        if self.noted(name) == state:
            return
        path = self.tree / name
        with kept_in(self.folder), alone(self.folder, "places"):
            noted = self.noted(name)
            if noted == state or (path.is_file() and not self.is_empty(name)):
                return
            kept = noted is not None and is_by_time(noted) and noted.size == state.size
            if not kept:
                self.forget(name)
            # before its file: one without a note is taken for whole, whenever a process is killed
            write_whole(self._note(name, "state"), f"{state.size} {state.version}".encode())
            if not kept:
                made(path.parent)
                temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                with temporary.open("wb") as file:
                    file.truncate(state.size)
                temporary.replace(path)

    def noted(self, name: str, *, since: float = 0.0) -> ObjectState | None:
        """Return what a placeholder stands for, None where there is none, or none that was looked at since a time."""
        note = self._note(name, "state")
        with contextlib.suppress(OSError, ValueError):
            size, _, version = note.read_text(encoding="utf-8").partition(" ")
            placed = (self.tree / name).stat().st_size == int(size)
            if placed and note.stat().st_mtime >= since:
                return ObjectState(size=int(size), version=version)
        return None

    def seen(self, name: str) -> None:
        """Note that a placeholder stands for what its file is now."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._note(name, "state"), (time.time(),) * 2)

    def is_prepared(self, store: str, *, since: float) -> bool:
        """Tell whether the documents of a store were fetched since a time."""
        with contextlib.suppress(FileNotFoundError):
            return self._note(store, "prepared").stat().st_mtime >= since
        return False

    def prepared(self, store: str) -> None:
        """Note that the documents of a store are there."""
        write_whole(self._note(store, "prepared"), b"")
        os.utime(self._note(store, "prepared"), (time.time(),) * 2)

    def fill(self, name: str, data: bytes) -> None:
        """Put the whole file in the place of its placeholder."""
        write_whole(self.tree / name, data)
        self._note(name, "state").unlink(missing_ok=True)

    def is_empty(self, name: str) -> bool:
        """Tell whether a file is a placeholder."""
        return self._note(name, "state").exists()

    def remove(self, name: str) -> None:
        """Remove a file or a store that is gone, and the folders that are empty without it."""
        path = self.tree / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "notes" / name, ignore_errors=True)
        self._note(name, "state").unlink(missing_ok=True)
        self.forget(name)
        for folder in path.parents:
            if folder == self.tree or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()

    def forget(self, name: str) -> None:
        """Drop what was kept of a file that is another one now; what it was stays noted, as its placeholder does."""
        for end in LEFT:
            self._note(name, end).unlink(missing_ok=True)

    def granules(self, name: str, state: ObjectState) -> Granules:
        """Return what has been read of a file."""
        sums = self._note(name, "sums")
        made(sums.parent)
        kept = Granules(self._note(name, "data"), sums, state.size)
        os.utime(sums)
        return kept

    def _note(self, name: str, end: str) -> Path:
        return self.folder / "notes" / f"{name}.{end}"
