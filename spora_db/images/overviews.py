"""Coarse levels of images that have none of their own: means, made channel by channel when asked for, and kept.

1. `OverviewChoice.of` says which levels an image has: those of its file, then the means that are made.
2. `Overviews.plane` gives a channel of a made level: from the folder, or from the image, band by band from the top, all
   levels of the channel at once; whoever waits for rows gets them as soon as their band is done.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import numpy as np

from spora_db.arrays import AnyArray, Float64
from spora_db.errors import ArgumentError
from spora_db.files.shared_folder import SharedFolder
from spora_db.files.stamps import stamps
from spora_db.images.base import ImageReader
from spora_db.images.cache import identity
from spora_db.images.pixels import deliver
from spora_db.images.regions import read_region
from spora_db.images.resampling import Planes, times

SMALLEST: Final = 512
"""An image is made coarser until its longer side has at most so many pixels."""
BASE: Final = 4
"""The first level that is made: one of 2 would take a quarter of the image's bytes, and gives little to see."""
MAKERS: Final = 2
"""Channels that are made at a time; each takes a twelfth of the channel's pixels in memory."""
BAND_BYTES: Final = 2**25
"""Bytes of an image that are held at once, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewChoice:
    """One resolution in which an image can be had.

    Attributes
    ----------
    reader
        The image as its file holds it, at this resolution or at the one that it is made from.
    factor
        How many pixels of the finest level one of this is wide.
    made
        How many pixels of the reader one of this is wide; 1 where the file holds it.
    """

    reader: ImageReader
    factor: float
    made: int

    @classmethod
    def of(cls, levels: Sequence[ImageReader]) -> tuple[Self, ...]:
        """Return the resolutions of an image, the finest first, given those that its file holds.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spora_db.images import open_levels, write_omezarr
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.zeros((1, 1030, 20), np.uint8), mpp=0.5)
        ...     [(choice.factor, choice.shape) for choice in OverviewChoice.of(open_levels(path))]
        [(1.0, (1, 1030, 20)), (4.0, (1, 258, 5))]
        """
        planes = [Planes(parts=((level, (0,)),)) for level in levels]
        wide = [times(planes[0], level) for level in planes]
        own = tuple(cls(reader=level, factor=factor, made=1) for level, factor in zip(levels, wide, strict=True))
        last, made = own[-1], []
        step = BASE
        while max(last.shape[1:]) > SMALLEST * step / 2:
            made.append(cls(reader=last.reader, factor=last.factor * step, made=step))
            step *= 2
        return (*own, *made)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width in pixels."""
        planes, height, width = self.reader.shape
        if self.made == 1:
            return planes, height, width
        return planes, max(1, int(height / self.made + 0.5)), max(1, int(width / self.made + 0.5))


class _Making:
    """A channel of which means are being made: by step, the plane; and how many rows of the image are done."""

    def __init__(self, planes: dict[int, AnyArray]) -> None:
        self.planes = planes
        self.done = 0
        self.end: Future[None] | None = None
        self.changed = threading.Condition()

    def go_on(self, rows: int = 0) -> None:
        """Tell those who wait that more is done, or all."""
        with self.changed:
            self.done += rows
            self.changed.notify_all()

    def wait(self, rows: int, end: "Future[None]") -> None:
        """Wait until the rows of the image are done; an error of the making is raised here."""
        with self.changed:
            self.changed.wait_for(lambda: end.done() or self.done >= rows)
        if end.done():
            end.result()


class Overviews:
    """Means of channels, kept in a folder within its limit by what the image's file is now.

    Parameters
    ----------
    folder
        Where they are kept.
    """

    def __init__(self, folder: SharedFolder) -> None:
        self._folder = folder
        self._making: dict[tuple[bytes, int], _Making] = {}
        self._lock = threading.Lock()
        self._makers = ThreadPoolExecutor(MAKERS, thread_name_prefix="overviews")
        self.made = 0
        """How many channels had to be made."""

    def read(self, choice: OverviewChoice, page: int, *, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region of one channel at a resolution.

        Parameters
        ----------
        choice
            The resolution.
        page
            The channel's place in the image.
        row, col, height, width
            A region inside the level, in its pixels.

        Returns
        -------
        numpy.ndarray
            Array of shape (height, width) in the reader's dtype; of whole numbers the mean is rounded, halves to even.

        Raises
        ------
        ArgumentError
            The region is not inside the level, or there is no such page.
        """
        planes, rows, cols = choice.shape
        inside = 0 <= row < row + height <= rows and 0 <= col < col + width <= cols
        if not (inside and 0 <= page < planes):
            raise ArgumentError(
                f"Page {page}, rows {row} to {row + height}, cols {col} to {col + width} are not in a level of "
                f"{planes} pages, {rows} rows and {cols} cols."
            )
        if choice.made == 1:
            region = read_region(choice.reader, [page], row=row, col=col, height=height, width=width)
            plane: AnyArray = region[0]
            return plane
        return self._plane(choice, page, last=row + height)[row : row + height, col : col + width]

    def _plane(self, choice: OverviewChoice, page: int, *, last: int) -> AnyArray:
        """Return a channel of a level that is made, of which the rows before the last are there."""
        image = identity(choice.reader.path, choice.reader.shape, stamps(choice.reader.files))
        found = self._kept(choice, image, page)
        if found is not None:
            return found
        with self._lock:
            making = self._making.get((image, page))
            if making is None and (kept := self._kept(choice, image, page)) is not None:
                return kept  # it was finished since
            if making is None:
                steps = [level.made for level in OverviewChoice.of([choice.reader]) if level.made > 1]
                making = self._making[image, page] = _Making(_planes(choice.reader, steps))
                self.made += 1
                making.end = self._makers.submit(self._make, choice.reader, image, page, making)
                making.end.add_done_callback(lambda _, making=making: making.go_on())  # type: ignore[misc]
        assert making.end is not None
        making.wait(min(last * choice.made, choice.reader.shape[1]), making.end)
        return making.planes[choice.made]

    def _kept(self, choice: OverviewChoice, image: bytes, page: int) -> AnyArray | None:
        """Return a channel of a level from the folder, None where it is not there."""
        found = self._folder.read(_name(image, page, choice.made))
        if found is None:
            return None
        self._folder.touch(_name(image, page, choice.made))
        kept: AnyArray = np.frombuffer(found, choice.reader.dtype).reshape(choice.shape[1:])
        return kept

    def _make(self, reader: ImageReader, image: bytes, page: int, making: _Making) -> None:
        """Fill the planes of one channel from the top, then keep them."""
        _, height, width = reader.shape
        largest = max(making.planes)
        lines = max(1, BAND_BYTES // (width * reader.dtype.itemsize * largest)) * largest
        try:
            for top in range(0, height, lines):
                count = min(lines, height - top)
                band = deliver(read_region(reader, [page], row=top, height=count)[0])
                for plane, (step, means) in zip(making.planes.values(), _means(band, list(making.planes)), strict=True):
                    part = plane[top // step : top // step + len(means)]
                    found = means[: len(part), : plane.shape[1]]
                    part[:] = np.rint(found) if plane.dtype.kind in "iub" else found
                making.go_on(count)
            with contextlib.suppress(OSError):  # on a full disk they are made again when nobody looks at them any more
                for step, plane in making.planes.items():
                    self._folder.write(_name(image, page, step), partial(_write, plane), size=plane.nbytes)
        finally:
            with self._lock:
                self._making.pop((image, page), None)


def _means(band: AnyArray, steps: Sequence[int]) -> Iterator[tuple[int, Float64]]:
    """Yield the means of squares of a band, of 4 pixels and then twice as many; the last have what there is.

    Every pixel is added up once: coarser sums are of finer ones, which of whole numbers below 2**53 changes nothing.
    """
    from spora_db.kernels.resampling import sum_fours

    sums = np.zeros(tuple(-(-size // BASE) for size in band.shape))
    sum_fours(band, sums)
    for step in steps:
        if step > BASE:
            even = np.pad(sums, [(0, size % 2) for size in sums.shape])
            sums = even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]
        tall, wide = (
            np.minimum(step, size - step * np.arange(count)) for size, count in zip(band.shape, sums.shape, strict=True)
        )
        yield step, sums / np.multiply.outer(tall, wide)


def _planes(reader: ImageReader, steps: Sequence[int]) -> dict[int, AnyArray]:
    sizes = {step: OverviewChoice(reader=reader, factor=float(step), made=step).shape[1:] for step in steps}
    return {step: np.zeros(size, reader.dtype) for step, size in sizes.items()}


def _name(image: bytes, page: int, step: int) -> str:
    return identity(image, page, step).hex()


def _write(plane: AnyArray, file: int) -> int:
    with os.fdopen(os.dup(file), "wb") as stream:
        return stream.write(np.ascontiguousarray(plane).data.cast("B"))
