"""A remote lake as a folder: its tables whole, its images and masks as empty files whose bytes come as they are read.

So everything that reads a folder reads a bucket. The files of images are never written to: they keep the time by which
readers tell that a file is another one now. What lies below `mirrors_folder` is a copy: it can be deleted at any
time, and nothing but this module writes to it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence, Set
from functools import cached_property, lru_cache
from pathlib import Path

from spora_db.errors import SporaError, StoreError
from spora_db.files.folders import user_folder
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.kept import ADDRESS, CACHE_VARIABLE, made, write_whole
from spora_db.files.stores.listing import STORES, files_of, is_array
from spora_db.files.stores.opening import open_store
from spora_db.files.stores.placeholders import Placeholders
from spora_db.files.stores.ranged import RangedFiles
from spora_db.files.stores.ranges import FileRange
from spora_db.files.stores.store import ObjectState, ObjectStore

WHOLE = (".parquet", ".json")
"""Ends of files that are copied whole, as DuckDB reads them itself."""
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
ARRAYS = ("zarr.json", ".zarray")
FRESH = 60.0
"""Seconds for which a process believes what it has listed."""


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
        self.folder, self._places = folder, Placeholders(folder)
        self.tree = self._places.tree
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
        self._prepared: set[str] = set()
        self.files = RangedFiles(
            self._places, address=address, store=lambda: self.store, listed=lambda name: self._states().get(name)
        )

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
                self.files.close(name)
                self._places.remove(name)
            there = {name: state for name, state in found.items() if state is not None}
            changed = {name for name, state in there.items() if known.get(name) != state}
            tables = sorted(name for name in changed if name.endswith(WHOLE))
            for name, (data, state) in zip(tables, NETWORK.threads().map(store.read_whole, tables), strict=True):
                there[name] = state
                write_whole(self.tree / name, data)
            for name in changed - {*tables}:
                self.files.close(name)
                self._places.place(name, there[name])
            self._listed, self._stores = there, found.keys() - there.keys()
            for name in self._stores:
                made(self.tree / name)
            files = {name: [state.size, state.version] for name, state in there.items()}
            told = {"files": files, "stores": sorted(self._stores)}
            write_whole(self.folder / "listing.json", json.dumps(told).encode())
            self._listed_at = time.monotonic()

    def find(self, path: str) -> ObjectState | None:
        """Return what a file is, and give it its place in the tree; see `RangedFiles.find`."""
        return self.files.find(self._name(path))

    def knows(self, path: str) -> bool:
        """Tell whether it is known what a file is, or that there is none."""
        return self.files.known(self._name(path))

    def prepare(self, path: Path) -> None:
        """Fetch what tells an image: of a store of arrays its metadata, level by level; of a file, that it is there."""
        name, store = self._name(str(path)), self.store
        if not name.endswith(STORES):
            self.find(str(path))
            return
        with self._lock:
            if name in self._prepared or self._places.is_prepared(name, since=self.files.since):
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
            self._prepared.add(name)
            self._places.prepared(name)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return bytes of a file, from the copy as far as it has them; see `RangedFiles.read`."""
        return self.files.read(self._name(path), offset, size)

    def bring(self, ranges: Sequence[FileRange]) -> list[SporaError | None]:
        """Fetch ranges of files of the tree; see `RangedFiles.bring`."""
        return self.files.bring([one._replace(path=self._name(one.path)) for one in ranges])

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


def is_known(path: str) -> bool:
    """Tell whether one need not ask what a file is: one of a folder, and of a remote lake one that was asked for."""
    found = mirror_of(path)
    return found is None or found.knows(path)
