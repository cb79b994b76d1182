"""Wide parquet tables, a column per channel: read once per process and version of the file, by exact column name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.arrays import Float64
from spora_db.errors import FileFormatError, StatisticsNotFoundError, TableError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.recent import Recent
from spora_db.files.stamps import Stamp, stamp
from spora_db.files.stores.remote_files import fetch_whole

MOST_CELLS: Final = 500_000_000  # a table that claims more is refused before it is decoded
MOST_TABLES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WideTable:
    """One published table: a column per channel and, at image level, a row per tissue.

    Parameters
    ----------
    path
        The parquet file.
    columns
        Names of the numeric columns mapped to their position; case matters (``SMA`` and ``sma`` are two channels).
    rows
        Tissue id to row; None for a table without ids.
    values
        float64 array of shape (rows, columns), NaN where the file has nulls.
    """

    path: Path
    columns: dict[str, int]
    rows: dict[str, int] | None
    values: Float64


_TABLES = Recent[Path, tuple[Stamp, WideTable]](MOST_TABLES)


def wide_table(path: str | Path) -> WideTable:
    """Read a table of statistics, or return it from memory if the file has not changed since.

    Raises
    ------
    StatisticsNotFoundError
        If there is no such file.
    TableError, FileFormatError
        If it repeats a column or a tissue, or cannot be read.
    """
    path = Path(path)
    fetch_whole([path])
    try:
        current = stamp(path)
    except OSError as error:
        raise StatisticsNotFoundError(
            f"No statistics table {path}: {error.strerror}. Compute it with `spora-db standardize`."
        ) from error
    known = _TABLES.get(path)
    if known is None or known[0] != current:
        known = (current, _read(path))
        _TABLES.put(path, known)
    return known[1]


def _read(path: Path) -> WideTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows * max(file.metadata.num_columns, 1) > MOST_CELLS:
                raise FileFormatError(
                    f"{path} claims {file.metadata.num_rows} x {file.metadata.num_columns} cells; refused."
                )
            table = file.read()
    except PARQUET_FAILURES as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"Cannot read statistics table {path}: {error}.") from error
    if len(set(table.column_names)) != len(table.column_names):
        raise TableError(f"Statistics table {path} has two columns of one name: {', '.join(table.column_names)}.")
    index = _id_column(table, path)
    columns: dict[str, int] = {}
    values: list[Float64] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if name != index and (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            columns[name] = len(values)
            values.append(column.cast(pa.float64()).to_numpy().astype(np.float64))
    matrix = np.stack(values, axis=1) if values else np.empty((table.num_rows, 0))
    matrix.flags.writeable = False
    return WideTable(path=path, columns=columns, rows=_rows(table, index, path), values=matrix)


def _id_column(table: Any, path: Path) -> str | None:  # noqa: ANN401
    """Find the column of tissue ids: named so, or pandas' index, unnamed or not."""
    names = table.column_names
    if "tissue_id" in names:
        return "tissue_id"
    if "__index_level_0__" in names:
        return "__index_level_0__"
    try:
        pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"The pandas metadata of {path} is broken: {error}.") from error
    stored = pandas.get("index_columns", []) if isinstance(pandas, dict) else None
    if not isinstance(stored, list):
        raise FileFormatError(f"The pandas metadata of {path} is broken: it has no list 'index_columns'.")
    named = [name for name in stored if isinstance(name, str) and name in names]
    return named[0] if len(named) == 1 else None


def _rows(table: Any, index: str | None, path: Path) -> dict[str, int] | None:  # noqa: ANN401
    if index is None:
        return None
    ids = [str(value) for value in table.column(index).to_pylist()]
    rows = {tissue_id: row for row, tissue_id in enumerate(ids)}
    if len(rows) != len(ids):
        twice = sorted({tissue_id for tissue_id in ids if ids.count(tissue_id) > 1})[:5] if len(ids) < 10_000 else []
        raise TableError(
            f"Statistics table {path} repeats tissues: {len(ids)} rows, {len(rows)} ids {', '.join(twice)}."
        )
    return rows
