"""The answer to a query, in an Arrow file that is mapped: pages in any order, and what its columns hold."""

import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.arrays import Float64, Int64
from spora_db.asking.cells import shown_text
from spora_db.errors import ArgumentError
from spora_db.explore.limits import CELL_LETTERS, PAGE_ROWS
from spora_db.files.arrow_arrays import is_number

BINS = 32
TOP = 12


class KeptAnswer:
    """Rows of a query.

    Parameters
    ----------
    table
        The rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.rows = len(table)
        self.columns = [
            {"name": field.name, "type": str(field.type), "numeric": is_number(field.type), "empty": nulls == self.rows}
            for field, nulls in zip(table.schema, (column.null_count for column in table.columns), strict=True)
        ]
        self._order: tuple[int, bool, Int64] | None = None
        self._lock = threading.Lock()

    @classmethod
    def opened(cls, path: Path) -> Self:
        """Return the rows of an Arrow file, which is mapped."""
        return cls(pa.ipc.open_file(pa.memory_map(str(path))).read_all())

    def page(self, offset: int, *, rows: int, sort: int | None = None, descending: bool = False) -> dict[str, Any]:
        """Return some rows as texts, in the order of a column where one is named.

        Raises
        ------
        ArgumentError
            A place or a column that is not there, or more rows than are given at a time.
        """
        if not 0 <= offset <= self.rows or not 0 < rows <= PAGE_ROWS:
            raise ArgumentError(
                f"Rows {offset} to {offset + rows} of {self.rows}: expected at most {PAGE_ROWS} inside."
            )
        numbers = self.numbers(offset, rows=rows, sort=sort, descending=descending)
        part = self.table.take(numbers) if sort is not None else self.table.slice(offset, rows)
        return {"offset": offset, "numbers": numbers.tolist(), "rows": _cells(part)}

    def chosen(self, numbers: Int64) -> dict[str, Any]:
        """Return rows by their numbers, as `page` does.

        Raises
        ------
        ArgumentError
            A row that is not there, or more than are given at a time.
        """
        if len(numbers) > PAGE_ROWS:
            raise ArgumentError(f"{len(numbers)} rows asked for; expected at most {PAGE_ROWS}.")
        return {"numbers": numbers.tolist(), "rows": _cells(self.take(numbers, self.table.column_names))}

    def numbers(self, offset: int, *, rows: int, sort: int | None, descending: bool) -> Int64:
        """Return which rows of the file stand at some places of an order."""
        if sort is None:
            return np.arange(offset, min(offset + rows, self.rows))
        kind = self.column(sort).type
        if pa.types.is_nested(kind) or pa.types.is_interval(kind):
            raise ArgumentError(f"Rows cannot be sorted by {self.table.column_names[sort]}, of type {kind}.")
        with self._lock:
            if self._order is None or self._order[:2] != (sort, descending):
                order = "descending" if descending else "ascending"
                found = pc.sort_indices(self.column(sort), sort_keys=[("", order)]).to_numpy().astype(np.int64)
                self._order = (sort, descending, found)
            return self._order[2][offset : offset + rows]

    def column(self, number: int) -> pa.ChunkedArray:
        """Return a column by its number.

        Raises
        ------
        ArgumentError
            There is none.
        """
        if not 0 <= number < self.table.num_columns:
            raise ArgumentError(f"Column {number} is not there; the answer has {self.table.num_columns}.")
        return self.table.column(number)

    def summary(self, number: int) -> dict[str, Any]:
        """Return what a column holds: the counts of its commonest values, or a histogram of numbers."""
        column = self.column(number)
        told: dict[str, Any] = {"nulls": column.null_count, "rows": self.rows}
        if is_number(column.type):
            values = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
            values = values[np.isfinite(values)]
            if not values.size:
                return told
            low, high = float(values.min()), float(values.max())
            if np.unique(values[:100_000]).size > TOP:
                counts, edges = np.histogram(values, bins=BINS, range=(low, high))
                return told | {"low": low, "high": high, "counts": counts.tolist(), "edges": edges.tolist()}
        elif pa.types.is_nested(column.type) or pa.types.is_interval(column.type):
            return told
        shown, often, distinct = self.commonest(number, most=TOP)
        top = list(zip(texts(shown), often.tolist(), strict=True))
        return told | {"distinct": distinct, "values": top}

    def commonest(self, number: int, *, most: int) -> tuple[pa.Array, Int64, int]:
        """Return the commonest values of a column, how often each is there, and how many there are, without NULL."""
        counted = pc.value_counts(self.column(number).combine_chunks())
        counted = counted.filter(pc.is_valid(counted.field("values")))
        counts = counted.field("counts").to_numpy()
        first = np.argsort(-counts, kind="stable")[:most]
        return counted.field("values").take(pa.array(first)), counts[first], len(counted)

    def take(self, numbers: Int64, columns: list[str]) -> pa.Table:
        """Return rows by their numbers in the file, of the columns among those named that are there."""
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.rows:
            raise ArgumentError(
                f"Rows from 0 to {self.rows - 1} are there; received {numbers.min()} to {numbers.max()}."
            )
        return self.table.select([name for name in columns if name in self.table.column_names]).take(numbers)

    def values(self, number: int) -> Float64:
        """Return a column of numbers as float64, NaN where it is NULL: array of shape (rows,).

        Raises
        ------
        ArgumentError
            There is no such column, or it has no numbers.
        """
        self.column(number)
        return floats(self.table, self.table.column_names[number])


def floats(rows: pa.Table, name: str) -> Float64:
    """Return a column of numbers as float64, NaN where it is NULL: array of shape (rows,).

    Raises
    ------
    ArgumentError
        It has no numbers.
    """
    column = rows[name]
    if not is_number(column.type):
        raise ArgumentError(f"The column {name!r} is no numbers: {column.type}.")
    found: Float64 = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def texts(column: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return values as texts of bounded length, None for NULL."""
    kind = column.type
    return [None if value is None else shown_text(value, kind)[:CELL_LETTERS] for value in column.to_pylist()]


def _cells(part: pa.Table) -> list[list[str | None]]:
    """Return the cells of rows as texts, row by row."""
    return [list(row) for row in zip(*map(texts, part.columns), strict=True)]
