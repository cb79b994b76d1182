"""Arrays over memory that is known by its address, as the tables of `spora_db.kernels.tables` tell it; copied.

A row of a tile lies a whole row of its chunk after the one before it, which no processor foresees: waiting for its
bytes took half of the time of 32 tiles of colours (0.77 ns a pixel, 0.40 where rows are asked for before their turn).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from spora_db.arrays import AnyArray
from spora_db.files.buffers import LINE
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import row_kernel


def _pointer(context: Any, address: Any, like: Any) -> Any:  # noqa: ANN401 - numba's types
    if not (isinstance(address, types.Integer) and isinstance(like, types.Array)):
        return None

    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    found: Any = types.CPointer
    return found(like.dtype)(address, like), lowered


pointer: Callable[..., Any] = intrinsic(_pointer)
"""Return an address as a pointer to what an array holds."""


def _prefetch(to_write: int) -> Callable[..., Any]:
    def typed(context: Any, address: Any) -> Any:  # noqa: ANN401 - numba's types
        if not isinstance(address, types.Integer):
            return None

        def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            asked = builder.module.declare_intrinsic("llvm.prefetch", [byte], shape)
            first, data = number(3), number(1)
            builder.call(asked, [builder.inttoptr(arguments[0], byte), number(to_write), first, data])
            return context.get_dummy_value()

        nothing: Any = types.none
        return nothing(address), lowered

    return intrinsic(typed)


prefetch = _prefetch(to_write=0)
"""Have the processor fetch the line at any address into its first cache: it waits for none, and none is a fault."""

prefetch_to_write = _prefetch(to_write=1)
"""The same for a line that is written in part soon, so that its rest is not waited for then."""

AHEAD_ROWS, AHEAD_BYTES = 16, 8192
"""8 rows ahead, into the second cache, 43 channels of bfloat16 would take 1.09 of the time, of 32 tiles 1.14."""


@row_kernel
def items_at(address: int | np.int64, count: int | np.int64, like: AnyArray) -> AnyArray:
    """Return so many items from an address on, of the type that an array has."""
    return carray(pointer(address, like), (count,))


@row_kernel
def rows_ahead(size: int, height: int) -> int:
    """Return how many of so many rows of so many bytes are asked for before they are needed.

    Of rows longer than `AHEAD_BYTES` none: the processor foresees what follows in a row.
    """
    return min(AHEAD_ROWS, AHEAD_BYTES // size, height)


@row_kernel
def fetch_row(address: int, size: int) -> None:
    """Ask for a row of so many bytes, which is needed soon."""
    for line in range(0, size + LINE - 1, LINE):
        prefetch(address + line)


@row_kernel
def coming(source: int, following: int, line: int, row: int, height: int) -> int:
    """Return where a row of a piece lies, what comes after its last in the plane that follows."""
    return source + row * line if row < height else following + (row - height) * line


@row_kernel
def pack_row(address: int | np.int64, step: int, like: AnyArray, row: AnyArray) -> None:
    """Copy pixels of the type of `like` that lie `step` items apart, so that they are neighbours in a row.

    Loops over neighbours vectorize: 0.55 ns for a pixel of colours side by side, 1.42 where they are stepped over.
    """
    pixels = items_at(address, (row.size - 1) * step + 1, like)
    if step == 1:  # with a constant, these two vectorize as well
        for i in range(row.size):
            row[i] = pixels[i]
    elif step == 3:
        for i in range(row.size):
            row[i] = pixels[3 * i]
    else:
        for i in range(row.size):
            row[i] = pixels[step * i]


@kernel
def copy_pieces(pieces: AnyArray, planes: AnyArray, regions: AnyArray, kept: AnyArray, delivered: AnyArray) -> None:
    """Copy pieces into regions that may be of another type; `kept` and `delivered` are arrays of these."""
    size = kept.itemsize
    for piece in pieces:
        region = regions[piece.region]
        last = piece.first + piece.count - 1
        for k in range(piece.first, last + 1):
            plane, inside = planes[k], piece.row * planes[k].line + piece.col * planes[k].step * size
            source, following = plane.address + inside, planes[min(k + 1, last)].address + inside
            target = region.address + plane.slot * region.plane + piece.out_row * region.line
            target += piece.out_col * delivered.itemsize
            length = ((piece.width - 1) * plane.step + 1) * size
            ahead = rows_ahead(length, piece.height)
            for i in range(ahead if k == piece.first else 0):
                fetch_row(source + i * plane.line, length)
            for i in range(piece.height):
                fetch_row(coming(source, following, plane.line, i + ahead, piece.height), length)
                out = items_at(target + i * region.line, piece.width, delivered)
                pack_row(source + i * plane.line, plane.step, kept, out)
