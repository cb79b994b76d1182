"""Cells as rows, in SQL: the cells table (or the labels of instance masks) joined to images and tissues.

A cell's place is its centroid, in pixels: from the columns of the cells table that `centroid_columns` finds, else from
the instance mask (``plan_cells`` measures those and registers them as `CENTROIDS`). Until then, such a place is NULL.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from spora_db.errors import QueryError, unknown
from spora_db.selection import CellSource
from spora_db.selection.centroid_columns import AXES, CentroidColumns, centroid_columns
from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    from spora_db.catalog import Catalog

CENTROIDS = "measured_cells"
"""The name under which centroids measured in masks are registered while a query runs."""

IDENTITY = ("dataset", "modality", "mpp", "tissue_id", "cell_id", "row", "col")
KEYS = ("dataset", "tissue_id", "cell_id")
"""What a row says as the table of cells does."""
OF_REGIONS = ("region_class", "region_classes")
"""The classes of the regions that hold a cell's centroid: that of the smallest, and all of them, the smallest first."""
OF_THE_TISSUE = ("patient_id", "specimen_id", "split")
SEVERAL = "SELECT dataset FROM images GROUP BY dataset HAVING count(DISTINCT mpp) > 1 ORDER BY dataset"
NO_TABLE = (
    "No dataset of {lake} has a cells table (metadata/cells.parquet), so cells are the labels of the instance masks, "
    "and they are only known once those are read: .plan() and .to_torch() do that; .sql(), .count() and .df() cannot."
)
NOT_PLACED = (
    "Conditions or samples of this query look at row or col, but metadata/cells.parquet does not place all of its "
    "cells: their places are known once the instance masks are read. .plan() and .to_torch() do that; .sql(), .count() "
    "and .df() cannot."
)
NAMES = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTable:
    """What is known about the cells of a lake before any mask is read.

    Attributes
    ----------
    lake
        The lake's folder, for errors.
    filled
        Whether any dataset has a cells table.
    source
        Whether the cells table says which cells there are, or the instance masks do.
    centroids
        The pairs of columns that hold centroids.
    several
        Datasets with images at several resolutions.
    own, tissue
        Columns of cells and of tissues, each with its name among the rows.
    measured
        Whether centroids measured in masks are registered as `CENTROIDS`.
    awaited
        Whether conditions look at places that are not known before they are measured.
    """

    lake: str
    filled: bool
    source: CellSource
    centroids: tuple[CentroidColumns, ...]
    several: tuple[str, ...]
    own: tuple[tuple[str, str], ...]
    tissue: tuple[tuple[str, str], ...]
    measured: bool = False
    awaited: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the rows."""
        return (*IDENTITY, *OF_REGIONS, *(name for _, name in (*self.own, *self.tissue)))

    def known(self, relation: Literal["cells", "tissues"]) -> tuple[str, ...]:
        """Return the columns that a condition may name as ``cells.x`` or ``tissues.x``: the relation's, and of rows."""
        return (*self.columns, *(old for old, _ in (self.own if relation == "cells" else self.tissue)))

    def named(self, relation: str, column: str) -> str:
        """Return the name among the rows of a column that a condition names as ``cells.x`` or ``tissues.x``."""
        pairs = {"cells": self.own, "tissues": self.tissue}.get(relation, ())
        return {old.lower(): new for old, new in pairs}.get(column.lower(), column)


def cell_table(source: CellSource | None, catalog: "Catalog") -> CellTable:
    """Look up what the lake knows about cells.

    Parameters
    ----------
    source
        What says which cells there are; None takes the cells table where any dataset has one.

    Raises
    ------
    QueryError
        If the table is asked for and there is none.
    TableError
        If it lists a cell twice or one that no mask can have, or places cells twice and differently.
    """
    filled = bool(catalog._ask("SELECT 1 FROM cells LIMIT 1"))
    if source == "table" and not filled:
        raise QueryError(NO_TABLE.format(lake=catalog.lake) + " Leave source= out, or say source='masks'.")
    if filled:
        catalog.check_cells()
    own, tissue = _names(catalog.columns("cells"), catalog.columns("tissues"))
    chosen: CellSource = source or ("table" if filled else "masks")
    several = tuple(row[0] for row in catalog._ask(SEVERAL))
    return CellTable(
        lake=str(catalog.lake),
        filled=filled,
        source=chosen,
        centroids=centroid_columns(catalog, besides=several) if chosen == "table" else (),
        several=several,
        own=own,
        tissue=tissue,
    )


@lru_cache(maxsize=8)  # of 800 columns each, a tenth of the time of counting a query of cells again
def _names(cells: tuple[str, ...], tissues: tuple[str, ...]) -> tuple[NAMES, NAMES]:
    """Name every column: one that both have is the cell's, and the tissue's gets a prefix; but ids and split.

    What a row says itself is the row's, and the cell's gets one; the tissue's has a second name (``names_of_rows``).
    """
    taken = {*IDENTITY, *OF_REGIONS}
    own = [name for name in cells if name.lower() not in KEYS]
    tissue = [name for name in tissues if name.lower() not in taken]
    shared = {name.lower() for name in own} & {name.lower() for name in tissue}
    of_tissue = shared & set(OF_THE_TISSUE) | taken
    taken |= {name.lower() for name in own if name.lower() not in of_tissue}
    taken |= {name.lower() for name in tissue if name.lower() not in shared - of_tissue}

    def named(name: str, prefix: str, *, renamed: bool) -> str:
        new = name
        while renamed and new.lower() in taken:
            new = prefix + new
        taken.add(new.lower())
        return new

    return (
        tuple([(name, named(name, "cell_", renamed=name.lower() in of_tissue)) for name in own]),
        tuple([(name, named(name, "tissue_", renamed=name.lower() in shared - of_tissue)) for name in tissue]),
    )


def cell_rows(table: CellTable, *, size: int, binder: Binder, names: Collection[str]) -> exp.Subquery:
    """Return the relation of all cells of all images: `IDENTITY`, then those columns of cells and tissues in `names`.

    ``row`` and ``col`` are the top-left corner of the tile of `size` pixels around the cell: the centroid rounded
    (halves up) minus ``size // 2``. They may be negative.

    Raises
    ------
    QueryError
        If only masks know the cells, and they were not measured.
    """
    if table.source == "masks" and not table.measured:
        raise QueryError(NOT_READ if table.filled else NO_TABLE.format(lake=table.lake))
    if table.awaited and not table.measured:
        raise QueryError(NOT_PLACED)
    rows = exp.select("i.dataset", "i.modality", "i.mpp", "i.tissue_id")
    rows = rows.select(exp.alias_(cell_id(table), "cell_id"))
    for axis in AXES:
        rounded = exp.func("floor", exp.Add(this=centroid(table, axis, binder), expression=exp.Literal.number("0.5")))
        pixel = exp.TryCast(this=rounded, to=exp.DataType.build("int"))
        corner = exp.Sub(this=pixel, expression=binder.parameter(size // 2))
        rows = rows.select(exp.alias_(corner, axis, quoted=True))
    if not set(OF_REGIONS).isdisjoint(names):
        places = (centroid(table, axis, binder) for axis in AXES)
        found = exp.func(
            "regions_at", *(exp.column(name, table="i") for name in ("dataset", "tissue_id", "mpp")), *places
        )
        for name, value in zip(
            OF_REGIONS, (exp.func("list_extract", found, exp.Literal.number(1)), found), strict=True
        ):
            rows = rows.select(exp.alias_(value, name, quoted=True))
    for alias, columns in (("c", table.own), ("t", table.tissue)):
        named = (
            exp.alias_(exp.column(old, table=alias, quoted=True), new, quoted=True)
            for old, new in columns
            if new in names
        )
        rows = rows.select(*named)
    rows = join_cells(rows.from_("images AS i"), table, place="i")
    known = "t.dataset = i.dataset AND t.tissue_id = i.tissue_id AND t.modality = i.modality"
    return rows.join("tissues AS t", on=known, join_type="left").subquery()


NOT_READ = (
    "With source='masks' the cells are known once the instance masks are read: .plan() and .to_torch() do that; "
    ".sql(), .count() and .df() cannot."
)


def join_cells(query: exp.Select, table: CellTable, *, place: str) -> exp.Select:
    """Join the cells (alias ``c``) and their measured centroids (``m``) to a relation with dataset and tissue_id."""
    measured = f"m.dataset = {place}.dataset AND m.tissue_id = {place}.tissue_id"
    listed = f"c.dataset = {place}.dataset AND c.tissue_id = {place}.tissue_id"
    same = " AND c.cell_id = m.cell_id"
    cells, centroids = (
        exp.alias_(exp.to_table(name), alias, table=True) for name, alias in (("cells", "c"), (CENTROIDS, "m"))
    )
    if table.source == "masks":
        query = query.join(centroids, on=measured, dialect=DIALECT)
        return query.join(cells, on=listed + same, join_type="left", dialect=DIALECT)
    query = query.join(cells, on=listed, dialect=DIALECT)
    if table.measured:
        query = query.join(centroids, on=measured + same, join_type="left", dialect=DIALECT)
    return query


def cell_id(table: CellTable) -> exp.Expr:
    """Return the SQL of a cell's label, INTEGER."""
    text = "m.cell_id" if table.source == "masks" else "CAST(c.cell_id AS INTEGER)"
    return exp.maybe_parse(text, dialect=DIALECT)


def centroid(table: CellTable, axis: Literal["row", "col"], binder: Binder) -> exp.Expr:
    """Return the SQL of a cell's centroid, DOUBLE: of the table where it has one, else the measured one, else NULL."""
    measured: exp.Expr = exp.column(f"centroid_{axis}", table="m") if table.measured else exp.null()
    if table.source == "masks" or not table.centroids:
        return exp.cast(measured, "double")
    case = exp.Case()
    if table.several:
        case = case.when(_among(table.several, binder), measured)
    for pair in table.centroids:
        known = exp.and_(pair.known(table="c"), *([_among(pair.datasets, binder)] if pair.datasets else []))
        case = case.when(known, pair.place(axis, table="c"))
    return case.else_(measured.copy())


def _among(datasets: tuple[str, ...], binder: Binder) -> exp.Expr:
    return binder.member("dataset", datasets, table="c")


def checked_source(source: CellSource | None) -> CellSource | None:
    """Return a choice of cells that exists."""
    if source not in (None, "table", "masks"):
        raise unknown("choice of source=", source, ("table", "masks"))
    return source
