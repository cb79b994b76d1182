"""Shards of MosaicML Streaming (MDS, version 2), by the format that its own reader documents; nothing of it is needed.

A shard holds a uint32 number of rows, uint32 offsets, the columns as JSON, and the rows: for each column of unknown
size a uint32 of its bytes, then all columns. Arrays are ``ndarray``: a byte for the type, one for the shape, the shape,
the values.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.exporting.fields import ExportedRow
from spora_db.exporting.packed import check_names, write_packed

TYPES = {
    "uint8": 8, "int8": 9, "uint16": 16, "int16": 17, "float16": 18, "uint32": 32, "int32": 33, "float32": 34,
    "uint64": 64, "int64": 65, "float64": 66,
}  # fmt: skip
"""The numbers of types."""
SHAPES = ("uint8", "uint16", "uint32", "uint64")
"""Types in which a shape is written: the smallest that it fits into."""


def _columns(names: Sequence[str]) -> dict[str, Any]:
    return {
        "column_encodings": [*("ndarray" for _ in names), "json"],
        "column_names": [*names, "json"],
        "column_sizes": [None] * (len(names) + 1),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }


def write_mds(path: Path, rows: Iterable[ExportedRow], *, names: tuple[str, ...]) -> None:
    """Write rows as a shard."""
    head = json.dumps(_columns(names), sort_keys=True).encode()
    write_packed(path, (_row(row, names) for row in rows), head=head)


def mds_index(files: Sequence[tuple[str, int, int]], names: tuple[str, ...]) -> str:
    """Return the text of ``index.json``.

    Parameters
    ----------
    files
        Name, bytes and rows of each shard.
    names
        The arrays of a row.
    """
    shards = [
        {
            **_columns(names),
            "raw_data": {"basename": name, "bytes": size, "hashes": {}},
            "samples": rows,
            "zip_data": None,
        }
        for name, size, rows in files
    ]
    return json.dumps({"shards": shards, "version": 2}, sort_keys=True)


def _row(row: ExportedRow, names: tuple[str, ...]) -> bytes:
    check_names(row, names)
    parts = [*map(_array, row.arrays.values()), row.json().encode()]
    return np.array([len(part) for part in parts], "<u4").tobytes() + b"".join(parts)


def _array(values: AnyArray) -> bytes:
    kind = next(at for at, name in enumerate(SHAPES) if max(values.shape) <= np.iinfo(name).max)
    shape = np.array(values.shape, SHAPES[kind])
    head = bytes([TYPES[values.dtype.name], values.ndim << 2 | kind])
    return head + shape.tobytes() + np.ascontiguousarray(values).tobytes()
