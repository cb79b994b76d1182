"""Numbers as uint16, where that loses nothing: half the memory of counts, and half of what is read of them."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, SignedInts, UInt16
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import row_kernel

BLOCK: Final = 4096
"""Pixels after which a number that does not fit ends it."""


@row_kernel
def narrow_block(values: AnyArray, bits: SignedInts, out: UInt16) -> bool:
    """Write numbers as uint16; return whether all of them fit: none differs, nor has a sign, as -0.0 has."""
    lost = False
    for i in range(out.size):
        value = values[i]
        inside = value if value > 0 else type(value)(0)
        inside = inside if inside < 65535 else type(value)(65535)
        number = np.int32(inside)
        out[i] = np.uint16(number)
        lost |= (value != number) | (bits[i] < 0)
    return not lost


@kernel
def narrow(values: AnyArray, bits: SignedInts, out: UInt16) -> bool:
    """Write numbers as uint16 and return whether all of them fit.

    ``values`` are of any type, ``bits`` the same memory as integers with a sign. 11 MB of float32 take 0.6 ms, where
    decoding them took 4.5; where they do not fit, as many as one block.
    """
    for first in range(0, out.size, BLOCK):
        block = slice(first, first + BLOCK)
        if not narrow_block(values[block], bits[block], out[block]):
            return False
    return True
