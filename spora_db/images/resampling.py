"""Images at a coarser resolution than they are stored: each pixel is the mean of the area that it covers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.errors import ArgumentError
from spora_db.images.base import ImageReader
from spora_db.images.pixels import deliver
from spora_db.images.regions import read_region

SAME = 1.02
"""Two resolutions whose ratio is below this are one: scanners write 0.2527 where 0.25 is meant."""
READ_BYTES = 2**25
"""Bytes of the finer image that are held at once, about."""
EXACT_ITEMSIZE = 4
"""Bytes of the whole numbers whose sums of four fit into 64 bits."""
WHOLE = 1e-6
"""A factor that is a whole number but for this is that number: 0.3 / 0.1 is 2.9999999999999996."""


class PixelSource(Protocol):
    """What gives the pixels of an image region by region, as a whole slide is written."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""

    def read(self, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region inside the image, an array of shape (planes, height, width)."""

    def only(self, plane: int) -> "PixelSource":
        """Return one plane as an image of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Chosen pages of one image, or of several of one size, as one image.

    Attributes
    ----------
    parts
        Readers, each with the pages that are taken of it.
    """

    parts: tuple[tuple[ImageReader, tuple[int, ...]], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width in pixels."""
        return (sum(len(pages) for _, pages in self.parts), *self.parts[0][0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""
        return self.parts[0][0].dtype

    def read(self, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region inside the image, an array of shape (planes, height, width)."""
        out = np.empty((self.shape[0], height, width), self.dtype)
        start = 0
        for reader, pages in self.parts:
            part = out[start : start + len(pages)]
            read_region(reader, pages, row=row, col=col, height=height, width=width, out=part)
            start += len(pages)
        return out

    def only(self, plane: int) -> "Planes":
        """Return one plane as an image of its own."""
        reader, page = [(reader, page) for reader, pages in self.parts for page in pages][plane]
        return Planes(parts=((reader, (page,)),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An image in memory, an array of shape (planes, height, width)."""

    image: AnyArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width in pixels."""
        planes, height, width = self.image.shape
        return planes, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""
        return self.image.dtype

    def read(self, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region inside the image, a view of the array."""
        return self.image[:, row : row + height, col : col + width]

    def only(self, plane: int) -> "Held":
        """Return one plane as an image of its own."""
        return Held(image=self.image[plane : plane + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarser:
    """An image whose pixels are as large as ``factor`` x ``factor`` of another's.

    A pixel is the mean of the area that it covers, in float64; of whole numbers rounded to the nearest, halves to the
    even one. The image has ``size / factor`` rows and cols, a half rounded up: the last ones cover what there is.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from spora_db.images import open_image, write_omezarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.arange(24.0).reshape(1, 4, 6), mpp=1.0)
    ...     half = Coarser(source=Planes(parts=((open_image(path), (0,)),)), factor=2.0)
    ...     half.shape, half.read(0, 0, 2, 3)
    ((1, 2, 3), array([[[ 3.5,  5.5,  7.5],
        [15.5, 17.5, 19.5]]]))
    """

    source: PixelSource
    factor: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width in pixels."""
        planes, height, width = self.source.shape
        rows, cols = (max(1, math.floor(size / self.factor + 0.5)) for size in (height, width))
        return planes, rows, cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""
        return self.source.dtype

    def read(self, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region inside the image, an array of shape (planes, height, width)."""
        planes = self.shape[0]
        out = np.empty((planes, height, width), self.dtype)
        line = planes * width * self.factor**2 * self.dtype.itemsize  # bytes that one row is made of
        step = max(1, int(READ_BYTES / line))
        for start in range(0, height, step):
            rows = min(step, height - start)
            self._average(row + start, col, out=out[:, start : start + rows])
        return out

    def only(self, plane: int) -> "Coarser":
        """Return one plane as an image of its own."""
        return Coarser(source=self.source.only(plane), factor=self.factor)

    def _average(self, row: int, col: int, *, out: AnyArray) -> None:
        """Fill a region from one piece of the finer image, plane by plane."""
        from spora_db.kernels.resampling import average_areas, average_fours, average_fours_rounded

        _, height, width = out.shape
        tops, bottoms = self._edges(row, height, self.source.shape[1])
        lefts, rights = self._edges(col, width, self.source.shape[2])
        top, left = int(tops[0]), int(lefts[0])
        bottom, right = math.ceil(bottoms[-1]), math.ceil(rights[-1])
        fine = deliver(self.source.read(top, left, bottom - top, right - left))
        is_half = self.factor == 2 and fine.shape[1:] == (2 * height, 2 * width)
        if is_half and fine.dtype == out.dtype and fine.dtype.kind in "iu" and fine.itemsize <= EXACT_ITEMSIZE:
            for plane, target in zip(fine, out, strict=True):
                average_fours_rounded(plane, target)
            return
        means = np.empty((height, width), np.float64)
        rows, cols = _weighted(tops - top, bottoms - top), _weighted(lefts - left, rights - left)
        for plane, target in zip(fine, out, strict=True):
            if is_half:
                average_fours(plane, means)
            else:
                average_areas(plane, *rows, *cols, means)
            target[:] = np.rint(means, out=means) if self.dtype.kind in "iub" else means

    def _edges(self, start: int, count: int, size: int) -> tuple[Float64, Float64]:
        """Return where pixels of one axis begin and end, in finer pixels."""
        edges = np.minimum(np.arange(start, start + count + 1) * self.factor, float(size))
        return edges[:-1], edges[1:]


def _weighted(starts: Float64, ends: Float64) -> tuple[Int64, Float64]:
    """Return the first and the last pixel of intervals, what counts of each, and how long the intervals are."""
    first, last = starts.astype(np.int64), np.ceil(ends).astype(np.int64) - 1
    head = np.minimum(first + 1.0, ends) - starts
    tail = np.where(last > first, ends - last, 0.0)
    return np.stack([first, last], axis=1), np.stack([head, tail, ends - starts], axis=1)


def at_resolution(levels: Sequence[PixelSource], *, mpp: float, wanted: float) -> PixelSource:
    """Return an image at a wanted resolution: a level as it is, or made from the nearest finer one by area averaging.

    Parameters
    ----------
    levels
        The image at full resolution, and what the file holds of it at lower ones.
    mpp
        Microns per pixel of the first level.
    wanted
        Microns per pixel; what differs by less than 2 % from those of a level is that level.

    Raises
    ------
    ArgumentError
        The image is not that fine.
    """
    if wanted * SAME <= mpp:
        raise ArgumentError(
            f"The image has {mpp:g} microns per pixel; it cannot be made finer, to {wanted:g}. Ask for mpp {mpp:g}, or "
            "a larger one."
        )
    finer = [level for level in levels if mpp * times(levels[0], level) < wanted * SAME]
    nearest = max(finer or levels[:1], key=lambda level: times(levels[0], level))
    factor = wanted / (mpp * times(levels[0], nearest))
    if factor < SAME:
        return nearest
    return Coarser(source=nearest, factor=round(factor) if abs(factor - round(factor)) < WHOLE else factor)


def times(finest: PixelSource, level: PixelSource) -> float:
    """Return how many pixels of the finest level one of another is wide: a whole number where sizes allow it."""
    (_, height, width), (_, low, narrow) = finest.shape, level.shape
    whole = round(max(height / low, width / narrow))
    fits = all(abs(size / whole - small) < 1 for size, small in ((height, low), (width, narrow)))
    return float(whole) if fits else max(height / low, width / narrow)
