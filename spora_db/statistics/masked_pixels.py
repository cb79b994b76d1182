"""The pixels of an image under its tissue mask, block by block: never the whole image in memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from spora_db.arrays import AnyArray, Bools, Int64
from spora_db.images.pieces import Regions
from spora_db.images.regions import blocks
from spora_db.statistics.strides import flat_planes

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader

PixelRuns: TypeAlias = tuple[Int64, Int64, Int64]

LEAST_SIDE: Final = 256  # smaller chunks are asked for together: 1,024 of 16 x 16 take 21 ms so, 29 ms one by one

AT_ONCE: Final = 64
"""Regions that are planned, and fetched from a remote lake, together."""


def regions(shape: tuple[int, int], chunks: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Cut an image into regions of whole chunks, row by row.

    Parameters
    ----------
    shape
        Height and width of the image in pixels.
    chunks
        Height and width of its chunks.

    Yields
    ------
    row, col, height, width

    Examples
    --------
    >>> list(regions((300, 500), (256, 256)))
    [(0, 0, 256, 256), (0, 256, 256, 244), (256, 0, 44, 256), (256, 256, 44, 244)]
    """
    height, width = (max(1, -(-LEAST_SIDE // chunk)) * chunk for chunk in chunks)
    for row in range(0, shape[0], height):
        for col in range(0, shape[1], width):
            yield row, col, min(height, shape[0] - row), min(width, shape[1] - col)


def masked_blocks(reader: "ImageReader", pages: Int64, mask: Bools) -> Iterator[tuple[AnyArray, Int64, PixelRuns, int]]:
    """Decode the parts of an image where there is tissue.

    Parameters
    ----------
    reader
        The open image, with ``shape`` (pages, H, W).
    pages
        The k pages wanted.
    mask
        bool array of shape (H, W).

    Yields
    ------
    pixels
        Array of shape (j, h, w), as decoded.
    slots
        int64 array of shape (j,): positions in ``pages``.
    runs
        Row, start and stop of the runs of tissue in it.
    count
        Number of tissue pixels in it.
    """
    from spora_db.kernels.statistics import mask_runs

    tissue = [place for place in regions(reader.shape[1:], reader.chunks) if len(pages) and _part(mask, *place).any()]
    many = AT_ONCE if min(reader.chunks) >= LEAST_SIDE else 1  # chunks come row by row, not region by region
    for start in range(0, len(tissue), many):
        row, col, tall, wide = np.array(tissue[start : start + many]).T
        places = {"image": np.zeros_like(row), "row": row, "col": col, "height": tall, "width": wide}
        known: tuple[int, ...] = ()
        for pixels, slots, top, left in blocks(Regions(readers=[reader], pages=[pages], **places)):
            _, height, width = pixels.shape
            if known != (top, left, height, width):  # planes that come one by one share the runs of their place
                known, part = (top, left, height, width), np.ascontiguousarray(_part(mask, top, left, height, width))
                rows, starts, stops = (np.empty(height * (width // 2 + 1), np.int64) for _ in range(3))
                count = mask_runs(part, rows, starts, stops)
                runs, inside = (rows[:count], starts[:count], stops[:count]), int(np.count_nonzero(part))
            if inside:
                yield pixels, slots, runs, inside


def _part(mask: Bools, row: int, col: int, height: int, width: int) -> Bools:
    return mask[row : row + height, col : col + width]


def gather(pixels: AnyArray, runs: PixelRuns, slots: Int64, out: AnyArray, filled: Int64) -> None:
    """Append the tissue pixels of decoded planes to the rows of ``out``.

    Parameters
    ----------
    pixels
        Array of shape (j, h, w).
    runs
        Row, start and stop of the runs of tissue.
    slots
        int64 array of shape (j,): the row of ``out`` of each plane.
    out
        Array of shape (k, n).
    filled
        int64 array of shape (k,): how much of each row is filled; moved on.
    """
    from spora_db.kernels.statistics import gather_runs

    source = flat_planes(pixels)
    gather_runs(
        source.flat, source.plane, source.line, source.step, *runs, np.ascontiguousarray(slots, np.int64), out, filled
    )


def masked_values(reader: "ImageReader", pages: Int64, mask: Bools) -> Iterator[tuple[AnyArray, Int64]]:
    """Give the tissue pixels of one decoded block after the other.

    Yields
    ------
    values
        Array of shape (j, n), reused: gone with the next one.
    slots
        int64 array of shape (j,): positions in ``pages``.
    """
    room = np.empty(0, reader.dtype)
    for pixels, slots, runs, count in masked_blocks(reader, pages, mask):
        if room.size < len(slots) * count:
            room = np.empty(len(slots) * count, reader.dtype)
        values = room[: len(slots) * count].reshape(len(slots), count)
        gather(pixels, runs, np.arange(len(slots)), values, np.zeros(len(slots), np.int64))
        yield values, slots


def kept_values(reader: "ImageReader", pages: Int64, mask: Bools) -> AnyArray:
    """Return all tissue pixels of an image at once.

    Returns
    -------
    array of shape (k, number of tissue pixels), in the image's dtype
    """
    out = np.empty((len(pages), int(np.count_nonzero(mask))), reader.dtype)
    filled = np.zeros(len(pages), np.int64)
    for pixels, slots, runs, _ in masked_blocks(reader, pages, mask):
        gather(pixels, runs, slots, out, filled)
    assert (filled == out.shape[1]).all()
    return out
