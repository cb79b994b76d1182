"""A batch of regions, planned as a whole: which chunks it needs, and which piece of which chunk goes where.

1. plan: `Regions` (arrays) -> `PlannedChunk`, each chunk once, with the `PIECES` that are cut from it,
2. fetch: what these need of remote files, all at once (`spora_db.images.fetching`),
3. decode: chunk by chunk, from the cache or the file (`ImageReader.decoded`),
4. `PieceTables`: tables of addresses, from which one call of a kernel fills many regions.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import SporaError
from spora_db.images.base import BatchFiles, ChunkGrid, ImageReader
from spora_db.images.fetching import PlannedChunk, fetched
from spora_db.images.page_groups import Filling
from spora_db.images.pixels import ChunkPlanes
from spora_db.kernels.tables import PIECES, PLANES

Grids: TypeAlias = list[tuple[int, ImageReader, ChunkGrid]]
WAVE_BYTES: Final = 2**25
"""Bytes of chunks that are used together, about: what lies in the cache of the processor."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """What is read together: regions of images, which may cross an image's edge, or lie outside of it.

    Attributes
    ----------
    readers, pages
        The images, and which pages of each are wanted, int64 arrays.
    image
        int64 array of shape (N,): the image of each region.
    row, col, height, width
        int64 arrays of shape (N,), in pixels.
    inside
        int64 array of shape (4, N): the top, left, bottom and right of what lies in its image, the ends not included;
        zeros where nothing does.
    """

    readers: Sequence[ImageReader]
    pages: Sequence[Int64]
    image: Int64
    row: Int64
    col: Int64
    height: Int64
    width: Int64
    inside: Int64 = field(init=False)

    def __post_init__(self) -> None:
        """Work out what lies inside: at once, as a cached property holds a lock in Python 3.11, for ever in a fork."""
        shapes = np.array([reader.shape[1:] for reader in self.readers], np.int64).reshape(-1, 2)[self.image]
        corner = np.array([self.row, self.col])
        first = np.maximum(corner, 0)
        end = np.minimum(corner + np.array([self.height, self.width]), shapes.T)
        is_there = (first < end).all(axis=0)
        object.__setattr__(self, "inside", np.concatenate([first, end]) * is_there)

    @classmethod
    def of(cls, reader: ImageReader, pages: Int64, *, row: int, col: int, height: int, width: int) -> "Regions":
        """Return a batch of one region."""
        numbers = {"image": 0, "row": row, "col": col, "height": height, "width": width}
        return cls(readers=[reader], pages=[pages], **{name: np.array([own]) for name, own in numbers.items()})

    def at(self, region: int) -> dict[str, int]:
        """Return ``row, col, height, width`` of one region."""
        return {name: int(getattr(self, name)[region]) for name in ("row", "col", "height", "width")}


class PieceTables(NamedTuple):
    """What is cut from decoded planes: `PIECES`, `PLANES`, the types of pixels as kept and as delivered, the arrays."""

    pieces: AnyArray
    planes: AnyArray
    dtype: np.dtype[Any]
    delivered: np.dtype[Any]
    held: Sequence[ChunkPlanes]


class CutChunk(NamedTuple):
    """Decoded planes, those that are wanted, the pieces that are cut from each of these alike, the image's type.

    Pieces are rows of numbers, in the order of `PIECES`: numpy takes four times as long to join tables with names.
    """

    planes: ChunkPlanes
    filling: Filling
    pieces: Int64
    delivered: np.dtype[Any]


def decode(regions: Regions, faults: dict[int, Exception]) -> Iterator[PieceTables]:
    """Decode what regions need, each chunk once, in pieces that cover every page and pixel of them once.

    Beyond an image's edge pixels are zero. They may come in the narrower type in which chunks are kept.

    Parameters
    ----------
    regions
        The regions.
    faults
        Takes the first error of each region that cannot be read.
    """
    wave, held, types = list[CutChunk](), 0, None
    for part in chain(_outside(regions), cut_chunks(regions, faults)):
        pixels = part.planes.pixels
        own = pixels.dtype, part.delivered
        if wave and (held > WAVE_BYTES or own != types):
            yield tables(wave)
            wave, held = [], 0
        wave.append(part)
        held, types = held + (pixels.nbytes if pixels.strides[-2] else 0), own  # of a chunk that is absent one row
    if wave:
        yield tables(wave)


def tables(wave: Sequence[CutChunk]) -> PieceTables:
    """Return the tables of some chunks."""
    chunks, fillings, cut, kinds = zip(*wave, strict=True)
    counts = np.array([len(filling.planes) for filling in fillings])
    address, plane, line, step = np.repeat(np.array([chunk.layout for chunk in chunks]), counts, axis=0).T
    own, slots = map(np.concatenate, zip(*fillings, strict=True))
    planes = np.array([address + plane * own, line, step, slots]).T.reshape(-1).view(PLANES)
    pieces = np.concatenate(cut).reshape(-1).view(PIECES)
    lengths = [len(own) for own in cut]
    pieces["count"] = np.repeat(counts, lengths)
    pieces["first"] = np.repeat(np.cumsum(counts) - counts, lengths)
    return PieceTables(pieces, planes, chunks[0].pixels.dtype, kinds[0], chunks)


def whole_piece(pixels: AnyArray, region: int = 0, *, slots: Int64 | None = None) -> CutChunk:
    """Return planes that fill a region from its corner on: its channels in turn, or those of `slots`."""
    pieces = np.array([(region, 0, 0, 0, 0, 0, 0, *pixels.shape[1:])])
    planes = np.arange(len(pixels))
    return CutChunk(ChunkPlanes.of(pixels), Filling(planes, planes if slots is None else slots), pieces, pixels.dtype)


def fetch_ahead(regions: Regions) -> None:
    """Fetch what `decode` will read of remote files; what cannot be read, that will tell."""
    deque(fetched(planned_chunks(regions, {})), maxlen=0)


def cut_chunks(regions: Regions, faults: dict[int, Exception]) -> Iterator[CutChunk]:
    """Decode what lies in images, chunk by chunk."""
    files: BatchFiles = {}
    for chunk, unfetched in fetched(planned_chunks(regions, faults)):
        if unfetched is None:
            yield from _decoded(chunk, files, faults)
        else:
            _fail(faults, chunk.pieces[:, 0], unfetched)


def _decoded(chunk: PlannedChunk, files: BatchFiles, faults: dict[int, Exception]) -> Iterator[CutChunk]:
    """Decode a chunk; where not all rows of it can be read, those of each piece, so that only damaged regions fail."""
    reader, grid, down, across, rows, cols, pieces = chunk
    try:
        for group in grid.groups:
            planes, filling = reader.decoded(group, down, across, rows=rows, cols=cols, files=files)
            yield CutChunk(planes, filling, pieces, reader.dtype)
    except (SporaError, OSError) as error:
        if not grid.rows_apart or len(pieces) == 1:
            _fail(faults, pieces[:, 0], error)
            return
        for own in pieces:
            _, _, _, row, col, _, _, height, width = own.tolist()  # `PIECES`
            rows, cols = slice(row, row + height), slice(col, col + width)
            yield from _decoded(chunk._replace(rows=rows, cols=cols, pieces=own[None]), files, faults)


def planned_chunks(regions: Regions, faults: dict[int, Exception]) -> list[PlannedChunk]:
    """Return the chunks that regions need, each once; `faults` takes the errors of images that cannot be read."""
    grids: Grids = []
    for image in np.bincount(regions.image).nonzero()[0].tolist():
        reader = regions.readers[image]
        if not len(regions.pages[image]):
            continue
        try:
            grids += [(image, reader, grid) for grid in reader.grids(regions.pages[image])]
        except (SporaError, OSError) as error:
            _fail(faults, np.flatnonzero(regions.image == image), error)
    return _by_chunks(regions, grids) if grids else []


def _fail(faults: dict[int, Exception], regions: Int64, error: Exception) -> None:
    for region in regions.tolist():
        faults.setdefault(region, error)


def _by_chunks(regions: Regions, grids: Grids) -> list[PlannedChunk]:
    pieces, chunks = _cut(regions, grids)
    if not pieces.size:
        return []
    order = np.lexsort(chunks[::-1])
    pieces, chunks = pieces.take(order, axis=1), chunks.take(order, axis=1)
    firsts = np.concatenate([[0], (chunks[:, 1:] != chunks[:, :-1]).any(axis=0).nonzero()[0] + 1])
    begins = np.minimum.reduceat(pieces[3:5], firsts, axis=1).tolist()
    ends = np.maximum.reduceat(pieces[3:5] + pieces[7:], firsts, axis=1).tolist()
    pieces = np.ascontiguousarray(pieces.T)
    starts, places = firsts.tolist(), zip(*chunks.take(firsts, axis=1).tolist(), *begins, *ends, strict=True)
    planned = []
    for (number, down, across, *window), (first, end) in zip(places, pairwise([*starts, len(pieces)]), strict=True):
        _, reader, grid = grids[number]
        rows, cols = map(slice, window[:2], window[2:])
        planned.append(PlannedChunk(reader, grid, down, across, rows, cols, pieces[first:end]))
    return planned


def _cut(regions: Regions, grids: Grids) -> tuple[Int64, Int64]:
    """Return the pieces of regions by chunks, and for each its chunk: the number of its grid, its place down, across.

    Both are columns of numbers; those of pieces in the order of `PIECES`, their `row` and `col` those in the chunk.
    """
    images, *sizes = np.array([(image, grid.height, grid.width) for image, _, grid in grids]).T
    region, nth = _repeated(np.bincount(images, minlength=len(regions.readers)).take(regions.image))
    number = images.searchsorted(regions.image).take(region) + nth  # the grids of an image are neighbours
    size, edges = np.array(sizes).take(number, axis=1), regions.inside.take(region, axis=1)
    place = edges[:2] // size
    downs, acrosses = -(-edges[2:] // size) - place
    own, nth = _repeated(downs * acrosses)
    region, number, size, edges = region.take(own), number.take(own), size.take(own, axis=1), edges.take(own, axis=1)
    place = place.take(own, axis=1) + np.divmod(nth, acrosses.take(own))
    corner = place * size
    first, outer = np.maximum(edges[:2], corner), np.array([regions.row, regions.col]).take(region, axis=1)
    pieces = np.zeros((9, len(own)), np.int64)  # `PIECES`; which planes is known once they are decoded
    pieces[0] = region
    np.subtract(first, corner, out=pieces[3:5])
    np.subtract(first, outer, out=pieces[5:7])
    np.subtract(np.minimum(edges[2:], corner + size), first, out=pieces[7:])
    return pieces, np.concatenate([number[None], place])


def _repeated(counts: Int64) -> tuple[Int64, Int64]:
    """Return each position so many times as its count says, and 0, 1, ... for each.

    Examples
    --------
    >>> _repeated(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    own = np.arange(len(counts)).repeat(counts)
    return own, np.arange(len(own)) - (counts.cumsum() - counts).take(own)


def _outside(regions: Regions) -> Iterator[CutChunk]:
    """Yield what lies beyond the edge of each image, in up to four pieces a region: planes whose rows are one row."""
    inside, height, width = regions.inside, regions.height, regions.width
    if (inside[2:] - inside[:2] == [height, width]).all():
        return
    corner = np.array([regions.row, regions.col] * 2)
    top, left, bottom, right = np.where(inside.any(axis=0), inside - corner, 0)
    zero = np.zeros_like(top)
    parts = np.array([
        (zero, zero, top, width),
        (bottom, zero, height - bottom, width),
        (top, zero, bottom - top, left),
        (top, right, bottom - top, width - right),
    ])  # fmt: skip
    number, region = np.nonzero(parts[:, 2:].all(axis=1))
    image = regions.image[region]
    pieces = np.zeros((len(region), 9), np.int64)
    pieces[:, 0], pieces[:, 5:] = region, parts[number, :, region]
    for own in np.unique(image).tolist():
        wide = int(width.max())
        planes = np.broadcast_to(np.zeros(wide, regions.readers[own].dtype), (len(regions.pages[own]), 1, wide))
        yield whole_piece(planes)._replace(pieces=pieces[image == own])
