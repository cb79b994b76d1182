"""A part of a feature set as it is read: what its rows are of, in the types that are compared, and features.

Any program may have written it, so texts may be large or categories, and numbers of another size.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError, counted, reason
from spora_db.feature_sets.description import FeatureColumn, Grain
from spora_db.feature_sets.parts import PLACES, key_columns, vector_type
from spora_db.files.arrow_arrays import numpy_array
from spora_db.files.failures import PARQUET_FAILURES


def read_part(path: Path, columns: Sequence[FeatureColumn], *, grain: Grain) -> tuple[pa.Table, list[AnyArray]]:
    """Return what identifies the rows of a part, and their features: arrays of shape (N, D) or (N,).

    Raises
    ------
    FileFormatError
        If it cannot be read, a key of it says nothing or is of another kind, or a feature is not as it is described.
    """
    kinds = {name: kind for name, kind in key_columns(grain).items() if name not in PLACES}
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[*kinds, *(column.name for column in columns)])
    except PARQUET_FAILURES as error:
        raise FileFormatError(f"{path} cannot be read: {reason(error)}. Extract the features again.") from error
    keys = {name: _key(table.column(name), name, kind, path) for name, kind in kinds.items()}
    return pa.table(keys), [_array(table.column(column.name), column, path) for column in columns]


def _key(column: pa.ChunkedArray, name: str, kind: pa.DataType, path: Path) -> pa.ChunkedArray:
    """Return a key as texts, whole numbers, or floating-point numbers of whichever size; others are refused."""
    try:
        own = column if pa.types.is_floating(kind) and pa.types.is_floating(column.type) else column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FileFormatError(
            f"{path}: {name!r} is {column.type}; expected {kind} ({reason(error)}). Extract the features again."
        ) from error
    if own.null_count:
        raise FileFormatError(
            f"{path}: {name!r} says nothing in {counted(own.null_count, 'row')}. Extract the features again."
        )
    return own


def _array(column: pa.ChunkedArray, told: FeatureColumn, path: Path) -> AnyArray:
    """Return a column as an array; what is not as the description says is refused."""
    values = column.combine_chunks()
    expected = vector_type(told)
    same = values.type == expected or (  # whatever the field within is called
        pa.types.is_fixed_size_list(values.type)
        and told.dimension == values.type.list_size
        and values.type.value_type == expected.value_type
    )
    if not same or values.null_count:
        raise FileFormatError(
            f"{path}: {told.name!r} is {values.type} with {values.null_count} nulls; expected {expected}. "
            "Extract the features again."
        )
    flat = numpy_array(values if told.dimension is None else values.flatten())
    return flat if told.dimension is None else flat.reshape(-1, told.dimension)
