"""The directories of a TIFF file, entry by entry: on what decoding depends, and tags that no image can have."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from spora_db.arrays import Int64
from spora_db.files.stores.remote_files import open_binary
from spora_db.images.files import broken

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

Fingerprint: TypeAlias = tuple[tuple[int, int, int, bytes], ...]

WHOLE_NUMBERS = {1, 3, 4, 6, 8, 9, 13, 16, 17, 18}
"""Types of tags that hold whole numbers: BYTE, SHORT, LONG, their signed and 64-bit kin, offsets of directories."""
PLACES = {273, 279, 324, 325}
"""Tags that say where segments lie and how long they are."""
ONE_NUMBER = {254, 256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
STRUCTURAL = ONE_NUMBER | PLACES | {258, 338, 339}
"""Tags of whole numbers: sizes, types, compression, and how samples lie."""
BYTES = {1, 6}
"""Types of tags that are too narrow for a place in a file."""
ELSEWHERE = frozenset(
    (270, 273, 279, 282, 283, 285, 305, 306, 324, 325, 330, 347, 700, 33723, 34675, 50838, 50839, 51123)
)
"""Tags in which pages may differ without being decoded otherwise: places, names, resolutions, free text."""
COUNTS = (279, 325)
WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its TIFF type; 1 where not listed."""
ENTRIES = {
    (order, big): struct.Struct(order + ("HHQ8s" if big else "HHI4s")) for order in "<>" for big in (False, True)
}
"""A directory's entry: tag, type, count, and the value or where it lies; of TIFF and BigTIFF."""
TAG_LIMIT, VALUE_LIMIT = 4096, 2**26
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
        name = no_whole_number(tag, kind, count) or (_name(tag) if tag in ONE_NUMBER and count > 1 else None)
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
    is_number = kind in WHOLE_NUMBERS and not (tag in PLACES and kind in BYTES)
    return _name(tag) if tag in STRUCTURAL and not (is_number and count > 0) else None


def _name(tag: int) -> str:
    from tifffile import TIFF

    return str(TIFF.TAGS.get(tag, f"tag {tag}"))


def _tags(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield page, tag, type and count of every entry of the directories, as far as they can be read."""
    with open_binary(path) as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        counter, pointer, entry = *(("Q", "Q") if big else ("H", "I")), ENTRIES[order, big]
        try:
            (at,) = struct.unpack_from(order + pointer, head, 8 if big else 4)
            for page in range(MOST_PAGES):
                if at == 0:
                    return
                file.seek(at)
                (count,) = struct.unpack(order + counter, file.read(struct.calcsize(order + counter)))
                for _ in range(min(count, TAG_LIMIT)):
                    tag, kind, values, _value = entry.unpack(file.read(entry.size))
                    yield page, tag, kind, values
                (at,) = struct.unpack(order + pointer, file.read(struct.calcsize(order + pointer)))
        except (struct.error, OSError, OverflowError):  # it ends before the directory does
            return


def _entries(tiff: "TiffFile", offset: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Return tag, type, count and value of every entry of the directory at a place in an open file.

    NDPI has the upper halves of its places behind the directory and the place of the next one.
    """
    form, file = tiff.tiff, tiff.filehandle
    file.seek(offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    entry = ENTRIES[form.byteorder, form.is_bigtiff]
    data = file.read(entry.size * min(count, TAG_LIMIT))
    entries = entry.iter_unpack(data[: len(data) // entry.size * entry.size])
    if not form.is_ndpi:
        return entries
    file.seek(form.offsetsize, 1)
    upper = file.read(4 * count)
    return ((*tag[:3], tag[3] + upper[4 * at : 4 * at + 4].ljust(4, b"\0")) for at, tag in enumerate(list(entries)))


def fingerprint(path: Path, tiff: "TiffFile", offset: int) -> tuple[Fingerprint, tuple[int, int, bytes] | None]:
    """Return the tags of a directory on which decoding depends, and the entry of its segments' sizes.

    Pages of the same tags are decoded alike; this is read for every page, so that none is taken for another.

    Raises
    ------
    FileFormatError
        A tag on which decoding depends holds no whole number.
    """
    room = _room(tiff)
    tags: list[tuple[int, int, int, bytes]] = []
    sizes: tuple[int, int, bytes] | None = None
    for tag in _entries(tiff, offset):
        code, kind, length, value = tag
        if name := no_whole_number(code, kind, length):
            found = f"{name} in the directory at byte {offset} is {length} value{'s' * (length != 1)} of type {kind}"
            raise broken(path, found, expected="whole numbers")
        if code in COUNTS:
            sizes = (kind, length, value)
        elif code not in ELSEWHERE:
            fits = WIDTHS.get(kind, 1) * length <= room
            tags.append(tag if fits else (code, kind, length, _value(tiff, kind, length, value)))
    return tuple(tags), sizes


def check_all_read(path: Path, tiff: "TiffFile", page: "TiffPage") -> None:
    """Refuse a page of which tifffile left a tag out: it does so where values lie beyond the end of the file.

    Raises
    ------
    FileFormatError
        A tag stands in the directory and not in `page`.
    """
    for code, kind, length, _value in _entries(tiff, page.offset):
        if code not in page.tags:
            lost = f"{_name(code)} ({length} of type {kind}) of the directory at byte {page.offset} is not in the file"
            raise broken(path, lost, expected="tags inside the file")


def check_all_there(path: Path, tiff: "TiffFile") -> None:
    """Refuse a file whose last directory names one more, which tifffile does not find: it takes those before for all.

    Raises
    ------
    FileFormatError
        The file is cut short.
    """
    form, file, pages = tiff.tiff, tiff.filehandle, len(tiff.pages)
    file.seek(tiff.pages[-1].offset)
    try:
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(count * ENTRIES[form.byteorder, form.is_bigtiff].size, 1)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    except struct.error:
        lost = f"it ends in the directory of page {pages - 1}"
    else:
        if not following or following in {page.offset for page in tiff.pages}:  # some end in a circle
            return
        lost = f"it has {file.size} bytes, and the directory of page {pages} begins at {following}"
    raise broken(path, f"{lost}: it is cut short", expected="a complete file")


def numbers(tiff: "TiffFile", kind: int, length: int, value: bytes) -> Int64:
    """Return the whole numbers of a directory's entry."""
    stored = np.dtype(f"{tiff.tiff.byteorder}u{WIDTHS.get(kind, 1)}")
    return np.frombuffer(_value(tiff, kind, length, value), stored).astype(np.int64)


def _room(tiff: "TiffFile") -> int:
    """Return how many bytes of a value fit into an entry."""
    return 8 if tiff.tiff.is_bigtiff else 4


def _value(tiff: "TiffFile", kind: int, length: int, value: bytes) -> bytes:
    """Return the bytes of an entry's value, which lie elsewhere in the file where they do not fit."""
    size = WIDTHS.get(kind, 1) * length
    if size <= _room(tiff):
        return value[:size]
    tiff.filehandle.seek(struct.unpack(tiff.tiff.offsetformat, value)[0])
    return bytes(tiff.filehandle.read(min(size, VALUE_LIMIT)))
