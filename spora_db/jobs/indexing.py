"""Remembers the headers of a lake's images, so that ``images`` knows channels, height, width and dtype in SQL.

Beside a lake it is a manifest of all its files, so that a copy of it in a bucket is opened without listing it.
"""

from dataclasses import dataclass
from pathlib import Path

from spora_db.errors import SporaError
from spora_db.files.parquet import write_parquet
from spora_db.files.stores.manifest import ManifestRow, manifest_table
from spora_db.files.stores.remote_files import check_writable
from spora_db.jobs.manifest_files import image_files, layer_in, other_files, side_by_side
from spora_db.layout import Lake, LakePath, scan
from spora_db.remembered.image_index import Indexed, holds, index_path, read_index
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
        Whether the index is written into the lake (``.spora-db/index.parquet``), for all who read it, and tells all of
        its files: names, sizes, versions. By default it is written into the user's own cache folder, and tells images.

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
    folders = scan(lake, listed=True)
    target = index_path(folders.path, beside=beside)
    check_writable(target)
    into = target.parents[1] if beside else None
    known = read_index(folders.path)
    paths = listing_table("source_images", folders).column("path").to_pylist()
    kept = {path: known[path] for path in paths if path in known and holds(folders.path, path, known[path])}
    entries, problems = [], {}
    for path, (entry, problem) in side_by_side(lambda path: _image(folders, path, kept.get(path), into), paths):
        if problem is not None:
            problems[path] = problem
        if entry is not None:
            entries.append(entry)
    if into is not None:
        entries += other_files(folders, into)
    write_parquet(manifest_table(entries), target)
    return IndexReport(path=target, kept=len(kept), read=len(paths) - len(kept) - len(problems), problems=problems)


def _image(lake: Lake, path: str, known: Indexed | None, into: Path | None) -> tuple[ManifestRow | None, str | None]:
    """Return what is remembered of an image, and why it cannot be read, should that be so."""
    from spora_db.images import open_image

    place, header, problem = lake.locate(path), None, None
    names: list[str] = []
    if known is not None:
        names, header = [name for name, *_ in known.files], known.header
    else:
        try:
            image = open_image(place)
            names = ["" if file == place else file.relative_to(place).as_posix() for file in image.files]
            header = (*image.shape, image.dtype.name)
        except SporaError as error:
            problem = str(error)
    if problem is not None and into is None:
        return None, problem
    try:
        files = image_files(place, names, whole=into is not None)
    except OSError:
        return None, f"{path} was removed while it was read."
    layer = None if into is None else layer_in(lake, place, into)
    return ManifestRow(path=path, layer=layer, files=files, header_files=len(names), header=header), problem
