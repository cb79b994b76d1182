"""The files of a lake as its manifest tells them: tables, masks, and all that lies in an image that is a folder."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from spora_db.files.stamps import lasting_stamp
from spora_db.files.stores.listing import DOCUMENTS
from spora_db.files.stores.local import LocalStore
from spora_db.files.stores.manifest import AWAY, FileEntry, ManifestRow
from spora_db.files.stores.mirror import Mirror, mirror_of
from spora_db.layout import FEATURES_FILE, Lake, layer_name, list_masks

AT_ONCE = 16
"""Images that are opened side by side: of a remote lake each takes several answers, one after another."""
LARGEST = 10**6
"""Bytes of a document that is kept in the manifest; a longer one is fetched when its image is opened."""
One = TypeVar("One")
Found = TypeVar("Found")


def side_by_side(do: Callable[[One], Found], things: Sequence[One]) -> Iterator[tuple[One, Found]]:
    """Yield what is made of things, in their order, of several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(things, pool.map(do, things), strict=True)


def image_files(place: Path, header: Sequence[str], *, whole: bool) -> tuple[FileEntry, ...]:
    """Return the files of an image: those that tell its header, and after them, of a `whole` one, all others.

    Raises
    ------
    OSError
        One of them is gone.
    """
    remote = mirror_of(place)
    if whole and remote is not None:
        return _remote(place, header, remote)
    others = sorted(set(_below(place)).difference(header)) if whole else []
    return tuple(_local(place, name) for name in (*header, *others))


def other_files(lake: Lake, into: Path) -> Iterator[ManifestRow]:
    """Yield the rows of tables, masks and documents of datasets."""
    for dataset in lake.datasets:
        paths = {table.path for table in dataset.tables}
        paths |= {folder.path / f"{name}.npz" for folder in dataset.mask_folders for name in list_masks(folder)}
        paths |= {folder.path / FEATURES_FILE for folder in dataset.feature_folders}
        documents = {path.name for folder in dataset.paths for path in (folder / "metadata").glob("*.json")}
        paths |= {dataset.seen(dataset.path / "metadata" / name) for name in documents}
        for path in sorted(paths):
            if path.exists():
                remote = mirror_of(path)
                file = _local(path, "") if remote is None else _remote(path, [""], remote)[0]
                yield ManifestRow(path=lake.relative(path), layer=layer_in(lake, path, into), files=(file,))


def layer_in(lake: Lake, path: Path, into: Path) -> str | None:
    """Return where a file lies, as a manifest in the layer `into` says it."""
    root = lake.root_of(path)
    if root == into:
        return None
    return AWAY if mirror_of(root) is None else layer_name(root)


def _below(place: Path) -> Iterator[str]:
    """Yield the files of an image, by their paths below it; of one that is a file its empty path."""
    if not place.is_dir():
        yield ""
    yield from (entry.name for entry in LocalStore(place).list_tree(""))


def _local(place: Path, name: str) -> FileEntry:
    path = place / name if name else place
    size, mtime_ns = lasting_stamp(path)
    return FileEntry(name=name, size=size, mtime_ns=mtime_ns, document=_document(path, size))


def _remote(place: Path, header: Sequence[str], remote: Mirror) -> tuple[FileEntry, ...]:
    found = remote.files_below(place)
    order = (*header, *sorted(found.keys() - {*header}))
    return tuple(
        FileEntry(
            name=name,
            size=found[name].size,
            etag=found[name].version or None,
            document=_document(place / name, found[name].size),
        )
        for name in order
        if name in found
    )


def _document(path: Path, size: int) -> bytes | None:
    return path.read_bytes() if path.name in DOCUMENTS and size <= LARGEST and path.is_file() else None
