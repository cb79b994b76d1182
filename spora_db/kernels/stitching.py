"""Areas that tokens share with other squares: with the pixels of a map, and with cells."""

import math

from spora_db.arrays import Float32, Float64, Int32
from spora_db.kernels.compile import kernel


@kernel
def add_tokens(
    tokens: Float32,
    row: float,
    col: float,
    token: float,
    limits: Float64,
    pitch: float,
    base: int,
    sums: Float64,
    weights: Float64,
) -> None:
    """Add the tokens of a window to the pixels of a map, in proportion to the area that they share.

    ``tokens`` (h, w, D) are squares of ``token`` pixels of the image, the first with its corner at ``row, col``; pixels
    of the map are squares of ``pitch`` pixels of the image. Only what lies within ``limits`` (top, bottom, left, right;
    pixels of the image) counts. ``sums`` (rows, cols, D) and ``weights`` (rows, cols) begin at row ``base`` of the map.

    The vector stands innermost: one pass over D per shared area, which the compiler makes of wide instructions.
    """
    height, width, depth = tokens.shape
    rows, cols = weights.shape
    for i in range(height):
        top, bottom = max(row + i * token, limits[0]), min(row + (i + 1) * token, limits[1])
        if bottom <= top:
            continue
        for k in range(int(top / pitch), min(math.ceil(bottom / pitch), base + rows)):
            down = min(bottom, (k + 1) * pitch) - max(top, k * pitch)
            if down <= 1e-9 * pitch:  # rounding of fractional pitches: no area
                continue
            for j in range(width):
                left, right = max(col + j * token, limits[2]), min(col + (j + 1) * token, limits[3])
                if right <= left:
                    continue
                for m in range(int(left / pitch), min(math.ceil(right / pitch), cols)):
                    across = min(right, (m + 1) * pitch) - max(left, m * pitch)
                    if across <= 1e-9 * pitch:
                        continue
                    area = down * across
                    weights[k - base, m] += area
                    for d in range(depth):
                        sums[k - base, m, d] += area * tokens[i, j, d]


@kernel
def add_cells(mask: Int32, labels: Int32, tokens: Float32, pitch: float, sums: Float64, areas: Float64) -> None:
    """Add to every cell the tokens that it lies in, in proportion to the area that they share.

    ``mask`` (H, W) is an instance mask; ``tokens`` (h, w, D) are squares of ``pitch`` of its pixels. ``labels`` (n,)
    are its cells, ascending; ``sums`` (n, D) and ``areas`` (n,), in pixels of the mask, grow. Tokens whose first
    number is NaN count for nothing, nor does what lies beyond all tokens.

    Pixels of one label beside each other are one run, whose share of a token is added at once.
    """
    height, width = mask.shape
    rows, cols, depth = tokens.shape
    for top in range(height):
        col = 0
        while col < width:
            label, start = mask[top, col], col
            while col < width and mask[top, col] == label:
                col += 1
            if label <= 0:
                continue
            low, high = 0, len(labels)
            while low < high:
                middle = (low + high) // 2
                if labels[middle] < label:
                    low = middle + 1
                else:
                    high = middle
            for k in range(int(top / pitch), min(math.ceil((top + 1) / pitch), rows)):
                down = min(top + 1.0, (k + 1) * pitch) - max(float(top), k * pitch)
                if down <= 1e-9:
                    continue
                for m in range(int(start / pitch), min(math.ceil(col / pitch), cols)):
                    across = min(float(col), (m + 1) * pitch) - max(float(start), m * pitch)
                    if across <= 1e-9 or math.isnan(tokens[k, m, 0]):
                        continue
                    area = down * across
                    areas[low] += area
                    for d in range(depth):
                        sums[low, d] += area * tokens[k, m, d]
