"""What is remembered of image headers: read beside the lake or from the user's cache, believed while files stay as is.

An index is a parquet file with a row per image: its path, the files that its header was read from with their sizes and
modification times, and the header. ``spora_db.jobs.indexing`` writes it; nothing else does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.errors import FileFormatError
from spora_db.files.folders import user_folder
from spora_db.files.parquet import PARQUET_FAILURES
from spora_db.files.stamps import LastingStamp, Stamp, lasting_stamp, stamp
from spora_db.layout import Lake, layers, locate
from spora_db.remembered.folders import lake_digest

SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "files": pa.list_(pa.string()),
        "sizes": pa.list_(pa.int64()),
        "mtimes_ns": pa.list_(pa.int64()),
        "channel_count": pa.int64(),
        "height": pa.int64(),
        "width": pa.int64(),
        "dtype": pa.string(),
    }
)
"""Columns of an index; paths are relative to the lake."""

BESIDE = Path(".spora-db") / "images.parquet"
Header = tuple[int | str, ...]
UNKNOWN = (None, None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """The header of one image (channels, height, width, dtype), and the state of the files that it was read from."""

    files: tuple[str, ...]
    state: tuple[LastingStamp, ...]
    header: Header


def index_path(root: Path, *, beside: bool = False) -> Path:
    """Return where the index of a lake is: in its last layer (`beside`), or in the user's folder for caches (XDG).

    Examples
    --------
    >>> index_path(Path("/data/lake"), beside=True).as_posix()
    '/data/lake/.spora-db/images.parquet'
    """
    if beside:
        return layers(root)[-1] / BESIDE
    return user_folder("cache") / lake_digest(root, size=12) / "images.parquet"


def read_index(root: Path) -> dict[str, Indexed]:
    """Return what the indexes of a lake remember, by path; of several the later layer's, or the user's own.

    Raises
    ------
    FileFormatError
        If an index is broken.
    """
    found: dict[str, Indexed] = {}
    for path in _paths(root):
        found |= _read(path, stamp(path))
    return found


def has_index(root: Path) -> bool:
    """Tell whether a lake has an index, without reading it."""
    return bool(_paths(root))


def _paths(root: Path) -> list[Path]:
    beside = [layer / BESIDE for layer in layers(root)]
    return [path for path in (*beside, index_path(root)) if path.is_file()]


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: Stamp) -> Mapping[str, Indexed]:
    """Read an index once for as long as it stays as it is."""
    try:
        table = pq.read_table(path, schema=SCHEMA).combine_chunks()
        if absent := [name for name in SCHEMA.names if table.column(name).null_count]:
            raise ValueError(f"it has nulls, or no values at all, in {', '.join(absent)}")
    except PARQUET_FAILURES as error:
        message = f"The index {path} cannot be read: {error}. Delete it, or write it again: spora-db index LAKE."
        raise FileFormatError(message) from error
    lists = [table.column(name).combine_chunks() for name in ("files", "sizes", "mtimes_ns")]
    files, sizes, times = (column.flatten().to_pylist() for column in lists)  # a list at a time takes 0.4 s more
    states = list(zip(sizes, times, strict=True))
    cuts = np.concatenate([[0], np.cumsum(lists[0].value_lengths())]).tolist()
    paths, *header = (table.column(name).to_pylist() for name in ("path", "channel_count", "height", "width", "dtype"))
    indexed = {}
    for place, (name, *found) in enumerate(zip(paths, *header, strict=True)):
        own = slice(cuts[place], cuts[place + 1])
        indexed[name] = Indexed(files=tuple(files[own]), state=tuple(states[own]), header=tuple(found))
    return indexed


def state_of(root: Path, files: Sequence[str]) -> tuple[LastingStamp, ...] | None:
    """Return the stamps of files below a lake; None where one is gone."""
    try:
        return tuple(lasting_stamp(locate(root, name)) for name in files)
    except OSError:
        return None


def headers(lake: Lake, paths: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the remembered header of every path; NULLs where it is not indexed, or its files have changed since."""
    known = read_index(lake.path)
    for path in paths:
        indexed = known.get(path)
        if indexed is not None and state_of(lake.path, indexed.files) == indexed.state:
            yield indexed.header
        else:
            yield UNKNOWN
