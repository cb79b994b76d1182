"""The parts of a feature set: which columns they have, and which rows, as their names say.

A part has the key of its rows, then the features in the order of the description, nothing else. Vectors are fixed-size
lists, of numbers as the description says, without nulls; pages of them are best left uncompressed (zstd takes a tenth
off float16 embeddings, and reading takes half as long again).
"""

import pyarrow as pa

from spora_db.errors import FileFormatError
from spora_db.feature_sets.description import FeatureColumn, FeatureSet, Grain
from spora_db.layout import FEATURE_PART

_NUMBERS: dict[str, pa.DataType] = {"float16": pa.float16(), "float32": pa.float32()}
_TILE = {
    "mpp": pa.float64(),
    "strategy": pa.string(),
    "tile_size": pa.int64(),
    "tile_id": pa.int64(),
    "row": pa.int64(),
    "col": pa.int64(),
}
_KEYS: dict[Grain, dict[str, pa.DataType]] = {
    "tile": {"tissue_id": pa.string(), **_TILE},
    "cell": {"tissue_id": pa.string(), "cell_id": pa.int64()},
    "tissue": {"tissue_id": pa.string()},
}
PLACES = frozenset({"row", "col"})
"""Columns of a key that say where a tile is; they follow from the others, which identify it."""


def key_columns(grain: Grain) -> dict[str, pa.DataType]:
    """Return the columns that say what a row is of, with their types; the dataset is said by the place of the file.

    Examples
    --------
    >>> list(key_columns("tile"))
    ['tissue_id', 'mpp', 'strategy', 'tile_size', 'tile_id', 'row', 'col']
    """
    return dict(_KEYS[grain])


def vector_type(column: FeatureColumn) -> pa.DataType:
    """Return the Arrow type of a column.

    Examples
    --------
    >>> vector_type(FeatureColumn(name="embedding", dimension=384, dtype="float16"))
    FixedSizeListType(fixed_size_list<item: halffloat>[384])
    """
    number = _NUMBERS[column.dtype]
    return number if column.dimension is None else pa.list_(number, column.dimension)


def part_schema(features: FeatureSet) -> pa.Schema:
    """Return the columns of every part of a feature set."""
    own = {column.name: vector_type(column) for column in features.columns}
    return pa.schema({**key_columns(features.grain), **own})


def part_rows(name: str) -> tuple[int, int]:
    """Return the first and the last row of a part, counted within its dataset.

    Raises
    ------
    FileFormatError
        If no part has such a name.

    Examples
    --------
    >>> part_rows("part-000004096-000005000.parquet")
    (4096, 5000)
    """
    match = FEATURE_PART.fullmatch(name)
    if match is None or int(match[2]) < int(match[1]):
        raise FileFormatError(f"{name!r} is no part of a feature set; expected part-<first>-<last>.parquet.")
    return int(match[1]), int(match[2])
