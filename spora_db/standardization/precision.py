"""The types in which standardized pixels are delivered, and the error where one of them cannot hold a pixel."""

from typing import Any, Final, Literal, TypeAlias

import numpy as np

from spora_db.errors import ArgumentError

Precision: TypeAlias = Literal["float32", "float16", "bfloat16"]
PIXELS: Final[dict[Precision, np.dtype[Any]]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),  # numpy has no bfloat16: its bits
}
HIGHEST: Final[dict[Precision, float]] = {
    "float32": float(np.finfo(np.float32).max),
    "float16": 65504.0,
    "bfloat16": float(np.uint32(0x7F7F0000).view(np.float32)),
}
"""The largest number of each type."""
WRITTEN: Final = "float32, float16, or uint16 (the bits of bfloat16)"


class BeyondRange(ArgumentError):
    """A pixel is larger than the type that it is to be delivered in can hold.

    `region` and `channel` are its place in the result.
    """

    def __init__(self, message: str, *, channel: int = -1, region: int = 0) -> None:
        super().__init__(message)
        self.channel, self.region = channel, region


def precision_of(dtype: np.dtype[Any]) -> Precision:
    """Return what a type of arrays for pixels, one of `PIXELS`, stands for.

    Examples
    --------
    >>> precision_of(np.dtype(np.uint16))
    'bfloat16'
    """
    return next(precision for precision, known in PIXELS.items() if known == dtype)
