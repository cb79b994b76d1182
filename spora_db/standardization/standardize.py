"""The fused standardization: decoded pixels in, standardized planes out, in float32 or rounded to half precision."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float32, Int64
from spora_db.errors import ArgumentError
from spora_db.files.buffers import LINE, aligned
from spora_db.images.pieces import PieceTables, tables, whole_piece
from spora_db.images.pixels import deliver, narrowed
from spora_db.kernels.tables import REGIONS
from spora_db.standardization.precision import HIGHEST, PIXELS, WRITTEN, BeyondRange, Precision, precision_of
from spora_db.standardization.transform import Transform, identity_transform

BAND: Final = 2**13
"""Bytes of rows that are made before they are written past the caches: half and twice as many take as long."""


def standardize_block(pixels: AnyArray, out: AnyArray, transform: Transform, slots: Int64) -> None:
    """Standardize decoded planes into their places of a result, in one pass and without temporaries.

    Parameters
    ----------
    pixels
        Array of shape (k, h, w), any real dtype, any strides; never written to.
    out
        Array of shape (C, H, W) with H >= h and W >= w, in one of the types of `PIXELS`: float32, or float16 and the
        bits of bfloat16, to which the float32 result is rounded. ``out[slots, :h, :w]`` is written.
    transform
        The transform of the C channels of ``out``.
    slots
        int64 array of shape (k,): the channel of each plane.

    Raises
    ------
    ArgumentError
        For shapes that do not fit together, or pixels that are not real numbers.
    BeyondRange
        If a finite pixel becomes infinite in the type of `out`.

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
    if out.strides[2] != out.itemsize or not out.flags.aligned:
        part = np.empty((len(transform), height, width), out.dtype)
        standardize_block(pixels, part, transform, slots)
        out[slots, :height, :width] = part[slots]
    elif transform.function is None or out.dtype == np.float32:
        _run_block(transform.mode, pixels, out, slots, transform.coefficients)
        apply_function(transform, out[:, :height, :width], slots)
    else:
        part = np.empty(pixels.shape, np.float32)  # a registered function is one of float32
        standardize_block(pixels, part, transform.take(slots), np.arange(len(slots)))
        standardize_block(part, out, identity_transform(len(out)), slots)


def _check_block(pixels: AnyArray, out: AnyArray, transform: Transform, slots: Int64) -> None:
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
    if out.dtype not in PIXELS.values() or len(transform) != out.shape[0]:
        raise ArgumentError(
            f"The result must be {WRITTEN} with {len(transform)} channels; got {out.dtype} with {out.shape[0]}."
        )
    if pixels.dtype.kind not in "buif":
        raise ArgumentError(f"Pixels must be real numbers; got {pixels.dtype}.")
    if len(slots) and (slots.min() < 0 or slots.max() >= out.shape[0]):
        raise ArgumentError(f"Slots must lie in 0..{out.shape[0] - 1}; got {slots.min()}..{slots.max()}.")


def _run_block(mode: int, pixels: AnyArray, out: AnyArray, slots: Int64, coefficients: Float32) -> None:
    """Fill a region from the one block that lies in its corner."""
    regions = placed([out])
    regions["mode"] = mode
    run(tables([whole_piece(deliver(pixels), slots=slots)]), regions, coefficients, out.dtype)


def apply_function(transform: Transform, out: Float32, slots: Int64) -> None:
    """Run a registered function, if there is one, on clipped planes, then mean and standard deviation, in place.

    Raises
    ------
    ArgumentError
        If the function changes the shape of its pixels.
    """
    from spora_db.kernels.formula import AFFINE

    for slot in slots if transform.function is not None else ():
        assert transform.function is not None
        plane = out[slot]
        result = np.asarray(transform.function(plane))
        if result.shape != plane.shape:
            raise ArgumentError(
                f"The function of standardizer {transform.method!r} must keep the shape of its pixels: "
                f"it was given {plane.shape} and returned {result.shape}."
            )
        np.copyto(plane, result, casting="same_kind")
        _run_block(AFFINE, plane[None], out, np.array([slot]), transform.coefficients)


def placed(outs: Sequence[AnyArray]) -> AnyArray:
    """Return where regions go, a table of `REGIONS` without modes and coefficients: arrays (C, H, W), in whole rows."""
    found = np.zeros(len(outs), REGIONS)
    for place, out in zip(found, outs, strict=True):
        place["address"], place["plane"], place["line"] = out.ctypes.data, *out.strides[:2]
    return found


def copy_raw(found: PieceTables, regions: AnyArray) -> None:
    """Fill regions from pieces in the type of their images, in one call; the regions are a table of `REGIONS`."""
    from spora_db.kernels.memory import copy_pieces

    same = np.dtype(f"u{found.dtype.itemsize}")  # one body for all types of its size
    kept, delivered = (same, same) if found.dtype == found.delivered else (found.dtype, found.delivered)
    copy_pieces(found.pieces, found.planes, regions, np.empty(0, kept), np.empty(0, delivered))


@cache
def extremes(dtype: np.dtype[Any]) -> AnyArray:
    """Return the least and the greatest number of a type of pixels; NaN for one that has it.

    Examples
    --------
    >>> extremes(np.dtype(np.int8))
    array([-128,  127], dtype=int8)
    """
    if dtype.kind not in "iu":
        return np.array([False, True] if dtype.kind == "b" else [np.nan, np.nan], dtype)
    return np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)


def by_rows(found: PieceTables) -> AnyArray:
    """Return pieces in the order of their chunks, but each after the one whose rows it goes on with, if there is one.

    A line of the cache in which two of them meet is then written once, and whole: 43 channels take 0.8 of the time.
    """
    pieces = found.pieces
    rows = np.array([pieces["region"], pieces["out_row"], found.planes["slot"][pieces["first"]]])
    _, first, row = np.unique(rows, axis=1, return_index=True, return_inverse=True)
    return pieces[np.lexsort([pieces["out_col"], first[row.reshape(-1)]])]


def run(
    found: PieceTables, regions: AnyArray, coefficients: Float32, dtype: np.dtype[Any], *, streamed: bool = False
) -> None:
    """Fill regions from pieces, in one call of the kernel.

    Parameters
    ----------
    found
        The pieces.
    regions
        Where they go, a table of `REGIONS`.
    coefficients
        float32 array of shape (K, 4).
    dtype
        The type of the regions, one of `PIXELS`.
    streamed
        Whether they are written past the caches of the processor.

    Raises
    ------
    BeyondRange
        If a finite pixel becomes infinite in that type.
    """
    from spora_db.kernels.formula import WHOLE
    from spora_db.kernels.halves import ROWS
    from spora_db.kernels.standardize import standardize_pieces

    precision, widest = precision_of(dtype), int(found.pieces["width"].max(initial=1)) + WHOLE
    rows = np.empty(widest, found.dtype), np.empty(widest, np.float32)
    lines = aligned(max(BAND, 4 * widest + LINE) if streamed else 0)
    constants, like = (coefficients, extremes(found.dtype)), np.empty(0, ROWS[precision])
    pieces = by_rows(found) if streamed else found.pieces
    region, channel = standardize_pieces(pieces, found.planes, regions, *constants, *rows, lines, like)
    if channel >= 0:
        message = (
            f"A pixel of channel {channel} of the result is larger than {precision} holds, {HIGHEST[precision]:,.6g}."
        )
        raise BeyondRange(message, region=region, channel=channel)


def warm_up(transform: Transform, *, dtype: npt.DTypeLike, precision: Precision = "float32") -> None:
    """Compile (or load from the cache) the kernels that ``transform`` needs for images of ``dtype`` and a precision.

    Called once in a parent process, so that no worker compiles in its first batch.

    Examples
    --------
    >>> from spora_db.standardization.transform import rgb_transform
    >>> warm_up(rgb_transform("imagenet", dtype="uint8"), dtype="uint8")
    """
    pixels = np.zeros((len(transform), 1, 2), dtype)
    for own in (pixels, narrowed(pixels)):  # of counts, as they are kept
        standardize_block(own, np.empty(own.shape, PIXELS[precision]), transform, np.arange(len(transform)))
