"""Decoding only the planes asked for of a blosc chunk that holds many: blosc's blocks can be taken out.

A blosc buffer is a header of 16 bytes (version, codec version, flags, typesize, then nbytes, blocksize and cbytes as
int32), one int32 offset per block, and the blocks. Every block is compressed and shuffled by itself, so the wanted
ones, set behind a header of their own, are a valid buffer, which blosc's own C decoder reads: 0.25 ms for 3 planes of
256 x 256 float32 against 3.9 ms for the 43 of the chunk (tests/benchmarks/test_images.py).
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from spora_db.arrays import Int64, UInt8
from spora_db.images.chunk_codecs import BUFFERS, ChunkError, decode_chunk

HEADER = struct.Struct("<BBBBiii")
VERSION = 2  # of the format of blosc 1; any other buffer is decoded whole
UNCOMPRESSED = 0x2
PEEK = 512  # bytes: the offsets of 124 blocks
GAP = 16384  # bytes: reading over a smaller gap costs less than another call
Read = Callable[[int, int], bytes | memoryview]


def decode_planes(read: Read, size: int, *, planes: Int64, plane_bytes: int, chunk_bytes: int) -> UInt8 | None:
    """Decode planes of a chunk of equal planes, or return None where that saves nothing.

    Parameters
    ----------
    read
        Gives bytes of the encoded chunk by (offset, size).
    size
        Bytes of the encoded chunk.
    planes
        Sorted positions of the planes wanted.
    plane_bytes, chunk_bytes
        Decoded bytes of one plane and of all.

    Returns
    -------
    numpy.ndarray or None
        uint8 array of shape (planes, plane_bytes).

    Raises
    ------
    ChunkError
        The buffer contradicts itself or does not decode.
    """
    head = read_head(read, size)
    found = find_blocks(head, size, planes=planes, plane_bytes=plane_bytes, chunk_bytes=chunk_bytes)
    if found is None:
        return None
    blocks, starts, ends = found
    if blocks is None:
        return read_planes(read, starts, plane_bytes)
    version, codec_version, flags, typesize, nbytes, blocksize, _ = HEADER.unpack_from(head)
    count = -(-nbytes // blocksize)
    pieces = _read_pieces(read, starts, ends, whole=size)
    tail = nbytes - (count - 1) * blocksize
    decoded = (len(blocks) - 1) * blocksize + (tail if blocks[-1] == count - 1 else blocksize)
    offsets = HEADER.size + 4 * len(blocks) + np.concatenate(([0], np.cumsum(ends - starts)))
    header = HEADER.pack(version, codec_version, flags, typesize, decoded, blocksize, int(offsets[-1]))
    buffer = b"".join([header, offsets[:-1].astype("<i4").tobytes(), *pieces])
    result = decode_chunk(buffer, ("blosc",), decoded)
    first = planes * plane_bytes // blocksize
    at = np.searchsorted(blocks, first) * blocksize + planes * plane_bytes - first * blocksize
    if bool((np.diff(at) == plane_bytes).all()):
        return result[at[0] : at[-1] + plane_bytes].reshape(len(planes), plane_bytes)
    return np.stack([result[start : start + plane_bytes] for start in at.tolist()])


def read_head(read: Read, size: int) -> bytes | memoryview:
    """Return the first bytes of a chunk, the offsets of all its blocks among them."""
    head = read(0, min(size, PEEK))
    needed = min(head_bytes(head), size)
    return read(0, needed) if needed > len(head) else head


def head_bytes(head: bytes | memoryview) -> int:
    """Return how many bytes the header and the offsets of all blocks take, as a header says."""
    if len(head) < HEADER.size:
        return HEADER.size
    version, _, flags, _, nbytes, blocksize, _ = HEADER.unpack_from(head)
    plain = version != VERSION or flags & UNCOMPRESSED or blocksize <= 0 or nbytes <= 0
    return HEADER.size if plain else HEADER.size + 4 * -(-nbytes // blocksize)


def is_stored(head: bytes | memoryview, size: int, *, chunk_bytes: int) -> bool:
    """Tell whether a chunk's planes lie uncompressed one after another, behind the header.

    Raises
    ------
    ChunkError
        The header contradicts the chunk's size.
    """
    if len(head) < HEADER.size:
        raise ChunkError(f"it has {size} bytes, too few for blosc's header")
    version, _, flags, _, nbytes, blocksize, cbytes = HEADER.unpack_from(head)
    if version != VERSION:
        return False
    if nbytes != chunk_bytes or cbytes > size or cbytes < HEADER.size or not 0 < blocksize <= nbytes:
        raise ChunkError(
            f"its blosc header says {nbytes} bytes in blocks of {blocksize}, {cbytes} compressed, "
            f"but the chunk has {chunk_bytes}, {size} compressed"
        )
    if flags & UNCOMPRESSED and cbytes < HEADER.size + nbytes:
        raise ChunkError("its blosc header says uncompressed, but bytes are missing")
    return bool(flags & UNCOMPRESSED)


class Blocks(NamedTuple):
    """What of a buffer holds planes: blocks, None where planes lie as they are, and where each begins and ends."""

    blocks: Int64 | None
    starts: Int64
    ends: Int64


def find_blocks(
    head: bytes | memoryview, size: int, *, planes: Int64, plane_bytes: int, chunk_bytes: int
) -> Blocks | None:
    """Return what holds planes of a chunk, None where all blocks do, or only all are decoded.

    Raises
    ------
    ChunkError
        The header or the offsets contradict the chunk's size.
    """
    if is_stored(head, size, chunk_bytes=chunk_bytes):
        starts = HEADER.size + planes * plane_bytes
        return Blocks(None, starts, starts + plane_bytes)
    version, *_, nbytes, blocksize, cbytes = HEADER.unpack_from(head)
    if version != VERSION:
        return None
    count = -(-nbytes // blocksize)
    first, last = planes * plane_bytes // blocksize, ((planes + 1) * plane_bytes - 1) // blocksize
    blocks = _covered(first, last, count)
    if len(blocks) == count:
        return None
    table_end = HEADER.size + 4 * count
    if table_end > cbytes:
        raise ChunkError(f"its {cbytes} bytes are too few for the offsets of {count} blocks")
    starts = np.frombuffer(head, "<i4", count, HEADER.size).astype(np.int64)
    order = np.sort(starts)
    ends = np.append(order[1:], cbytes)[np.searchsorted(order, starts)]  # threads may have written blocks in any order
    if order[0] < table_end or int(ends.max()) > cbytes or bool((ends <= starts).any()):
        raise ChunkError("its block offsets contradict its size")
    return Blocks(blocks, starts[blocks], ends[blocks])


def plane_ranges(
    read: Read, size: int, *, planes: Int64, plane_bytes: int, chunk_bytes: int
) -> Iterator[list[tuple[int, int]]]:
    """Yield offset and size of what `decode_planes` reads behind the first `PEEK` bytes, step by step.

    Raises
    ------
    ChunkError
        The buffer contradicts itself.
    """
    more = min(head_bytes(read(0, min(size, PEEK))), size)
    if more > PEEK:
        yield [(0, more)]
    found = find_blocks(read_head(read, size), size, planes=planes, plane_bytes=plane_bytes, chunk_bytes=chunk_bytes)
    if found is None:
        yield [(0, size)]
    else:
        yield list(zip(found.starts.tolist(), (found.ends - found.starts).tolist(), strict=True))


def _covered(first: Int64, last: Int64, count: int) -> Int64:
    """Return the sorted blocks from ``first`` to ``last`` of every plane; a shorter last block is never left alone."""
    marked = np.zeros(count, bool)
    for start, stop in zip(first.tolist(), last.tolist(), strict=True):
        marked[start : stop + 1] = True
    if marked[-1] and count > 1 and np.count_nonzero(marked) == 1:
        marked[-2] = True
    return np.flatnonzero(marked)


def _read_pieces(read: Read, starts: Int64, ends: Int64, *, whole: int) -> list[Any]:
    """Read byte ranges: all at once where they are most of the chunk, else merged over small gaps."""
    if int((ends - starts).sum()) * 2 > whole:
        low, high = int(starts.min()), int(ends.max())
        view = memoryview(read(low, high - low))
        return [view[a - low : b - low] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    pieces: list[Any] = [b""] * len(starts)
    order = np.argsort(starts).tolist()
    group: list[int] = []
    for position in [*order, -1]:
        if group and (position < 0 or starts[position] - ends[group[-1]] > GAP):
            low, high = int(starts[group[0]]), int(ends[group[-1]])
            view = memoryview(read(low, high - low))
            for member in group:
                pieces[member] = view[int(starts[member]) - low : int(ends[member]) - low]
            group = []
        group.append(position)
    return pieces


def read_planes(read: Read, starts: Int64, plane_bytes: int) -> UInt8:
    """Read planes that lie uncompressed from some bytes on: uint8 array of shape (planes, plane_bytes)."""
    out = BUFFERS.take(len(starts) * plane_bytes).reshape(len(starts), plane_bytes)
    for row, start in zip(out, starts.tolist(), strict=True):
        row[:] = np.frombuffer(read(start, plane_bytes), np.uint8)
    return out
