"""Feature sets as relations: one of their descriptions, and one of every set, its vectors as arrays of their length."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlglot import exp

from spora_db.errors import FileFormatError, TableError
from spora_db.feature_sets import FeatureColumn, FeatureSet, part_rows, part_schema, read_feature_set
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.layout import Lake, TableFile, layer_name
from spora_db.sources.casts import cast
from spora_db.sources.duckdb_types import duckdb_type
from spora_db.sources.footers import read_footer
from spora_db.sources.source_query import Branch, SourceQuery, WithoutOwnColumns
from spora_db.sqltext.expressions import cast_to, constant, empty, named, position, read_parquet

PREFIX = "feature_"
"""How the relation of a set begins; the set's name follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureParts:
    """The features of one dataset: what they are, their folder, and the files in it that hold them."""

    features: FeatureSet
    folder: Path
    parts: tuple[TableFile, ...]

    @property
    def rows(self) -> int:
        """How many rows the parts have, as their names say."""
        return sum(last - first + 1 for first, last in (part_rows(part.path.name) for part in self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSource(WithoutOwnColumns):
    """The features of a name in all datasets that have them.

    Attributes
    ----------
    name
        The name of the set.
    sets
        By dataset, at least one.
    """

    name: str
    sets: tuple[FeatureParts, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every part."""
        return tuple(part.path for item in self.sets for part in item.parts)

    def query(self, own: Collection[str] | None = None) -> SourceQuery:
        """Return the SELECT: the dataset, the key of the rows, the features."""
        features = self.sets[0].features
        schema = part_schema(features)
        keys = {name: duckdb_type(schema.field(name).type) for name in schema.names[: -len(features.columns)]}
        columns = {"dataset": "VARCHAR", **keys, **{column.name: sql_type(column) for column in features.columns}}
        branches = []
        for item in self.sets:
            if not item.parts:
                continue
            paths = tuple(part.path for part in item.parts)
            values = [named(constant(item.features.dataset), "dataset")]
            values += [named(cast_to(position(at), kind), name) for at, (name, kind) in enumerate(keys.items())]
            values += [
                named(_feature(position(len(keys) + at), column), column.name)
                for at, column in enumerate(features.columns)
            ]
            select = exp.Select().select(*values, copy=False)
            branches.append(
                Branch(files=paths, select=select.from_(read_parquet(paths, width=len(schema)), copy=False))
            )
        return SourceQuery(empty=empty(columns), branches=tuple(branches))


def sql_type(column: FeatureColumn) -> str:
    """Return the DuckDB type of a feature column.

    Examples
    --------
    >>> sql_type(FeatureColumn(name="embedding", dimension=384, dtype="float16"))
    'FLOAT[384]'
    """
    return "FLOAT" if column.dimension is None else f"FLOAT[{column.dimension}]"


def _feature(value: exp.Expression, column: FeatureColumn) -> exp.Expression:
    if column.dimension is None:
        return cast(value, found="FLOAT", wanted="FLOAT")
    # Of the array DuckDB (2.0) knows no least and greatest value, so NaN in it is seen, as it is not in lists that are
    # not cast; TRY, which `cast` has for these, took 0.45 of 1.8 s of CPU for 500,000 of 384 numbers.
    return cast_to(value, sql_type(column))


def relation_of(name: str) -> str:
    """Return what SQL calls the features of a set; ``feature('<name>')`` is the same.

    Examples
    --------
    >>> relation_of("virtues-tile")
    'feature_virtues-tile'
    """
    return PREFIX + name.lower()


def feature_sets(lake: Lake) -> Iterator[FeatureParts]:
    """Yield every feature set of a lake, dataset by dataset.

    Raises
    ------
    FileFormatError
        If a description is broken.
    """
    for dataset in lake.datasets:
        for folder in dataset.feature_folders:
            parts = tuple(table for table in dataset.tables if table.kind == "features" and table.name == folder.name)
            told = read_feature_set(folder.path, dataset=dataset.name)
            yield FeatureParts(features=told, folder=folder.path, parts=parts)


def feature_source(name: str, lake: Lake) -> FeatureSource:
    """Return the features of a name.

    Raises
    ------
    FileFormatError
        If a description is broken, or the first part is not as it says.
    TableError
        If datasets have features of this name that are not alike.
    """
    sets = tuple(item for item in feature_sets(lake) if relation_of(item.features.name) == relation_of(name))
    first = sets[0].features
    for item in sets:
        told = item.features
        if (told.grain, told.columns) != (first.grain, first.columns):
            raise TableError(
                f"The features {name!r} of {first.dataset!r} are {shown(first)}, those of {told.dataset!r} "
                f"{shown(told)}. Extract one of them under another name."
            )
        if item.parts:
            fetch_whole(part.path for part in item.parts)
            footer, expected = read_footer(item.parts[0]), part_schema(told).names
            if list(footer.names) != expected:
                raise FileFormatError(
                    f"{footer.table.path} has the columns {', '.join(footer.names[:20])}; by features.json expected "
                    f"{', '.join(expected)}. Extract the features again."
                )
    return FeatureSource(name=name, sets=sets)


def shown(features: FeatureSet) -> str:
    """Return in words what features are.

    Examples
    --------
    >>> column = FeatureColumn(name="embedding", dimension=8, dtype="float32")
    >>> shown(FeatureSet(name="a", dataset="b", grain="cell", columns=(column,), expected=0))
    'embedding[8] of cells'
    """
    return f"{', '.join(map(_shown, features.columns))} of {features.grain}s"


def _shown(column: FeatureColumn) -> str:
    return column.name if column.dimension is None else f"{column.name}[{column.dimension}]"


def listed_features(lake: Lake) -> list[dict[str, Any]]:
    """Return a record per feature set, with the columns of ``source_features``."""
    records = []
    for item in feature_sets(lake):
        told = item.features
        records.append(
            {
                "dataset": told.dataset,
                "name": told.name,
                "grain": told.grain,
                "dimension": next((column.dimension for column in told.vectors), None),
                "columns": [_shown(column) for column in told.columns],
                "n_rows": item.rows,
                "n_expected": told.expected,
                "n_failed": told.failed,
                "state": told.state,
                "model": told.model,
                "weights": told.weights,
                "modalities": list(told.modalities),
                "spec": told.spec,
                "mpp": told.mpp,
                "strategy": told.strategy,
                "tile_size": told.tile_size,
                "rows_hash": told.rows,
                "path": lake.relative(item.folder),
                "root": layer_name(lake.root_of(item.folder)),
            }
        )
    return records
