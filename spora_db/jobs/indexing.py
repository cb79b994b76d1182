"""Remembers the headers of a lake's images, so that ``images`` knows channels, height, width and dtype in SQL."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from spora_db.errors import SporaError
from spora_db.files.parquet import write_parquet
from spora_db.layout import LakePath, scan
from spora_db.remembered.image_index import SCHEMA, Indexed, index_path, read_index, state_of
from spora_db.sources.listings import listing_table


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What indexing did.

    Attributes
    ----------
    path
        The index.
    kept, read
        Images whose headers were known and still hold, and those that were read.
    problems
        By path, why an image could not be read; it is not in the index.
    """

    path: Path
    kept: int
    read: int
    problems: dict[str, str]


def index_images(lake: LakePath, *, beside: bool = False) -> IndexReport:
    """Read the headers of all images that are new or were changed, and write them to the lake's index.

    No pixel is decoded. An entry holds as long as the files that the header was read from have the same size and
    modification time; a changed image is NULL in ``images`` until it is indexed again.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    beside
        Whether the index is written into the lake (``.spora-db/images.parquet``), for all who read it; by default into
        the user's own cache folder.

    Raises
    ------
    DatasetNotFoundError
        If there is no such lake.
    WriteError
        If the index cannot be written, such as beside a lake that is read-only.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db import Catalog
    >>> from spora_db.images import write_ometiff
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = Path(folder, "cohort", "he", "1_0mpp", "images")
    ...     images.mkdir(parents=True)
    ...     _ = write_ometiff(images / "a.ome.tiff", np.zeros((3, 30, 40), np.uint8), mpp=1.0)
    ...     report = index_images(folder, beside=True)
    ...     with Catalog(folder) as catalog:
    ...         catalog.sql("SELECT tissue_id, channel_count, height, width, dtype FROM images").fetchall()
    [('a', 3, 30, 40, 'uint8')]
    """
    from spora_db.images import open_image

    folders = scan(lake)
    known = read_index(folders.path)
    entries: dict[str, Indexed] = {}
    problems: dict[str, str] = {}
    kept = 0
    for path in listing_table("source_images", folders).column("path").to_pylist():
        indexed = known.get(path)
        if indexed is not None and state_of(folders.path, indexed.files) == indexed.state:
            entries[path] = indexed
            kept += 1
            continue
        try:
            image = open_image(folders.locate(path))
        except SporaError as error:
            problems[path] = str(error)
            continue
        files = tuple(folders.relative(file) for file in image.files)
        state = state_of(folders.path, files)
        if state is None:
            problems[path] = f"{path} was removed while it was read."
            continue
        entries[path] = Indexed(files=files, state=state, header=(*image.shape, image.dtype.name))
    target = index_path(folders.path, beside=beside)
    write_parquet(_table(entries), target)
    return IndexReport(path=target, kept=kept, read=len(entries) - kept, problems=problems)


def _table(entries: dict[str, Indexed]) -> pa.Table:
    rows = [
        {
            "path": path,
            "files": list(indexed.files),
            "sizes": [size for size, _ in indexed.state],
            "mtimes_ns": [time for _, time in indexed.state],
            **dict(zip(("channel_count", "height", "width", "dtype"), indexed.header, strict=True)),
        }
        for path, indexed in entries.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
