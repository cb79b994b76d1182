"""A region of an image, read and standardized block by block as it is decoded, then filtered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import ArgumentError
from spora_db.standardization.precision import PIXELS, WRITTEN
from spora_db.standardization.standardize import round_planes, standardize_block
from spora_db.standardization.transform import Transform

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader
    from spora_db.standardization.filters import FilterFactory


def standardize_region(
    reader: "ImageReader",
    pages: "Sequence[int] | AnyArray",
    transform: Transform,
    *,
    row: int,
    col: int,
    height: int,
    width: int,
    out: AnyArray | None = None,
    pad: bool = True,
    filters: "FilterFactory | None" = None,
    halo: bool = False,
) -> AnyArray:
    """Read a region of an image and standardize it, block by block as it is decoded.

    Parameters
    ----------
    reader
        An open image.
    pages
        The C pages wanted, in the order of the result.
    transform
        The transform of these C channels.
    row, col, height, width
        The region, in pixels of the image; ``row`` and ``col`` may be negative where ``pad``.
    out
        Array of shape (C, height, width) to write into, such as a view of a batch, in one of the types that
        `standardize_block` writes; a float32 one is made where absent. Filters run in float32, before rounding.
    pad
        Whether a region may cross the image's edge. What lies outside is raw zero, standardized like any pixel.
    filters
        Filters to run after standardization.
    halo
        Whether filters see the pixels around the region, as if the whole tissue were filtered; without it they see the
        region alone and reflect at its border.

    Returns
    -------
    float32 array of shape (C, height, width), or `out`

    Raises
    ------
    ArgumentError
        If the region is empty or, without ``pad``, crosses the edge; if shapes do not fit together.
    BeyondRange
        If a finite pixel becomes infinite in the type of `out`.

    Examples
    --------
    >>> import numpy as np
    >>> from spora_db.images.base import Block
    >>> class Zeros:
    ...     shape, dtype = (1, 4, 4), np.dtype("uint8")
    ...     def blocks(self, pages, row, col, height, width):
    ...         yield Block(pixels=np.zeros((1, height, width), "uint8"), slots=np.array([0]), row=0, col=0)
    >>> zero, one = np.zeros(1), np.ones(1)
    >>> transform = Transform(method="quantile_clipping", lower=zero, upper=one, mean=one, std=one)
    >>> standardize_region(Zeros(), [0], transform, row=3, col=0, height=2, width=2)
    array([[[-1., -1.],
            [-1., -1.]]], dtype=float32)
    """
    pages = np.asarray(pages, dtype=np.int64)
    if height < 1 or width < 1 or len(pages) != len(transform):
        raise ArgumentError(
            f"A region needs a positive height and width and as many pages as the transform has channels; "
            f"got height={height}, width={width}, {len(pages)} pages, {len(transform)} channels."
        )
    shape = (len(pages), height, width)
    _, image_height, image_width = reader.shape
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + height, image_height), min(col + width, image_width)
    if not pad and (top, left, bottom, right) != (row, col, row + height, col + width):
        raise ArgumentError(
            f"Region of {height} x {width} pixels at row {row}, col {col} crosses the edge of an image of "
            f"{image_height} x {image_width} pixels; pass pad=True to fill with zeros what lies outside."
        )
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape or out.dtype not in PIXELS.values():
        raise ArgumentError(f"out must be {WRITTEN} of shape {shape}; got {out.dtype} of shape {out.shape}.")
    if not len(pages):
        return out
    if filters is not None and out.dtype != np.float32:
        planes = standardize_region(
            reader, pages, transform, row=row, col=col, height=height, width=width, pad=pad, filters=filters, halo=halo
        )
        round_planes(planes, out, np.arange(len(pages)))
        return out
    if bottom <= top or right <= left:
        out[:] = _zeros(reader, transform, out)
    else:
        inner = (slice(None), slice(top - row, bottom - row), slice(left - col, right - col))
        if (bottom - top, right - left) != (height, width):
            _fill_outside(out, inner, _zeros(reader, transform, out))
        if filters is not None and halo and filters.margin:
            _halo(reader, pages, transform, filters=filters, top=top, left=left, out=out[inner], margin=filters.margin)
        else:
            _inside(reader, pages, transform, top=top, left=left, out=out[inner])
    if filters is not None and not (halo and filters.margin):
        filters.apply_in_place(out)
    return out


def _inside(reader: "ImageReader", pages: Int64, transform: Transform, *, top: int, left: int, out: AnyArray) -> None:
    _, height, width = out.shape
    for block in reader.blocks(pages, top, left, height, width):
        standardize_block(block.pixels, out[:, block.row :, block.col :], transform, block.slots)


def _halo(
    reader: "ImageReader", pages: Int64, transform: Transform, *, filters: "FilterFactory", top: int,
    left: int, out: AnyArray, margin: int,
) -> None:  # fmt: skip
    """Standardize and filter the region with the margin that the image has around it, and keep the region."""
    _, height, width = out.shape
    first, start = max(top - margin, 0), max(left - margin, 0)
    last, stop = min(top + height + margin, reader.shape[1]), min(left + width + margin, reader.shape[2])
    wide = np.empty((out.shape[0], last - first, stop - start), np.float32)
    _inside(reader, pages, transform, top=first, left=start, out=wide)
    filters.apply_in_place(wide)
    out[:] = wide[:, top - first : top - first + height, left - start : left - start + width]


def _zeros(reader: "ImageReader", transform: Transform, out: AnyArray) -> AnyArray:
    """Return what a raw zero becomes in each channel of a result, shape (C, 1, 1)."""
    values = np.empty((len(transform), 1, 1), out.dtype)
    zeros = np.zeros((len(transform), 1, 1), reader.dtype)
    standardize_block(zeros, values, transform, np.arange(len(transform)))
    return values


def _fill_outside(out: AnyArray, inner: tuple[slice, slice, slice], values: AnyArray) -> None:
    _, rows, cols = inner
    out[:, : rows.start] = values
    out[:, rows.stop :] = values
    out[:, rows, : cols.start] = values
    out[:, rows, cols.stop :] = values
