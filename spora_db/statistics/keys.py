"""Pixels as unsigned keys that sort as the pixels do."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spora_db.arrays import Float64, UInt64


@dataclass(frozen=True, slots=True)
class KeyKind:
    """How pixels of a dtype become unsigned keys that sort as the pixels do, and back.

    Parameters
    ----------
    dtype
        Name of the pixels' dtype: 32- or 64-bit integers and floats.

    Examples
    --------
    >>> import numpy as np
    >>> kind = KeyKind("float32")
    >>> kind.digits, kind.decode(np.array([0x80000000, 0x407FFFFF], np.uint64)).tolist()
    (2, [0.0, -1.0])
    """

    dtype: str

    @property
    def bits(self) -> np.dtype[Any]:
        """The unsigned dtype of the same size."""
        return np.dtype(f"u{np.dtype(self.dtype).itemsize}")

    @property
    def digits(self) -> int:
        """How many 16-bit digits a key has."""
        return np.dtype(self.dtype).itemsize // 2

    @property
    def flips(self) -> tuple[np.uint64, np.uint64]:
        """What is exchanged in the bits: the sign bit, and all bits of negative floats."""
        kind, size = np.dtype(self.dtype).kind, 8 * np.dtype(self.dtype).itemsize
        sign = 0 if kind == "u" else 1 << (size - 1)
        return np.uint64(sign), np.uint64((1 << size) - 1 if kind == "f" else sign)

    @property
    def limits(self) -> tuple[np.uint64, np.uint64]:
        """The keys of the smallest and the greatest value; NaN lies outside."""
        dtype = np.dtype(self.dtype)
        if dtype.kind != "f":
            return np.uint64(0), np.uint64((1 << (8 * dtype.itemsize)) - 1)
        infinity = int(np.array([np.inf], dtype).view(self.bits)[0])
        sign, ones = (int(flip) for flip in self.flips)
        return np.uint64((infinity | sign) ^ ones), np.uint64(infinity ^ sign)

    def encode(self, values: Float64) -> UInt64:
        """Return the keys of values, which the dtype holds but for integers beyond its range: those get its ends."""
        sign, ones = self.flips
        if np.dtype(self.dtype).kind == "f":
            with np.errstate(over="ignore"):
                found = values.astype(self.dtype)
        else:
            info = np.iinfo(self.dtype)
            last = values >= float(info.max)  # as float64 the greatest of 64 bits is one more, which converts to any
            inside = np.where(last, 0, values.clip(info.min)).astype(self.dtype)
            found = np.where(last, np.array(info.max, self.dtype), inside)
        raw = found.view(self.bits).astype(np.uint64)
        return np.where((raw & sign) != 0, raw ^ ones, raw ^ sign)

    def decode(self, keys: UInt64) -> Float64:
        """Return the values of keys, as float64."""
        sign, ones = self.flips
        positive = (keys & sign) != 0 if int(sign) else np.ones(keys.shape, bool)
        raw = np.where(positive, keys ^ sign, keys ^ (ones if np.dtype(self.dtype).kind == "f" else sign))
        return raw.astype(self.bits).view(self.dtype).astype(np.float64)
