"""Tiles as Zarr v3 arrays of shape (N, C, H, W): a group per panel, as channels differ between cohorts.

``panel_000/image`` has one chunk per tile and one shard per file, so that a tile is read alone; further arrays lie
beside it, and ``rows.parquet`` has a JSON text for every row. Channels and accessions are attributes of the group.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.exporting.fields import ExportedRow
from spora_db.files.parquet import write_parquet
from spora_db.files.writing import atomic_path

OF_PANEL = ("modality", "mpp", "spec", "channel_names", "uniprot_ids")
"""What is told once, of the group: it is the same in all rows of a panel."""


def group_name(group: int) -> str:
    """Return the name of a panel's group.

    Examples
    --------
    >>> group_name(3)
    'panel_003'
    """
    return f"panel_{group:03d}"


def write_zarr_shard(path: Path, rows: Iterable[ExportedRow], *, per_shard: int, number: int) -> None:
    """Write rows as what of each array lies in one shard: ``<array>/<shard>``, and their records.

    Parameters
    ----------
    path
        A folder, which is moved into place by `place_shards`.
    rows
        The rows, of one panel.
    per_shard, number
        How many rows each shard of the panel has, but for the last; and which this is.
    """
    listed = list(rows)
    path.mkdir()
    for name in listed[0].arrays:
        values = np.stack(_equal([row.arrays[name] for row in listed], name))
        made = path / f".{name}"
        shape = values.shape[1:]
        array = zarr.create_array(
            made, shape=(per_shard, *shape), dtype=values.dtype, chunks=(1, *shape), shards=(per_shard, *shape),
            fill_value=0, config={"write_empty_chunks": True},
        )  # fmt: skip
        array[: len(listed)] = values
        key = "/".join(["c", *("0" for _ in values.shape)])
        (path / name).mkdir()
        (made / key).rename(path / name / str(number))
        shutil.rmtree(made)
    table = pa.table({"position": [row.position for row in listed], "json": [row.json() for row in listed]})
    write_parquet(table, path / "rows.parquet")


def place_shards(folder: Path, parts: list[tuple[int, Path]], first: ExportedRow, *, rows: int, per_shard: int) -> None:
    """Make the arrays of a panel from its shards.

    Parameters
    ----------
    folder
        The panel's group.
    parts
        Number and folder of each shard.
    first
        The first row of the panel.
    rows, per_shard
        How many rows there are, and in each shard but the last.
    """
    with atomic_path(folder) as made:
        zarr.create_group(made, attributes={"spora_db": _of_panel(first.record)})
        for name, values in first.arrays.items():
            shape = values.shape
            zarr.create_array(
                made / name, shape=(rows, *shape), dtype=values.dtype, chunks=(1, *shape),
                shards=(per_shard, *shape), fill_value=0,
            )  # fmt: skip
            for number, part in parts:
                target = made / name / "c" / str(number) / "/".join("0" for _ in shape)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(part / name / str(number), target)
        tables = [pq.read_table(part / "rows.parquet") for _, part in parts]
        write_parquet(pa.concat_tables(tables), made / "rows.parquet")


def _of_panel(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record tells of the panel; of several modalities by modality."""
    inner = {name: _of_panel(value) for name, value in record.items() if isinstance(value, dict)}
    return {**{name: record[name] for name in OF_PANEL if name in record}, **inner}


def _equal(arrays: list[AnyArray], name: str) -> list[AnyArray]:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ArgumentError(
            f"The array {name!r} has the shapes {' and '.join(map(str, sorted(shapes)[:2]))} in rows; one Zarr array "
            "has one. Take webdataset, or tiles without cells."
        )
    return arrays
