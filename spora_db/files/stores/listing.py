"""What a remote lake holds: as its manifest tells, else listed level by level with all connections at once."""

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from spora_db.errors import RefusedError
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.kept import made, write_whole
from spora_db.files.stores.manifest import BESIDE, Manifest, read_manifest
from spora_db.files.stores.placeholders import Placeholders
from spora_db.files.stores.so_far import SoFar
from spora_db.files.stores.store import ObjectState, ObjectStore

STORES = (".zarr",)
"""Ends of folders that are images: listed when they are opened."""
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
"""Files of a store that tell what its image is."""
PARQUET = b"PAR1"
"""How a parquet file begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a remote lake.

    Attributes
    ----------
    files
        The files and their states, but for those in stores.
    stores
        The images that are folders.
    manifest
        The copy of the manifest that tells it, None for what was listed.
    version
        The state of that manifest.
    """

    files: Mapping[str, ObjectState] = field(default_factory=dict)
    stores: frozenset[str] = frozenset()
    manifest: str | None = None
    version: str = ""

    @classmethod
    def of(cls, found: Iterable[tuple[str, ObjectState | None]]) -> Self:
        """Return the listing of paths with their states, and of images without one."""
        every = dict(found)
        files = {name: state for name, state in every.items() if state is not None}
        return cls(files=files, stores=frozenset(every.keys() - files.keys()))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what was written to a file as `text`; nothing where there is none."""
        try:
            told = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return cls()
        files = {name: ObjectState(size=size, version=version) for name, (size, version) in told.pop("files").items()}
        return cls(files=files, stores=frozenset(told.pop("stores")), **told)

    def text(self) -> str:
        """Return it as text."""
        files = {name: [state.size, state.version] for name, state in self.files.items()}
        told = {"files": files, "stores": sorted(self.stores), "manifest": self.manifest, "version": self.version}
        return json.dumps(told)

    def state(self, name: str, address: str) -> ObjectState | None:
        """Return what a file is; None where there is none, or neither a listing nor a manifest tells it."""
        if (found := self.files.get(name)) is None and self.manifest is not None and (store := store_of(name)):
            found = read_manifest(Path(self.manifest)).file(store, name.removeprefix(f"{store}/"), address)
        return found

    def inside(self, store: str, address: str) -> dict[str, tuple[ObjectState, bytes | None]]:
        """Return the files of an image that is a folder, and the documents among them, as the manifest tells them."""
        return {} if self.manifest is None else read_manifest(Path(self.manifest)).inside(store, address)


def lake_listing(store: ObjectStore, tree: Path, *, above: Sequence[Path], known: Listing, listed: bool) -> Listing:
    """Return what a remote lake holds: by a manifest in a layer above it, by its own, else by listing it.

    Parameters
    ----------
    store, tree
        The lake, and the folder of its copy.
    above
        The layers over it.
    known
        What was known of it before.
    listed
        Whether manifests are passed over.
    """
    if listed:
        return Listing.of(files_of(store))
    for layer in reversed(above):
        if (place := layer / BESIDE).is_file():
            above_it = _told(read_manifest(place), store, place, beside=False)
            if above_it.files or above_it.stores:
                return above_it
    place, state = tree / BESIDE, None
    with contextlib.suppress(RefusedError):  # a bucket that must not be listed says so of files that it has not, too
        state = store.state(BESIDE)
    version = "" if state is None else f"{state.size} {state.version}"
    if version and known.version == version and known.manifest == str(place) and place.is_file():
        return known
    content = b"" if state is None else store.read_whole(BESIDE)[0]
    if not content.startswith(PARQUET):  # a server may have a web page for whatever is not there
        place.unlink(missing_ok=True)
        return Listing.of(files_of(store))
    write_whole(place, content)
    return _told(read_manifest(place), store, place, beside=True, version=version)


def _told(manifest: Manifest, store: ObjectStore, place: Path, *, beside: bool, version: str = "") -> Listing:
    """Return what a manifest tells of a lake."""
    found = Listing.of(manifest.listing(store.root, beside=beside))
    return replace(found, manifest=str(place), version=version)


def files_of(store: ObjectStore) -> Iterator[tuple[str, ObjectState | None]]:
    """Yield the files of a lake, level by level; of images that are folders only their names, without a state.

    What is hidden, such as a manifest, is none of them.
    """
    level = [""]
    listed, so_far = 0, SoFar()
    while level:
        further = []
        for folder, entries in zip(level, NETWORK.threads().map(store.list_folder, level), strict=True):
            listed += 1
            so_far.tell("Listing %s: %d folders so far, now %s", store.root, listed, folder)
            for name, state in entries:
                path = f"{folder}/{name}" if folder else name
                if name.startswith("."):
                    continue
                if state is not None or name.endswith(STORES):
                    yield path, state
                else:
                    further.append(path)
        level = further


def fetch_documents(store: ObjectStore, places: Placeholders, image: str) -> None:
    """Fetch what tells an image that is a folder, level by level."""
    level, tree = [image], places.tree
    while level:
        further = []
        for folder, entries in zip(level, NETWORK.threads().map(store.list_folder, level), strict=True):
            made(tree / folder)
            for document in documents_among({f"{folder}/{entry.name}" for entry in entries}, places):
                places.fill(document, store.read_whole(document)[0])
            if not is_array(tree / folder):
                further += [f"{folder}/{entry.name}" for entry in entries if entry.state is None]
        level = further


def documents_among(names: Collection[str], places: Placeholders) -> list[str]:
    """Return which of the files of a store are documents, and remove those of their folders that are gone."""
    folders = {name.rpartition("/")[0] for name in names}
    possible = [f"{folder}/{document}" for folder in sorted(folders) for document in DOCUMENTS]
    for name in possible:
        if name not in names and (places.tree / name).is_file():
            places.remove(name)
    return [name for name in possible if name in names]


def is_array(folder: Path) -> bool:
    """Tell whether a folder on disk, with its documents in it, is an array, whose folders hold chunks."""
    if (folder / ".zarray").is_file():
        return True
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((folder / "zarr.json").read_bytes()).get("node_type") == "array")
    return False


def store_of(path: str) -> str:
    """Return the image that a file lies in, of one that is a folder; empty for any other file.

    Examples
    --------
    >>> store_of("a/he/1_0mpp/images/t.ome.zarr/0/zarr.json"), store_of("a/metadata/tissues.parquet")
    ('a/he/1_0mpp/images/t.ome.zarr', '')
    """
    found = [path.find(f"{end}/") + len(end) for end in STORES if f"{end}/" in path]
    return path[: min(found)] if found else ""
