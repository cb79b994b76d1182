"""A manifest: what lies in a lake, in one file beside it, so that nothing of it has to be listed.

A row tells one file or one image: its path, its files with their sizes, times and versions, the documents among them,
and, of an image, its header. ``spora_db.jobs.indexing`` writes it; nothing else does.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spora_db.arrays import Int64
from spora_db.errors import FileFormatError
from spora_db.files.arrow_arrays import arrow_array, arrow_scalar, numpy_array
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stamps import Stamp, stamp
from spora_db.files.stores.store import ObjectState

BESIDE = ".spora-db/index.parquet"
"""Where the manifest of a lake lies in it."""
AWAY = ""
"""The `layer` of what lies in another folder than the manifest: no copy of that folder has it."""
ROWS = 4096
"""Images whose rows are known without a search, which takes 24 µs among 500,000."""
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
    """A manifest as it is read: its columns, in which rows and files are searched for, as millions of them fit in them.

    Parameters
    ----------
    columns
        Those of `SCHEMA`, each in one piece, sorted by path.
    """

    def __init__(self, columns: Mapping[str, pa.Array]) -> None:
        self._paths, self._layers = columns["path"], columns["layer"]
        self._header_files: Int64 = numpy_array(columns["header_files"])
        self._header = {name: columns[name] for name in HEADER}
        self._files = {of: columns[name].flatten() for name, of in FILE_COLUMNS.items()}
        lengths = numpy_array(columns["files"].value_lengths(), absent=0)
        self._cuts: Int64 = np.concatenate([[0], np.cumsum(lengths)])
        self._row = lru_cache(maxsize=ROWS)(partial(_position, self._paths))

    def entry(self, path: str) -> ManifestRow | None:
        """Return one row, None where there is none of this path."""
        if (row := self._row(path)) is None:
            return None
        start, stop = self._cuts[row : row + 2].tolist()
        columns = {name: column[start:stop].to_pylist() for name, column in self._files.items()}
        files = tuple(FileEntry(**{name: column[at] for name, column in columns.items()}) for at in range(stop - start))
        header = tuple(self._header[name][row].as_py() for name in HEADER)
        return ManifestRow(
            path=path,
            layer=self._layers[row].as_py(),
            files=files,
            header_files=int(self._header_files[row]),
            header=None if header[0] is None else header,
        )

    def headers(self) -> Iterator[tuple[str, tuple[HeaderFile, ...], tuple[Any, ...]]]:
        """Yield path, the files that tell the header, and the header, of every image."""
        rows = np.flatnonzero(numpy_array(self._header["channel_count"].is_valid()))
        counts = np.minimum(self._header_files[rows], np.diff(self._cuts)[rows])
        ends = np.cumsum(counts)
        which = np.repeat(self._cuts[rows] - (ends - counts), counts) + np.arange(counts.sum())
        # a list at a time takes 0.4 s more for 62,000 images
        names = ("name", "size", "mtime_ns", "etag")
        files = list(zip(*(self._files[name].take(arrow_array(which)).to_pylist() for name in names), strict=True))
        columns = (column.take(arrow_array(rows)).to_pylist() for column in (self._paths, *self._header.values()))
        for end, count, path, *found in zip(ends.tolist(), counts.tolist(), *columns, strict=True):
            yield path, tuple(files[end - count : end]), tuple(found)

    def listing(self, address: str, *, beside: bool) -> Iterator[tuple[str, ObjectState | None]]:
        """Yield the files of one remote lake, as `files_of` does: of images that are folders names without a state.

        Parameters
        ----------
        address
            The lake's.
        beside
            Whether the manifest lies in it.
        """
        alone = np.flatnonzero(np.diff(self._cuts) == 1)
        unnamed = pc.equal(self._files["name"].take(arrow_array(self._cuts[alone])), arrow_scalar("", pa.string()))
        alone = alone[numpy_array(unnamed, absent=False)]
        single, files = np.isin(np.arange(len(self._paths)), alone).tolist(), arrow_array(self._cuts[alone])
        columns = (self._files[name].take(files).to_pylist() for name in ("size", "mtime_ns", "etag"))
        states = zip(*columns, strict=True)
        for path, layer, is_file in zip(self._paths.to_pylist(), self._layers.to_pylist(), single, strict=True):
            size, time, etag = next(states) if is_file else (0, None, None)
            if _is_of(layer, address, beside=beside):
                yield path, _state(size, time, etag if layer == address else None) if is_file else None

    def file(self, path: str, name: str, address: str) -> ObjectState | None:
        """Return what a file of a store is, by its path below it; None where it is not told.

        Those of the header come first, the others sorted.
        """
        if (row := self._row(path)) is None:
            return None
        start, stop = self._cuts[row : row + 2].tolist()
        others, names = min(start + int(self._header_files[row]), stop), self._files["name"]
        at = next((at for at in range(start, others) if names[at].as_py() == name), None)
        if at is None and (at := _position(names, name, others, stop)) is None:
            return None
        size, time, etag = (self._files[of][at].as_py() for of in ("size", "mtime_ns", "etag"))
        return _state(size, time, etag if self._layers[row].as_py() == address else None)

    def inside(self, path: str, address: str) -> dict[str, tuple[ObjectState, bytes | None]]:
        """Return the files of a store, by their paths in the lake, with the documents among them."""
        entry = self.entry(path) or ManifestRow(path=path, files=())
        return {
            f"{path}/{file.name}": (
                _state(file.size, file.mtime_ns, file.etag if entry.layer == address else None),
                file.document,
            )
            for file in entry.files
        }


def _position(texts: pa.StringArray, text: str, first: int = 0, last: int | None = None) -> int | None:
    """Return where a text lies among sorted ones, from one position to before another; None where it does not."""
    last = len(texts) if last is None else last
    at = bisect_left(texts, text, first, last, key=pa.StringScalar.as_py)
    return at if at < last and texts[at].as_py() == text else None


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
    columns = {}
    for name in SCHEMA.names:  # a column at a time, and on this thread: half the memory, which others would keep
        read = pq.read_table(path, schema=SCHEMA, columns=[name], use_threads=False, pre_buffer=False)
        columns[name] = read.column(0).combine_chunks()
    if absent := [name for name in ("path", "files", "sizes", "header_files") if columns[name].null_count]:
        raise ValueError(f"it has nulls, or no values at all, in {', '.join(absent)}")
    if not pc.all(pc.less_equal(columns["path"][:-1], columns["path"][1:])).as_py():
        order = pc.sort_indices(columns["path"])
        columns = {name: column.take(order) for name, column in columns.items()}
    return Manifest(columns)
