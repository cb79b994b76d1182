"""The first bytes of a zstd frame, without what lies behind them: its blocks are decoded one after another."""

from collections.abc import Callable
from typing import Any, Final

import imagecodecs

ZSTD_DECODE: Callable[..., Any] = imagecodecs.zstd_decode
MAGIC: Final = b"\x28\xb5\x2f\xfd"
SHORTEST: Final = 9
"""Bytes of a frame at least: of the magic number, its header and that of a block."""
BLOCK: Final = 2**17
"""Bytes in a block at most, and in all but the last one as most encoders fill them."""
DICTIONARY_OR_CHECKSUM: Final = 0b111
RUN: Final = 1
"""The type of a block that is one byte, many times."""


def decode_first_blocks(frame: bytes, first: int, size: int) -> bytes | None:
    """Decode the blocks that hold the first bytes of a frame, None where all of it is to be decoded.

    That are frames with a checksum, which is that of all bytes; those that hold another number of bytes; those whose
    blocks are not full, as nobody knows where in the content one begins; and those of which all blocks are needed.

    Parameters
    ----------
    frame
        The frame (RFC 8878, 3.1.1).
    first
        How many bytes are needed.
    size
        How many it holds.

    Raises
    ------
    RuntimeError
        A block that is needed does not decode.

    Examples
    --------
    >>> frame = imagecodecs.zstd_encode(bytes(300_000))
    >>> [part and len(part) for part in (decode_first_blocks(frame, first, 300_000) for first in (1, 200_000, 270_000))]
    [131072, 262144, None]
    """
    blocks, all_blocks = -(-first // BLOCK), -(-size // BLOCK)
    part = _first_blocks(frame, blocks, size) if blocks < all_blocks else None
    if part is None:
        return None
    content: bytes = ZSTD_DECODE(part, out=blocks * BLOCK)
    return content if len(content) == blocks * BLOCK else None


def _first_blocks(frame: bytes, blocks: int, size: int) -> bytes | None:
    """Make a frame end before its last blocks, and say no more how many bytes it holds."""
    if frame[:4] != MAGIC or len(frame) < SHORTEST or frame[4] & DICTIONARY_OR_CHECKSUM:
        return None
    one_segment = frame[4] >> 5 & 1
    size_bytes = (one_segment, 2, 4, 8)[frame[4] >> 6]
    begin = end = 6 - one_segment + size_bytes
    if size_bytes and int.from_bytes(frame[begin - size_bytes : begin], "little") + 256 * (size_bytes == 2) != size:
        return None
    window = bytes([((size - 1).bit_length() - 10) << 3]) if one_segment else frame[5:6]  # all bytes, as a power of two
    places, head = [], 0
    while not head & 1:
        places.append(end)
        head = int.from_bytes(frame[end : end + 3], "little")
        end += 3 + (1 if head >> 1 & 3 == RUN else head >> 3)
        if end > len(frame):
            return None
    if len(places) != -(-size // BLOCK):
        return None
    last, end = places[blocks - 1], places[blocks]
    return b"".join((MAGIC, b"\0", window, frame[begin:last], bytes([frame[last] | 1]), frame[last + 1 : end]))
