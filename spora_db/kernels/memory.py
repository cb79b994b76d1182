"""Arrays over memory that is known by its address, as the tables of `spora_db.kernels.tables` tell it; copied."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from spora_db.arrays import AnyArray
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


@row_kernel
def items_at(address: int, count: int, like: AnyArray) -> AnyArray:
    """Return so many items from an address on, of the type that an array has."""
    return carray(pointer(address, like), (count,))


@kernel
def copy_pieces(pieces: AnyArray, planes: AnyArray, regions: AnyArray, pixel: AnyArray) -> None:
    """Copy pieces as they are; `pixel` is an array of their type."""
    size = pixel.itemsize
    for piece in pieces:
        region = regions[piece.region]
        for plane in planes[piece.first : piece.first + piece.count]:
            source = plane.address + piece.row * plane.line + piece.col * plane.step * size
            target = region.address + plane.slot * region.plane + piece.out_row * region.line + piece.out_col * size
            for i in range(piece.height):
                pixels = items_at(source + i * plane.line, (piece.width - 1) * plane.step + 1, pixel)
                out = items_at(target + i * region.line, piece.width, pixel)
                for j in range(piece.width):
                    out[j] = pixels[j * plane.step]
