"""An image in memory behind the Protocol that files are read through."""

import numpy as np

from spora_db.images.base import Block


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
