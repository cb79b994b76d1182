"""Parquet files: written whole, with a note of how they were made."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.errors import FileFormatError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.files.writing import atomic_path

METADATA_KEY = "spora_db"


def write_parquet(
    table: pa.Table, path: str | Path, *, metadata: Mapping[str, Any] | None = None, plain: Collection[str] = ()
) -> Path:
    """Write ``table`` to ``path`` atomically, with ``metadata`` as JSON in the file's key-value metadata.

    Parameters
    ----------
    table
        The rows; its schema metadata, such as pandas' index, is kept.
    path
        The parquet file, replaced if it exists.
    metadata
        How the rows were made: JSON values only. It lies under the key ``spora_db``; :func:`read_provenance` reads it.
    plain
        Columns, or their lists, whose numbers look random, such as embeddings: written as they are, neither compressed
        nor as a dictionary.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    WriteError
        As :func:`atomic_path`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_parquet(pa.table({"row": [0, 64]}), Path(folder) / "tiles.parquet", metadata={"stride": 64})
    ...     print(read_provenance(file))
    {'stride': 64}
    """
    kept = dict(table.schema.metadata or {})
    if metadata is not None:
        kept[METADATA_KEY.encode()] = json.dumps(metadata, sort_keys=True, allow_nan=False).encode()
    with atomic_path(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(kept or None), temporary, write_page_checksum=True, **_encodings(table, plain)
        )
    return Path(path)


def _encodings(table: pa.Table, plain: Collection[str]) -> dict[str, Any]:
    """Return how columns are written; a list by the path of its values, such as ``embedding.list.element``."""
    if not plain:
        return {"compression": "zstd"}
    leaves = {
        name: f"{name}.list.element" if pa.types.is_nested(table.schema.field(name).type) else name
        for name in table.column_names
    }
    return {
        "compression": {leaf: "none" if name in plain else "zstd" for name, leaf in leaves.items()},
        "use_dictionary": [leaf for name, leaf in leaves.items() if name not in plain],
        "write_statistics": [leaf for name, leaf in leaves.items() if name not in plain],
    }


def read_provenance(path: str | Path) -> dict[str, Any] | None:
    """Return what :func:`write_parquet` recorded in the file, or None for a file that something else wrote."""
    fetch_whole([path])
    try:
        kept = pq.read_metadata(path).metadata or {}
        text = kept.get(METADATA_KEY.encode())
        value = None if text is None else json.loads(text)
    except PARQUET_FAILURES as error:
        raise FileFormatError(f"Could not read the metadata of {path}: {error}. Expected a parquet file.") from error
    return value if isinstance(value, dict) else None
