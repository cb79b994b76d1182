"""Planes as kernels want them: one flat line of memory with strides in elements."""

from typing import NamedTuple

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.images.pixels import deliver


class FlatPlanes(NamedTuple):
    """Planes of shape (k, h, w) as one line: pixel (k, r, c) is ``flat[k * plane + r * line + c * step]``."""

    flat: AnyArray
    plane: int
    line: int
    step: int


def flat_line(array: AnyArray) -> AnyArray:
    """View the memory from the first to the last element as one line; strides are positive multiples of the item."""
    span = sum((size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)) // array.itemsize
    return np.lib.stride_tricks.as_strided(array, (span + 1,), (array.itemsize,), writeable=False)


def flat_planes(pixels: AnyArray) -> FlatPlanes:
    """View planes as one line for a kernel; layouts and dtypes that numba lacks are copied first.

    numba knows that a one-dimensional contiguous array has unit strides and vectorizes; of a three-dimensional view it
    does not (8 MB of float32 clipped: 0.5 ms against 1.5 ms).

    Parameters
    ----------
    pixels
        Array of shape (k, h, w), not empty, any real dtype and strides.

    Returns
    -------
    FlatPlanes
        Native byte order; bool as uint8, float16 and long double as float32.

    Examples
    --------
    >>> import numpy as np
    >>> rgb = np.zeros((4, 5, 3), np.uint8)
    >>> flat_planes(rgb.transpose(2, 0, 1))[1:]
    (1, 15, 3)
    """
    pixels = deliver(pixels)
    if min(pixels.strides) < 0 or any(stride % pixels.itemsize for stride in pixels.strides):
        pixels = np.ascontiguousarray(pixels)
    plane, line, step = (stride // pixels.itemsize for stride in pixels.strides)
    return FlatPlanes(flat_line(pixels), plane, line, step if pixels.shape[2] > 1 else 1)
