"""Small square filters over one plane whose margin has been filled already."""

import numpy as np

from spora_db.arrays import Float32
from spora_db.kernels.compile import kernel


@kernel
def blur_plane(source: Float32, weights: Float32, between: Float32, out: Float32) -> None:
    """Convolve a plane with the outer product of ``weights``: along rows into ``between``, then down the columns.

    ``source`` is (h + k - 1, w + k - 1), ``between`` (h + k - 1, w), ``out`` (h, w). The tap is the outer loop, so that
    the inner one runs along a row and vectorizes.
    """
    height, width = out.shape
    for row in range(source.shape[0]):
        line, target = source[row], between[row]
        for col in range(width):
            target[col] = weights[0] * line[col]
        for tap in range(1, weights.size):
            shifted = line[tap : tap + width]
            for col in range(width):
                target[col] += weights[tap] * shifted[col]
    for row in range(height):
        target = out[row]
        for col in range(width):
            target[col] = weights[0] * between[row, col]
        for tap in range(1, weights.size):
            line = between[row + tap]
            for col in range(width):
                target[col] += weights[tap] * line[col]


@kernel
def median_plane(source: Float32, size: int, window: Float32, out: Float32) -> None:
    """Take the middle of the ``size`` x ``size`` pixels around each; NaN where one of them is NaN.

    The window is sorted by insertion: at 9 pixels that is quicker than any selection.
    """
    height, width = out.shape
    middle = (size * size) // 2
    for row in range(height):
        for col in range(width):
            count = 0
            broken = False
            for i in range(size):
                for j in range(size):
                    value = source[row + i, col + j]
                    broken |= value != value
                    place = count
                    while place > 0 and window[place - 1] > value:
                        window[place] = window[place - 1]
                        place -= 1
                    window[place] = value
                    count += 1
            out[row, col] = np.float32(np.nan) if broken else window[middle]


@kernel
def reflect_index(index: int, size: int) -> int:
    """Mirror an index that lies outside 0..size-1 at the first or last pixel, which is not repeated."""
    if index < 0:
        return -index
    if index >= size:
        return 2 * size - 2 - index
    return index


@kernel
def pad_plane(source: Float32, margin: int, mode: int, out: Float32) -> None:
    """Copy a plane into the middle of ``out`` and fill the margin: 0 reflects, 1 repeats the edge, 2 leaves zeros."""
    height, width = source.shape
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            i, j = row - margin, col - margin
            outside = i < 0 or j < 0 or i >= height or j >= width
            if outside and mode == 2:
                out[row, col] = np.float32(0.0)
            elif outside and mode == 1:
                out[row, col] = source[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
            elif outside:
                out[row, col] = source[reflect_index(i, height), reflect_index(j, width)]
            else:
                out[row, col] = source[i, j]
