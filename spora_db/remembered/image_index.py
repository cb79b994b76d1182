"""What is remembered of image headers: read beside the lake or from the user's cache, believed while files stay as is.

An index beside a lake is its manifest; one in the cache has the same columns, and no row but those of images.
``spora_db.jobs.indexing`` writes both; nothing else does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spora_db.files.folders import user_folder
from spora_db.files.stamps import lasting_stamp
from spora_db.files.stores.manifest import BESIDE, HEADER, HeaderFile, read_manifest
from spora_db.files.stores.mirror import mirror_of
from spora_db.layout import Lake, layers, locate
from spora_db.remembered.folders import lake_digest

Header = tuple[int | str, ...]
UNKNOWN = (None,) * len(HEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """The header of one image (channels, height, width, dtype), and the files that it was read from as they were."""

    files: tuple[HeaderFile, ...]
    header: Header


def index_path(root: Path, *, beside: bool = False) -> Path:
    """Return where the index of a lake is: in its last layer (`beside`), or in the user's folder for caches (XDG).

    Examples
    --------
    >>> index_path(Path("/data/lake"), beside=True).as_posix()
    '/data/lake/.spora-db/index.parquet'
    """
    if beside:
        return layers(root)[-1] / BESIDE
    return user_folder("cache") / lake_digest(root, size=12) / "index.parquet"


def read_index(root: Path) -> dict[str, Indexed]:
    """Return what the indexes of a lake remember, by path; of several the later layer's, or the user's own.

    Raises
    ------
    FileFormatError
        If an index is broken.
    """
    found: dict[str, Indexed] = {}
    for path in _paths(root):
        found |= {name: Indexed(files=files, header=header) for name, files, header in read_manifest(path).headers()}
    return found


def has_index(root: Path) -> bool:
    """Tell whether a lake has an index, without reading it."""
    return bool(_paths(root))


def _paths(root: Path) -> list[Path]:
    beside = [layer / BESIDE for layer in layers(root)]
    return [path for path in (*beside, index_path(root)) if path.is_file()]


def holds(root: Path, path: str, indexed: Indexed) -> bool:
    """Tell whether the files that a header was read from are as they were.

    Those of a remote lake are compared with its listing or its manifest; nothing is asked of it.
    """
    place = locate(root, path)
    files = [place / name if name else place for name, *_ in indexed.files]
    if (remote := mirror_of(place)) is not None:
        found = remote.states(files)
        if None not in found:
            return all(
                state is not None and size == state.size and etag in (None, state.version)
                for (_, size, _, etag), state in zip(indexed.files, found, strict=True)
            )
    try:
        return all(
            lasting_stamp(file) == (size, mtime_ns)
            for file, (_, size, mtime_ns, _) in zip(files, indexed.files, strict=True)
        )
    except OSError:
        return False


def headers(lake: Lake, paths: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the remembered header of every path; NULLs where it is not indexed, or its files have changed since."""
    known = read_index(lake.path)
    for path in paths:
        indexed = known.get(path)
        yield indexed.header if indexed is not None and holds(lake.path, path, indexed) else UNKNOWN
