"""The fused standardization: decoded pixels in, standardized float32 planes out, block by block or a whole region."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float32, Int64
from spora_db.errors import ArgumentError
from spora_db.standardization.strides import flat_line, flat_planes
from spora_db.standardization.transform import Transform

if TYPE_CHECKING:
    pass


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


def warm_up(transform: Transform, *, dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) the kernels that ``transform`` needs for images of ``dtype``.

    Called once in a parent process, so that no worker compiles in its first batch.

    Examples
    --------
    >>> from spora_db.standardization.transform import rgb_transform
    >>> warm_up(rgb_transform("imagenet", dtype="uint8"), dtype="uint8")
    """
    pixels = np.zeros((len(transform), 1, 2), dtype)
    standardize_block(pixels, np.empty(pixels.shape, np.float32), transform, np.arange(len(transform)))
