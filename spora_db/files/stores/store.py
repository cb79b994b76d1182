"""`ObjectStore`: what every place that holds files can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from spora_db.errors import FileFormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectState:
    """What a file is now: another state means other bytes.

    Attributes
    ----------
    size
        Bytes of the file.
    version
        What tells it from others of its name: an ETag; of a local file its inode and modification time.
    """

    size: int
    version: str


class ObjectEntry(NamedTuple):
    """A name in a folder: that of a file, with its state, or of a folder, which has none."""

    name: str
    state: ObjectState | None


class Span(NamedTuple):
    """A range of bytes of one file."""

    key: str
    state: ObjectState
    offset: int
    size: int


class Edge(NamedTuple):
    """What a file is, and bytes of its start or its end: where they begin, and themselves."""

    state: ObjectState
    offset: int
    data: bytes


class ObjectStore(Protocol):
    """Files by key, such as ``"cohort/metadata/tissues.parquet"``; the same from any thread and after a fork."""

    root: str

    def list_folder(self, prefix: str = "") -> list[ObjectEntry]:
        """Return the names in a folder, sorted; none where there is no such folder.

        Raises
        ------
        StoreError
            The store does not answer, or does not list.
        """

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder, by their paths below it, sorted.

        Raises
        ------
        StoreError
            The store does not answer, or does not list.
        """

    def state(self, key: str) -> ObjectState | None:
        """Return what a file is now, None where there is none.

        Raises
        ------
        StoreError
            The store does not answer, or refuses.
        """

    def read_edge(
        self, key: str, *, size: int, at: Literal["start", "end"] = "start", known: ObjectState | None = None
    ) -> Edge | None:
        """Return what a file is now with `size` bytes of its start or end, or all it has, in one go; None for none.

        Of a file that still is what is `known`, no bytes need come.

        Raises
        ------
        StoreError
            The store does not answer, or refuses.
        """

    def read(self, key: str, *, offset: int, size: int, state: ObjectState) -> bytes:
        """Return exactly `size` bytes of a file that is still what `state` says.

        Raises
        ------
        FileFormatError
            The file is another now, or ends earlier.
        StoreError
            The store does not answer, or refuses, or the file is gone.
        """

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of many ranges, of any files, in the order asked; read side by side where that is quicker.

        Raises
        ------
        FileFormatError, StoreError
            As `read`.
        """

    def read_whole(self, key: str) -> tuple[bytes, ObjectState]:
        """Return all bytes of a file, and what it was.

        Raises
        ------
        FileFormatError, StoreError
            As `read`.
        """


def check_span(where: str, *, offset: int, size: int, state: ObjectState) -> None:
    """Refuse a range that a file does not have.

    Raises
    ------
    FileFormatError
        For such a range.
    """
    if offset < 0 or size < 0 or offset + size > state.size:
        raise FileFormatError(
            f"The file {where} has {state.size} bytes, but bytes {offset} to {offset + size} of it were asked for. "
            "It is cut short, or what names this range is of another file. Write both there again."
        )


def changed(where: str, known: ObjectState, found: str) -> FileFormatError:
    """Return the error for a file that is another than when it was first asked for."""
    return FileFormatError(
        f"The file {where} was written again since it was opened: it was {known.version} of {known.size:,} bytes, and "
        f"is {found}. Bytes of before and after would be of two files, so no more are read. Open it again."
    )
