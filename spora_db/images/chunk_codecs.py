"""Decoding one chunk, whole or only the planes asked for, on the calling thread."""

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np

from spora_db.arrays import UInt8
from spora_db.errors import ArgumentError
from spora_db.files.buffers import BufferPool
from spora_db.files.failures import READER_FAILURES

BLOSC_DECODE: Callable[..., Any] = imagecodecs.blosc_decode  # take arrays, which their stubs leave out
GZIP_DECODE: Callable[..., Any] = imagecodecs.gzip_decode
BUFFERS = BufferPool(smallest=2**18, keep_bytes=64 * 2**20)
CodecError = (RuntimeError, ValueError, OverflowError)


class ChunkError(ValueError):
    """A chunk that does not decode; the reader adds the file's name."""


def _array(data: bytes | UInt8) -> UInt8:
    """View bytes as an array; an array stays itself, so that its buffer knows its views."""
    return data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)


def _bounded(decode: Callable[..., Any]) -> Callable[[bytes | UInt8, int], UInt8]:
    """Make a decoder write into memory of the expected size, so that a bomb cannot ask for more."""

    def decode_into(data: bytes | UInt8, size: int) -> UInt8:
        return _array(decode(data, out=BUFFERS.take(size)))

    return decode_into


def _blosc(data: bytes | UInt8, size: int) -> UInt8:
    """Decode with a context of its own: blosc's global one starts threads, which a fork must not meet.

    The decoder believes the size in the header; of a chunk cut short it would read memory beyond.
    """
    claimed = int.from_bytes(bytes(data[12:16]), "little")
    if len(data) < 16 or claimed > len(data):
        raise ChunkError(f"its blosc header says {claimed} bytes, but it has {len(data)}")
    return _array(BLOSC_DECODE(data, numthreads=1, out=BUFFERS.take(size)))


def _gzip(data: bytes | UInt8, size: int) -> UInt8:
    """Decode all members: the quick decoder knows one, whose length the last 4 bytes then tell."""
    try:
        decoded = _array(GZIP_DECODE(data, out=BUFFERS.take(size)))
        if int.from_bytes(bytes(data[-4:]), "little") == len(decoded):
            return decoded
    except RuntimeError:
        pass  # a member after the first, or damage: told apart by reading all
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(_array(data).data)) as members:
            return _array(members.read(size + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise ChunkError(f"gzip says: {error}") from error


def checked(data: bytes | UInt8) -> UInt8:
    """Compare bytes with the crc32c checksum at their end, and return those before it.

    Raises
    ------
    ChunkError
        The checksum is that of other bytes.

    Examples
    --------
    >>> checked(b"123456789" + 0xE3069283.to_bytes(4, "little")).tobytes()
    b'123456789'
    """
    content = _array(data)
    if len(content) < 4:
        raise ChunkError(f"a chunk of {len(content)} bytes has no room for its crc32c checksum")
    stored, found = int.from_bytes(content[-4:].tobytes(), "little"), google_crc32c.value(content[:-4])
    if stored != found:
        raise ChunkError(f"its crc32c checksum is {found:08x}, not {stored:08x} as stored")
    return content[:-4]


Decode = Callable[[bytes | UInt8, int], bytes | UInt8]
DECODERS: dict[str, Decode] = {
    "blosc": _blosc,
    "zstd": _bounded(imagecodecs.zstd_decode),
    "gzip": _gzip,
    "zlib": _bounded(imagecodecs.zlib_decode),
    "crc32c": lambda data, _: checked(data),
}
"""What undoes each codec, by its name in the metadata; chunks of any other codec are left to zarr-python."""


def register_codec(name: str, decode: Decode) -> None:
    """Decode chunks of another codec of Zarr stores on the calling thread, without zarr-python.

    Parameters
    ----------
    name
        The codec in ``zarr.json``, or the compressor's id in ``.zarray``.
    decode
        Given the stored bytes and how many they decode to at most, it returns the bytes they were; what does not decode
        is a ValueError or RuntimeError.

    Raises
    ------
    ArgumentError
        The codec is there already.

    Examples
    --------
    >>> register_codec("zstd", lambda data, size: data)
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: There is a codec 'zstd' already. Choose another name.
    """
    if name in DECODERS:
        raise ArgumentError(f"There is a codec {name!r} already. Choose another name.")
    DECODERS[name] = decode


def decode_chunk(data: bytes | UInt8, codecs: Sequence[str], size: int) -> UInt8:
    """Undo ``codecs`` (in the order in which they were applied) and return exactly ``size`` bytes.

    Raises
    ------
    ChunkError
        The bytes do not decode, or to another size.
    """
    result: bytes | UInt8 = data
    try:
        for position in range(len(codecs) - 1, -1, -1):
            inner = any(name != "crc32c" for name in codecs[:position])
            # what compressors give that feed others is not known from the chunk's shape: bounded by twice its size
            result = DECODERS[codecs[position]](result, 2 * size + 4096 if inner else size + 4 * position)
    except READER_FAILURES:  # NotImplementedError and RecursionError among them: RuntimeErrors too
        raise
    except CodecError as error:
        raise error if isinstance(error, ChunkError) else ChunkError(f"{codecs[-1]} says: {error}") from error
    decoded = _array(result)
    if decoded.size != size:
        raise ChunkError(f"it decodes to {decoded.size} bytes, not {size}")
    return decoded
