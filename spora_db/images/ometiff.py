"""Reading regions of OME-TIFF images: only the segments touched, of the pages asked for."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError, ImageNotFoundError
from spora_db.files.failures import telling
from spora_db.images.base import MEANT, Block, ChannelAxis, MissingChunks, Pages
from spora_db.images.cache import OWNERS, find_chunk, identity, keep_chunk
from spora_db.images.files import OpenFile, broken, check_unchanged, close_files, open_file
from spora_db.images.page_groups import PageGroup, group_pages
from spora_db.images.pixels import deliver, delivered, white
from spora_db.images.regions import ChunkPart, check_pages, cuts
from spora_db.images.tiff_layout import TiffLayout, read_layout
from spora_db.images.tiff_pages import PageTable


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
        self.chunks = (min(form.segment[0], self.shape[1]), min(form.segment[1], self.shape[2]))
        self.not_rgb = self._layout.not_rgb
        self.files = (path,)
        self.levels = self._layout.levels
        self._white = white(self.dtype, path) if missing_chunks == "white" else None

    def blocks(self, pages: Pages, row: int, col: int, height: int, width: int) -> Iterator[Block]:
        """Decode a region inside the image, segment by segment; see :class:`spora_db.images.ImageReader`."""
        wanted = check_pages(pages, self.shape[0], self.path)
        first_form = self._layout.format
        file = self._open()
        parts: dict[tuple[int, int], list[tuple[ChunkPart, ChunkPart]]] = {}
        for group in group_pages(wanted, 1 if first_form.planar else first_form.samples):
            page, sample = divmod(group.chunk, first_form.samples) if first_form.planar else (group.chunk, 0)
            table = self._layout.pages[page]
            form = table.format
            if table.raw_offset >= 0:
                yield from self._raw(file, group, table, sample, (row, col, height, width))
                continue
            first = sample * form.grid[0] * form.grid[1]
            if form.segment not in parts:
                tall, wide = form.segment
                parts[form.segment] = list(product(cuts(row, height, tall), cuts(col, width, wide)))
            for (down, top, rows), (across, left, cols) in parts[form.segment]:
                planes = self._segment(file, page, first + down * form.grid[1] + across, table)
                for source, slots in group.from_whole:
                    yield Block(pixels=planes[source, rows, cols], slots=slots, row=top, col=left)

    def _open(self) -> OpenFile:
        """Return the file, refusing one that is no longer what the tables were read from."""
        try:
            file = open_file(self._owner, self._name)
        except FileNotFoundError as error:
            raise ImageNotFoundError(f"The image {self.path} was there when it was opened and is gone now.") from error
        except OSError as error:
            raise broken(self.path, str(error), expected="a TIFF file", remedy="Check the disk.") from error
        if file.stamp != self._layout.stamp:
            close_files(self._owner)
            raise FileFormatError(
                f"The image {self.path} was written again since it was opened. Open it again with open_image."
            )
        return file

    def _segment(self, file: OpenFile, page: int, index: int, table: PageTable) -> AnyArray:
        """Return one tile or strip as (samples, rows, cols), from the cache or the file."""
        key = (self._identity, page, index)
        planes = find_chunk(key)
        if planes is not None:
            return planes
        form = table.format
        offset, size = int(table.offsets[index]), int(table.sizes[index])
        if size == 0:
            if self._missing == "error":
                raise ImageNotFoundError(
                    f"The image {self.path} lacks segment {index} of page {page}: it has no bytes in the file. Copy or "
                    f"download it again, or, where empty segments are meant, {MEANT}."
                )
            samples = 1 if form.planar else form.samples
            absent = deliver(np.asarray(form.nodata, form.stored)) if self._white is None else self._white
            return np.broadcast_to(absent, (samples, *form.segment))
        data = file.read(offset, size)

        def undecodable(error: Exception) -> FileFormatError:
            return broken(
                self.path,
                f"segment {index} of page {page} ({size} bytes at {offset}) does not decode: {error}",
                expected=f"{form.segment[0]} x {form.segment[1]} pixels of {form.stored}",
            )

        with telling(f"The image {self.path}", library="tifffile", broken=undecodable):
            shared = {"jpegtables": table.jpeg_tables, "jpegheader": form.jpeg_header} if form.is_jpeg else {}
            decoded = form.decode(data, index, **shared)[0]
            if decoded.dtype == np.uint8 and form.stored == np.bool_:
                decoded = decoded.view(np.bool_)  # fax codecs
            if decoded.dtype != form.stored.newbyteorder("="):
                raise ValueError(f"it decodes to {decoded.dtype}, not {form.stored}")
            planes = deliver(decoded[0].transpose(2, 0, 1))
            planes = planes if form.convert is None else form.convert(planes)
        self._check_size(planes, index, page, table)
        check_unchanged(self._name, self._layout.stamp)
        keep_chunk(key, planes)
        return planes

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

    def _raw(
        self, file: OpenFile, group: PageGroup, table: PageTable, sample: int, region: tuple[int, int, int, int]
    ) -> Iterator[Block]:
        """Read rows of an uncompressed page: only the bytes between the region's first and last col where that pays."""
        row, col, height, width = region
        form = table.format
        samples = 1 if form.planar else form.samples
        pixel = samples * form.stored.itemsize
        line = self.shape[2] * pixel
        start = table.raw_offset + (sample * self.shape[1] + row) * line
        if 4 * width >= self.shape[2] or height * line <= 2**16:
            data = np.frombuffer(file.read(start, height * line), form.stored)
            lines = data.reshape(height, self.shape[2], samples)[:, col : col + width]
        else:
            parts = [file.read(start + index * line + col * pixel, width * pixel) for index in range(height)]
            lines = np.frombuffer(b"".join(parts), form.stored).reshape(height, width, samples)
        planes = deliver(lines.transpose(2, 0, 1))
        planes = planes if form.convert is None else form.convert(planes)
        for source, slots in group.from_whole:
            yield Block(pixels=planes[source], slots=slots, row=0, col=0)

    def close(self) -> None:
        """Forget the open file; it is opened again when needed."""
        close_files(self._owner)
