"""Reading regions of OME-TIFF images: only the segments touched, of the pages asked for."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import FileFormatError, ImageNotFoundError
from spora_db.files.failures import telling
from spora_db.files.stamps import same_content
from spora_db.files.stores.ranges import FileRange
from spora_db.files.stores.remote_files import again
from spora_db.images.base import MEANT, BatchFiles, ChannelAxis, ChunkGrid, MissingChunks
from spora_db.images.cache import OWNERS, find_chunk, identity, is_kept, keep_chunk
from spora_db.images.files import OpenFile, broken, check_unchanged, close_files, open_file, unopened
from spora_db.images.jpeg_rows import check_end, decode_first_rows
from spora_db.images.page_groups import Filling, PageGroup, group_pages
from spora_db.images.pixels import ChunkPlanes, deliver, delivered, white
from spora_db.images.reuse import Reuse
from spora_db.images.tiff_layout import TiffLayout, read_layout
from spora_db.images.tiff_pages import PageFormat, PageTable

GAP = 2**13
"""Bytes between the pixels of two lines that are read along: less than another call costs."""
REUSE = defaultdict[int, Reuse](Reuse)
"""Whether this process asks again for segments that it keeps, by the page: a tile asks for those of many pages in turn.
"""
StoredLines: TypeAlias = tuple[int, int, slice, slice]
"""Where pixels are stored as they are: the first byte, the width of lines, rows and cols."""
LINES = (256, 4096)
"""Rows and cols of a page that are read together where it lies in the file as it is, without segments."""


class OmeTiffReader:
    """An OME-TIFF or plain TIFF image: tiles or strips, planar or interleaved, any codec that tifffile knows.

    Pages are channels; a page of several samples (RGB) gives one channel per sample; of a pyramid, `level` is read. A
    segment without bytes is an error; or the no-data value (``"zeros"``), as sparse files mean it; or white.

    Raises
    ------
    ImageNotFoundError
        There is no such file.
    FileFormatError
        It is no TIFF, is cut short or contradicts itself, or its image is not (C, H, W).
    """

    def __init__(
        self,
        path: Path,
        *,
        missing_chunks: MissingChunks = "error",
        channel_axis: ChannelAxis = "c",
        level: int = 0,
    ) -> None:
        self.path = path
        self._missing = missing_chunks
        self._owner = next(OWNERS)
        self._name = str(path)
        self._layout: TiffLayout = read_layout(path, channel_axis=channel_axis, level=level)
        self._identity = identity(path.resolve(), self._layout.stamp, channel_axis, level)
        form = self._layout.format
        self.shape = self._layout.shape
        self.dtype: np.dtype[Any] = delivered(form.stored)
        self.chunks = (min(form.chunk[0], self.shape[1]), min(form.chunk[1], self.shape[2]))
        self.not_rgb = self._layout.not_rgb
        self.files = (path,)
        self.levels = self._layout.levels
        self._white = white(self.dtype, path) if missing_chunks == "white" else None

    def grids(self, pages: Int64) -> Sequence[ChunkGrid]:
        """Return the grids of segments of some pages; see `spora_db.images.base.ImageReader`."""
        self._open()
        form = self._layout.format
        grids: dict[tuple[int, int], list[PageGroup]] = {}
        for group in group_pages(pages, form.together):
            table = self._layout.pages[self._page_of(group)[0]]
            grids.setdefault(table.format.chunk if table.raw_offset < 0 else LINES, []).append(group)
        rows_apart = form.raw or form.strips > 1
        return [ChunkGrid(*size, groups, rows_apart) for size, groups in grids.items()]

    def needs(self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice) -> Iterator[list[FileRange]]:
        """Yield what is read of the file for a segment, or for strips; see `ImageReader`."""
        page, indices, table, lines = self._segments_of(group, down, across, rows, cols)
        if lines is not None:
            yield [FileRange(self._name, *one) for one in _line_ranges(table.format, *lines)]
            return
        missing = [index for index in indices if table.sizes[index] and not is_kept((self._identity, page, index))]
        if missing:
            yield [FileRange(self._name, int(table.offsets[index]), int(table.sizes[index])) for index in missing]

    def decoded(
        self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice, files: BatchFiles
    ) -> tuple[ChunkPlanes, Filling]:
        """Return a segment, a part of it or strips, and which of its samples fill which slots; see `ImageReader`."""
        page, indices, table, lines = self._segments_of(group, down, across, rows, cols)
        if lines is not None:
            pixels = _lines(self._open(), table.format, *lines)
            check_unchanged(self._name, self._layout.stamp)
            return ChunkPlanes(pixels, rows.start, cols.start), group.from_whole
        if table.format.strips > 1:
            return self._strips(page, indices, table, rows), group.from_whole
        return self._segment(page, indices[0], table, rows.stop), group.from_whole

    def _page_of(self, group: PageGroup) -> tuple[int, int]:
        """Return the page of a segment, and its sample where each has planes of its own."""
        form = self._layout.format
        return divmod(group.chunk, form.samples) if form.planar else (group.chunk, 0)

    def _segments_of(
        self, group: PageGroup, down: int, across: int, rows: slice, cols: slice
    ) -> tuple[int, range, PageTable, StoredLines | None]:
        """Return the page of a chunk, its segments that are needed, the page's table, where pixels lie as they are."""
        page, sample = self._page_of(group)
        table = self._layout.pages[page]
        form, lines = table.format, None
        index = (sample * form.grid[0] + down * form.strips) * form.grid[1] + across
        if form.strips > 1:
            tall = form.segment[0]
            return page, range(index + rows.start // tall, index + -(-rows.stop // tall)), table, None
        if table.raw_offset >= 0:
            start = table.raw_offset + sample * form.page_bytes // form.samples
            top, left = down * LINES[0], across * LINES[1]
            rows, cols = slice(top + rows.start, top + rows.stop), slice(left + cols.start, left + cols.stop)
            lines = start, self.shape[2], rows, cols
        elif form.raw and int(table.sizes[index]) >= form.segment_bytes(down):
            lines = int(table.offsets[index]), form.segment[1], rows, cols
        return page, range(index, index + 1), table, lines

    def _open(self) -> OpenFile:
        """Return the file, refusing one that is no longer what the tables were read from."""
        try:
            file = open_file(self._owner, self._name)
        except FileNotFoundError as error:
            raise ImageNotFoundError(f"The image {self.path} was there when it was opened and is gone now.") from error
        except OSError as error:
            raise unopened(self.path, error, expected="a TIFF file") from error
        if not same_content(file.stamp, self._layout.stamp):
            close_files(self._owner)
            raise FileFormatError(
                f"The image {self.path} was written again since it was opened. Open it again with open_image."
            )
        return file

    def _strips(self, page: int, indices: range, table: PageTable, rows: slice) -> ChunkPlanes:
        """Return strips that hold some rows of a chunk, as (samples, rows, cols)."""
        tall = table.format.segment[0]
        above = rows.start // tall * tall
        found = [self._kept(page, index, table) for index in indices]
        missing = [index for index, kept in zip(indices, found, strict=True) if kept is None]
        contents = iter(self._read(table, missing) if missing else [])
        strips = [
            self._decode(next(contents), page, index, table, rows=None) if kept is None else kept
            for index, kept in zip(indices, found, strict=True)
        ]
        return ChunkPlanes(np.concatenate([strip.pixels[:, :tall] for strip in strips], axis=1), above)

    def _segment(self, page: int, index: int, table: PageTable, rows: int) -> ChunkPlanes:
        """Return a tile or strip, its first `rows` at least, as (samples, rows, cols), from the cache or the file."""
        kept = self._kept(page, index, table)
        if kept is not None and kept.pixels.shape[1] >= rows:
            return kept
        data = self._open().read(int(table.offsets[index]), int(table.sizes[index]))
        check_unchanged(self._name, self._layout.stamp)
        in_part = table.format.by_rows and kept is None and not REUSE[page].pays
        return self._decode(data, page, index, table, rows=rows if in_part else None)

    def _kept(self, page: int, index: int, table: PageTable) -> ChunkPlanes | None:
        """Return a segment, or the first rows of it, that is kept or has no bytes; None where it is to be decoded."""
        form = table.format
        if not table.sizes[index]:
            if self._missing == "error":
                raise ImageNotFoundError(
                    f"The image {self.path} lacks segment {index} of page {page}: it has no bytes in the file. "
                    f"{again(self.path)} Or, where empty segments are meant, {MEANT}."
                )
            absent = deliver(np.asarray(form.nodata, form.stored)) if self._white is None else self._white
            return ChunkPlanes(np.broadcast_to(np.full(form.segment[1], absent), (form.together, *form.segment)))
        key = self._identity, page, index
        if not form.by_rows:
            return find_chunk(key)
        kept = find_chunk(key, (*key, "rows"))
        REUSE[page].note(kept=kept is not None)
        return kept

    def _read(self, table: PageTable, indices: Sequence[int]) -> list[bytes]:
        """Return the bytes of strips: at once, where they follow each other in the file."""
        places = [(int(table.offsets[index]), int(table.sizes[index])) for index in indices]
        file, start, end = self._open(), places[0][0], sum(places[-1])
        if all(sum(one) == after for one, (after, _) in pairwise(places)):
            run = file.read(start, end - start)
            contents = [run[offset - start : offset - start + size] for offset, size in places]
        else:
            contents = [file.read(*place) for place in places]
        check_unchanged(self._name, self._layout.stamp)
        return contents

    def _decode(self, data: bytes, page: int, index: int, table: PageTable, *, rows: int | None) -> ChunkPlanes:
        """Decode a segment, or only its first `rows` at least, and keep it."""
        form, key, decoded = table.format, (self._identity, page, index), None

        def undecodable(error: Exception) -> FileFormatError:
            place = f"{len(data)} bytes at {table.offsets[index]}"
            return broken(
                self.path,
                f"segment {index} of page {page} ({place}) does not decode: {error}",
                expected=f"{form.segment[0]} x {form.segment[1]} pixels of {form.stored}",
            )

        try:
            if rows is not None:
                decoded = _first_rows(data, rows, index, table)
            if is_whole := decoded is None:
                decoded = _whole(data, index, table)
            planes = deliver(decoded.transpose(2, 0, 1))
            planes = planes if form.convert is None else form.convert(planes)
        except Exception:  # to tell what this is costs 4 µs, and most segments decode
            with telling(f"The image {self._name}", library="tifffile", broken=undecodable):
                raise
        if is_whole and planes.shape[1:] != form.segment:
            self._check_size(planes, index, page, table)
        return keep_chunk(key if is_whole else (*key, "rows"), planes)

    def _check_size(self, planes: AnyArray, index: int, page: int, table: PageTable) -> None:
        """Refuse a segment that is smaller than the part of the image that it covers."""
        grid, (tall, wide) = table.format.grid, table.format.segment
        down, across = divmod(index % (grid[0] * grid[1]), grid[1])
        needed = (min(tall, self.shape[1] - down * tall), min(wide, self.shape[2] - across * wide))
        if planes.shape[1] < needed[0] or planes.shape[2] < needed[1]:
            raise broken(
                self.path,
                f"segment {index} of page {page} decodes to {planes.shape[1]} x {planes.shape[2]} pixels",
                expected=f"{needed[0]} x {needed[1]}",
            )

    def close(self) -> None:
        """Forget the open file; it is opened again when needed."""
        close_files(self._owner)


def _whole(data: bytes, index: int, table: PageTable) -> AnyArray:
    """Return a segment decoded as (rows, cols, samples)."""
    form = table.format
    if form.packing is not None:
        packed = form.packing.rows(data, form.segment_rows(index // form.grid[1] % form.grid[0]))
        if packed is not None:  # else tifffile knows what is meant
            return packed
    if form.jpeg is not None and form.jpeg_header is None:
        check_end(data)
    decoded: AnyArray = form.decode(data, index, jpegtables=table.jpeg_tables, jpegheader=form.jpeg_header)[0][0]
    if decoded.dtype == np.uint8 and form.stored == np.bool_:
        decoded = decoded.view(np.bool_)  # fax codecs
    if decoded.dtype.newbyteorder("=") != form.stored.newbyteorder("="):
        raise ValueError(f"it decodes to {decoded.dtype}, not {form.stored}")
    return decoded


def _first_rows(data: bytes, rows: int, index: int, table: PageTable) -> AnyArray | None:
    """Return the first rows of a segment at least as (rows, cols, samples), None where all of it is to be decoded."""
    form = table.format
    if form.packing is not None:
        return form.packing.first_rows(data, rows, form.segment_rows(index // form.grid[1] % form.grid[0]))
    if form.jpeg is None:
        return None
    size = (*form.segment, form.together)
    return decode_first_rows(data, rows, size, tables=table.jpeg_tables, colours=form.jpeg)


def _line_ranges(form: PageFormat, start: int, width: int, rows: slice, cols: slice) -> list[tuple[int, int]]:
    """Return offset and size of what is read of lines: all of them at once or, where that pays, of each its cols."""
    pixel = form.stored.itemsize * form.together
    line, tall, wide = width * pixel, rows.stop - rows.start, cols.stop - cols.start
    start += rows.start * line
    if (width - wide) * pixel <= GAP:
        return [(start, tall * line)]
    return [(start + index * line + cols.start * pixel, wide * pixel) for index in range(tall)]


def _lines(file: OpenFile, form: PageFormat, start: int, width: int, rows: slice, cols: slice) -> AnyArray:
    """Return pixels as (samples, rows, cols) that lie uncompressed in lines of `width` from byte `start` on."""
    tall, wide = rows.stop - rows.start, cols.stop - cols.start
    parts = [file.read(*one) for one in _line_ranges(form, start, width, rows, cols)]
    lines = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), form.stored)
    lines = lines.reshape(tall, -1, form.together)
    if lines.shape[1] > wide:
        lines = lines[:, cols] if lines.shape[1] < 2 * wide else lines[:, cols].copy()  # else all of them are held
    planes = deliver(lines.transpose(2, 0, 1))
    return planes if form.convert is None else form.convert(planes)
