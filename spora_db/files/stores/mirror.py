"""A remote lake as a folder: its tables whole, its images and masks as empty files whose bytes come as they are read.

So everything that reads a folder reads a bucket. What lies in it tells its manifest, or a listing. What lies below
`mirrors_folder` is a copy: it can be deleted at any time, and nothing but this package writes to it.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from spora_db.errors import STANDS_FOR, AbsentObjectError, FileFormatError, SporaError, StoreError
from spora_db.files.recent import Recent
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.kept import ADDRESS, alone, kept_in, made, mirrors_folder, write_whole
from spora_db.files.stores.listing import STORES, Listing, documents_among, fetch_documents, lake_listing
from spora_db.files.stores.manifest import is_by_time, may_be
from spora_db.files.stores.opening import open_store
from spora_db.files.stores.placeholders import Placeholders
from spora_db.files.stores.ranged import KNOWN, RangedFiles
from spora_db.files.stores.ranges import FileRange
from spora_db.files.stores.store import ObjectState, ObjectStore, changed

WHOLE = (".parquet", ".json")
"""Ends of files that are copied whole when they are first needed, as DuckDB reads them itself."""
FRESH = 60.0
"""Seconds for which a process believes what it has listed."""


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
        with kept_in(folder):  # who may not enter it cannot even tell whether the note is there
            if address is None:
                address = note.read_text(encoding="utf-8")
            elif not note.exists():
                made(self.tree)
                write_whole(note, address.encode())
        self.address = address
        STANDS_FOR[str(self.tree)] = address
        self._store: ObjectStore | None = None
        self._opening = threading.Lock()
        self._lock, self._reading = threading.RLock(), threading.Lock()
        self._listed_at = -FRESH
        self._listing: Listing | None = None
        self._prepared: set[str] = set()
        self._placed = Recent[str, tuple[Listing, ObjectState]](KNOWN)
        self._preparing: dict[str, threading.Lock] = {}
        self.files = RangedFiles(
            self._places,
            address=address,
            store=lambda: self.store,
            listed=self._listed,
            whole=lambda: self.listing().manifest is not None,
        )

    @property
    def store(self) -> ObjectStore:
        """What is asked for files; made once, as to find credentials may take a second.

        No cached property: its lock, in Python 3.11, is one for all copies, and stays held in a child forked meanwhile.
        """
        if (store := self._store) is None:
            with self._opening:
                store = self._store = self._store or open_store(self.address)
        return store

    def refresh(self, above: Sequence[Path] = (), *, listed: bool = False) -> None:
        """Learn what lies in the lake now, and forget what is gone; at most once in `FRESH` seconds.

        Tables that were read before and have changed are fetched; others when somebody needs them.

        Parameters
        ----------
        above
            The layers over the lake: a manifest of it in one of them counts for its own.
        listed
            Whether it is listed though there is a manifest, and now: to write a new one.

        Raises
        ------
        StoreError
            It does not answer, cannot be listed, or there is nothing.
        """
        with self._lock, alone(self.folder, "lock"):
            if not listed and time.monotonic() - self._listed_at < FRESH:
                return
            known = self.listing()
            found = lake_listing(self.store, self.tree, above=above, known=known, listed=listed)
            if not found.files and not found.stores:
                raise StoreError(f"There is no lake at {self.address}: nothing lies there. Check the address.")
            for name in (known.files.keys() | known.stores) - (found.files.keys() | found.stores):
                self.files.close(name)
                self._places.remove(name)
            changes = sorted(name for name, state in found.files.items() if known.files.get(name) != state)
            read = [name for name in changes if self._is_whole(name)]
            for name in {*changes}.difference(read):
                self.files.close(name)
                self._places.place(name, found.files[name])
            for name in found.stores - known.stores:
                made(self.tree / name)
            self._listing, self._prepared = found, set()
            self._placed.clear()
            try:
                self._fetch(read)
            except BaseException:
                self._listing = known  # so that who asks again fetches them
                raise
            if found != known:
                write_whole(self.folder / "listing.json", found.text().encode())
            self._listed_at = -FRESH if listed else time.monotonic()

    def listing(self) -> Listing:
        """Return what is known of the lake, without asking."""
        with self._reading:  # whoever holds the other lock waits for threads that may be here
            if self._listing is None:
                self._listing = Listing.read(self.folder / "listing.json")
            return self._listing

    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring whole files, such as tables, that are not there yet, many at once."""
        with self._lock:
            wanted = [name for path in paths if self._places.is_empty(name := self._name(str(path)))]
            if wanted:
                with alone(self.folder, "lock"):
                    self._fetch(name for name in wanted if self._places.is_empty(name))

    def find(self, path: str) -> ObjectState | None:
        """Return what a file is, and give it its place in the tree; see `RangedFiles.find`."""
        with self._as_listed():
            return self.files.find(self._name(path))

    def knows(self, path: str) -> bool:
        """Tell whether it is known what a file is, or that there is none."""
        return self.files.known(self._name(path))

    def prepare(self, path: Path) -> None:
        """Fetch what tells an image: of a store of arrays its metadata, level by level; of a file, that it is there."""
        name = self._name(str(path))
        if not name.endswith(STORES):
            self.find(str(path))
            return
        with self._lock:
            lock = self._preparing.setdefault(name, threading.Lock())
        with lock:
            if name in self._prepared or self._places.is_prepared(name, since=self.files.since):
                return
            if self.listing().manifest:
                self._unfold(name)
                return
            fetch_documents(self.store, self._places, name)
            self._prepared.add(name)
            self._places.prepared(name)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return bytes of a file, from the copy as far as it has them; see `RangedFiles.read`."""
        with self._as_listed():
            return self.files.read(self._name(path), offset, size)

    def bring(self, ranges: Sequence[FileRange]) -> list[SporaError | None]:
        """Fetch ranges of files of the tree; see `RangedFiles.bring`."""
        found = self.files.bring([FileRange(self._name(path), offset, size) for path, offset, size in ranges])
        return [None if error is None else self._told_of(error) for error in found]

    def shown(self, path: str | Path) -> str:
        """Return the address of a file or folder of the tree."""
        return self.address if Path(path) == self.tree else f"{self.address}/{self._name(str(path))}"

    def states(self, paths: Iterable[Path]) -> list[ObjectState | None]:
        """Return what files are as far as a listing or a manifest tells: None where it does not."""
        listing = self.listing()
        return [listing.state(self._name(str(path)), self.address) for path in paths]

    def files_below(self, place: Path) -> dict[str, ObjectState]:
        """Return the files of an image, by their paths below it; of one that is a file its state, without a name.

        As the store lists them; of one that cannot be listed, those of the manifest, each asked for what it is.

        Raises
        ------
        StoreError
            It does not answer, or there is neither.
        """
        name = self._name(str(place))
        if (state := self.listing().files.get(name)) is not None:
            found = self.find(str(place)) if is_by_time(state) else state
            return {} if found is None else {"": found}
        try:
            return {entry.name: entry.state for entry in self.store.list_tree(name) if entry.state is not None}
        except StoreError:
            if not (told := self.listing().inside(name, self.address)):
                raise
        self.files.bring([FileRange(inner, 0, 1) for inner in told])
        inside = {inner.removeprefix(f"{name}/"): self.find(f"{self.tree}/{inner}") for inner in told}
        return {inner: state for inner, state in inside.items() if state is not None}

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.tree}/")

    def _unfold(self, store: str) -> None:
        """Put the documents of a store in their places, as the manifest has them."""
        inside = self.listing().inside(store, self.address)
        for name in documents_among(inside, self._places):
            state, document = inside[name]
            content = document if document is not None else self.read(f"{self.tree}/{name}", 0, state.size)
            self._places.fill(name, content)
        self._prepared.add(store)

    def _is_whole(self, name: str) -> bool:
        return name.endswith(WHOLE) and (self.tree / name).is_file() and not self._places.is_empty(name)

    def _fetch(self, names: Iterable[str]) -> None:
        """Fetch whole files. What a manifest tells of them must hold; a listing may be older than they are."""
        wanted = list(names)
        with self._as_listed():
            for name, (data, state) in zip(wanted, NETWORK.threads().map(self.store.read_whole, wanted), strict=True):
                known = self.listing().files.get(name, state)
                if self.listing().manifest and not may_be(known, state):
                    raise changed(f"{self.address}/{name}", known, f"{state.version} of {state.size:,} bytes")
                self._places.fill(name, data)

    def _listed(self, name: str) -> ObjectState | None:
        """Return what is known of a file without asking; one in a store gets its place as soon as it is named."""
        listing = self.listing()
        if (placed := self._placed.get(name)) is not None and placed[0] is listing:
            return placed[1]
        state = listing.state(name, self.address)
        if state is not None and name not in listing.files:
            if self._places.noted(name) is None or not is_by_time(state):
                self._places.place(name, state)
            self._placed.put(name, (listing, state))
        return state

    def _told_of(self, error: SporaError) -> SporaError:
        """Return an error that says of a file that is gone or another one that the manifest tells it otherwise."""
        manifest = self.listing().manifest
        if manifest is None or not isinstance(error, FileFormatError | AbsentObjectError):
            return error
        where = self.shown(manifest) if manifest.startswith(str(self.tree)) else manifest
        return type(error)(
            f"{error} The manifest {where} is older than the lake: run spora-db index again, and upload it."
        )

    @contextlib.contextmanager
    def _as_listed(self) -> Iterator[None]:
        try:
            yield
        except SporaError as error:
            told = self._told_of(error)
            if told is error:
                raise
            raise told from error


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
