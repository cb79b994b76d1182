"""An image in memory behind the Protocol that files are read through."""

from pathlib import Path

import numpy as np

from spora_db.images.base import ChunkGrid
from spora_db.images.page_groups import group_pages
from spora_db.images.pixels import ChunkPlanes
from spora_db.statistics import StatisticsUnit


class ArrayReader:
    """An image in memory in chunks on a grid, planes in two groups, as readers of files give it."""

    path = Path("array")

    def __init__(self, array, chunk=(16, 24)):
        self.array, self.chunks = array, chunk
        self.shape, self.dtype = array.shape, array.dtype

    def grids(self, pages):
        return [ChunkGrid(*self.chunks, group_pages(pages, -(-len(self.array) // 2)))]

    def decoded(self, group, down, across, *, rows, cols, files):
        top, left = down * self.chunks[0], across * self.chunks[1]
        assert max(top + rows.stop, 0) <= self.shape[1]
        assert max(left + cols.stop, 0) <= self.shape[2]
        depth = -(-len(self.array) // 2)
        chunk = self.array[group.chunk * depth + group.planes, top : top + self.chunks[0], left : left + self.chunks[1]]
        return ChunkPlanes.of(chunk), group.from_wanted


def cohort(monkeypatch, tissues, dtype="float32"):
    """Return units of tissues of channels X, Y, ..., given their pixels by name; all pixels are tissue."""
    images = {Path(name): pixels.reshape(-1, *pixels.shape[-2:]).astype(dtype) for name, pixels in tissues.items()}

    def opened(path, **_):
        reader = ArrayReader(images[path], (16, 32))
        reader.path = path
        return reader

    monkeypatch.setattr("spora_db.images.open_image", opened)
    monkeypatch.setattr("spora_db.masks.load_tissue_mask", lambda path, **_: np.ones(images[path].shape[1:], bool))
    pages = {path: dict(zip("XYZ", range(len(image)), strict=False)) for path, image in images.items()}
    return [StatisticsUnit(tissue_id=str(path), image=path, mask=path, pages=pages[path]) for path in images]
