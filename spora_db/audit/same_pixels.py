"""The same image under two names, however it is stored: found by its pixels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spora_db.errors import SporaError
from spora_db.images import open_image, read_region
from spora_db.images.base import ImageReader, MissingChunks

PROBE = 32
"""Height and width of the nine regions that are looked at first, in pixels."""
BAND = 256
"""Rows that are read at once where two images look alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamePixels:
    """What the comparison of images found.

    Attributes
    ----------
    groups
        Positions of images that have the same pixels, at least two in each group.
    unreadable
        Positions of images that could not be read, and why.
    """

    groups: tuple[tuple[int, ...], ...]
    unreadable: tuple[tuple[int, str], ...]


def find_same_pixels(images: Sequence[tuple[Path, MissingChunks]]) -> SamePixels:
    """Find images of the same shape, type and pixels. Nine small regions are read of each, all of those that agree.

    Every image comes with what an absent chunk of it is.
    """
    alike: dict[str, list[int]] = {}
    unreadable = []
    for position, (path, missing) in enumerate(images):
        try:
            alike.setdefault(_digest(open_image(path, missing_chunks=missing), whole=False), []).append(position)
        except SporaError as error:
            unreadable.append((position, str(error)))
    same: dict[str, list[int]] = {}
    for positions in alike.values():
        for position in positions if len(positions) > 1 else ():
            path, missing = images[position]
            try:
                same.setdefault(_digest(open_image(path, missing_chunks=missing), whole=True), []).append(position)
            except SporaError as error:
                unreadable.append((position, str(error)))
    groups = tuple(tuple(group) for group in same.values() if len(group) > 1)
    return SamePixels(groups=groups, unreadable=tuple(unreadable))


def _digest(reader: ImageReader, *, whole: bool) -> str:
    digest = hashlib.blake2b(f"{reader.shape} {reader.dtype.name}".encode(), digest_size=16)
    for row, col, height, width in _bands(reader) if whole else _probes(reader):
        pixels = read_region(reader, row=row, col=col, height=height, width=width)
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _probes(reader: ImageReader) -> Iterator[tuple[int, int, int, int]]:
    _, height, width = reader.shape
    tall, wide = min(PROBE, height), min(PROBE, width)
    for row in sorted({(height - tall) * i // 4 for i in (1, 2, 3)}):
        for col in sorted({(width - wide) * i // 4 for i in (1, 2, 3)}):
            yield row, col, tall, wide


def _bands(reader: ImageReader) -> Iterator[tuple[int, int, int, int]]:
    _, height, width = reader.shape
    for row in range(0, height, BAND):
        yield row, 0, min(BAND, height - row), width
