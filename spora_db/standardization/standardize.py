"""The fused standardization: decoded pixels in, standardized float32 planes out, block by block or a whole region."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float32, Int64
from spora_db.errors import ArgumentError
from spora_db.standardization.strides import flat_line, flat_planes
from spora_db.standardization.transform import Transform

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader
    from spora_db.standardization.filters import FilterFactory


def standardize_block(pixels: AnyArray, out: Float32, transform: Transform, slots: Int64) -> None:
    """Standardize decoded planes into their places of a result, in one pass and without temporaries.

    Parameters
    ----------
    pixels
        Array of shape (k, h, w), any real dtype, any strides; never written to.
    out
        float32 array of shape (C, H, W) with H >= h and W >= w; ``out[slots, :h, :w]`` is written.
    transform
        The transform of the C channels of ``out``.
    slots
        int64 array of shape (k,): the channel of each plane.

    Raises
    ------
    ArgumentError
        For shapes that do not fit together, or pixels that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.zeros((1, 1, 3), np.float32)
    >>> zero, one = np.zeros(1), np.ones(1)
    >>> transform = Transform(method="quantile_clipping", lower=zero, upper=2 * one, mean=one / 2, std=one)
    >>> standardize_block(np.array([[[0, 1, 9]]], np.uint8), out, transform, np.array([0]))
    >>> out.round(4).tolist()
    [[[-0.5, 0.0, 0.5]]]
    """
    slots = np.ascontiguousarray(slots, dtype=np.int64)
    _check_block(pixels, out, transform, slots)
    if pixels.size == 0:
        return
    _, height, width = pixels.shape
    if out.strides[2] != out.itemsize or min(out.strides) < 0 or not out.flags.aligned:
        part = np.empty((len(transform), height, width), np.float32)
        standardize_block(pixels, part, transform, slots)
        out[slots, :height, :width] = part[slots]
        return
    _run(transform.mode, pixels, out, slots, transform.coefficients)
    if transform.function is not None:
        _apply_function(transform, out[:, :height, :width], slots)


def _check_block(pixels: AnyArray, out: Float32, transform: Transform, slots: Int64) -> None:
    shape = pixels.shape
    if (
        pixels.ndim != 3
        or out.ndim != 3
        or shape[0] != len(slots)
        or shape[1] > out.shape[1]
        or shape[2] > out.shape[2]
    ):
        raise ArgumentError(
            f"Pixels of shape {shape} for {len(slots)} slots do not fit into a result of shape {out.shape}."
        )
    if out.dtype != np.float32 or len(transform) != out.shape[0]:
        raise ArgumentError(
            f"The result must be float32 with {len(transform)} channels; got {out.dtype} with {out.shape[0]}."
        )
    if pixels.dtype.kind not in "buif":
        raise ArgumentError(f"Pixels must be real numbers; got {pixels.dtype}.")
    if len(slots) and (slots.min() < 0 or slots.max() >= out.shape[0]):
        raise ArgumentError(f"Slots must lie in 0..{out.shape[0] - 1}; got {slots.min()}..{slots.max()}.")


def _run(
    mode: int,
    pixels: AnyArray,
    out: Float32,
    slots: Int64,
    coefficients: tuple[Float32, Float32, Float32, Float32],
) -> None:
    """Call the kernel on flat views of both arrays."""
    from spora_db.kernels.standardize import standardize_interleaved, standardize_planes

    source, plane, line, step = flat_planes(pixels)
    _, height, width = pixels.shape
    target = flat_line(out, writeable=True)
    out_plane, out_line = out.strides[0] // out.itemsize, out.strides[1] // out.itemsize
    if step == 1:
        standardize_planes(mode, source, plane, line, target, out_plane, out_line, slots, height, width, *coefficients)
    else:
        standardize_interleaved(
            mode, source, plane, line, step, target, out_plane, out_line, slots, height, width, *coefficients
        )


def _apply_function(transform: Transform, out: Float32, slots: Int64) -> None:
    """Run a registered function on the clipped planes in ``out``, then mean and standard deviation in place."""
    from spora_db.kernels.standardize import AFFINE

    assert transform.function is not None
    for slot in slots:
        plane = out[slot]
        result = np.asarray(transform.function(plane))
        if result.shape != plane.shape:
            raise ArgumentError(
                f"The function of standardizer {transform.method!r} must keep the shape of its pixels: "
                f"it was given {plane.shape} and returned {result.shape}."
            )
        np.copyto(plane, result, casting="same_kind")
        _run(AFFINE, plane[None], out, np.array([slot]), transform.coefficients)


def standardize_region(
    reader: "ImageReader",
    pages: "Sequence[int] | AnyArray",
    transform: Transform,
    *,
    row: int,
    col: int,
    height: int,
    width: int,
    out: Float32 | None = None,
    pad: bool = True,
    filters: "FilterFactory | None" = None,
    halo: bool = False,
) -> Float32:
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
        float32 array of shape (C, height, width) to write into, such as a view of a batch; made where absent.
    pad
        Whether a region may cross the image's edge. What lies outside is raw zero, standardized like any pixel.
    filters
        Filters to run after standardization.
    halo
        Whether filters see the pixels around the region, as if the whole tissue were filtered; without it they see the
        region alone and reflect at its border.

    Returns
    -------
    float32 array of shape (C, height, width)

    Raises
    ------
    ArgumentError
        If the region is empty or, without ``pad``, crosses the edge; if shapes do not fit together.

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
    elif out.shape != shape or out.dtype != np.float32:
        raise ArgumentError(f"out must be float32 of shape {shape}; got {out.dtype} of shape {out.shape}.")
    if not len(pages):
        return out
    if bottom <= top or right <= left:
        out[:] = _zeros(reader, transform)
    else:
        inner = (slice(None), slice(top - row, bottom - row), slice(left - col, right - col))
        if (bottom - top, right - left) != (height, width):
            _fill_outside(out, inner, _zeros(reader, transform))
        if filters is not None and halo and filters.margin:
            _halo(reader, pages, transform, filters=filters, top=top, left=left, out=out[inner], margin=filters.margin)
        else:
            _inside(reader, pages, transform, top=top, left=left, out=out[inner])
    if filters is not None and not (halo and filters.margin):
        filters.apply_in_place(out)
    return out


def _inside(reader: "ImageReader", pages: Int64, transform: Transform, *, top: int, left: int, out: Float32) -> None:
    _, height, width = out.shape
    for block in reader.blocks(pages, top, left, height, width):
        standardize_block(block.pixels, out[:, block.row :, block.col :], transform, block.slots)


def _halo(
    reader: "ImageReader", pages: Int64, transform: Transform, *, filters: "FilterFactory", top: int,
    left: int, out: Float32, margin: int,
) -> None:  # fmt: skip
    """Standardize and filter the region with the margin that the image has around it, and keep the region."""
    _, height, width = out.shape
    first, start = max(top - margin, 0), max(left - margin, 0)
    last, stop = min(top + height + margin, reader.shape[1]), min(left + width + margin, reader.shape[2])
    wide = np.empty((out.shape[0], last - first, stop - start), np.float32)
    _inside(reader, pages, transform, top=first, left=start, out=wide)
    filters.apply_in_place(wide)
    out[:] = wide[:, top - first : top - first + height, left - start : left - start + width]


def _zeros(reader: "ImageReader", transform: Transform) -> Float32:
    """Return what a raw zero becomes in each channel, shape (C, 1, 1)."""
    values = np.empty((len(transform), 1, 1), np.float32)
    zeros = np.zeros((len(transform), 1, 1), reader.dtype)
    standardize_block(zeros, values, transform, np.arange(len(transform)))
    return values


def _fill_outside(out: Float32, inner: tuple[slice, slice, slice], values: Float32) -> None:
    _, rows, cols = inner
    out[:, : rows.start] = values
    out[:, rows.stop :] = values
    out[:, rows, : cols.start] = values
    out[:, rows, cols.stop :] = values


def warm_up(transform: Transform, *, dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) the kernels that ``transform`` needs for images of ``dtype``.

    Called once in a parent process, so that no worker compiles in its first batch.

    Examples
    --------
    >>> warm_up(rgb_transform("imagenet", dtype="uint8"), dtype="uint8")
    """
    pixels = np.zeros((len(transform), 1, 2), dtype)
    standardize_block(pixels, np.empty(pixels.shape, np.float32), transform, np.arange(len(transform)))
