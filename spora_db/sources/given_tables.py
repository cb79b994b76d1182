"""Tables that users hand over: of any library, or as parquet or CSV files."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from spora_db.errors import ArgumentError, FileFormatError, reason
from spora_db.sources.duckdb_types import WIDEST_DECIMAL

if TYPE_CHECKING:
    import pandas as pd

GivenTable: TypeAlias = "str | Path | pa.Table | pd.DataFrame"
"""How users give a table, see `read_given`."""
SEPARATED = (".csv", ".tsv")
"""Files of text, with commas, tabs or semicolons between: then numbers may have decimal commas."""
_QUOTED = re.compile('"[^"]*"')
TEXTS = ("dataset", "tissue_id", "patient_id", "specimen_id", "modality", "strategy")
"""Columns of CSV files that are text, whatever they look like: ``007`` is not 7."""


def read_given(table: Any, *, at: str, texts: Collection[str] = TEXTS) -> pa.Table:  # noqa: ANN401 - of any library
    """Return a table as Arrow, in types that DuckDB reads.

    Parameters
    ----------
    table
        A pyarrow Table, a DataFrame of pandas or polars, a catalog's result, or the path of a parquet or CSV file (with
        commas, semicolons or tabs).
    at
        The call up to the table, for errors.
    texts
        Columns that are text in a CSV file.

    Raises
    ------
    ArgumentError
        If it is none of these.
    FileFormatError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> read_given(pa.table({"tissue_id": ["a"]}), at="register(name, ").num_rows
    1
    >>> read_given("no/such.csv", at="register(name, ")
    Traceback (most recent call last):
    spora_db.errors.FileFormatError: register(name, 'no/such.csv'): there is no such file. Expected parquet or .csv.
    """
    if isinstance(table, str | os.PathLike):
        return _of_file(Path(table), at=at, texts=texts)
    return as_arrow(
        table, at=at, expected="a pyarrow Table, a DataFrame, or the path of a parquet or .csv file"
    )  # fmt: skip


def as_arrow(table: Any, *, at: str, expected: str) -> pa.Table:  # noqa: ANN401 - of any library
    """Return a table of pyarrow, pandas or polars, or a catalog's result, in types that DuckDB reads.

    Raises
    ------
    ArgumentError
        If it is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> as_arrow({"score": np.ones(1, np.float16)}, at="exclude(", expected="a table").schema.types
    [DataType(float)]
    """
    try:
        for method in ("to_arrow_table", "to_arrow"):
            if hasattr(table, method):
                table = getattr(table, method)()
        return _readable(table if isinstance(table, pa.Table) else pa.table(table))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ArgumentError(
            f"{at}{type(table).__name__}): expected {expected}. As a table it cannot be read: {reason(error)}."
        ) from error


def _of_file(path: Path, *, at: str, texts: Collection[str]) -> pa.Table:
    import pyarrow.parquet as pq
    from pyarrow import csv

    if not path.is_file():
        raise FileFormatError(f"{at}{str(path)!r}): there is no such file. Expected parquet or .csv.")
    try:
        if path.suffix.lower() in SEPARATED:
            with path.open(encoding="utf-8", errors="replace") as file:
                header = _QUOTED.sub("", file.readline())
            between = max(",;\t", key=header.count)
            kinds, parse = dict.fromkeys(texts, pa.string()), csv.ParseOptions(delimiter=between)
            marks = ".," if between == ";" else "."
            ways = [csv.ConvertOptions(column_types=kinds, decimal_point=mark) for mark in marks]
            tables = [csv.read_csv(path, parse_options=parse, convert_options=way) for way in ways]
            return min(tables, key=lambda table: table.schema.types.count(pa.string()))  # the mark that makes numbers
        return _readable(pq.ParquetFile(path).read())
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{at}{str(path)!r}) cannot be read as parquet or .csv: {reason(error)}.") from error


def _readable(table: pa.Table) -> pa.Table:
    """Return a table in types that DuckDB takes from Arrow, and without pandas' index."""
    kept = [name for name in table.column_names if not (name.startswith("__index_level_") and name.endswith("__"))]
    for at, field in enumerate(table.schema):
        if (taken := _taken(field.type)) != field.type:
            try:
                table = table.set_column(at, field.name, table.column(at).cast(taken))
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(
                    f"column {field.name!r} of {field.type}, which DuckDB takes as {taken}: {reason(error)}. "
                    "Write it as whole numbers or text"
                ) from error
    return table.select(kept) if len(kept) < table.num_columns else table


def _taken(kind: pa.DataType) -> pa.DataType:
    """Return the type that DuckDB takes for one that it does not, or of which it drops nanoseconds; else itself.

    Decimals of more than 38 digits become what DuckDB reads in parquet files.
    """
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= WIDEST_DECIMAL else pa.float64()
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_dictionary(kind):
        return kind if (inner := _taken(kind.value_type)) == kind.value_type else inner
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_taken(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_taken(kind.key_type), _taken(kind.item_type), keys_sorted=kind.keys_sorted)
    lists = pa.types.is_list(kind), pa.types.is_large_list(kind), pa.types.is_fixed_size_list(kind)  # no views: pyarrow
    if not any(lists) or (inner := _taken(kind.value_type)) == kind.value_type:  # 26 casts them to a broken array
        return kind
    if lists[1]:
        return pa.large_list(inner)
    return pa.list_(inner, kind.list_size) if lists[2] else pa.list_(inner)
