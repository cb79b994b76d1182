"""The answer of a catalog: a DuckDB relation whose every failure is a SporaError."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from spora_db.errors import need

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

T = TypeVar("T")
_DIGITS = 15
"""Of a decimal, that float64 gives back as they were."""


_LONG = re.compile(r"U?HUGEINT|DECIMAL\((\d+),\s*(\d+)\)")


def _rounded(kind: str, column: "pd.Series[Any]") -> bool:
    """Tell whether DuckDB's own frame, which has numbers of 128 bits as float64, may have lost digits of a column."""
    match = _LONG.fullmatch(kind)
    if match is None or (match[1] and int(match[1]) <= _DIGITS):
        return False
    return bool((column.abs() >= (10.0 ** (_DIGITS - int(match[2])) if match[1] else 2.0**53)).any())


def _exact(table: "pa.Table", kinds: list[str]) -> "pd.DataFrame":
    frame: pd.DataFrame = table.to_pandas()
    for at, kind in enumerate(kinds):
        if kind in ("HUGEINT", "UHUGEINT"):
            numbers = [None if value is None else int(value) for value in frame.iloc[:, at]]
            frame.isetitem(at, np.array(numbers, dtype=object))
    return frame


class Result:
    """Rows of a query, fetched when asked for: ``.df()``, ``.arrow()``, ``.fetchall()``.

    Parameters
    ----------
    relation
        The DuckDB relation.
    guarded
        Makes the context in which the relation runs: it serializes access to the connection and translates errors.
    """

    __slots__ = ("_guarded", "_relation")

    def __init__(self, relation: "DuckDBPyRelation", *, guarded: Callable[[], AbstractContextManager[object]]) -> None:
        self._relation = relation
        self._guarded = guarded

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._fetch(lambda: list(self._relation.columns))

    @property
    def types(self) -> list[str]:
        """DuckDB types of the columns."""
        return self._fetch(lambda: [str(kind) for kind in self._relation.types])

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows as tuples."""
        return self._fetch(lambda: self._relation.fetchall())

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the first row, or None where there is none."""
        rows: list[tuple[Any, ...]] = self._fetch(lambda: self._relation.limit(1).fetchall())
        return rows[0] if rows else None

    def head(self, rows: int) -> "pa.Table":
        """Return the first rows as a pyarrow Table; the others are not fetched."""
        return self._fetch(lambda: self._relation.limit(rows).to_arrow_table())

    def fetchnumpy(self) -> dict[str, Any]:
        """Return a numpy array per column; masked where there are nulls."""
        return self._fetch(lambda: self._relation.fetchnumpy())

    def df(self) -> "pd.DataFrame":
        """Return a pandas DataFrame; numbers of 128 bits that are no float64 are Python's int or Decimal."""
        frame: pd.DataFrame = self._fetch(lambda: self._relation.df())
        if any(_rounded(kind, frame.iloc[:, at]) for at, kind in enumerate(self.types)):
            return _exact(self.to_arrow_table(), self.types)
        return frame

    def to_arrow_table(self) -> "pa.Table":
        """Return a pyarrow Table."""
        return self._fetch(lambda: self._relation.to_arrow_table())

    def arrow(self) -> "pa.Table":
        """Return a pyarrow Table."""
        return self.to_arrow_table()

    def pl(self) -> object:
        """Return a polars DataFrame.

        Raises
        ------
        MissingExtraError
            If polars is not installed.
        """
        need("polars", extra=None, what="Result.pl()", instead="Without it, use .arrow() or .df().")
        return self._fetch(lambda: self._relation.pl())

    def show(self) -> None:
        """Print the first rows as a box."""
        self._fetch(lambda: self._relation.show())

    def explain(self) -> str:
        """Return DuckDB's plan of the query."""
        return self._fetch(lambda: str(self._relation.explain()))

    def __repr__(self) -> str:
        """Return the first rows as a box."""
        return self._fetch(lambda: repr(self._relation))

    def __len__(self) -> int:
        """Return the number of rows (runs the query)."""
        return int(self._fetch(lambda: self._relation.shape[0]))

    def _fetch(self, fetch: Callable[[], T]) -> T:
        with self._guarded():
            return fetch()
