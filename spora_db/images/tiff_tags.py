"""Tags of a TIFF file that no image can have: what a reader that stumbles over them does not say."""

import struct
from collections.abc import Iterator
from pathlib import Path

WHOLE_NUMBERS = {1, 3, 4, 6, 8, 9, 13, 16, 17, 18}
"""Types of tags that hold whole numbers: BYTE, SHORT, LONG, their signed and 64-bit kin, offsets of directories."""
ONE_NUMBER = {
    254: "NewSubfileType",
    256: "ImageWidth",
    257: "ImageLength",
    259: "Compression",
    262: "PhotometricInterpretation",
    266: "FillOrder",
    277: "SamplesPerPixel",
    278: "RowsPerStrip",
    284: "PlanarConfiguration",
    317: "Predictor",
    322: "TileWidth",
    323: "TileLength",
}
PLACES = {273: "StripOffsets", 279: "StripByteCounts", 324: "TileOffsets", 325: "TileByteCounts"}
NUMBERS = {**PLACES, 258: "BitsPerSample", 338: "ExtraSamples", 339: "SampleFormat"}
BYTES = {1, 6}
"""Types of tags that are too narrow for a place in a file."""
MOST_PAGES = 10_000


def odd_tag(path: Path) -> str | None:
    """Return what is wrong with the first structural tag that is no whole number, or several where one is meant.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.tif"
    ...     _ = path.write_bytes(struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 256, 2, 1, 65, 0))
    ...     odd_tag(path)
    'ImageWidth of page 0 is 1 value of type 2'
    """
    for page, tag, kind, count in _tags(path):
        name = no_whole_number(tag, kind, count) or (ONE_NUMBER.get(tag) if count > 1 else None)
        if name:
            return f"{name} of page {page} is {count} value{'s' * (count != 1)} of type {kind}"
    return None


def no_whole_number(tag: int, kind: int, count: int) -> str | None:
    """Return the name of a structural tag whose values are of a type that cannot hold what it says, or are none.

    A reader that takes the numerator of a ratio for the place of the pixels reads other pixels without a word.

    Examples
    --------
    >>> no_whole_number(273, 5, 1), no_whole_number(273, 4, 1), no_whole_number(282, 5, 1)
    ('StripOffsets', None, None)
    """
    name = ONE_NUMBER.get(tag) or NUMBERS.get(tag)
    is_number = kind in WHOLE_NUMBERS and not (tag in PLACES and kind in BYTES)
    return None if is_number and count > 0 else name


def _tags(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield page, tag, type and count of every entry of the directories, as far as they can be read."""
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        counter, entry, pointer = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
        try:
            (at,) = struct.unpack_from(order + pointer, head, 8 if big else 4)
            for page in range(MOST_PAGES):
                if at == 0:
                    return
                file.seek(at)
                (count,) = struct.unpack(order + counter, file.read(struct.calcsize(order + counter)))
                for _ in range(min(count, 4096)):
                    tag, kind, values, _value = struct.unpack(order + entry, file.read(struct.calcsize(order + entry)))
                    yield page, tag, kind, values
                (at,) = struct.unpack(order + pointer, file.read(struct.calcsize(order + pointer)))
        except (struct.error, OSError, OverflowError):  # it ends before the directory does
            return
