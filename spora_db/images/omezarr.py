"""Reading regions of OME-Zarr images: only the chunks touched, of blosc chunks only the planes asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ImageNotFoundError
from spora_db.files.stamps import stamps
from spora_db.files.stores.mirror import is_known
from spora_db.files.stores.ranges import FileRange
from spora_db.files.stores.remote_files import again
from spora_db.images.base import MEANT, BatchFiles, ChannelAxis, ChunkGrid, ImageHeader, MissingChunks
from spora_db.images.cache import OWNERS, find_chunk, identity, is_kept, keep_chunk
from spora_db.images.files import check_unchanged, close_files
from spora_db.images.page_groups import WHOLE, Filling, PageGroup, group_pages
from spora_db.images.partial import left_out
from spora_db.images.pixels import ChunkPlanes, delivered, white
from spora_db.images.zarr_chunks import ChunkIndex, ChunkStore, check_absent
from spora_db.images.zarr_layout import ZarrLayout, read_layout


class OmeZarrReader:
    """An OME-Zarr image of any axis order, Zarr v2 or v3, sharded or not, of any codec that zarr-python knows.

    Of a pyramid, `level` is read.

    An absent chunk file is an error; or the fill value (``"zeros"``), as Zarr writers mean it that leave out empty
    chunks; or white, as absent chunks (in a shard, too) of a brightfield slide mean it.

    Raises
    ------
    ImageNotFoundError
        There is no such folder.
    FileFormatError
        Its metadata does not describe an image.
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
        self.layout: ZarrLayout = read_layout(path, channel_axis=channel_axis, level=level)
        self.shape = self.layout.image_shape
        at, axes, encoding = self.layout.folder.resolve(), self.layout.axes, self.layout.encoding
        self._identity = identity(at, axes, encoding, stamps(self.layout.files))
        self._store = _store(self.layout, self._owner)
        self.dtype: np.dtype[Any] = self._store.dtype
        self._sizes = self._store.sizes
        absent = white(self.dtype, path) if missing_chunks == "white" else self.layout.fill
        self._filled = ChunkPlanes.of(np.broadcast_to(np.full(self._sizes[2], absent), self._sizes))
        self.chunks = (min(self._sizes[1], self.shape[1]), min(self._sizes[2], self.shape[2]))
        self.not_rgb = "it holds bool" if encoding.dtype.kind == "b" else None
        self.files = self.layout.files
        self.levels = self.layout.levels

    def grids(self, pages: Int64) -> tuple[ChunkGrid]:
        """Return the one grid of this image; see `spora_db.images.base.ImageReader`."""
        depth, tall, wide = self._sizes
        return (ChunkGrid(tall, wide, group_pages(pages, depth)),)

    def decoded(
        self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice, files: BatchFiles
    ) -> tuple[ChunkPlanes, Filling]:
        """Return a chunk's planes, from cache or file, and which fill which slots; see `ImageReader`."""
        place = (group.chunk, down, across)
        source = self._store.locate(place, files)
        if source is None:
            check_absent(self.chunk_file(place), self.layout)
            if self.is_left_out(place):
                raise left_out(self.path, self.chunk_file(place))
            if self._missing == "error":
                raise ImageNotFoundError(
                    f"The image {self.path} lacks the chunk file {self.chunk_file(place)}: it was downloaded in "
                    f"part, or written by a program that leaves out empty chunks. {again(self.path)} Or, where empty "
                    f"chunks are meant, {MEANT}."
                )
            return self._filled, group.from_whole
        if source.size == 0:
            return self._filled, group.from_whole
        chunk = (self._identity, place, source.stamp)
        planes = find_chunk((chunk, group.key), (chunk, WHOLE))
        if planes is None:
            pixels = self._store.decode(source, group.planes)
            check_unchanged(source.path, source.stamp)
            planes = keep_chunk((chunk, group.key if len(pixels) == len(group.planes) else WHOLE), pixels)
        wanted = len(planes.pixels) == len(group.planes)
        return planes, group.from_wanted if wanted else group.from_whole

    def needs(self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice) -> Iterator[list[FileRange]]:
        """Yield what is read of files for a chunk; see `ImageReader`."""
        place = (group.chunk, down, across)
        if is_known(self._store.file_of(place)) and (source := self._store.locate(place, {})) is not None:
            chunk = (self._identity, place, source.stamp)
            if is_kept((chunk, group.key), (chunk, WHOLE)):
                return
        yield from self._store.needs(place, group.planes)

    def chunk_file(self, place: ChunkIndex) -> Path:
        """Return the file that holds, or should hold, the chunk at a place of the grid: channel, down, across."""
        return Path(self._store.file_of(place))

    def is_left_out(self, place: ChunkIndex) -> bool:
        """Tell whether a partial copy lacks a chunk, which its original may have."""
        if self.layout.empty is None or self._store.locate(place, {}) is not None:
            return False
        return self.chunk_file(place).relative_to(self.path).as_posix() not in self.layout.empty

    def close(self) -> None:
        """Forget the open files of this image; they are opened again when needed."""
        close_files(self._owner)


def zarr_header(path: Path) -> ImageHeader:
    """Return the header of an image without what decodes its chunks."""
    layout = read_layout(path)
    return ImageHeader("ome-zarr", *layout.image_shape, delivered(layout.encoding.dtype))


def _store(layout: ZarrLayout, owner: int) -> ChunkStore:
    """Choose who decodes the chunks."""
    if layout.encoding.unusual is None:
        return ChunkStore(layout, owner)
    from spora_db.images.zarr_python import ZarrPythonStore

    return ZarrPythonStore(layout, owner)
