"""The types in which pixels leave the readers."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[Any]


def delivered(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which pixels stored as ``dtype`` are delivered: native, and known to every kernel."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind == "f" else dtype.newbyteorder("=")


def deliver(pixels: Pixels) -> Pixels:
    """Return pixels in their delivered type; a view where nothing changes."""
    if pixels.dtype.kind == "b":
        return pixels.view(np.uint8)
    if not pixels.flags.aligned:  # a codec's odd block size; kernels are compiled for aligned arrays
        pixels = pixels.copy()
    return pixels.astype(delivered(pixels.dtype), copy=False)
