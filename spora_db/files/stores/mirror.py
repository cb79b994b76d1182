"""A remote lake as a folder: its tables whole, its images and masks as empty files whose bytes come as they are read.

So everything that reads a folder reads a bucket. The files of images are never written to: they keep the time by which
readers tell that a file is another one now. What lies below `mirrors_folder` is a copy: it can be deleted at any
time, and nothing but this module writes to it.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence, Set
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.errors import FileFormatError, StoreError
from spora_db.files.folders import user_folder
from spora_db.files.stores.granules import Granules
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.kept import ADDRESS, CACHE_VARIABLE, kept_bytes_limit, made, trim, write_whole
from spora_db.files.stores.listing import STORES, files_of, is_array
from spora_db.files.stores.opening import open_store
from spora_db.files.stores.store import ObjectState, ObjectStore, Span

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

WHOLE = (".parquet", ".json")
"""Ends of files that are copied whole, as DuckDB reads them itself."""
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
ARRAYS = ("zarr.json", ".zarray")
FRESH = 60.0
"""Seconds for which a process believes what it has listed."""


TRIMMED = 64 * 2**20
"""Bytes of images that a process fetches before it looks whether all copies take too much."""


def mirrors_folder() -> str:
    """Return the folder of all copies: what the environment names, else one of the user's."""
    return _mirrors_folder(os.environ.get(CACHE_VARIABLE))


@lru_cache(maxsize=8)
def _mirrors_folder(chosen: str | None) -> str:
    return f"{Path(chosen).absolute() if chosen else user_folder('cache')}/lakes"


class Mirror:
    """The copy of one remote lake, as far as it was read.

    Parameters
    ----------
    folder
        Where it lies: the address, the tree, and notes on it.
    address
        The remote lake; None for a copy that is there already.
    """

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.folder, self.tree = folder, folder / "tree"
        note = folder / ADDRESS
        if address is None:
            address = note.read_text(encoding="utf-8")
        elif not note.exists():
            made(self.tree)
            write_whole(note, address.encode())
        self.address = address
        self._lock = threading.RLock()
        self._listed_at = -FRESH
        self._listed: dict[str, ObjectState] | None = None
        self._stores: Set[str] = set()
        self._known: dict[str, ObjectState | None] = {}
        self._open: dict[str, Granules] = {}
        self._fetched = 0

    @cached_property
    def store(self) -> ObjectStore:
        """What is asked for files; made once, as to find credentials may take a second."""
        return open_store(self.address)

    def refresh(self) -> None:
        """List the lake anew, fetch tables that have changed, and forget what is gone; at most once in `FRESH` seconds.

        Raises
        ------
        StoreError
            It does not answer, cannot be listed, or there is nothing.
        """
        with self._lock, self._alone():
            if time.monotonic() - self._listed_at < FRESH:
                return
            known, store = self._states(), self.store
            found = dict(files_of(store))
            if not found:
                raise StoreError(f"There is no lake at {self.address}: nothing lies there. Check the address.")
            for name in {*known, *self._stores} - found.keys():
                self._remove(name)
            there = {name: state for name, state in found.items() if state is not None}
            changed = {name for name, state in there.items() if known.get(name) != state}
            tables = sorted(name for name in changed if name.endswith(WHOLE))
            for name, (data, state) in zip(tables, NETWORK.threads().map(store.read_whole, tables), strict=True):
                there[name] = state
                write_whole(self.tree / name, data)
            for name in changed - {*tables}:
                self._place(name, there[name])
            self._listed, self._stores = there, found.keys() - there.keys()
            for name in self._stores:
                made(self.tree / name)
            files = {name: [state.size, state.version] for name, state in there.items()}
            told = {"files": files, "stores": sorted(self._stores)}
            write_whole(self.folder / "listing.json", json.dumps(told).encode())
            self._listed_at = time.monotonic()

    def find(self, path: str) -> ObjectState | None:
        """Return what a file is, and give it its place in the tree; None where there is none.

        It is asked for once in the life of a process.
        """
        name = self._name(path)
        with self._lock:
            if (state := self._states().get(name)) is not None:
                return state
            if name not in self._known:
                state = self.store.state(name)
                if state is not None:
                    self._place(name, state)
                self._known[name] = state
            return self._known[name]

    def prepare(self, path: Path) -> None:
        """Fetch what tells an image: of a store of arrays its metadata, level by level; of a file, that it is there."""
        name, store = self._name(str(path)), self.store
        if not name.endswith(STORES):
            self.find(str(path))
            return
        with self._lock:
            if name in self._known:
                return
            level = [name]
            while level:
                further = []
                for folder, entries in zip(level, NETWORK.threads().map(store.list_folder, level), strict=True):
                    made(self.tree / folder)
                    names = {entry.name for entry in entries}
                    for document in names & {*DOCUMENTS}:
                        write_whole(self.tree / folder / document, store.read_whole(f"{folder}/{document}")[0])
                    if not is_array(self.tree / folder, names):
                        further += [f"{folder}/{entry.name}" for entry in entries if entry.state is None]
                level = further
            self._known[name] = None

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return bytes of a file, from the copy as far as it has them.

        Raises
        ------
        StoreError, FileFormatError
            As `ObjectStore.read`.
        """
        state = self.find(path)
        if state is None:
            raise StoreError(f"There is no file {self.shown(path)}.")
        name = self._name(path)

        def fetch(ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
            self._fetched += sum(length for _, length in ranges)
            return self.store.read_many([Span(name, state, start, length) for start, length in ranges])

        try:
            data = self._granules(name, state).read(offset, size, fetch=fetch)
            if self._fetched > TRIMMED:
                self._fetched = 0
                trim(self.folder.parent, kept_bytes_limit())
            return data
        except FileFormatError:
            self._forget(name)
            raise
        except StoreError:
            raise
        except OSError as error:
            _say_once(f"What is read of {self.address} is not kept in {self.folder}: {error.strerror or error}.")
            return fetch([(offset, size)])[0]

    def shown(self, path: str | Path) -> str:
        """Return the address of a file or folder of the tree."""
        return self.address if Path(path) == self.tree else f"{self.address}/{self._name(str(path))}"

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.tree}/")

    def _states(self) -> dict[str, ObjectState]:
        if self._listed is None:
            try:
                told = json.loads((self.folder / "listing.json").read_bytes())
            except (FileNotFoundError, ValueError):
                told = {"files": {}, "stores": []}
            self._listed = {
                name: ObjectState(size=size, version=version) for name, (size, version) in told["files"].items()
            }
            self._stores = {*told["stores"]}
        return self._listed

    def _place(self, name: str, state: ObjectState) -> None:
        """Make the empty file of a remote one, as large as it, unless it is there for this very state."""
        note, told = self.folder / "notes" / f"{name}.state", f"{state.size} {state.version}"
        with contextlib.suppress(OSError):
            if note.read_text(encoding="utf-8") == told and (self.tree / name).is_file():
                return
        self._forget(name)
        path = self.tree / name
        made(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with temporary.open("wb") as file:
            file.truncate(state.size)
        temporary.replace(path)
        write_whole(note, told.encode())

    def _remove(self, name: str) -> None:
        """Remove a file or a store that is gone, and the folders that are empty without it."""
        path = self.tree / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "notes" / name, ignore_errors=True)
        self._forget(name)
        for folder in path.parents:
            if folder == self.tree or any(folder.iterdir()):
                break
            folder.rmdir()

    def _forget(self, name: str) -> None:
        """Drop what was kept of a file that is another one now."""
        self._open.pop(name, None)
        for end in ("state", "data", "sums"):
            (self.folder / "notes" / f"{name}.{end}").unlink(missing_ok=True)

    def _granules(self, name: str, state: ObjectState) -> Granules:
        with self._lock:
            if name not in self._open:
                data, sums = (self.folder / "notes" / f"{name}.{end}" for end in ("data", "sums"))
                self._open[name] = Granules(data, sums, state.size)
                os.utime(sums)
            return self._open[name]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time list."""
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@lru_cache(maxsize=64)
def _mirror(folder: str, address: str | None, _pid: int) -> Mirror:
    return Mirror(Path(folder), address)


def mirror(address: str) -> Mirror:
    """Return the copy of a remote lake; nothing is asked of it yet."""
    digest = hashlib.blake2b(address.encode(), digest_size=12).hexdigest()
    return _mirror(f"{mirrors_folder()}/{digest}", address, os.getpid())


def mirror_of(path: str | os.PathLike[str]) -> Mirror | None:
    """Return the copy that a path lies in; None for every other path, after a comparison of texts.

    Examples
    --------
    >>> mirror_of("/data/lake/cohort") is None
    True
    """
    base, text = mirrors_folder(), os.fspath(path)
    if not text.startswith(base):
        return None
    digest = text[len(base) + 1 :].partition("/")[0]
    return _mirror(f"{base}/{digest}", None, os.getpid())


@lru_cache(maxsize=32)
def _say_once(text: str) -> None:
    logger.warning(text)
