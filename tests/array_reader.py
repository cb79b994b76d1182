"""An image in memory behind the Protocol that files are read through."""

from pathlib import Path

import numpy as np

from spora_db.images.base import Block
from spora_db.statistics import StatisticsUnit


class ArrayReader:
    """An image in memory that answers in blocks of a grid, planes in two groups, as readers of files do."""

    def __init__(self, array, chunk=(16, 24)):
        self.array, self.chunks = array, chunk
        self.shape, self.dtype = array.shape, array.dtype

    def blocks(self, pages, row, col, height, width):
        pages = np.asarray(pages)
        assert min(row, col) >= 0
        assert row + height <= self.shape[1]
        assert col + width <= self.shape[2]
        for top in range(row // self.chunks[0] * self.chunks[0], row + height, self.chunks[0]):
            for left in range(col // self.chunks[1] * self.chunks[1], col + width, self.chunks[1]):
                rows = slice(max(top, row), min(top + self.chunks[0], row + height))
                cols = slice(max(left, col), min(left + self.chunks[1], col + width))
                for slots in np.array_split(np.arange(len(pages)), 2):
                    if len(slots):
                        pixels = self.array[pages[slots], rows, cols]
                        yield Block(pixels=pixels, slots=slots, row=rows.start - row, col=cols.start - col)


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
