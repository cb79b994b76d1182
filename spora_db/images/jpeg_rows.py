"""The first rows of a JPEG image, bit by bit those of the whole."""

import struct
from typing import TypeAlias

import imagecodecs

from spora_db.arrays import AnyArray

JpegColours: TypeAlias = tuple[int | None, int | str | None]
"""The colours in a stream, and those to decode to, as imagecodecs names them."""
BELOW = 2
"""Rows decoded below the last one needed: chroma of half the resolution is interpolated with the row below."""
END = b"\xff\xd9"
SEQUENTIAL = (0xC0, 0xC1)
"""Frames whose rows are decoded as they come: baseline and extended, in Huffman codes."""
SCAN = 0xDA


def check_end(stream: bytes) -> None:
    """Refuse a stream without an end: what is lacking would be grey, without a word of the decoder.

    Raises
    ------
    ValueError
        The stream is cut short.
    """
    if stream.rfind(END) < 0:
        raise ValueError("its JPEG stream has no end, so that it is cut short")


def decode_first_rows(
    stream: bytes, rows: int, size: tuple[int, int, int], *, tables: bytes | None = None, colours: JpegColours
) -> AnyArray | None:
    """Decode the first rows of a JPEG image, None where all of it is to be decoded.

    Parameters
    ----------
    stream
        The JPEG stream.
    rows
        How many rows.
    size
        Height, width and number of components of the image.
    tables
        A stream of the tables that it shares with others.
    colours
        Its colours, and those wanted.

    Returns
    -------
    uint8 array of shape (rows, width, components)

    Raises
    ------
    ValueError
        The stream is cut short.
    RuntimeError
        It does not decode.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(64 * 32, dtype=np.uint8).reshape(64, 32)
    >>> stream = imagecodecs.jpeg8_encode(image)
    >>> part = decode_first_rows(stream, 9, (64, 32, 1), colours=(None, None))
    >>> bool((part[..., 0] == imagecodecs.jpeg8_decode(stream)[:9]).all())
    True
    """
    shortened = _shortened(stream, rows + BELOW, size)
    if shortened is None:
        return None
    check_end(stream)
    decoded = imagecodecs.jpeg_decode(shortened, tables=tables, colorspace=colours[0], outcolorspace=colours[1])
    return decoded.reshape(rows + BELOW, *size[1:])[:rows]


def _shortened(stream: bytes, rows: int, size: tuple[int, int, int]) -> bytes | None:
    """Make the frame header say fewer rows, at which decoders stop (ITU-T T.81, B.2.2); None where it is to be left.

    That are frames not of `size` or not of 8 bits, and those in several scans, which are decoded to the end anyway.
    """
    height, width, components = size
    at, frame = 2, -1
    while rows < height and at + 10 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in SEQUENTIAL:
            if struct.unpack_from(">BHHB", stream, at + 4) != (8, height, width, components):
                return None
            frame = at
        elif marker == SCAN:
            whole = frame >= 0 and stream[at + 4] == components
            return stream[: frame + 5] + struct.pack(">H", rows) + stream[frame + 7 :] if whole else None
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
