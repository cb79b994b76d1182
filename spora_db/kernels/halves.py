"""Half precision: float32 rounded to 16 bits, in the loops that standardize.

What a type of 16 bits cannot hold is found by its magnitude, once a row, and mended then: no loop has a branch for it.
Where integers cannot become such numbers, no loop looks for it either: 0.146 ns a pixel of bfloat16, not 0.186.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from spora_db.arrays import AnyArray, Float32, UInt16
from spora_db.kernels.fused import row_kernel

ROWS: Final = {"float32": np.float32, "float16": np.uint16, "bfloat16": np.int16}
"""In which type kernels write each precision: their bodies are chosen by it, and it is one of numba's."""

MAGNITUDE, INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # the latter is also the bits of the power of two
FLOAT16_LEAST = np.int32(0x38800000)  # 2^-14: below it, float16's last bit is worth what it is worth there
FLOAT16_LOST = np.int32(0x477FF000)  # 65520, the least number that rounds to infinity
ONE_POWER = np.int32(1 << 23)  # of two, in the bits of a float32
BFLOAT16_LOST = np.int32(0x7F7F8000)


def _by_addition(value: np.float32) -> np.uint16:
    """Round to float16 where the processor does not.

    2^13 times its power of two is added to a number: the last bit of the sum is float16's, and the addition, exact in
    IEEE 754 on every processor, rounds as wanted. No branch and no wider type: it vectorizes.
    """
    bits = np.float32(value).view(np.int32)
    magnitude = np.int32(bits & MAGNITUDE)
    power = max(np.int32(magnitude & INFINITE), FLOAT16_LEAST)
    added = np.int32(power + np.int32(13 << 23))
    total = np.float32(np.int32(magnitude).view(np.float32) + np.int32(added).view(np.float32))
    rounded = np.int32(np.int32(total.view(np.int32) - added) + np.int32(power >> np.int32(13)))
    sign = np.int32(np.int32(bits >> np.int32(16)) & np.int32(0x8000))
    return np.uint16(np.int32(rounded - np.int32(113 << 10)) | sign)


def _float16(context: Any, value: Any) -> Any:  # noqa: ANN401 - numba's types
    if value != types.float32:
        return None

    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        _, _, features = context.codegen().magic_tuple()
        if "+f16c" not in features.split(","):
            return context.compile_internal(builder, _by_addition, signature, arguments)
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(value), lowered


float16: Callable[..., Any] = intrinsic(_float16)
"""Return the bits of a float32 smaller than `FLOAT16_LOST` rounded to float16: to nearest, ties to even.

Both ways give the same bits. The instruction of most processors (F16C) takes colours from 0.45 to 0.32 ns a pixel;
without it, LLVM would call a function that is not there.
"""


def put(out: AnyArray, place: int, value: np.float32) -> None:
    """Write a float32 into an array of a type of `ROWS`: what is too large for it, and NaN, as any number."""
    raise NotImplementedError  # numba takes `_put`


def specials(out: AnyArray) -> tuple[np.int32, np.int32, np.int32]:
    """Return from which magnitude on numbers are lost in an array, the bits of its infinity, the bit of a quiet NaN."""
    raise NotImplementedError  # numba takes `_specials`


@overload(put, strict=False)
def _put(out: Any, place: Any, value: Any) -> Any:  # noqa: ANN401 - numba's types
    def as_it_is(out: Float32, place: int, value: np.float32) -> None:
        out[place] = value

    def to_float16(out: UInt16, place: int, value: np.float32) -> None:
        out[place] = float16(value)

    def to_bfloat16(out: AnyArray, place: int, value: np.float32) -> None:
        bits = np.float32(value).view(np.int32)
        odd = np.int32(np.int32(bits >> np.int32(16)) & np.int32(1))
        out[place] = np.int16(np.int32(np.int32(bits + np.int32(0x7FFF)) + odd) >> np.int32(16))  # its upper half

    return {types.float32: as_it_is, types.uint16: to_float16, types.int16: to_bfloat16}[out.dtype]


@overload(specials, strict=False)
def _specials(out: Any) -> Any:  # noqa: ANN401 - numba's types
    numbers = {
        types.float32: (MAGNITUDE, MAGNITUDE, MAGNITUDE),
        types.uint16: (FLOAT16_LOST, np.int32(0x7C00), np.int32(0x200)),
        types.int16: (BFLOAT16_LOST, np.int32(0x7F80), np.int32(0x40)),
    }
    found = numbers[out.dtype]
    return lambda out: found


@row_kernel
def magnitude(value: np.float32) -> np.int32:
    """Return the bits of a number without its sign, which are in the order of magnitudes; NaN comes last."""
    return np.int32(np.float32(value).view(np.int32) & MAGNITUDE)


@row_kernel
def round_row(values: Float32, out: AnyArray) -> bool:
    """Round a row; return whether a finite number has become infinite. Infinities and NaN, the quiet one, stay."""
    found, largest = False, np.int32(0)
    lost, infinity, quiet = specials(out)
    for i in range(out.size):
        put(out, i, values[i])
        largest = max(largest, magnitude(values[i]))
    if largest < lost:
        return False
    for i in range(out.size):
        own = magnitude(values[i])
        if own >= lost:
            sign = np.int32(np.int32(np.float32(values[i]).view(np.int32) >> np.int32(16)) & np.int32(0x8000))
            out[i] = sign | infinity | (quiet if own > INFINITE else np.int32(0))
            found = found or bool(own < INFINITE)
    return found
