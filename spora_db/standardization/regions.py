"""Regions of images, standardized in one pass as they are decoded, then filtered where asked: of one image or many."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from spora_db.arrays import AnyArray, Float32, Int64
from spora_db.errors import SporaError
from spora_db.images.pieces import Regions, decode, tables, whole_piece
from spora_db.standardization.standardize import apply_function, placed, run, standardize_block
from spora_db.standardization.transform import Transform, identity_transform

if TYPE_CHECKING:
    from spora_db.standardization.filters import FilterFactory

STREAMED_FROM: Final = {4: 2**24, 2: 2**25}
"""Bytes, of float32 and of halves, from which on they are written past the caches of the processor, which have no room
for them beside the chunks: 276 MB are read in 0.88 of the time, and then copied in 0.92; 19 MB in 0.71 (1.07 where a
cache of 32 MB has nothing else to hold). 138 MB of halves in 0.93; 10 MB in 1.14."""


class Formula(NamedTuple):
    """What becomes of the pixels of an image.

    Attributes
    ----------
    transform
        The transform of its channels.
    filters
        Filters to run afterwards.
    halo
        Whether these see the pixels around a region.
    """

    transform: Transform
    filters: "FilterFactory | None" = None
    halo: bool = False

    @property
    def fused(self) -> bool:
        """Whether the pass over decoded pixels is all of it."""
        return self.filters is None and self.transform.function is None

    @property
    def margin(self) -> int:
        """Pixels around a region that filters see."""
        return self.filters.margin if self.filters is not None and self.halo else 0


def standardize_regions(
    regions: Regions,
    formulas: Sequence[Formula],
    places: AnyArray,
    *,
    dtype: np.dtype[Any],
    faults: dict[int, Exception],
) -> None:
    """Decode regions of images and standardize them into their places: each chunk is decoded once.

    Beyond an image's edge lies raw zero, standardized like any pixel.

    Parameters
    ----------
    regions
        The regions.
    formulas
        What becomes of the pixels of each image.
    places
        Where the regions go, as `placed` gives them.
    dtype
        The type of the places: one of those that `standardize_block` writes. Filters run in float32, before rounding.
    faults
        Takes the first error of each region that cannot be read, whose place then holds anything.

    Raises
    ------
    BeyondRange
        If a finite pixel becomes infinite in that type.
    """
    if all(formula.fused for formula in formulas):
        _fused(regions, [formula.transform for formula in formulas], places, dtype, faults)
        return
    wide = _widened(regions, np.array([formula.margin for formula in formulas])[regions.image])
    counts = [len(pages) for pages in regions.pages]
    parts = [
        np.empty((counts[image], height, width), np.float32)
        for image, height, width in zip(regions.image.tolist(), wide.height.tolist(), wide.width.tolist(), strict=True)
    ]
    _fused(wide, [formula.transform for formula in formulas], placed(parts), np.dtype(np.float32), faults)
    finished = []
    for region in sorted(set(range(len(parts))) - faults.keys()):
        image = int(regions.image[region])
        try:
            planes = _finished(regions, region, wide, parts[region], formulas[image])
        except SporaError as error:  # of a filter, for which the region is too small
            faults[region] = error
            continue
        finished.append(whole_piece(planes, region))
    if finished:
        run(tables(finished), *_constants(regions, [identity_transform(count) for count in counts], places), dtype)


def _fused(
    regions: Regions, transforms: Sequence[Transform], places: AnyArray, dtype: np.dtype[Any],
    faults: dict[int, Exception],
) -> None:  # fmt: skip
    targets, coefficients = _constants(regions, transforms, places)
    planes = np.array([len(transform) for transform in transforms])[regions.image]
    size = int((planes * regions.height * regions.width).sum()) * dtype.itemsize
    streamed = size >= STREAMED_FROM[dtype.itemsize]
    for found in decode(regions, faults):
        run(found, targets, coefficients, dtype, streamed=streamed)


def _constants(regions: Regions, transforms: Sequence[Transform], places: AnyArray) -> tuple[AnyArray, Float32]:
    """Return the places with what becomes of pixels there, and the coefficients that they refer to."""
    targets, counts = places.copy(), [len(transform) for transform in transforms]
    targets["mode"] = np.array([transform.mode for transform in transforms])[regions.image]
    targets["constants"] = (np.cumsum(counts) - counts)[regions.image]
    return targets, np.concatenate([transform.coefficients for transform in transforms])


def _widened(regions: Regions, margin: Int64) -> Regions:
    """Return regions with so many pixels more around them where they have any; these end at the image's edge."""
    wide = replace(regions, row=regions.row - margin, col=regions.col - margin, height=regions.height + 2 * margin,
                   width=regions.width + 2 * margin)  # fmt: skip
    (top, left, bottom, right), none = wide.inside, margin == 0
    return replace(
        regions,
        row=np.where(none, regions.row, top),
        col=np.where(none, regions.col, left),
        height=np.where(none, regions.height, bottom - top),
        width=np.where(none, regions.width, right - left),
    )


def _finished(regions: Regions, region: int, wide: Regions, planes: Float32, formula: Formula) -> Float32:
    """Return a region as a registered function and filters make it, of the standardized pixels in and around it."""
    transform, filters = formula.transform, formula.filters
    apply_function(transform, planes, np.arange(len(planes)))
    if filters is not None and planes.size:
        filters.apply_in_place(planes)
    if not formula.margin:
        return planes
    out = np.empty((len(planes), int(regions.height[region]), int(regions.width[region])), np.float32)
    zeros = np.zeros((len(planes), 1, 1), regions.readers[int(regions.image[region])].dtype)
    outside = np.empty(zeros.shape, np.float32)
    standardize_block(zeros, outside, transform, np.arange(len(planes)))
    out[:] = outside
    top, left, bottom, right = regions.inside[:, region].tolist()
    row, col = int(regions.row[region]), int(regions.col[region])
    down, across = top - int(wide.row[region]), left - int(wide.col[region])
    inner = planes[:, down : down + bottom - top, across : across + right - left]
    out[:, top - row : bottom - row, left - col : right - col] = inner
    return out
