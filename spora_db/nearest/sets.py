"""The feature sets of a name that fit a query, dataset by dataset, with their matrices and the keys of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int64
from spora_db.catalog import Catalog
from spora_db.errors import QueryError, unknown
from spora_db.feature_sets import FeatureColumn, FeatureSet
from spora_db.nearest.matrix import FeatureMatrix, feature_matrix
from spora_db.selection import Selection, Unit
from spora_db.selection.features import sets_of, tell_other_pixels
from spora_db.selection.own_rows import PLACES
from spora_db.sources.features import FeatureParts
from spora_db.sqltext.names import fold

MissingFeatures: TypeAlias = Literal["error", "drop"]
"""What becomes of rows that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSet:
    """A feature set of a dataset, and its matrix."""

    features: FeatureSet
    matrix: FeatureMatrix


def keys_of(unit: Unit) -> tuple[str, ...]:
    """Return what a row of a query shares with the same row of a feature set that fits it.

    Examples
    --------
    >>> keys_of("cell")
    ('dataset', 'tissue_id', 'cell_id')
    """
    return ("dataset", "tissue_id", *(place for place in PLACES[unit] if place.endswith("_id")))


def found_sets(name: str, column: str | None, selection: Selection, catalog: Catalog) -> list[FoundSet]:
    """Return the feature sets of a name, of every dataset that has one, checked against the query.

    Raises
    ------
    UnknownNameError
        If there is none, or no such column of vectors.
    QueryError
        If one is of other rows, or not complete.
    """
    sets = fitting_sets(name, selection, catalog)
    chosen = [vector_of(item.features, column) for item in sets]
    return [
        FoundSet(features=item.features, matrix=feature_matrix(item.folder, item.features, own))
        for item, own in zip(sets, chosen, strict=True)
    ]


def fitting_sets(name: str, selection: Selection, catalog: Catalog) -> list[FeatureParts]:
    """Return the feature sets of a name, each checked against the query."""
    found = sets_of(name, catalog)
    for item in found:
        _check_rows(item.features, selection)
    tell_other_pixels([item.features for item in found], selection)
    return found


def keyed(found: Sequence[FoundSet], rows: Int64, keys: Sequence[str]) -> pa.Table:
    """Return the keys of some rows of the matrices, counted through all of them, with their place in `rows`.

    Returns
    -------
    pa.Table
        With the columns `keys` and ``number``; in the order of the matrices.
    """
    starts, tables = np.cumsum([0, *(len(each.matrix.norms) for each in found)]), []
    for start, stop, each in zip(starts, starts[1:], found, strict=False):
        inside = np.flatnonzero((rows >= start) & (rows < stop))
        table = each.matrix.keys.select(list(keys[1:])).take(pa.array(rows[inside] - start))
        dataset = pa.array([each.features.dataset] * len(inside), pa.string())
        tables.append(table.append_column(keys[0], dataset).append_column("number", pa.array(inside)))
    return pa.concat_tables(tables)


def apart(table: pa.Table) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows of a query, and what was selected behind their columns, whose names may be any."""
    last = table.num_columns - 1
    return table.remove_column(last), table.column(last)


def with_new(table: pa.Table, **columns: object) -> pa.Table:
    """Return rows with what was found of them, in place of what was found of them before."""
    table = table.drop_columns([name for name in table.column_names if fold(name) in columns])
    for name, values in columns.items():
        table = table.append_column(name, values if isinstance(values, pa.ChunkedArray) else pa.array(values))
    return table


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


def vector_of(features: FeatureSet, column: str | None) -> FeatureColumn:
    """Return a column of vectors of a feature set, the only one where none is named.

    Raises
    ------
    QueryError
        If none is named, and there are several or none.
    UnknownNameError
        If there is no such column.
    """
    names = [vector.name for vector in features.vectors]
    if column is None and len(names) != 1:
        raise QueryError(
            f"The features {features.name!r} of {features.dataset} have {len(names)} columns of vectors: "
            f"{', '.join(names)}. Choose one with column=."
        )
    chosen = names[0] if column is None else column
    if chosen not in names:
        raise unknown("column of vectors", chosen, names, where=f"the features {features.name!r}")
    return features.vectors[names.index(chosen)]
