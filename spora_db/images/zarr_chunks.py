"""Finding and decoding single chunks of an array: files, shards with their index, byte ranges, codecs."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from spora_db.arrays import AnyArray, Int64, UInt8
from spora_db.errors import StoreError
from spora_db.files.failures import READER_FAILURES, reader_error
from spora_db.files.stamps import Stamp, file_stamp
from spora_db.files.stores.mirror import mirror_of
from spora_db.files.stores.ranges import TO_THE_END, FileRange
from spora_db.images.base import BatchFiles, ShardFile
from spora_db.images.blosc_planes import PEEK, decode_planes, plane_ranges, read_planes
from spora_db.images.chunk_codecs import ChunkError, checked, decode_chunk
from spora_db.images.files import OpenFile, broken, describe, open_file, telling_unopened, unopened
from spora_db.images.pixels import delivered
from spora_db.images.zarr_layout import ZarrLayout
from spora_db.images.zarr_shards import CHECKSUM_BYTES, ShardIndex, read_index

ChunkIndex: TypeAlias = tuple[int, int, int]


class ChunkSource(NamedTuple):
    """Where one chunk's bytes lie now; ``size`` is 0 for a chunk that its shard says is empty, and for no other."""

    place: ChunkIndex
    path: str
    stamp: Stamp
    offset: int
    size: int


def state_of_chunk_file(path: str, place: ChunkIndex) -> Stamp | None:
    """Return the state of the file that holds the chunk at ``place``, None where there is none.

    Raises
    ------
    FileFormatError
        It has no bytes, as a full disk or a broken copy leaves it: no writer means the fill value by that. Or it is no
        file.
    """
    if (remote := mirror_of(path)) is not None:
        remote.find(path)
    try:
        found = file_stamp(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise broken(path, "a folder above it is a file", expected="a chunk file") from error
    except OSError as error:
        raise unopened(path, error, expected="a chunk file") from error
    if found[2] == 0:
        raise broken(path, f"it is empty, so there is nothing of chunk {place} in it", expected="a chunk file")
    return found


def check_absent(path: Path, layout: ZarrLayout) -> None:
    """Refuse to take a chunk for left out whose file at ``path`` is absent for another reason.

    Raises
    ------
    FileFormatError
        It is named with another separator than the metadata says, or is a link, or below one, to what is not there.
    """
    name, separator = path.relative_to(layout.folder).as_posix(), layout.encoding.separator
    other = name.replace(separator, "." if separator == "/" else "/")
    if other != name and (layout.folder / other).is_file():
        raise broken(
            layout.files[-1],
            f"it names chunks like {name}, but on disk lies {other}",
            expected="the separator of names in the metadata that the files have",
            remedy="Correct dimension_separator (Zarr v2) or chunk_key_encoding (v3).",
        )
    for place in (path, *path.parents):
        if place == layout.folder:
            break
        if place.is_symlink() and not place.exists():
            raise broken(
                place,
                "it is a link to what is not there",
                expected="a chunk file",
                remedy="Fetch what it links to, such as with `git annex get` or `datalad get`.",
            )


class ChunkStore:
    """The chunks of one array, addressed by their place (channel, row, col) in the grid of chunks.

    Chunks come as arrays (planes, rows, cols) of whole chunks: at the image's edge they hold rows and cols beyond it.
    """

    def __init__(self, layout: ZarrLayout, owner: int) -> None:
        encoding, axes = layout.encoding, layout.axes
        self._layout, self._owner = layout, owner
        self._folder = str(layout.folder)
        self._shards: dict[tuple[int, ...], ShardFile] = {}
        per_shard = [whole // part for whole, part in zip(encoding.shard, encoding.chunk, strict=True)]
        self._index, self._chunks_per_shard = encoding.index, math.prod(per_shard)
        self._per_shard = [1 if axis is None else per_shard[axis] for axis in axes]
        self._steps = [1 if axis is None else math.prod(per_shard[axis + 1 :]) for axis in axes]  # from chunk to chunk
        self._chunk_bytes = math.prod(encoding.chunk) * encoding.dtype.itemsize
        depth, tall, wide = (1 if axis is None else encoding.chunk[axis] for axis in axes)
        self.sizes, self.dtype = (depth, tall, wide), delivered(encoding.dtype)
        self._plane_bytes = self._chunk_bytes // depth
        channel_first = encoding.order == "C" and math.prod(encoding.chunk[: axes.channel or 0]) == 1
        planes_apart = channel_first and math.prod(encoding.chunk) == math.prod(self.sizes)
        self._checked = encoding.codecs[-1:] == ("crc32c",)
        self._codecs = encoding.codecs[:-1] if self._checked else encoding.codecs
        self._by_plane = depth > 1 and planes_apart and self._codecs in ((), ("blosc",))

    def file_of(self, place: ChunkIndex) -> str:
        """Return the file that holds the chunk at ``place``, or should, as a text: a path takes five times as long."""
        outer = [n // per for n, per in zip(place, self._per_shard, strict=True)]
        return f"{self._folder}/{self._layout.encoding.key(self._layout.along_axes(outer))}"

    def locate(self, place: ChunkIndex, files: BatchFiles) -> ChunkSource | None:
        """Return where the chunk lies, None where its file is absent; a shard that a batch knows is not asked again.

        Raises
        ------
        FileFormatError
            The file has no bytes, or is no file, or the shard's index is broken.
        """
        if self._index is None:  # its file is asked for this chunk alone
            path = self.file_of(place)
            stamp = state_of_chunk_file(path, place)
            return None if stamp is None else ChunkSource(place, path, stamp, 0, stamp[2])
        channel, row, col = place
        channels, rows, cols = self._per_shard
        key = self._shard_of(place)
        if key not in files:
            files[key] = self._found(key, place, self._index)
        shard = files[key]
        if shard is None:
            return None
        path, stamp, index = shard
        steps = self._steps
        position = channel % channels * steps[0] + row % rows * steps[1] + col % cols * steps[2]
        return ChunkSource(place, path, stamp, *index[position].tolist())

    def decode(self, source: ChunkSource, planes: Int64) -> AnyArray:
        """Decode the sorted ``planes`` of a chunk alone where its codec allows, else all its planes.

        Raises
        ------
        FileFormatError
            The bytes do not decode.
        """
        try:
            file = open_file(self._owner, source.path, source.stamp)
            # with a checksum all bytes are read, also where a few planes are asked for: 0.1 ms for 3 MB; but not from a
            # network, which would carry 14 times the bytes of 3 of 43 channels
            alone = file.is_remote and self._few(planes)
            content = checked(file.read(source.offset, source.size)) if self._checked and not alone else None
            if self._by_plane and len(planes) < self.sizes[0]:
                part = self._decode_planes(file, source, planes, content)
                if part is not None:
                    return part
            data = file.read(source.offset, source.size) if content is None else content
            decoded = decode_chunk(data, self._codecs, self._chunk_bytes)
        except StoreError:  # of a remote lake; it says all
            raise
        except OSError as error:
            raise unopened(source.path, error, expected="a chunk file") from error
        except READER_FAILURES as error:
            raise reader_error(f"The chunk {source.place} in {source.path}", error, library="imagecodecs") from error
        except ChunkError as error:
            head, coding = describe(file.read(0, min(64, file.size))), "+".join(self._layout.encoding.codecs) or "no"
            raise broken(
                source.path,
                f"chunk {source.place} does not decode: {error} (the file: {head})",
                expected=f"{self._chunk_bytes} bytes of pixels in {coding} coding",
            ) from error
        encoding = self._layout.encoding
        return self._layout.planes(decoded.view(encoding.dtype).reshape(encoding.chunk, order=encoding.order))

    def needs(self, place: ChunkIndex, planes: Int64) -> Iterator[list[FileRange]]:
        """Yield what is read of files to decode planes of a chunk, step by step: each tells where the next one lies.

        The whole chunk, where half of its planes are wanted: to ask for the others too takes less time than to ask for
        each by itself.

        Raises
        ------
        FileFormatError, ChunkError
            As `locate` and `decode`.
        """
        path, files = self.file_of(place), BatchFiles()
        if self._index is not None:
            size = self._index.size(self._chunks_per_shard)
            if self._shard_of(place) not in self._shards:
                yield [FileRange(path, 0 if self._index.at_start else -size, size)]
            source = self.locate(place, files)
            if source is None or not source.size:
                return
            offset, size = source.offset, source.size
        else:
            offset, size = 0, TO_THE_END
        if not self._few(planes):
            yield [FileRange(path, offset, size)]
            return
        if not self._codecs:
            plane_bytes = self._plane_bytes
            yield [FileRange(path, offset + plane * plane_bytes, plane_bytes) for plane in planes.tolist()]
            return
        yield [FileRange(path, offset, min(size, PEEK))]
        source = self.locate(place, files)
        if source is None:
            return
        file = open_file(self._owner, source.path, source.stamp)

        def read(start: int, length: int) -> bytes:
            return file.read(offset + start, length)

        sizes = {"plane_bytes": self._plane_bytes, "chunk_bytes": self._chunk_bytes}
        for ranges in plane_ranges(read, source.size, planes=planes, **sizes):
            yield [FileRange(path, offset + start, length) for start, length in ranges]

    def _few(self, planes: Int64) -> bool:
        """Tell whether planes are fetched by themselves: they lie apart, and are less than half of the chunk."""
        return self._by_plane and 2 * len(planes) < self.sizes[0]

    def _decode_planes(
        self, file: OpenFile, source: ChunkSource, planes: Int64, content: UInt8 | None
    ) -> AnyArray | None:
        """Decode some planes of a chunk whose planes lie one after another, where that saves anything."""
        encoding = self._layout.encoding
        plane_bytes = self._plane_bytes
        stored = source.size - (CHECKSUM_BYTES if self._checked else 0)

        def read(offset: int, size: int) -> bytes | memoryview:
            if content is None:
                return file.read(source.offset + offset, size)
            return content.data[offset : offset + size]

        if self._codecs:
            part = decode_planes(read, stored, planes=planes, plane_bytes=plane_bytes, chunk_bytes=self._chunk_bytes)
        elif stored == self._chunk_bytes:
            part = read_planes(read, planes * plane_bytes, plane_bytes)
        else:
            raise ChunkError(f"it has {stored} bytes")
        if part is None:
            return None
        shape = list(encoding.chunk)
        shape[self._layout.axes.channel or 0] = len(planes)  # all axes before it have one element
        return self._layout.planes(part.view(encoding.dtype).reshape(shape))

    def _shard_of(self, place: ChunkIndex) -> tuple[int, ...]:
        """Return what tells the shard of a chunk from all others of a batch."""
        (channel, row, col), (channels, rows, cols) = place, self._per_shard
        return self._owner, channel // channels, row // rows, col // cols

    def _found(self, key: tuple[int, ...], place: ChunkIndex, kind: ShardIndex) -> ShardFile | None:
        """Return what a shard is now, None where there is none; its index is read once for every state of the file."""
        known = self._shards.get(key)
        path = self.file_of(place) if known is None else known.path
        current = state_of_chunk_file(path, place)
        if current is None:
            return None
        if known is None or known.stamp != current:
            with telling_unopened(path, expected="a chunk file"):
                file = open_file(self._owner, path, current)
                index = read_index(file, kind, count=self._chunks_per_shard)
            known = self._shards[key] = ShardFile(path, current, index)
        return known
