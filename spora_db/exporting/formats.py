"""The formats of an export: one row each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from spora_db.exporting.fields import ExportedRow
from spora_db.exporting.litdata import litdata_index, write_litdata
from spora_db.exporting.mds import mds_index, write_mds
from spora_db.exporting.packed import array_names
from spora_db.exporting.shards import ExportedShard, by_panel, group_sizes, in_order
from spora_db.exporting.webdataset import write_tar
from spora_db.exporting.zarr_arrays import group_name, place_shards, write_zarr_shard
from spora_db.files.writing import atomic_path
from spora_db.plan import Plan

ExportFormat: TypeAlias = Literal["webdataset", "mds", "litdata", "zarr"]
ExportedRows: TypeAlias = Sequence[ExportedRow]
Files: TypeAlias = Mapping[ExportedShard, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWriter:
    """How a format is written.

    Attributes
    ----------
    cut
        Which rows are in which shard.
    name
        The name of a shard's file, or of the folder that it is until all are there.
    write
        Writes the rows of a shard; it is given the first row of its group, and how many rows a full shard has.
    finish
        Writes what stands above the shards.
    """

    cut: Callable[..., list[ExportedShard]]
    name: Callable[[ExportedShard], str]
    write: Callable[[Path, ExportedRows, ExportedRow, ExportedShard, int], None]
    finish: Callable[[Path, Sequence[tuple[ExportedShard, Path]], Mapping[int, ExportedRow], int], None]


def _index(
    text: Callable[..., str],
) -> Callable[[Path, Sequence[tuple[ExportedShard, Path]], Mapping[int, ExportedRow], int], None]:
    """Return what writes ``index.json``."""

    def finish(
        folder: Path, shards: Sequence[tuple[ExportedShard, Path]], first: Mapping[int, ExportedRow], size: int
    ) -> None:
        files = [(path.name, path.stat().st_size, len(shard.rows)) for shard, path in shards]
        with atomic_path(folder / "index.json") as temporary:
            temporary.write_text(text(files, array_names(first[0]), size), encoding="utf-8")

    return finish


def _panels(
    folder: Path, shards: Sequence[tuple[ExportedShard, Path]], first: Mapping[int, ExportedRow], size: int
) -> None:
    counts = group_sizes([shard for shard, _ in shards])
    for group, (rows, per_shard) in counts.items():
        parts = [(shard.number, path) for shard, path in shards if shard.group == group]
        place_shards(folder / group_name(group), parts, first[group], rows=rows, per_shard=per_shard)
    with atomic_path(folder / "zarr.json") as temporary:
        temporary.write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}), encoding="utf-8")


FORMATS: Mapping[str, ShardWriter] = {
    "webdataset": ShardWriter(
        cut=in_order,
        name=lambda shard: f"shard-{shard.number:06d}.tar",
        write=lambda path, rows, first, shard, count: write_tar(path, rows),
        finish=lambda folder, shards, first, size: None,
    ),
    "mds": ShardWriter(
        cut=in_order,
        name=lambda shard: f"shard.{shard.number:05d}.mds",
        write=lambda path, rows, first, shard, count: write_mds(path, rows, names=array_names(first)),
        finish=_index(lambda files, names, size: mds_index(files, names)),
    ),
    "litdata": ShardWriter(
        cut=in_order,
        name=lambda shard: f"chunk-0-{shard.number}.bin",
        write=lambda path, rows, first, shard, count: write_litdata(path, rows, names=array_names(first)),
        finish=_index(lambda files, names, size: litdata_index(files, names, shard_bytes=size)),
    ),
    "zarr": ShardWriter(
        cut=by_panel,
        name=lambda shard: f".{group_name(shard.group)}.{shard.number:06d}.part",
        write=lambda path, rows, first, shard, count: write_zarr_shard(
            path, rows, per_shard=count, number=shard.number
        ),
        finish=_panels,
    ),
}
"""What writes each format. MDS and LitData are written here by their layouts, as their libraries bring builds of torch
and clients of clouds along that nothing else here needs."""


def cut(plan: Plan, name: ExportFormat, *, shard_bytes: int, itemsize: int) -> list[ExportedShard]:
    """Return the shards of a plan in a format."""
    return FORMATS[name].cut(plan, shard_bytes=shard_bytes, itemsize=itemsize)
