"""Where the files of a copy come from: files below an image or a dataset, of a folder or of a remote lake alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spora_db.files.stores import ObjectState, ObjectStore, open_store
from spora_db.files.stores.listing import DOCUMENTS, is_array
from spora_db.files.stores.mirror import mirror_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedFile:
    """A file to copy as it is.

    Attributes
    ----------
    name
        Its path below the lake, the same in the copy.
    path
        Where it lies; of a remote lake, where its copy would.
    state
        What it was when it was listed.
    """

    name: str
    path: Path
    state: ObjectState


def place_of(path: Path) -> tuple[ObjectStore, str]:
    """Return the store that a file lies in, and its key there."""
    remote = mirror_of(path)
    if remote is None:
        return open_store(path.parent), path.name
    return remote.store, path.relative_to(remote.tree).as_posix() if path != remote.tree else ""


def state_of(path: Path) -> ObjectState | None:
    """Return what a file is now, None where there is none; of a remote one its copy gains no place for it."""
    store, key = place_of(path)
    return store.state(key)


def files_below(path: Path, *, name: str) -> Iterator[CopiedFile]:
    """Yield the files of an image, or the file that it is.

    Parameters
    ----------
    path, name
        Where it lies, and its path below the lake.
    """
    remote = mirror_of(path)
    if remote is not None:
        for inner, known in sorted(remote.files_below(path).items()):
            place = path / inner if inner else path
            yield CopiedFile(name=f"{name}/{inner}" if inner else name, path=place, state=known)
    elif (state := None if path.is_dir() else state_of(path)) is not None:
        yield CopiedFile(name=name, path=path, state=state)
    else:
        for inner, state in open_store(path).list_folder():
            if state is None:
                yield from files_below(path / inner, name=f"{name}/{inner}")
            else:
                yield CopiedFile(name=f"{name}/{inner}", path=path / inner, state=state)


def documents_below(path: Path, *, name: str) -> Iterator[CopiedFile]:
    """Yield the files of an open image that say what its arrays are; of a remote one they lie in its copy."""
    for document in DOCUMENTS:
        if (path / document).is_file() and (state := state_of(path / document)) is not None:
            yield CopiedFile(name=f"{name}/{document}", path=path / document, state=state)
    if not is_array(path):
        for folder in sorted(folder for folder in path.iterdir() if folder.is_dir()):
            yield from documents_below(folder, name=f"{name}/{folder.name}")


def cards(path: Path, *, name: str) -> Iterator[CopiedFile]:
    """Yield what lies beside tables in a folder and says what they are: licences, readmes, notes."""
    for found in sorted(path.iterdir()):
        known = not found.name.startswith(".") and found.suffix != ".parquet" and found.is_file()
        if known and (state := state_of(found)) is not None:
            yield CopiedFile(name=f"{name}/{found.name}", path=found, state=state)
