"""Chunks of LitData, by the layout that its own reader takes; nothing of it is needed.

A chunk holds a uint32 number of rows, uint32 offsets and the rows: a uint32 of the bytes of each field, then the
fields. Arrays are of its format ``numpy``: uint32 numbers of the type, of dimensions and of the shape, then the values.
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
    "int8": 0, "int16": 1, "int32": 2, "int64": 3, "uint8": 4, "uint16": 5, "uint32": 6, "uint64": 7, "float16": 8,
    "float32": 9, "float64": 10,
}  # fmt: skip
"""The numbers of types."""
LEAF = {"type": None, "context": None, "children_spec": list[object]()}


def write_litdata(path: Path, rows: Iterable[ExportedRow], *, names: tuple[str, ...]) -> None:
    """Write rows as a chunk."""
    write_packed(path, (_row(row, names) for row in rows))


def litdata_index(files: Sequence[tuple[str, int, int]], names: tuple[str, ...], *, shard_bytes: int) -> str:
    """Return the text of ``index.json``.

    Parameters
    ----------
    files
        Name, bytes and rows of each chunk.
    names
        The arrays of a row.
    shard_bytes
        Bytes of a chunk, about.
    """
    fields = [*names, "json"]
    spec = {"type": "builtins.dict", "context": json.dumps(fields), "children_spec": [LEAF] * len(fields)}
    config: dict[str, Any] = {
        "chunk_bytes": shard_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": [*("numpy" for _ in names), "str"],
        "data_spec": json.dumps([1, spec]),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    chunks = [{"chunk_bytes": size, "chunk_size": rows, "dim": None, "filename": name} for name, size, rows in files]
    return json.dumps({"chunks": chunks, "config": config, "updated_at": "0"}, sort_keys=True)


def _row(row: ExportedRow, names: tuple[str, ...]) -> bytes:
    check_names(row, names)
    parts = [*map(_array, row.arrays.values()), row.json().encode()]
    return np.array([len(part) for part in parts], "<u4").tobytes() + b"".join(parts)


def _array(values: AnyArray) -> bytes:
    head = np.array([TYPES[values.dtype.name], values.ndim, *values.shape], "<u4")
    return head.tobytes() + np.ascontiguousarray(values).tobytes()
