"""Decoding one chunk, whole or only the planes asked for, on the calling thread."""

from collections.abc import Callable, Sequence
from typing import Any

import imagecodecs
import numpy as np

from spora_db.images.buffers import BUFFERS, Bytes
from spora_db.kernels.checksum import crc32c

BLOSC_DECODE: Callable[..., Any] = imagecodecs.blosc_decode  # takes arrays, which its stub leaves out
CodecError = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)


class ChunkError(ValueError):
    """A chunk that does not decode; the reader adds the file's name."""


def _array(data: bytes | Bytes) -> Bytes:
    """View bytes as an array; an array stays itself, so that its buffer knows its views."""
    return data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)


def _bounded(decode: Callable[..., Any]) -> Callable[[bytes | Bytes, int], Bytes]:
    """Make a decoder write into memory of the expected size, so that a bomb cannot ask for more."""

    def decode_into(data: bytes | Bytes, size: int) -> Bytes:
        return _array(decode(data, out=BUFFERS.take(size)))

    return decode_into


def _blosc(data: bytes | Bytes, size: int) -> Bytes:
    """Decode with a context of its own: blosc's global one starts threads, which a fork must not meet."""
    return _array(BLOSC_DECODE(data, numthreads=1, out=BUFFERS.take(size)))


def _crc32c(data: bytes | Bytes, size: int) -> Bytes:
    """Check and remove the checksum at the end."""
    content = _array(data)
    if len(content) < 4:
        raise ChunkError(f"a chunk of {len(content)} bytes has no room for its crc32c checksum")
    stored, found = int(content[-4:].view("<u4")[0]), crc32c(content[:-4])
    if stored != found:
        raise ChunkError(f"its crc32c checksum is {found:08x}, not {stored:08x} as stored")
    return content[:-4]


DECODERS: dict[str, Callable[[bytes | Bytes, int], Bytes]] = {
    "blosc": _blosc,
    "zstd": _bounded(imagecodecs.zstd_decode),
    "gzip": _bounded(imagecodecs.gzip_decode),
    "zlib": _bounded(imagecodecs.zlib_decode),
    "crc32c": _crc32c,
}


def decode_chunk(data: bytes, codecs: Sequence[str], size: int) -> Bytes:
    """Undo ``codecs`` (in the order in which they were applied) and return exactly ``size`` bytes.

    Raises
    ------
    ChunkError
        The bytes do not decode, or to another size.
    """
    result: bytes | Bytes = data
    try:
        for position in range(len(codecs) - 1, -1, -1):
            inner = any(name not in ("crc32c",) for name in codecs[:position])
            # what compressors give that feed others is not known from the chunk's shape: bounded by twice its size
            result = DECODERS[codecs[position]](result, 2 * size + 4096 if inner else size + 4 * position)
    except CodecError as error:
        raise error if isinstance(error, ChunkError) else ChunkError(f"{codecs[-1]} says: {error}") from error
    decoded = _array(result)
    if decoded.size != size:
        raise ChunkError(f"it decodes to {decoded.size} bytes, not {size}")
    return decoded
