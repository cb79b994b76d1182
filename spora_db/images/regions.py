"""Regions of images: what of them lies in an image and in its chunks, and reading them into one array."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import ArgumentError
from spora_db.images.base import BatchFiles, Block, ChunkGrid, GridReader, ImageReader, Pages
from spora_db.images.fetching import PlannedChunk, fetched

ChunkPart: TypeAlias = tuple[int, int, slice]
BAND = 256
"""Rows that are decoded at once where an image is gone through, about: a whole number of chunks."""


class Overlap(NamedTuple):
    """The part of a requested region that lies in the image, and where it goes in the region."""

    row: int
    col: int
    height: int
    width: int
    out_row: int
    out_col: int


def overlap(
    shape: tuple[int, int, int], *, row: int, col: int, height: int, width: int, pad: bool = False, path: object = None
) -> Overlap | None:
    """Return the part of a region that lies in an image of ``shape``, or None where they do not meet.

    Raises
    ------
    ArgumentError
        The region is empty, or crosses the image's edge without ``pad``.

    Examples
    --------
    >>> overlap((3, 100, 80), row=90, col=70, height=20, width=20, pad=True)
    Overlap(row=90, col=70, height=10, width=10, out_row=0, out_col=0)
    """
    if height < 1 or width < 1:
        raise ArgumentError(f"A region has at least one pixel; received height={height}, width={width}.")
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + height, shape[1]), min(col + width, shape[2])
    inside = row >= 0 and col >= 0 and row + height <= shape[1] and col + width <= shape[2]
    if not inside and not pad:
        raise ArgumentError(
            f"The region of rows {row} to {row + height} and cols {col} to {col + width} is not inside the image "
            f"{'' if path is None else f'{path} '}of {shape[1]} rows and {shape[2]} cols. "
            "Ask for a region inside it, or pass pad=True to have the rest filled with zeros."
        )
    if bottom <= top or right <= left:
        return None
    return Overlap(top, left, bottom - top, right - left, top - row, left - col)


def cuts(start: int, length: int, size: int) -> Iterator[ChunkPart]:
    """Yield the chunks of `size` that a range of pixels meets: which one, where it begins in the range, and what of it.

    Examples
    --------
    >>> list(cuts(200, 100, 256))
    [(0, 0, slice(200, 256, None)), (1, 56, slice(0, 44, None))]
    """
    for chunk in range(start // size, (start + length - 1) // size + 1):
        first, last = max(start, chunk * size), min(start + length, (chunk + 1) * size)
        yield chunk, first - start, slice(first - chunk * size, last - chunk * size)


def grid_blocks(
    reader: GridReader, grids: Sequence[ChunkGrid], row: int, col: int, height: int, width: int
) -> Iterator[Block]:
    """Decode a region inside an image, chunk by chunk."""
    planned = [
        PlannedChunk(reader, grid, down, across, rows, cols, np.array([top, left]))
        for grid in grids
        for (down, top, rows), (across, left, cols) in product(
            cuts(row, height, grid.height), cuts(col, width, grid.width)
        )
    ]
    files: BatchFiles = {}
    for chunk, error in fetched(planned):
        if error is not None:
            raise error
        top, left = chunk.pieces.tolist()
        for group in chunk.grid.groups:
            planes, filling = reader.decoded(
                group, chunk.down, chunk.across, rows=chunk.rows, cols=chunk.cols, files=files
            )
            for source, slots in filling.runs:
                yield Block(pixels=planes[source], slots=slots, row=top, col=left)


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
    if int(given.min()) < 0 or int(given.max()) >= count:
        bad = given[(given < 0) | (given >= count)].tolist()
        raise ArgumentError(
            f"The image {path} has pages 0 to {count - 1}; received {bad[:10]}. "
            "Its channels.parquet may list more channels than the image holds."
        )
    return given


def read_through(reader: ImageReader) -> Iterator[Block]:
    """Decode all pixels of an image once, band by band: whatever checksums its file carries are compared.

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
    if getattr(reader, "is_partial", False):
        yield from _copied_blocks(cast(Any, reader))
        return
    tall = reader.chunks[0]
    band = max(tall, BAND // tall * tall)
    for row in range(0, height, band):
        yield from reader.blocks(range(channels), row, 0, min(band, height - row), width)


def _copied_blocks(reader: Any) -> Iterator[Block]:  # noqa: ANN401 - an OmeZarrReader, which imports this module
    """Decode the chunks that a partial copy has."""
    channels, height, width = reader.shape
    for grid in reader.grids(np.arange(channels)):
        places = product(range(-(-height // grid.height)), range(-(-width // grid.width)), grid.groups)
        for down, across, group in places:
            if reader.is_left_out((group.chunk, down, across)):
                continue
            row, col = down * grid.height, across * grid.width
            rows, cols = slice(0, min(grid.height, height - row)), slice(0, min(grid.width, width - col))
            planes, filling = reader.decoded(group, down, across, rows=rows, cols=cols, files={})
            for source, slots in filling.runs:
                yield Block(pixels=planes[source], slots=slots, row=row, col=col)


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
    count, full_height, full_width = reader.shape
    wanted = check_pages(pages, count, reader.path)
    height = full_height - row if height is None else height
    width = full_width - col if width is None else width
    part = overlap(reader.shape, row=row, col=col, height=height, width=width, pad=pad, path=reader.path)
    out = np.empty((len(wanted), height, width), reader.dtype) if out is None else out
    if part is None or (part.height, part.width) != (height, width):
        out[:] = 0
    if part is None:
        return out
    for block in reader.blocks(wanted, part.row, part.col, part.height, part.width):
        top, left = part.out_row + block.row, part.out_col + block.col
        _, block_height, block_width = block.pixels.shape
        for plane, slot in zip(block.pixels, block.slots.tolist(), strict=True):
            out[slot, top : top + block_height, left : left + block_width] = plane
    return out
