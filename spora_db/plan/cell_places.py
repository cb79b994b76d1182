"""Where cells lie that no table places: their centroids, measured in the instance masks of the selected tissues."""

import warnings
from dataclasses import replace

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import OrphanRowsWarning, counted, level_of_the_user
from spora_db.plan.cell_centroids import register_centroids
from spora_db.plan.cell_checks import not_in_mask
from spora_db.selection.awaited_places import looks_at_places, without_places
from spora_db.selection.cells import CENTROIDS
from spora_db.selection.compilation import compile_rows
from spora_db.selection.exclusion_conditions import whole_tissues
from spora_db.selection.group_checks import tissues_behind
from spora_db.selection.resolved import Resolved
from spora_db.sqltext.dialect import DIALECT

UNMASKED = f"""
    SELECT dataset, tissue_id, cell_id, count(*) OVER () FROM {{table}} AS t
    WHERE (dataset, tissue_id) IN (SELECT (dataset, tissue_id) FROM {CENTROIDS})
        AND NOT EXISTS (
            SELECT 1 FROM {CENTROIDS} AS m
            WHERE m.dataset = t.dataset AND m.tissue_id = t.tissue_id AND m.cell_id = t.cell_id
        )
    ORDER BY ALL LIMIT 1
"""


def complete_cells(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Measure, in instance masks, the centroids that a query of cells needs and no table has.

    Where the cells table places every selected cell, no mask is read. Otherwise the masks of the selected tissues are
    read once (about 20 ms per million pixels; progress is logged), and their centroids registered for the query.

    Returns
    -------
    Resolved
        With ``cells.measured`` set where centroids were measured.

    Raises
    ------
    MaskNotFoundError
        If a cell has no place in the table and its tissue no instance mask.
    TableError
        If a cell of the table is not in its mask, or elsewhere.
    """
    cells = resolved.cells
    if cells is None:
        return resolved
    if cells.source == "masks":
        tissues = _tissues_of_interest(resolved, catalog)
        register_centroids(tissues, resolved.selection, cells, catalog, need="any")
        for join in resolved.joins:
            if join.only:
                _tell_unmasked(join.name, catalog)
    else:
        unplaced = _unplaced(resolved, catalog)
        if len(unplaced) == 0:
            return resolved
        register_centroids(unplaced, resolved.selection, cells, catalog, need="every")
    completed = replace(resolved, cells=replace(cells, measured=True))
    unplaced = _unplaced(completed, catalog)
    if len(unplaced):
        raise not_in_mask(unplaced.slice(0, 1).to_pylist()[0], len(unplaced))
    return completed


def _tell_unmasked(name: str, catalog: Catalog) -> None:
    """Warn of cells that a table names and the masks of their tissues, which were read, do not have."""
    found = catalog._run(UNMASKED.format(table=name)).fetchall()
    if found:
        dataset, tissue, cell, number = found[0]
        warnings.warn(
            f"{counted(number, 'row')} of the table {name!r} {'is' if number == 1 else 'are'} about a cell that no "
            f"instance mask has, and left out, such as dataset {dataset!r}, tissue_id {tissue!r}, cell_id {cell}.",
            OrphanRowsWarning,
            stacklevel=level_of_the_user(),
        )


def with_awaited_places(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Note in a query of cells whether its conditions look at places that are not known before masks are read."""
    cells = resolved.cells
    if (
        cells is None
        or cells.source == "masks"
        or not looks_at_places(resolved)
        or not len(_unplaced(resolved, catalog))
    ):
        return resolved
    return replace(resolved, cells=replace(cells, awaited=True))


def _unplaced(resolved: Resolved, catalog: Catalog) -> pa.Table:
    """Return the cells that no table places, of those that conditions on other things leave: a row per cell."""
    known = without_places(resolved)
    compiled = compile_rows(replace(known, cells=known.cells and replace(known.cells, awaited=False)))
    query = compiled.select("dataset", "tissue_id", "cell_id").order_by("1", "2", "3")
    query = query.where('"row" IS NULL OR col IS NULL OR cell_id IS NULL', dialect=DIALECT)
    return catalog._run(query, compiled.parameters).to_arrow_table()


def _tissues_of_interest(resolved: Resolved, catalog: Catalog) -> pa.Table:
    """Return the tissues that conditions on tissues alone leave; conditions on cells wait until those are known."""
    excluded = whole_tissues(resolved.selection.excluded)
    asked = resolved.asking(
        unit="tissue", tile_size=None, sampling=None, limit=None, columns=(), labels=(), excluded=excluded
    )
    behind = tissues_behind(resolved, catalog)
    compiled = compile_rows(
        replace(asked, predicates=behind.predicates, columns=behind.columns, weight=None, cells=None, joins=())
    )
    query = compiled.select("dataset", "tissue_id").distinct()
    for join in resolved.joins:
        if join.only:
            named = f"{join.name}.dataset = rows.dataset AND {join.name}.tissue_id = rows.tissue_id"
            query = query.where(exp.Exists(this=exp.select("1").from_(join.name).where(named, dialect=DIALECT)))
    return catalog._run(query, compiled.parameters).to_arrow_table()
