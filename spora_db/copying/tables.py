"""Tables of a copy: which of a lake's it takes, and which rows of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray
from spora_db.copying.extent import CopyExtent, tile_keys
from spora_db.errors import reason
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.writing import atomic_path
from spora_db.layout import Lake, TableFile, TableKind
from spora_db.sources.footers import broken_parquet, key_position, layout_positions, read_footer

OF_TISSUES: frozenset[TableKind] = frozenset(
    ("tissues", "cells", "regions", "own", "panels", "tile_coordinates", "tile_stats", "statistics")
)
"""Tables whose rows belong to tissues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableScope:
    """How much of the tables is taken, beyond the rows of the selection.

    Attributes
    ----------
    whole
        Kinds of tables that are taken with all their rows.
    others
        Kinds of tables that are taken of the cohorts too of which nothing is selected.
    """

    whole: frozenset[TableKind] = frozenset()
    others: frozenset[TableKind] = frozenset()


SCOPES = (
    TableScope(),
    TableScope(whole=frozenset(("tissues",)), others=frozenset(("tissues", "channels"))),
    TableScope(whole=OF_TISSUES, others=frozenset(("tissues", "channels"))),
)
"""What is tried in turn until the query has the same answer: classes of labels are those of all tissues, a name of a
marker may stand in another cohort's panel, and a condition may look at other rows than it selects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """A table of the lake, the path that it has in both lakes, and which of its rows are taken."""

    table: TableFile
    name: str
    rows: Literal["all", "tissues", "tiles"] = "all"
    modalities: frozenset[str] = field(default_factory=frozenset)
    """Modalities, in lower case, whose rows are left out."""


def copied_tables(lake: Lake, extent: CopyExtent, *, scope: TableScope, tiles_only: bool) -> Iterator[CopiedTable]:
    """Yield the tables that a copy takes.

    Parameters
    ----------
    lake, extent, scope
        The lake, what of it is selected, and how much more is taken.
    tiles_only
        Whether the pixels of selected tiles only come along: then no other tile is listed, and no report of them.
    """
    chosen = {str(place[1]).lower() for place in extent.places}
    for dataset in lake.datasets:
        others = frozenset(name.lower() for name in dataset.modalities) - chosen
        for table in dataset.tables:
            name = lake.relative(table.path)
            if dataset.name not in extent.tissues:
                if table.kind in scope.others:
                    yield CopiedTable(table=table, name=name)
            elif _is_used(table, extent, tiles_only=tiles_only):
                if table.kind not in OF_TISSUES - scope.whole or table.level == "global":
                    yield CopiedTable(table=table, name=name)
                elif table.kind == "tile_coordinates" and tiles_only:
                    yield CopiedTable(table=table, name=name, rows="tiles")
                else:
                    drop = others if table.kind == "tissues" else frozenset[str]()
                    yield CopiedTable(table=table, name=name, rows="tissues", modalities=drop)


def _is_used(table: TableFile, extent: CopyExtent, *, tiles_only: bool) -> bool:
    """Tell whether a table of a selected cohort has to do with what is selected."""
    places, selection = extent.places, extent.selection
    if table.kind == "features":  # a set is the whole of what one model said; `left_out` names it
        return False
    if table.kind in ("channels", "panels"):
        return any(place[:2] == (table.dataset, table.modality) for place in places)
    if table.kind == "statistics":
        return (table.dataset, table.modality, table.mpp) in places
    if table.kind == "label_encoder":
        return any(place[0] == table.dataset and place[2] == table.mpp for place in places)
    if table.kind not in ("tile_coordinates", "tile_stats"):
        return True
    if not any(place[0] == table.dataset and place[2] == table.mpp for place in places):
        return False
    if tiles_only and (table.kind == "tile_stats" or selection.unit != "tile"):
        return False
    if selection.unit != "tile":
        return True
    return table.tile_size == extent.plan.tile_size and selection.strategy in (None, table.strategy)  # SQL may not say


def write_table(item: CopiedTable, path: Path, extent: CopyExtent) -> None:
    """Write the rows of a table that a copy takes; types, names and notes of the file stay as they are.

    Raises
    ------
    FileFormatError
        If the table cannot be read.
    WriteError
        If it cannot be written.
    """
    source = item.table.path
    footer = read_footer(item.table)
    key = key_position(footer, "tissue_id") if item.rows != "all" else 0
    named = layout_positions(footer, ["modality", "tile_id"]) if item.rows != "all" else {}
    try:
        with pq.ParquetFile(source) as file, atomic_path(path) as temporary:
            schema = file.schema_arrow
            with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
                for batch in file.iter_batches(batch_size=2**16):
                    rows = pa.Table.from_batches([batch], schema)
                    if item.rows != "all":
                        rows = rows.filter(pa.array(_kept(rows, item, extent, key=key, named=named)))
                    if len(rows):
                        writer.write_table(rows)
    except PARQUET_FAILURES as error:
        raise broken_parquet(source, reason(error)) from error


def _kept(rows: pa.Table, item: CopiedTable, extent: CopyExtent, *, key: int, named: dict[str, int]) -> AnyArray:
    """Return which rows are taken; an identifier that is no text and no number keeps its row."""
    ids = _texts(rows.column(key))
    if ids is None:
        return np.ones(len(rows), np.bool_)
    tissues = extent.tissues[item.table.dataset]
    number = pc.index_in(ids, value_set=pa.array(tissues, pa.string())).fill_null(-1)
    tissue = number.to_numpy(zero_copy_only=False).astype(np.int64)
    kept: AnyArray = tissue >= 0
    if item.modalities and "modality" in named:
        modality = _texts(rows.column(named["modality"]))
        if modality is not None:
            other = pc.is_in(pc.utf8_lower(modality), value_set=pa.array(sorted(item.modalities)))
            kept &= ~other.to_numpy(zero_copy_only=False)
    if item.rows == "tiles" and "tile_id" in named:
        tile = rows.column(named["tile_id"]).combine_chunks().cast(pa.int64(), safe=False).fill_null(-1)
        keys = tile_keys(tissue, tile.to_numpy(zero_copy_only=False))
        kept &= np.isin(keys, extent.tiles[item.table.dataset])
    return kept


def _texts(column: pa.ChunkedArray) -> pa.Array | None:
    """Return identifiers as the relations spell them: 170.0 is '170'; None for what is neither text nor number."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_integer(values.type) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).to_pylist()
        return pa.array([_text(number) for number in numbers], pa.string())
    return None


def _text(number: float | None) -> str | None:
    if number is None or number != number:
        return None
    return str(int(number)) if number.is_integer() else repr(number)
