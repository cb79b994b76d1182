"""A manifest: what lies in a lake, in one file beside it, so that nothing of it has to be listed.

A row tells one file or one image: its path, its files with their sizes, times and versions, the documents among them,
and, of an image, its header. ``spora_db.jobs.indexing`` writes it; nothing else does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.errors import FileFormatError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stamps import Stamp, stamp
from spora_db.files.stores.store import ObjectState

BESIDE = ".spora-db/index.parquet"
"""Where the manifest of a lake lies in it."""
AWAY = ""
"""The `layer` of what lies in another folder than the manifest: no copy of that folder has it."""
HeaderFile: TypeAlias = tuple[str, int, int | None, str | None]
"""Name, size, time and version of a file, as `FileEntry` has them."""
BY_TIME = "mtime "
"""How the version of a file begins of which only the time of change is known, which no server is asked by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a row.

    Attributes
    ----------
    name
        Its path below that of the row, empty for the row's own.
    size
        Bytes.
    mtime_ns
        When it was changed, of a file on a disk.
    etag
        Its version, of a remote file.
    document
        All of its bytes, of one that tells what an image is.
    """

    name: str
    size: int
    mtime_ns: int | None = None
    etag: str | None = None
    document: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One row.

    Attributes
    ----------
    path
        Relative to the lake.
    layer
        None for what lies beside the manifest; else the address that it lies at, or `AWAY`.
    files
        Those that the header was read from come first.
    header_files
        How many these are.
    header
        Channels, height, width and dtype; None of what is no image, or could not be read.
    """

    path: str
    layer: str | None = None
    files: tuple[FileEntry, ...]
    header_files: int = 0
    header: tuple[Any, ...] | None = None


FILE_COLUMNS = {"files": "name", "sizes": "size", "mtimes_ns": "mtime_ns", "etags": "etag", "documents": "document"}
HEADER = ("channel_count", "height", "width", "dtype")


_FILE_TYPES = {
    "files": pa.string(), "sizes": pa.int64(), "mtimes_ns": pa.int64(), "etags": pa.string(), "documents": pa.binary()
}  # fmt: skip
SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "layer": pa.string(),
        **{name: pa.list_(kind) for name, kind in _FILE_TYPES.items()},
        "header_files": pa.int64(),
        **dict.fromkeys(HEADER[:3], pa.int64()),
        "dtype": pa.string(),
    }
)
"""Columns of a manifest, a row per file or image."""


def manifest_table(entries: Sequence[ManifestRow]) -> pa.Table:
    """Return the rows of a manifest, sorted by path."""
    rows = [
        {
            "path": entry.path,
            "layer": entry.layer,
            **{name: [getattr(file, of) for file in entry.files] for name, of in FILE_COLUMNS.items()},
            "header_files": entry.header_files,
            **dict(zip(HEADER, entry.header or (None,) * len(HEADER), strict=True)),
        }
        for entry in sorted(entries, key=lambda entry: entry.path)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class Manifest:
    """A manifest as it is read.

    Parameters
    ----------
    table
        Its rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self.paths: list[str] = table.column("path").to_pylist()
        self._layers: list[str | None] = table.column("layer").to_pylist()
        lists = {name: table.column(name).combine_chunks() for name in FILE_COLUMNS}
        self._files = {FILE_COLUMNS[name]: column.flatten() for name, column in lists.items()}
        lengths = lists["files"].value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        self._cuts = np.concatenate([[0], np.cumsum(lengths)])
        self._table = table
        self._rows = {path: row for row, path in enumerate(self.paths)}
        self._inside: dict[tuple[str, str], dict[str, tuple[ObjectState, bytes | None]]] = {}

    def entry(self, path: str) -> ManifestRow | None:
        """Return one row, None where there is none of this path."""
        row = self._rows.get(path)
        if row is None:
            return None
        start, stop = self._cuts[row : row + 2].tolist()
        columns = {name: column[start:stop].to_pylist() for name, column in self._files.items()}
        files = tuple(FileEntry(**{name: column[at] for name, column in columns.items()}) for at in range(stop - start))
        header = tuple(self._table.column(name)[row].as_py() for name in HEADER)
        return ManifestRow(
            path=path,
            layer=self._layers[row],
            files=files,
            header_files=self._table.column("header_files")[row].as_py(),
            header=None if header[0] is None else header,
        )

    def headers(self) -> Iterator[tuple[str, tuple[HeaderFile, ...], tuple[Any, ...]]]:
        """Yield path, the files that tell the header, and the header, of every image."""
        # a list at a time takes 0.4 s more for 62,000 images
        names = ("name", "size", "mtime_ns", "etag")
        files = list(zip(*(self._files[name].to_pylist() for name in names), strict=True))
        counts, *header = (self._table.column(name).to_pylist() for name in ("header_files", *HEADER))
        cuts = self._cuts.tolist()
        for row, (count, *found) in enumerate(zip(counts, *header, strict=True)):
            if found[0] is not None:
                yield self.paths[row], tuple(files[cuts[row] : cuts[row] + count]), tuple(found)

    def listing(self, address: str, *, beside: bool) -> Iterator[tuple[str, ObjectState | None]]:
        """Yield the files of one remote lake, as `files_of` does: of images that are folders names without a state.

        Parameters
        ----------
        address
            The lake's.
        beside
            Whether the manifest lies in it.
        """
        sizes, times, etags = (self._files[name].to_pylist() for name in ("size", "mtime_ns", "etag"))
        names = self._files["name"].to_pylist()
        cuts = self._cuts.tolist()
        for row, (path, layer) in enumerate(zip(self.paths, self._layers, strict=True)):
            if not _is_of(layer, address, beside=beside):
                continue
            at = cuts[row]
            if cuts[row + 1] == at + 1 and names[at] == "":
                yield path, _state(sizes[at], times[at], etags[at] if layer == address else None)
            else:
                yield path, None

    def inside(self, path: str, address: str) -> dict[str, tuple[ObjectState, bytes | None]]:
        """Return the files of a store, by their paths in the lake, with the documents among them."""
        if (path, address) not in self._inside:
            entry = self.entry(path) or ManifestRow(path=path, files=())
            self._inside[path, address] = {
                f"{path}/{file.name}": (
                    _state(file.size, file.mtime_ns, file.etag if entry.layer == address else None),
                    file.document,
                )
                for file in entry.files
            }
        return self._inside[path, address]


def _is_of(layer: str | None, address: str, *, beside: bool) -> bool:
    """Tell whether a row tells of a remote lake: one that was copied has the manifest of where it was before."""
    return layer == address or (beside and (layer is None or layer != AWAY))


def is_by_time(state: ObjectState) -> bool:
    """Tell whether a state names no version but a time of change, as a manifest made on a disk does."""
    return state.version.startswith(BY_TIME)


def may_be(known: ObjectState, found: ObjectState) -> bool:
    """Tell whether a file may still be what was known of it."""
    return known.size == found.size and (is_by_time(known) or known.version == found.version)


def _state(size: int, mtime_ns: int | None, etag: str | None) -> ObjectState:
    return ObjectState(size=size, version=etag or f"{BY_TIME}{mtime_ns}")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, once for as long as it stays as it is.

    Raises
    ------
    FileFormatError
        If it is broken, or absent.
    """
    try:
        return _read(path, stamp(path))
    except PARQUET_FAILURES as error:
        message = f"The index {path} cannot be read: {error}. Delete it, or write it again: spora-db index LAKE."
        raise FileFormatError(message) from error


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: Stamp) -> Manifest:
    table = pq.read_table(path, schema=SCHEMA).combine_chunks()
    if absent := [name for name in ("path", "files", "sizes", "header_files") if table.column(name).null_count]:
        raise ValueError(f"it has nulls, or no values at all, in {', '.join(absent)}")
    return Manifest(table)
