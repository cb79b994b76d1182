"""Fused standardization of decoded planes, in one pass over the pixels: from pieces of chunks to rows of regions."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Float32, UInt8
from spora_db.files.buffers import LINE
from spora_db.kernels.compile import kernel
from spora_db.kernels.formula import CAP, CLIP, WHOLE, fits, standardize_row
from spora_db.kernels.fused import row_kernel
from spora_db.kernels.halves import round_row
from spora_db.kernels.memory import coming, fetch_row, items_at, pack_row, rows_ahead
from spora_db.kernels.streaming import fetch_ends, settle, stream_row

STREAMED: Final = 32
"""Pixels: a shorter row has more beginning and end than lines of the cache in between."""


@row_kernel
def room(pixels: int, width: int) -> int:
    """Return the bytes that a row of so many pixels of so many bytes takes before it is written past the caches."""
    return -(-(pixels + WHOLE) * width // LINE) * LINE


@row_kernel
def adjoins(pieces: AnyArray, planes: AnyArray, number: int) -> bool:
    """Return whether the rows of a piece go on where those of the piece before it end, in the same channels."""
    piece, before = pieces[number], pieces[number - 1]
    found = piece.region == before.region and piece.height == before.height and piece.count == before.count
    found = found and piece.out_row == before.out_row and piece.out_col == before.out_col + before.width
    for k in range(piece.count if found else 0):
        found = found and planes[piece.first + k].slot == planes[before.first + k].slot
    return bool(found)


@kernel
def standardize_pieces(
    pieces: AnyArray, planes: AnyArray, regions: AnyArray, coefficients: Float32, extremes: AnyArray, pixels: AnyArray,
    numbers: Float32, lines: UInt8, like: AnyArray,
) -> tuple[int, int]:  # fmt: skip
    """Standardize pieces, each into its place; see `spora_db.kernels.tables` for the tables.

    Parameters
    ----------
    pieces, planes, regions
        The tables.
    coefficients
        float32 array of shape (K, 4): lower, upper, scale and offset.
    extremes
        The least and the greatest number of the type of the planes; NaN where it has that.
    pixels, numbers
        Memory for a row of the widest piece and `WHOLE` more, in the type of the planes and in float32.
    lines
        Memory for rows that are written past the caches of the processor, at least one of the widest piece; empty where
        none are. Neighbours that follow each other in the table are written together, in whole rows.
    like
        An array of the type of the regions, one of `ROWS`.

    Returns
    -------
    tuple of int
        The first region and channel that have a pixel beyond the type, -1 and -1 for none.
    """
    size, width = pixels.itemsize, like.itemsize
    packed, single, made = np.int64(pixels.ctypes.data), np.int64(numbers.ctypes.data), np.int64(lines.ctypes.data)
    end = 0
    while end < pieces.size:
        first, piece, across = end, pieces[end], 0
        while end < pieces.size and (end == first or adjoins(pieces, planes, end)):
            if end > first and room(across + pieces[end].width, width) > lines.size:
                break
            across, end = across + pieces[end].width, end + 1
        region, streams = regions[piece.region], lines.size > 0 and across >= STREAMED
        line = room(across, width) if streams else region.line
        band = lines.size // line if streams else piece.height
        for k in range(piece.count):
            slot = planes[piece.first + k].slot
            constants = coefficients[region.constants + slot]
            lower, upper, scale, offset = constants[0], constants[1], constants[2], constants[3]
            mode = CAP if region.mode == CLIP and lower == 0 and extremes[0] == 0 else region.mode
            safe = fits(mode, extremes, items_at(single, 2, numbers), like, lower, upper, scale, offset)
            place = region.address + slot * region.plane + piece.out_row * region.line + piece.out_col * width
            for top in range(0, piece.height, band):
                bottom = min(top + band, piece.height)
                if streams:
                    fetch_ends(place + top * region.line, across * width, region.line, bottom - top)
                for j in range(first, end):  # numba counts the references to a slice, which waits for all writes
                    own = pieces[j]
                    plane, following = planes[own.first + k], planes[own.first + min(k + 1, own.count - 1)].address
                    inside = own.row * plane.line + own.col * plane.step * size
                    target = (made if streams else place + top * line) + (own.out_col - piece.out_col) * width
                    length = ((own.width - 1) * plane.step + 1) * size
                    ahead = rows_ahead(length, own.height)
                    whole = own.width
                    if streams and safe and plane.line >= WHOLE * size:  # the row below, or the next piece, lies there
                        whole = -(-whole // WHOLE) * WHOLE
                    for i in range(ahead if k == 0 and top == 0 else 0):
                        fetch_row(plane.address + inside + i * plane.line, length)
                    for i in range(top, bottom):
                        row = plane.address + inside + i * plane.line
                        fetch_row(coming(plane.address, following, plane.line, i + ahead, own.height) + inside, length)
                        if plane.step != 1:
                            pack_row(row, plane.step, pixels, items_at(packed, own.width, pixels))
                            row = packed
                        count = whole if i < own.height - 1 else own.width
                        values, out = items_at(row, count, pixels), items_at(target + (i - top) * line, count, like)
                        if safe:
                            standardize_row(mode, values, out, lower, upper, scale, offset)
                        else:
                            exact = items_at(single, count, numbers)
                            standardize_row(mode, values, exact, lower, upper, scale, offset)
                            if round_row(exact, out):
                                return own.region, slot
                for i in range(bottom - top if streams else 0):
                    stream_row(made + i * line, place + (top + i) * region.line, across * width)
    if lines.size:
        settle()
    return -1, -1
