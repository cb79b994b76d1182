"""Freezes a query into a `Plan`: rows, images, channels and statistics, each fetched once, as arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sqlglot import exp, parse_one

from spora_db.catalog import Catalog
from spora_db.errors import TableError
from spora_db.guard.dialect import DIALECT
from spora_db.plan.cell_places import repeated_cell
from spora_db.plan.cells import choose_cells
from spora_db.plan.channels import choose_channels
from spora_db.plan.masks import choose_masks
from spora_db.plan.panels import Int32
from spora_db.plan.plan import ABSENT, Plan
from spora_db.query.binding import Compiled
from spora_db.query.compilation import identity_columns
from spora_db.selection import Selection

IMAGE_ORDER = """
    SELECT row_number() OVER (ORDER BY dataset, modality, mpp, tissue_id) - 1 AS image,
        dataset, modality, mpp, tissue_id
    FROM images
"""
IMAGE_TABLE = """
    SELECT dataset, modality, mpp, tissue_id, path FROM images ORDER BY dataset, modality, mpp, tissue_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    images: pa.Table
    image: Int32
    tile_id: Int32
    row: Int32
    col: Int32
    columns: pa.Table


def freeze(selection: Selection, compiled: Compiled, catalog: Catalog) -> Plan:
    """Run a compiled selection and return its plan.

    Raises
    ------
    TableError
        If a selected tissue has no channels, a row names an image that is not there, or a cell is repeated.
    MaskNotFoundError
        If a selected tissue has no mask of a kind asked for.
    StatisticsNotFoundError
        If the spec's tables are absent or do not know a selected tissue or channel.
    """
    rows = _fetch_rows(selection, compiled, catalog)
    chosen = choose_channels(selection, rows.images, catalog)
    return Plan(
        lake=str(catalog.lake),
        unit=selection.unit,
        modalities=selection.modalities,
        tile_size=selection.tile_size or 0,
        images=rows.images.drop_columns(["image"])
        .append_column("measured_count", pa.array(chosen.counts[:, 0]))
        .append_column("panel_count", pa.array(chosen.counts[:, 1])),
        image=rows.image,
        tile_id=rows.tile_id,
        row=rows.row,
        col=rows.col,
        channels=chosen.channels,
        channel_names=chosen.names,
        uniprot_ids=chosen.accessions,
        standardization=selection.standardization,
        columns=rows.columns,
        masks=choose_masks(selection, rows.images, catalog),
        cells=choose_cells(selection, rows.images, catalog),
    ).hashed()


def _fetch_rows(selection: Selection, compiled: Compiled, catalog: Catalog) -> _Rows:
    """Fetch the rows with images as numbers: only integers cross from DuckDB, whatever the number of rows."""
    query = exp.select().with_("selected", as_=compiled.rows()).with_("numbered", as_=IMAGE_ORDER, dialect=DIALECT)
    query = query.from_("selected AS s")
    parameters = dict(compiled.parameters)
    for i, alternatives in enumerate(selection.modalities):
        alias = f"i{i}"
        parameters[alias] = list(alternatives)
        condition = (
            f"{alias}.dataset = s.dataset AND {alias}.mpp = s.mpp AND {alias}.tissue_id = s.tissue_id "
            f"AND list_contains(${alias}, {alias}.modality)"
        )
        if i == 0:
            condition += f" AND {alias}.modality = s.modality"
        query = query.select(f"CAST(coalesce({alias}.image, {ABSENT}) AS INTEGER) AS image_{i}", dialect=DIALECT)
        query = query.join(f"numbered AS {alias}", on=parse_one(condition, dialect=DIALECT), join_type="left")
    tile = tuple(name for name in identity_columns(selection) if name in ("tile_id", "cell_id", "row", "col"))
    query = query.select(*(f'CAST(s."{name}" AS INTEGER) AS "{name}"' for name in tile), dialect=DIALECT)
    query = query.select(*(exp.column(name, table="s", quoted=True) for name in selection.columns))
    query = query.order_by("image_0", *(exp.column(name, quoted=True) for name in tile), dialect=DIALECT)
    table = catalog.run(query.sql(DIALECT), parameters).to_arrow_table()

    all_images = catalog.run(IMAGE_TABLE).to_arrow_table()
    image = np.column_stack([_int32(table.column(f"image_{i}")) for i in range(len(selection.modalities))])
    if len(image) and (image == ABSENT).all(axis=1).any():
        position = int(np.flatnonzero((image == ABSENT).all(axis=1))[0])
        raise TableError(
            f"Row {position} of the selection names a tissue without a {' or '.join(selection.modality_names)} image "
            f"at {selection.mpp} mpp in {catalog.lake}. See: SELECT * FROM images."
        )
    used = np.zeros(len(all_images) + 1, np.bool_)
    used[image.reshape(-1)] = True  # the spare last entry takes ABSENT (-1)
    used[-1] = False
    renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
    renumbered[-1] = ABSENT
    kept = np.flatnonzero(used[:-1])
    images = all_images.take(pa.array(kept)).append_column("image", pa.array(np.arange(len(kept), dtype=np.int32)))
    if selection.unit == "cell":
        _check_cells(images, renumbered[image], _int32(table.column("cell_id")))
    empty = np.zeros(len(table), np.int32)
    return _Rows(
        images=images,
        image=np.ascontiguousarray(renumbered[image]),
        tile_id=_int32(table.column(tile[0])) if tile else empty - np.int32(1),
        row=_int32(table.column("row")) if tile else empty,
        col=_int32(table.column("col")) if tile else empty,
        columns=table.select(list(selection.columns)).combine_chunks(),
    )


def _check_cells(images: pa.Table, image: Int32, cell_id: Int32) -> None:
    """Refuse a cell that is selected twice: rows come sorted by image and cell."""
    repeated = np.flatnonzero((image[1:] == image[:-1]).all(axis=1) & (cell_id[1:] == cell_id[:-1]))
    if len(repeated):
        record = images.slice(int(image[repeated[0]].max()), 1).to_pylist()[0]
        raise repeated_cell({**record, "cell_id": cell_id[repeated[0]]}, len(repeated))


def _int32(column: pa.ChunkedArray) -> Int32:
    if column.null_count:
        raise TableError(
            f"{column.null_count} rows of the selection have no tile_id (cell_id), row or col. Leave them out in WHERE."
        )
    return np.asarray(column.combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int32)
