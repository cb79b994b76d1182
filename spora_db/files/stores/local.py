"""`LocalStore`: the files below a folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from spora_db.errors import StoreError
from spora_db.files.stamps import Stamp, stamp_of
from spora_db.files.stores.store import Edge, ObjectEntry, ObjectState, Span, changed, check_span


def state_of(stamp: Stamp) -> ObjectState:
    """Return the state that a stamp tells.

    Examples
    --------
    >>> state_of((7, 1_000, 3, 2_000))
    ObjectState(size=3, version='7-1000')
    """
    inode, modified, size, _ = stamp
    return ObjectState(size=size, version=f"{inode}-{modified}")


class LocalStore:
    """The files below a folder.

    Parameters
    ----------
    root
        The folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("tissue")
    ...     store = LocalStore(folder)
    ...     store.read("a.txt", offset=2, size=3, state=store.state("a.txt"))
    b'ssu'
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)

    def list_folder(self, prefix: str = "") -> list[ObjectEntry]:
        """Return the names in a folder; see `ObjectStore`. Links are followed."""
        try:
            with os.scandir(self._path(prefix)) as entries:
                found = [
                    ObjectEntry(entry.name, state_of(stamp_of(entry.stat())) if entry.is_file() else None)
                    for entry in entries
                    if entry.is_file() or entry.is_dir()
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found)

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder; see `ObjectStore`. Links are followed."""
        found = []
        for at, _, names in os.walk(self._path(prefix), followlinks=True):
            inner = os.path.relpath(at, self._path(prefix))
            for name in names:
                path = name if inner == "." else f"{inner}/{name}"
                found.append(ObjectEntry(path, self.state(f"{prefix}/{path}" if prefix else path)))
        return sorted(found, key=lambda entry: entry.name)

    def state(self, key: str) -> ObjectState | None:
        """Return what a file is now; see `ObjectStore`."""
        try:
            return state_of(stamp_of(os.stat(self._path(key))))  # noqa: PTH116 - called per chunk
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_edge(
        self, key: str, *, size: int, at: Literal["start", "end"] = "start", known: ObjectState | None = None
    ) -> Edge | None:
        """Return what a file is now, and bytes of its start or end; see `ObjectStore`."""
        state = self.state(key)
        if state is None or state == known:
            return None if state is None else Edge(state, 0, b"")
        size = min(size, state.size)
        offset = state.size - size if at == "end" else 0
        return Edge(state, offset, self.read(key, offset=offset, size=size, state=state))

    def read(self, key: str, *, offset: int, size: int, state: ObjectState) -> bytes:
        """Return bytes of a file; see `ObjectStore`."""
        path = self._path(key)
        check_span(path, offset=offset, size=size, state=state)
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - called per chunk
                found = state_of(stamp_of(os.fstat(file.fileno())))
                if found != state:
                    raise changed(path, state, f"{found.version} of {found.size:,} bytes")
                file.seek(offset)
                data = file.read(size)
                while len(data) < size:
                    more = file.read(size - len(data))
                    if not more:
                        raise changed(path, state, "shorter")
                    data += more
        except OSError as error:
            raise StoreError(
                f"Could not read {path}: {error.strerror or error}. Check the disk and its rights."
            ) from error
        return data

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of many ranges, one after another; see `ObjectStore`."""
        return [self.read(span.key, offset=span.offset, size=span.size, state=span.state) for span in spans]

    def read_whole(self, key: str) -> tuple[bytes, ObjectState]:
        """Return all bytes of a file; see `ObjectStore`."""
        state = self.state(key)
        if state is None:
            raise StoreError(f"There is no file {self._path(key)}. Copy or download it.")
        return self.read(key, offset=0, size=state.size, state=state), state

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root
