"""`nearest`: the rows of a query that are most like a vector, or like a row of the lake, as rows of a query again."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.arrays import Bools, Float64, Int64
from spora_db.catalog import lent_catalog
from spora_db.errors import ArgumentError, QueryError, unknown
from spora_db.layout import LakePath
from spora_db.nearest.search import most_like
from spora_db.nearest.sets import FoundSet, apart, found_sets, keyed, keys_of, with_new
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows
from spora_db.sqltext.binding import Compiled

logger = logging.getLogger(__name__)

NEAR = "near_rows"
SIMILARITY = "similarity"
EXPECTED = (
    "expected a vector (a tensor or array of shape (D,)), or a row of the lake: a sample, a row of df(), or a dict of "
    "dataset, tissue_id and, of tiles, tile_id, of cells, cell_id"
)


def nearest_rows(
    lake: LakePath, selection: Selection, to: object, *, name: str, column: str | None, k: int
) -> pa.Table:
    """Return the rows of a query that are most like something, with their similarity; see `SporaQuery.nearest`.

    Parameters
    ----------
    lake, selection
        The query.
    to
        A vector or a row.
    name, column
        The feature set, and which of its vectors.
    k
        How many rows.
    """
    with lent_catalog(lake) as catalog:
        resolved = complete_cells(resolve(selection, catalog), catalog)
        compiled = compile_rows(resolved)
        found = found_sets(name, column, resolved.selection, catalog)
        unit = _unit(to, found, selection=resolved.selection)
        keys = keys_of(selection.unit)

        def among(rows: Int64) -> Bools:
            wanted = np.zeros(len(rows), np.bool_)
            with catalog._registered(NEAR, keyed(found, rows, keys)):
                query = exp.select("near.number").from_(exp.to_table(NEAR, alias="near"))
                query = query.where(exp.Exists(this=_matching(compiled, keys)))
                wanted[catalog._run(query, compiled.parameters).to_arrow_table().column("number").to_numpy()] = True
            return wanted

        logger.info("Comparing %d vectors of %s.", sum(len(each.matrix.norms) for each in found), name)
        rows, similarity = most_like([each.matrix for each in found], unit, k=k, among=among)
        near = keyed(found, rows, keys)
        near = near.append_column(SIMILARITY, pa.array(similarity[near.column("number").to_numpy()]))
        with catalog._registered(NEAR, near):
            both = exp.and_(*(exp.column(key, "rows").eq(exp.column(key, "near")) for key in keys))
            answer = compiled.select("rows.*", f"near.{SIMILARITY}")
            answer = answer.join(exp.to_table(NEAR, alias="near"), on=both)
            answer = answer.order_by(f"near.{SIMILARITY} DESC", *(f"rows.{key}" for key in keys))
            table, similarities = apart(catalog._run(answer, compiled.parameters).to_arrow_table())
        return with_new(table, **{SIMILARITY: similarities})


def _matching(compiled: Compiled, keys: Sequence[str]) -> exp.Select:
    return compiled.select("1").where(*(exp.column(key, "rows").eq(exp.column(key, "near")) for key in keys))


def _unit(to: object, found: Sequence[FoundSet], *, selection: Selection) -> Float64:
    """Return what is looked for as a vector of length 1."""
    if type(to).__name__ == "Series" and hasattr(to, "to_dict"):  # a row of a DataFrame
        to = to.to_dict()
    if isinstance(to, Mapping):
        vector = _vector_of_row(to, found, selection=selection)
    else:
        try:
            vector = np.asarray(to, np.float64)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"nearest({type(to).__name__}): {EXPECTED}.") from error
    if vector.ndim != 1:
        raise ArgumentError(f"nearest(to=array of shape {vector.shape}): {EXPECTED}.")
    for each in found:
        if (dimension := each.matrix.vectors.shape[1]) != len(vector):
            raise ArgumentError(
                f"nearest(to=): the vector has {len(vector)} numbers, those of {each.features.name!r} of "
                f"{each.features.dataset} have {dimension}."
            )
    length = np.sqrt(vector @ vector)
    if not np.isfinite(length) or not length:
        raise ArgumentError("nearest(to=): the vector is zero, or has NaN or infinite numbers; nothing is like it.")
    unit: Float64 = vector / length
    return unit


def _vector_of_row(to: Mapping[str, Any], found: Sequence[FoundSet], *, selection: Selection) -> Float64:
    """Return the vector of a row of the lake."""
    named = to if "tissue_id" in to else next((part for part in to.values() if isinstance(part, Mapping)), to)
    keys = keys_of(selection.unit)
    if absent := [key for key in keys if key not in named]:
        raise ArgumentError(f"nearest(to=): a row without {', '.join(absent)}; {EXPECTED}.")
    sets = {each.features.dataset: each for each in found}
    if named["dataset"] not in sets:
        raise unknown("dataset", named["dataset"], sets, where=f"the features {found[0].features.name!r}")
    matrix = sets[named["dataset"]].matrix
    same = pc.equal(matrix.keys.column("tissue_id"), str(named["tissue_id"]))
    for key in keys[2:]:
        same = pc.and_(same, pc.equal(matrix.keys.column(key), int(named[key])))
    places = np.flatnonzero(same.to_numpy())
    if not len(places):
        shown = {key: str(named[key]) if key == "tissue_id" else int(named[key]) for key in keys[1:]}
        raise QueryError(f"The features {found[0].features.name!r} of {named['dataset']} have no row {shown}.")
    vector: Float64 = matrix.vectors[int(places[0])].astype(np.float64)
    return vector
