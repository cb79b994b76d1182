"""Regions of images: what of them lies in an image and in its chunks, and reading them into one array."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import ArgumentError
from spora_db.images.base import ImageReader, Pages
from spora_db.images.pieces import CutChunk, Regions, cut_chunks


class Block(NamedTuple):
    """A decoded piece of an image that lies in a requested region.

    Attributes
    ----------
    pixels
        Array of shape (k, h, w), native byte order; often a view into a cached chunk, so never written to. Of the
        reader's dtype, or uint16 with the same values, as chunks are kept.
    slots
        int64 array of shape (k,): the positions of the k planes in the *requested* list of pages.
    row, col
        Where ``pixels[:, 0, 0]`` lies in the image, in pixels.
    """

    pixels: AnyArray
    slots: Int64
    row: int
    col: int


def blocks(regions: Regions) -> Iterator[Block]:
    """Decode regions inside of an image, chunk by chunk, each once: every page and pixel of them comes once.

    Raises
    ------
    SporaError, OSError
        The first error of a chunk.
    """
    for part in _cut(regions):
        pixels, above, before = part.planes.pixels, part.planes.row, part.planes.col
        for region, _, _, row, col, down, across, height, width in part.pieces.tolist():  # `PIECES`
            rows, cols = slice(row - above, row - above + height), slice(col - before, col - before + width)
            top, left = int(regions.row[region]) + down, int(regions.col[region]) + across
            for source, slots in part.filling.runs:
                yield Block(pixels[source, rows, cols], slots, top, left)


def _cut(regions: Regions) -> Iterator[CutChunk]:
    """Decode regions up to the first chunk that cannot be read, and raise its error."""
    faults = dict[int, Exception]()
    for part in cut_chunks(regions, faults):
        if faults:
            break
        yield part
    for error in faults.values():
        raise error


def check_pages(pages: Pages | None, count: int, path: object) -> Int64:
    """Return the pages asked for as int64, all of them for None.

    Raises
    ------
    ArgumentError
        No page, a page that is not an integer, or one that the image does not have.
    """
    if pages is None:
        return np.arange(count, dtype=np.int64)
    given = np.asarray(pages)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        raise ArgumentError(
            f"Pages are a non-empty list of integers from 0 to {count - 1} for the image {path}; received {pages!r}."
        )
    given = given.astype(np.int64, copy=False)
    if bad := [page for page in given.tolist() if not 0 <= page < count]:
        raise ArgumentError(
            f"The image {path} has pages 0 to {count - 1}; received {bad[:10]}. "
            "Its channels.parquet may list more channels than the image holds."
        )
    return given


def read_through(reader: ImageReader) -> Iterator[Block]:
    """Decode all pixels of an image once, chunk by chunk: whatever checksums its file carries are compared.

    Of a copy of some chunks only, those that it has.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from spora_db.images import open_image, write_omezarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.ones((2, 300, 40), np.uint16), mpp=1.0)
    ...     sum(block.pixels.size for block in read_through(open_image(path)))
    24000
    """
    channels, height, width = reader.shape
    left_out = getattr(reader, "is_left_out", lambda place: False)  # of an OmeZarrReader
    for grid in reader.grids(np.arange(channels)):
        places = [*product(range(-(-height // grid.height)), range(-(-width // grid.width)))]
        for group in grid.groups:
            copied = [place for place in places if not left_out((group.chunk, *place))]
            row, col = np.array(copied, np.int64).reshape(-1, 2).T * [[grid.height], [grid.width]]
            tall, wide = np.minimum(grid.height, height - row), np.minimum(grid.width, width - col)
            own, image = [np.sort(group.from_wanted.slots)], np.zeros_like(row)
            yield from blocks(
                Regions(readers=[reader], pages=own, image=image, row=row, col=col, height=tall, width=wide)
            )


def read_region(
    reader: ImageReader,
    pages: Pages | None = None,
    *,
    row: int = 0,
    col: int = 0,
    height: int | None = None,
    width: int | None = None,
    pad: bool = False,
    out: AnyArray | None = None,
) -> AnyArray:
    """Read a region of chosen pages into one array.

    Parameters
    ----------
    reader
        An image from :func:`spora_db.images.open_image`.
    pages
        Positions of channels in the file, in the order wanted, repeats allowed; all pages by default.
    row, col
        Top-left corner in pixels. Negative only with ``pad``.
    height, width
        Size in pixels; by default to the image's edge.
    pad
        Fill what lies outside the image with zeros instead of refusing.
    out
        Where to write the pixels; a new array by default.

    Returns
    -------
    numpy.ndarray
        Array of shape (pages, height, width) in the reader's dtype, a copy that the caller owns.

    Raises
    ------
    ArgumentError
        A page that does not exist, or a region that is empty or crosses the edge without ``pad``.
    ImageNotFoundError
        A chunk of the region is absent on disk.
    FileFormatError
        A chunk of the region is broken.

    See Also
    --------
    open_image, SporaQuery.to_torch

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from spora_db.images import open_image, write_omezarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.arange(2 * 20 * 30, dtype=np.uint16).reshape(2, 20, 30)
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", image, mpp=1.0)
    ...     read_region(open_image(path), [1], row=19, col=28, height=2, width=3, pad=True)
    array([[[1198, 1199,    0],
            [   0,    0,    0]]], dtype=uint16)
    """
    if isinstance(reader, (str, Path)):
        raise ArgumentError(f"read_region({str(reader)!r}): expected an opened image, open_image({str(reader)!r}).")
    planes, full_height, full_width = reader.shape
    wanted = check_pages(pages, planes, reader.path)
    height = full_height - row if height is None else height
    width = full_width - col if width is None else width
    if height < 1 or width < 1:
        raise ArgumentError(f"A region has at least one pixel; received height={height}, width={width}.")
    region = Regions.of(reader, wanted, row=row, col=col, height=height, width=width)
    inside = (row, col, row + height, col + width) == tuple(region.inside[:, 0])
    if not inside and not pad:
        raise ArgumentError(
            f"The region of rows {row} to {row + height} and cols {col} to {col + width} is not inside the image "
            f"{reader.path} of {full_height} rows and {full_width} cols. "
            "Ask for a region inside it, or pass pad=True to have the rest filled with zeros."
        )
    out = np.empty((len(wanted), height, width), reader.dtype) if out is None else out
    if not inside:
        out[:] = 0
    for chunk, filling, pieces, _ in _cut(region):
        for _, _, _, top, left, down, across, tall, wide in pieces.tolist():  # `PIECES`
            above, before = top - chunk.row, left - chunk.col
            found = chunk.pixels[:, above : above + tall, before : before + wide]
            target = out[:, down : down + tall, across : across + wide]
            for plane, slot in zip(filling.planes.tolist(), filling.slots.tolist(), strict=True):
                target[slot] = found[plane]
    return out
