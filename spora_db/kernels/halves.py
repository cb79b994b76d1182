"""Half precision: rows of float32 rounded to 16 bits, where they lie in the cache of the processor.

Rounded in the loops of `standardize_row` itself, 2 million pixels take 1.3 ms through log1p instead of 0.9.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from spora_db.arrays import Float32, UInt16
from spora_db.kernels.fused import row_kernel

FLOAT32: Final = 0
FLOAT16: Final = 1
BFLOAT16: Final = 2

MAGNITUDE, INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # the latter is also the bits of the power of two
FLOAT16_LEAST = np.int32(0x38800000)  # 2^-14: below it, float16's last bit is worth what it is worth there
FLOAT16_LOST = np.int32(0x477FF000)  # 65520, the least number that rounds to infinity
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


@row_kernel
def float16_row(values: Float32, out: UInt16) -> np.int32:
    """Round to float16 what is smaller than `FLOAT16_LOST`; return the largest magnitude."""
    largest = np.int32(0)
    for i in range(out.size):
        largest = max(largest, np.int32(np.float32(values[i]).view(np.int32) & MAGNITUDE))
        out[i] = float16(np.float32(values[i]))
    return largest


@row_kernel
def bfloat16_row(values: Float32, out: UInt16) -> np.int32:
    """Round to bfloat16, the upper half of a float32, what is smaller than `BFLOAT16_LOST`, as `float16_row` does."""
    largest = np.int32(0)
    for i in range(out.size):
        bits = np.float32(values[i]).view(np.int32)
        largest = max(largest, np.int32(bits & MAGNITUDE))
        odd = np.int32(np.int32(bits >> np.int32(16)) & np.int32(1))
        out[i] = np.uint16(np.int32(np.int32(bits + np.int32(0x7FFF)) + odd) >> np.int32(16))
    return largest


@row_kernel
def mend_row(values: Float32, out: UInt16, lost: np.int32, infinity: np.int32, quiet: np.int32) -> bool:
    """Write infinities and NaN, the quiet one, anew; return whether a finite number has become infinite."""
    found = False
    for i in range(out.size):
        bits = np.float32(values[i]).view(np.int32)
        magnitude = np.int32(bits & MAGNITUDE)
        if magnitude >= lost:
            sign = np.int32(np.int32(bits >> np.int32(16)) & np.int32(0x8000))
            out[i] = np.uint16(sign | infinity | (quiet if magnitude > INFINITE else np.int32(0)))
            found = found or bool(magnitude < INFINITE)
    return found


@row_kernel
def halve_row(kind: int, values: Float32, out: UInt16) -> bool:
    """Round a row to a type of 16 bits; return whether a finite number of it has become infinite."""
    if kind == FLOAT16:
        largest, lost, infinity, quiet = float16_row(values, out), FLOAT16_LOST, np.int32(0x7C00), np.int32(0x200)
    else:
        largest, lost, infinity, quiet = bfloat16_row(values, out), BFLOAT16_LOST, np.int32(0x7F80), np.int32(0x40)
    return bool(largest >= lost) and mend_row(values, out, lost, infinity, quiet)
