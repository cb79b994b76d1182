"""`nearest`: the rows of a query that are most like a vector, or like a row of the lake, as rows of a query again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.arrays import Bools, Float64, Int64
from spora_db.catalog import Catalog, lent_catalog
from spora_db.errors import ArgumentError, QueryError, unknown
from spora_db.feature_sets import FeatureColumn, FeatureSet, read_feature_set
from spora_db.layout import LakePath
from spora_db.nearest.matrix import FeatureMatrix, feature_matrix
from spora_db.nearest.search import most_like
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows
from spora_db.selection.own_rows import PLACES
from spora_db.sqltext.binding import Compiled

NEAR = "near_rows"
SIMILARITY = "similarity"
EXPECTED = (
    "expected a vector (a tensor or array of shape (D,)), or a row of the lake: a sample, or a dict of dataset, "
    "tissue_id and, of tiles, tile_id, of cells, cell_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSet:
    """A feature set of a dataset, and its matrix."""

    features: FeatureSet
    matrix: FeatureMatrix


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
        own = tuple(place for place in PLACES[selection.unit] if place.endswith("_id"))
        keys = ("dataset", "tissue_id", *own)
        starts = np.cumsum([0, *(len(each.matrix.norms) for each in found)])

        def keyed(rows: Int64) -> pa.Table:
            tables = []
            for start, stop, each in zip(starts, starts[1:], found, strict=False):
                inside = np.flatnonzero((rows >= start) & (rows < stop))
                table = each.matrix.keys.select(["tissue_id", *own]).take(pa.array(rows[inside] - start))
                dataset = pa.array([each.features.dataset] * len(inside), pa.string())
                tables.append(table.append_column("dataset", dataset).append_column("number", pa.array(inside)))
            return pa.concat_tables(tables)

        def among(rows: Int64) -> Bools:
            wanted = np.zeros(len(rows), np.bool_)
            with catalog._registered(NEAR, keyed(rows)):
                query = exp.select("near.number").from_(exp.to_table(NEAR, alias="near"))
                query = query.where(exp.Exists(this=_matching(compiled, keys)))
                wanted[catalog._run(query, compiled.parameters).to_arrow_table().column("number").to_numpy()] = True
            return wanted

        rows, similarity = most_like([each.matrix for each in found], unit, k=k, among=among)
        near = keyed(rows)
        near = near.append_column(SIMILARITY, pa.array(similarity[near.column("number").to_numpy()]))
        with catalog._registered(NEAR, near):
            both = exp.and_(*(exp.column(key, "rows").eq(exp.column(key, "near")) for key in keys))
            answer = compiled.select("rows.*", f"near.{SIMILARITY}").join(exp.to_table(NEAR, alias="near"), on=both)
            answer = answer.order_by(f"near.{SIMILARITY} DESC", *(f"rows.{key}" for key in keys))
            return catalog._run(answer, compiled.parameters).to_arrow_table()


def _matching(compiled: Compiled, keys: Sequence[str]) -> exp.Select:
    return compiled.select("1").where(*(exp.column(key, "rows").eq(exp.column(key, "near")) for key in keys))


def found_sets(name: str, column: str | None, selection: Selection, catalog: Catalog) -> list[FoundSet]:
    """Return the feature sets of a name, of every dataset that has one, checked against the query."""
    folders = [folder for dataset in catalog._folders.datasets for folder in dataset.feature_folders]
    found = []
    for folder in folders:
        if folder.name != name:
            continue
        features = read_feature_set(folder.path, dataset=folder.dataset)
        _check_rows(features, selection)
        chosen = _vector(features, column)
        found.append(FoundSet(features=features, matrix=feature_matrix(folder.path, features, chosen)))
    if not found:
        raise unknown("feature set", name, {folder.name for folder in folders}, remedy="Make one with query.extract().")
    return found


def _check_rows(features: FeatureSet, selection: Selection) -> None:
    """Refuse features of other rows than the query's: of another grain, or tiles of another tiling."""
    asked: dict[str, object] = {"grain": selection.unit}
    if selection.unit == "tile":
        asked |= {"mpp": selection.mpp, "tile_size": selection.tile_size}
        asked |= {} if selection.strategy is None else {"strategy": selection.strategy}
    other = [
        f"{name} is {getattr(features, name)!r} there, {value!r} here"
        for name, value in asked.items()
        if getattr(features, name) != value
    ]
    if other:
        raise QueryError(
            f"The features {features.name!r} of {features.dataset} are of other rows than the query: "
            f"{', '.join(other)}. Ask for those rows, with .tiles(), .cells() or .tissues()."
        )


def _vector(features: FeatureSet, column: str | None) -> FeatureColumn:
    names = [vector.name for vector in features.vectors]
    if column is None and len(names) != 1:
        raise QueryError(
            f"The features {features.name!r} of {features.dataset} have {len(names)} columns of vectors: "
            f"{', '.join(names)}. Choose one: nearest(..., column=...)."
        )
    chosen = names[0] if column is None else column
    if chosen not in names:
        raise unknown("column of vectors", chosen, names, where=f"the features {features.name!r}")
    return features.vectors[names.index(chosen)]


def _unit(to: object, found: Sequence[FoundSet], *, selection: Selection) -> Float64:
    """Return what is looked for as a vector of length 1."""
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
    own = [place for place in PLACES[selection.unit] if place.endswith("_id")]
    if absent := [key for key in ("dataset", "tissue_id", *own) if key not in named]:
        raise ArgumentError(f"nearest(to=): a row without {', '.join(absent)}; {EXPECTED}.")
    sets = {each.features.dataset: each for each in found}
    if named["dataset"] not in sets:
        raise unknown("dataset", named["dataset"], sets, where=f"the features {found[0].features.name!r}")
    matrix = sets[named["dataset"]].matrix
    same = pc.equal(matrix.keys.column("tissue_id"), str(named["tissue_id"]))
    for key in own:
        same = pc.and_(same, pc.equal(matrix.keys.column(key), int(named[key])))
    places = np.flatnonzero(same.to_numpy())
    if not len(places):
        shown = {key: str(named[key]) if key == "tissue_id" else int(named[key]) for key in ("tissue_id", *own)}
        raise QueryError(f"The features {found[0].features.name!r} of {named['dataset']} have no row {shown}.")
    vector: Float64 = matrix.vectors[int(places[0])].astype(np.float64)
    return vector
