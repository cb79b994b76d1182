"""The crc32c checksum of shard indexes and chunks (Castagnoli, Braeuer and Herrmann 1993)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from spora_db.kernels.compile import kernel


def _table() -> npt.NDArray[np.uint32]:
    """Return the remainders of all bytes for the reflected Castagnoli polynomial."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


TABLE = _table()


@kernel
def _crc32c(data: npt.NDArray[np.uint8], table: npt.NDArray[np.uint32]) -> Any:  # noqa: ANN401 - a numba scalar
    remainder = np.uint32(0xFFFFFFFF)
    for position in range(data.size):
        remainder = table[(remainder ^ data[position]) & np.uint32(0xFF)] ^ (remainder >> np.uint32(8))
    return remainder ^ np.uint32(0xFFFFFFFF)


def crc32c(data: npt.NDArray[np.uint8]) -> int:
    """Return the crc32c checksum of the bytes ``data``, a contiguous uint8 array.

    Examples
    --------
    >>> hex(crc32c(np.frombuffer(b"123456789", np.uint8)))
    '0xe3069283'
    """
    return int(_crc32c(data, TABLE))
