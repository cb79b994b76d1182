"""The cells of a plan: those of every selected tissue, by the row of their centroid, so that a tile's are a slice."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.arrays import AnyArray
from spora_db.catalog import Catalog
from spora_db.errors import QueryError, TableError
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.files.whole_numbers import exact_floats
from spora_db.plan.cell_centroids import register_centroids, repeated_cell
from spora_db.plan.cell_checks import not_in_mask
from spora_db.plan.cell_parts import PlanCells
from spora_db.selection import Selection
from spora_db.selection.cells import CellTable, cell_id, cell_table, centroid, join_cells
from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT

OWN_TABLE = """
    SELECT DISTINCT p.dataset FROM plan_tissues AS p
    WHERE NOT EXISTS (SELECT 1 FROM cells AS c WHERE c.dataset = p.dataset) ORDER BY 1
"""


def choose_cells(selection: Selection, images: pa.Table, catalog: Catalog) -> PlanCells | None:
    """Return the cells of all tissues of a plan; nothing where none were asked for.

    Raises
    ------
    QueryError
        If a dataset has no cells table.
    MaskNotFoundError, TableError
        As `complete_cells`.
    """
    choice = selection.cells
    if choice is None:
        return None
    table = cell_table(choice.source, catalog)
    keys = list(zip(images.column("dataset").to_pylist(), images.column("tissue_id").to_pylist(), strict=True))
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    tissues = pa.table(
        {
            "tissue": arrow_array(np.arange(len(number), dtype=np.int32)),
            "dataset": arrow_array([key[0] for key in number], pa.string()),
            "tissue_id": arrow_array([key[1] for key in number], pa.string()),
        }
    )
    with catalog._registered("plan_tissues", tissues):
        if table.source == "table" and (without := catalog._run(OWN_TABLE).fetchall()):
            raise QueryError(
                f"with_cells: dataset {without[0][0]!r} has no rows in cells (metadata/cells.parquet). Take the cells "
                "of the instance masks with source='masks', or leave the dataset out with .where(...)."
            )
        if table.source == "masks":
            register_centroids(tissues, selection, table, catalog, need="every")
            table = replace(table, measured=True)
        found = _cells_of_tissues(table, choice.columns, catalog)
        unplaced = pc.invert(pc.is_valid(found.column("row")))
        if pc.any(unplaced).as_py():
            needed = pc.unique(found.column("tissue").filter(unplaced))
            register_centroids(tissues.take(needed), selection, table, catalog, need="every")
            found = _cells_of_tissues(replace(table, measured=True), choice.columns, catalog)
    _check(found, tissues)
    offsets = np.zeros(len(number) + 1, np.int64)
    np.cumsum(np.bincount(_array(found, "tissue"), minlength=len(number)), out=offsets[1:])
    coded = [_coded(found.column(f"column_{i}").combine_chunks(), name) for i, name in enumerate(choice.columns)]
    return PlanCells(
        tissue=np.array([number[key] for key in keys], np.int32),
        offsets=offsets,
        cell_id=_array(found, "cell_id"),
        row=_array(found, "row"),
        col=_array(found, "col"),
        names=choice.columns,
        values=tuple(values for values, _ in coded),
        categories=tuple(texts for _, texts in coded),
    )


def _cells_of_tissues(table: CellTable, columns: tuple[str, ...], catalog: Catalog) -> pa.Table:
    """Fetch the cells of the registered tissues, by tissue and row."""
    binder = Binder()
    query = exp.select("p.tissue", exp.alias_(cell_id(table), "cell_id"))
    query = query.select(exp.alias_(centroid(table, "row", binder), "row", quoted=True))
    query = query.select(exp.alias_(centroid(table, "col", binder), "col", quoted=True))
    for i, name in enumerate(columns):
        query = query.select(exp.alias_(exp.column(name, table="c", quoted=True), f"column_{i}"))
    query = join_cells(query.from_("plan_tissues AS p"), table, place="p")
    query = query.order_by("tissue", '"row"', "col", "cell_id", dialect=DIALECT)
    return catalog._run(query, binder.values or None).to_arrow_table()


def _check(found: pa.Table, tissues: pa.Table) -> None:
    """Refuse cells without a place, and cells that are listed twice."""
    missing = found.filter(pc.or_(pc.is_null(found.column("row")), pc.is_null(found.column("cell_id"))))
    if len(missing):
        cell = missing.slice(0, 1).to_pylist()[0]
        raise not_in_mask({**cell, **tissues.slice(cell["tissue"], 1).to_pylist()[0]}, len(missing))
    key = _array(found, "tissue").astype(np.int64) << 32 | _array(found, "cell_id")
    key.sort()
    repeated = key[1:][key[1:] == key[:-1]]
    if len(repeated):
        tissue, cell_id = divmod(int(repeated[0]), 2**32)
        raise repeated_cell({**tissues.slice(tissue, 1).to_pylist()[0], "cell_id": cell_id}, len(repeated))


def _coded(column: pa.Array, name: str) -> tuple[AnyArray, tuple[str, ...] | None]:
    """Return numbers as they are (NaN for null), and anything else as int32 codes of its sorted texts (-1 for null).

    Raises
    ------
    TableError
        If a value would not arrive whole.
    """
    kind = column.type
    if pa.types.is_decimal(kind):
        column = _as_floats(column, name)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column = _as_floats(column, name) if column.null_count else column
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        return numpy_array(column).copy(), None
    try:
        encoded = column.cast(pa.string()).dictionary_encode()
    except pa.ArrowException as error:  # lists, structs, intervals, bytes that are no text
        raise not_whole(name, f"holds {kind}, which is neither a number nor a text") from error
    texts = encoded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    places = np.full(len(texts) + 1, -1, np.int32)  # the spare last entry takes null (-1)
    places[order] = np.arange(len(texts), dtype=np.int32)
    codes = numpy_array(encoded.indices, absent=-1)
    return places[codes], tuple(texts[i] for i in order)


def _as_floats(column: pa.Array, name: str) -> pa.Array:
    """Return numbers or truth values as float64, which has NaN for null, if float64 holds each of them."""
    floats = exact_floats(column)
    if floats is None:
        kind = column.type
        reason = "has nulls beside whole numbers beyond 2**53" if pa.types.is_integer(kind) else f"holds {kind}"
        raise not_whole(name, f"{reason}, which float64 rounds")
    return floats


def not_whole(name: str, reason: str) -> TableError:
    """Build the error for a column of cells that no array holds as it is."""
    return TableError(
        f"with_cells(): the column {name!r} of metadata/cells.parquet {reason}. Take it as it stands with "
        f".cells(size=...).select({name!r}), or write the part that you need as a number or a text."
    )


def _array(table: pa.Table, name: str) -> AnyArray:
    return numpy_array(table.column(name)).copy()
