"""Fetches the rows of a plan, with images as numbers: only integers cross from DuckDB, whatever the number of rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp, parse_one

from spora_db.arrays import AnyArray, Int32, Int64
from spora_db.catalog import Catalog
from spora_db.catalog.names_in import listed
from spora_db.catalog.sql_files import statement
from spora_db.errors import TableError
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.plan.cell_centroids import repeated_cell
from spora_db.plan.plan import ABSENT
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows, reads_tiles
from spora_db.selection.resolved import Resolved, identity_columns
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold, own_names

IMAGES = "SELECT dataset, modality, mpp, tissue_id, path, format FROM images ORDER BY dataset, modality, mpp, tissue_id"
NUMBERED = "numbered_images"
FIRST = """
    SELECT dataset, mpp, tissue_id, arg_min({value}, list_position(${place}, modality)) AS {value}
    FROM {images}
    WHERE list_contains(${place}, modality)
    GROUP BY dataset, mpp, tissue_id
"""
"""Of the alternatives that a tissue has for a place (a parameter, the list of their names), the one named first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedRows:
    """The rows of a plan and the images that they name.

    Attributes
    ----------
    images
        ``dataset, modality, mpp, tissue_id, path`` of every image in use, in this order, and its number, ``image``.
    image
        int32 array of shape (rows, modalities): positions in `images`, -1 where the modality is absent.
    tile_id, row, col
        int32 arrays of shape (rows,): -1, 0, 0 for whole tissues.
    columns
        Further columns of the query, and those that its labels are made of.
    """

    images: pa.Table
    image: Int32
    tile_id: Int32
    row: Int32
    col: Int32
    columns: pa.Table


def fetch_rows(resolved: Resolved, catalog: Catalog) -> FetchedRows:
    """Run a query and return its rows, ordered by image, tile (or cell) and corner.

    Raises
    ------
    TableError
        If a row names an image that is not there, lacks its tile or corner, or repeats a cell.
    """
    selection = resolved.selection
    images = catalog._run(IMAGES).to_arrow_table()
    numbered = images.append_column("number", arrow_array(np.arange(len(images), dtype=np.int32)))
    tile = tuple(name for name in identity_columns(selection) if name in ("tile_id", "cell_id", "row", "col"))
    query, parameters = _numbered_rows(resolved, tile, catalog)
    with catalog._registered(NUMBERED, numbered):
        table = catalog._run(query, parameters).to_arrow_table()
    image = np.column_stack([_int32(table.column(f"image_{i}"), "image") for i in range(len(selection.modalities))])
    _check_images(image, selection, catalog)
    images, image = _in_use(images, image)
    columns = table.select(_aliases(selection)).rename_columns(list(selection.carried)).combine_chunks()
    if not tile:
        zeros = np.zeros(len(table), np.int32)
        return FetchedRows(
            images=images, image=image, tile_id=zeros - np.int32(1), row=zeros, col=zeros, columns=columns
        )
    tile_id, row, col = (_int32(table.column(name), name) for name in tile)
    tied = (image[1:] == image[:-1]).all(axis=1) & (tile_id[1:] == tile_id[:-1])
    if tied.any():
        if selection.unit == "cell":
            raise _repeated(images, image, tile_id, np.flatnonzero(tied))
        order = _order((*image.T, tile_id, row, col), columns)
        image, tile_id, row, col = image[order], tile_id[order], row[order], col[order]
        columns = columns.take(arrow_array(order))
    return FetchedRows(images=images, image=image, tile_id=tile_id, row=row, col=col, columns=columns)


def _check_images(image: Int32, selection: Selection, catalog: Catalog) -> None:
    """Refuse rows that no modality has an image for."""
    absent = np.flatnonzero((image == ABSENT).all(axis=1))
    if len(absent):
        raise TableError(
            f"Row {absent[0]} of the selection names a tissue without a {' or '.join(selection.modality_names)} image "
            f"at {selection.mpp} mpp in {catalog.lake}. See: SELECT * FROM images."
        )


def _in_use(images: pa.Table, image: Int32) -> tuple[pa.Table, Int32]:
    """Leave out images that no row names, and number the others anew."""
    used = np.zeros(len(images) + 1, np.bool_)
    used[image.reshape(-1)] = True  # the spare last entry takes ABSENT (-1)
    used[-1] = False
    renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
    renumbered[-1] = ABSENT
    kept = images.filter(arrow_array(used[:-1])).drop_columns(["format"])
    return kept.append_column("image", arrow_array(np.arange(len(kept), dtype=np.int32))), renumbered[image]


def _numbered_rows(resolved: Resolved, tile: tuple[str, ...], catalog: Catalog) -> tuple[exp.Select, dict[str, object]]:
    """Return the SELECT of ``image_0, image_1, ...``, tile and columns, ordered by images and tile, and its values."""
    selection, own = resolved.selection, ""
    if reads_tiles(resolved):  # they bring the number of their image along, which spares a join of texts
        own = own_names(resolved.columns)("spora-db: number of the image")  # which no sub-select finds by accident
        compiled = compile_rows(resolved, tiles=partial(_numbered_tiles, number=own), also=[own])
    else:
        compiled = compile_rows(resolved)
    query = exp.select().with_("selected", as_=compiled.rows()).from_("selected AS s")
    parameters: dict[str, object] = dict(compiled.parameters)
    for i, alternatives in enumerate(selection.modalities):
        alias = f"i{i}"
        parameters[alias] = list(alternatives)
        if i == 0 and own:
            number = f'CASE WHEN list_contains($i0, s.modality) THEN s."{own}" END'
        else:
            number = f"{alias}.number"
            same = f"{alias}.dataset = s.dataset AND {alias}.mpp = s.mpp AND {alias}.tissue_id = s.tissue_id"
            if i == 0:
                same += f" AND {alias}.modality = s.modality AND list_contains(${alias}, {alias}.modality)"
            beside = NUMBERED if i == 0 else f"({FIRST.format(value='number', images=NUMBERED, place=alias)})"
            joined = f"SELECT 1 FROM s LEFT JOIN {beside} AS {alias} ON {same}"
            query.append("joins", parse_one(joined, dialect=DIALECT).args["joins"][0])
        query = query.select(f"coalesce({number}, {ABSENT}) AS image_{i}", dialect=DIALECT)
    query = query.select(*(f'TRY_CAST(s."{name}" AS INTEGER) AS "{name}"' for name in tile), dialect=DIALECT)
    named = zip(selection.carried, _aliases(selection), strict=True)
    query = query.select(*(exp.alias_(exp.column(name, table="s", quoted=True), alias) for name, alias in named))
    # by the corner too it would take three times as long, and tiles that share their number are rare
    order = [f"image_{i}" for i in range(len(selection.modalities))] + [f'"{name}"' for name in tile[:1]]
    return query.order_by(*order, dialect=DIALECT), parameters


def _aliases(selection: Selection) -> list[str]:
    """Return what columns are called on their way: a user's may have the name of any other."""
    return [f"column_{place}" for place in range(len(selection.carried))]


def _order(keys: Sequence[AnyArray], columns: pa.Table) -> Int64:
    """Return the order of rows by keys, and by the columns that can be compared: rows may be there several times."""
    refused = (pa.types.is_nested, pa.types.is_dictionary, pa.types.is_interval)
    comparable = [column for column in columns.columns if not any(is_one(column.type) for is_one in refused)]
    ordered = [*map(arrow_array, keys), *comparable]
    table = pa.table(ordered, names=[str(place) for place in range(len(ordered))])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names])
    found: Int64 = numpy_array(order).astype(np.int64)
    return found


def _numbered_tiles(names: Collection[str], *, number: str) -> exp.Expr:
    """Return the rows of the view `tiles` with these of its columns, and the number of their image."""
    view = statement("views", "tiles").expression.copy()
    for table in view.find_all(exp.Table):
        if table.name == "images":
            table.replace(exp.to_table(NUMBERED, alias="images"))
    of_tissues = [name for name in names if fold(name) not in listed("tiles")]
    keyed = ("dataset", "tissue_id", "modality", *of_tissues)
    tissues = next(cte.this for cte in view.find_all(exp.CTE) if cte.alias == "tissue_columns")
    tissues.set("expressions", [exp.column(name, quoted=True) for name in keyed])
    own = [column for column in view.selects if not column.is_star]
    beside = [exp.column(name, table="tissue_columns", quoted=True) for name in of_tissues]
    numbered = exp.alias_(exp.column("number", table="images"), number, quoted=True)
    view.set("expressions", [*own, *beside, numbered])
    numbered_tiles: exp.Subquery = view.subquery()
    return numbered_tiles


def _repeated(images: pa.Table, image: Int32, cell_id: Int32, places: Int64) -> TableError:
    """Return the error for cells that are selected twice, the first of them named."""
    record = images.slice(int(image[places[0]].max()), 1).to_pylist()[0]
    return repeated_cell({**record, "cell_id": cell_id[places[0]]}, len(places))


def _int32(column: pa.ChunkedArray, name: str) -> Int32:
    if column.null_count:
        raise TableError(
            f"{column.null_count} rows of the selection have no {name}, or one beyond 32 bits. "
            "Correct the table, or leave them out in WHERE."
        )
    return np.asarray(numpy_array(column), dtype=np.int32)
