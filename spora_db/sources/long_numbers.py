"""Numbers that floating-point ones do not hold: whether a column of a file has any, as its footer or its rows tell."""

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spora_db.errors import reason
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stamps import Stamp, stamp
from spora_db.layout import TableFile
from spora_db.sources.footers import broken_parquet

_WHOLE = 2**53
"""Whole numbers up to here are numbers of DOUBLE."""
_DIGITS = 15
"""Decimals of so many digits come back from DOUBLE as they were."""


def has_long_numbers(table: TableFile, position: int) -> bool:
    """Tell whether a column has whole numbers beyond 2^53, or decimals of more than 15 digits, nested ones included.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    try:
        told = _told(table.path, stamp(table.path))[position]
        return _read(table.path, position) if told is None else told
    except PARQUET_FAILURES as error:
        raise broken_parquet(table.path, reason(error)) from error


@lru_cache(maxsize=1024)
def _told(path: Path, _stamp: Stamp) -> tuple[bool | None, ...]:
    """Return what the footer tells of each column, None where nothing: all at once, as they are asked in turn."""
    with pq.ParquetFile(path) as file:
        numbers = itertools.count()
        columns = [[(next(numbers), leaf) for leaf in _leaves(kind)] for kind in file.schema_arrow.types]
        groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
        return tuple(_told_of(groups, [leaf for leaf in leaves if _is_long(leaf[1])]) for leaves in columns)


def _told_of(groups: Sequence[pq.RowGroupMetaData], leaves: Sequence[tuple[int, pa.DataType]]) -> bool | None:
    for group in groups:
        for at, kind in leaves:
            column = group.column(at)
            told = column.statistics
            if told is not None and told.has_min_max:
                if _exceeds(told.min, kind) or _exceeds(told.max, kind):
                    return True
            elif column.num_values and not (told is not None and told.has_null_count and told.num_values == 0):
                return None
    return False


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(kind.storage_type)
    elif pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type)
    elif pa.types.is_nested(kind):
        for at in range(kind.num_fields):
            yield from _leaves(kind.field(at).type)
    else:
        yield kind


def _is_long(kind: pa.DataType) -> bool:
    return kind in (pa.int64(), pa.uint64()) or pa.types.is_decimal(kind)


def _exceeds(value: int | Decimal, kind: pa.DataType) -> bool:
    if isinstance(value, Decimal):
        return bool(abs(value).scaleb(kind.scale) >= 10**_DIGITS)
    return abs(value) > _WHOLE


def _read(path: Path, position: int) -> bool:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[file.schema_arrow.names[position]]):
            for values in (part for column in batch.columns for part in _flat(column)):
                if _is_long(values.type) and values.null_count < len(values):
                    found = pc.min_max(values)
                    if any(_exceeds(found[key].as_py(), values.type) for key in ("min", "max")):
                        return True
    return False


def _flat(array: pa.Array) -> Iterator[pa.Array]:
    if isinstance(array, pa.ExtensionArray):
        yield from _flat(array.storage)
    elif isinstance(array, pa.DictionaryArray):
        yield from _flat(array.dictionary)
    elif isinstance(array, pa.StructArray):
        for part in array.flatten():
            yield from _flat(part)
    elif isinstance(array, pa.MapArray):
        yield from (*_flat(array.keys), *_flat(array.items))
    elif pa.types.is_nested(array.type):
        yield from _flat(array.flatten())
    else:
        yield array
