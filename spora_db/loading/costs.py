"""What reading rows in some order decodes: a cache of chunks followed tile by tile, without reading a pixel."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from spora_db.errors import SporaError
from spora_db.images import cache_info
from spora_db.images.cache import decoding_anew
from spora_db.images.pieces import Regions
from spora_db.images.pixels import narrowed
from spora_db.images.regions import blocks
from spora_db.loading.rows import PlanRows
from spora_db.plan import ABSENT
from spora_db.samples.image_plan import ImagePlan

Chunk: TypeAlias = tuple[int, ...]
FOLLOWED = 40_000
"""Rows at the beginning of an epoch that are followed: enough for the mean, a second at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageKind:
    """What images of one dataset and modality have in common, seen in one of them.

    Attributes
    ----------
    chunk
        Height and width of a chunk in pixels.
    chunk_bytes
        Bytes of pixels that one chunk decodes to, per channel that the plan delivers.
    itemsize
        Bytes of one pixel of one channel.
    stored_share
        Bytes on disk per byte of pixels.
    kept_share
        Bytes in a cache per byte of pixels.
    """

    chunk: tuple[int, int]
    chunk_bytes: float
    itemsize: int
    stored_share: float
    kept_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some rows cost: pixels, their bytes decoded and delivered (in the file's type), and bytes read from disk.

    And what a cache must hold so that each of their chunks is decoded once: bytes of different chunks, as they are
    decoded and as they are kept.
    """

    rows: int
    pixels: int
    decoded: int
    delivered: int
    stored: int
    different: int
    kept: int

    @property
    def amplification(self) -> float:
        """Bytes of pixels decoded per byte of raw pixels delivered."""
        return self.decoded / max(self.delivered, 1)


class CostModel:
    """Follows which chunks the rows of a plan of tiles touch; opens one image per dataset and modality."""

    def __init__(self, rows: PlanRows) -> None:
        self.rows, self.plan = rows, rows.plan
        self._kinds: dict[tuple[str, str], ImageKind] = {}
        self._unreadable = set[int]()

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        images = self.plan.images
        return list(zip(images.column("dataset").to_pylist(), images.column("modality").to_pylist(), strict=True))

    def kind(self, image: int, row: int) -> ImageKind | None:
        """Return what is known of an image's kind, probing the first of a kind with a chunk that a row touches.

        None where it cannot be read, as far as another row is to take its place.
        """
        name = self._names[image]
        if name not in self._kinds and image not in self._unreadable:
            place = {"row": int(self.plan.row[row]), "col": int(self.plan.col[row])}
            try:
                self._kinds[name] = _probe(self.rows.materializer.image(image), **place)
            except (SporaError, OSError):
                if self.rows._substitutes is None:
                    raise
                self._unreadable.add(image)
        return self._kinds.get(name)

    def follow(self, streams: Iterable[Iterable[int]], *, cache_bytes: int) -> Cost:
        """Return what processes decode that read one stream of rows each and keep `cache_bytes` of decoded chunks."""
        rows, pixels, decoded, delivered, stored = 0, 0, 0, 0, 0.0
        tile, offsets = self.plan.tile_size, self.plan.channels.offsets
        different: dict[Chunk, tuple[int, float]] = {}
        for stream in streams:
            cache, held = OrderedDict[Chunk, int](), 0
            for row in stream:
                rows += 1
                for image in self.plan.image[row].tolist():
                    channels = 0 if image == ABSENT else int(offsets[image + 1] - offsets[image])
                    kind = self.kind(image, row) if channels else None
                    if kind is None:
                        continue
                    pixels, delivered = pixels + channels * tile**2, delivered + channels * tile**2 * kind.itemsize
                    size = round(channels * kind.chunk_bytes)
                    for key in self._touched(row, image, kind.chunk):
                        if key in cache:
                            cache.move_to_end(key)
                            continue
                        different[key] = size, size * kind.kept_share
                        decoded += size
                        stored += size * kind.stored_share
                        cache[key] = round(size * kind.kept_share)
                        held += cache[key]
                        while held > cache_bytes:
                            held -= cache.popitem(last=False)[1]
        whole, kept = np.array(list(different.values())).reshape(-1, 2).sum(axis=0).tolist()
        return Cost(
            rows=rows, pixels=pixels, decoded=decoded, delivered=delivered, stored=int(stored), different=int(whole),
            kept=int(kept),
        )  # fmt: skip

    def _touched(self, row: int, image: int, chunk: tuple[int, int]) -> list[Chunk]:
        """Return which chunks of an image, of a height and width, the tile of a row touches."""
        (tall, wide), last = chunk, self.plan.tile_size - 1
        top, left = int(self.plan.row[row]), int(self.plan.col[row])
        across = range(max(left, 0) // wide, (left + last) // wide + 1)
        down = range(max(top, 0) // tall, (top + last) // tall + 1)
        return [(image, band, column) for band in down for column in across]


def _probe(source: ImagePlan, *, row: int, col: int) -> ImageKind:
    """Decode anew the chunk at a place, or next to it where it lies beyond the image's edge."""
    reader = source.reader
    before = cache_info().bytes_decoded
    with decoding_anew():
        top, left = (
            min(max(at, 0), whole - 1) // part * part
            for at, whole, part in zip((row, col), reader.shape[1:], reader.chunks, strict=True)
        )
        height, width = reader.chunks
        found = list(blocks(Regions.of(reader, source.pages, row=top, col=left, height=height, width=width)))
    decoded = cache_info().bytes_decoded - before
    itemsize = reader.dtype.itemsize
    if decoded == 0:  # not compressed: only what is asked for is read
        decoded = len(source.pages) * math.prod(reader.chunks) * itemsize
    path, (channels, *size) = reader.path, reader.shape
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    whole = channels * itemsize * math.prod(-(-n // part) * part for n, part in zip(size, reader.chunks, strict=True))
    return ImageKind(
        chunk=reader.chunks,
        chunk_bytes=decoded / len(source.pages),
        itemsize=itemsize,
        stored_share=sum(file.stat().st_size for file in files) / whole,
        kept_share=max(narrowed(block.pixels).itemsize for block in found) / itemsize,
    )
