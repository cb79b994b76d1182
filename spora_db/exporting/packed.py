"""What the shards of MDS and of LitData have in common: a table of offsets, and rows one after the other."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spora_db.errors import ArgumentError
from spora_db.exporting.fields import ExportedRow

LARGEST = 2**32 - 1
"""Bytes of a shard at most: offsets have 32 bits."""


def array_names(row: ExportedRow) -> tuple[str, ...]:
    """Return the names of a row's arrays."""
    return tuple(row.arrays)


def check_names(row: ExportedRow, names: tuple[str, ...]) -> None:
    """Refuse a row with other arrays than the first.

    Raises
    ------
    ArgumentError
        For such a row.
    """
    if tuple(row.arrays) != names:
        raise ArgumentError(
            f"Row {row.position} has the arrays {', '.join(row.arrays)}, the first row {', '.join(names)}; mds and "
            "litdata take rows that have the same. Select one modality, or rows that have all, or take webdataset."
        )


def write_packed(path: Path, parts: Iterable[bytes], *, head: bytes = b"") -> None:
    """Write the number of rows, where each begins and the last ends, a head, and the rows.

    Raises
    ------
    ArgumentError
        If the shard is larger than offsets can tell.
    """
    rows = list(parts)
    sizes = np.array([0, *map(len, rows)], np.int64)
    offsets = sizes.cumsum() + 4 * (1 + len(sizes)) + len(head)
    if offsets[-1] > LARGEST:
        raise ArgumentError(
            f"A shard of {len(rows):,} rows has {offsets[-1]:,} bytes; this format has room for {LARGEST:,}. "
            "Give a smaller shard_bytes, or tiles in place of whole tissues."
        )
    with path.open("wb") as file:
        file.write(np.uint32(len(rows)).tobytes() + offsets.astype("<u4").tobytes() + head)
        file.writelines(rows)
