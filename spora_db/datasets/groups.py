"""Rows by group, so that every group can be drawn equally often, whatever its size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spora_db.arrays import Int64, Objects
from spora_db.datasets._types import texts
from spora_db.datasets.indexes import Composed
from spora_db.errors import unknown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowGroups:
    """Rows by group.

    Attributes
    ----------
    order
        int64 array of shape (rows,): positions, group after group.
    starts
        int64 array of shape (groups + 1,): group ``g`` owns ``order[starts[g]:starts[g + 1]]``.
    columns
        The columns whose values make the groups.
    sources
        Copies of what these were read from: columns of the rows, and of the metadata of cohorts.
    """

    order: Int64
    starts: Int64
    columns: tuple[str, ...] = ()
    sources: Sequence[Any] = ()

    def draw(self, stream: np.random.Generator, count: int) -> Int64:
        """Return positions of `count` rows, with replacement: a group at random, then a row of it."""
        group = stream.integers(len(self.starts) - 1, size=count)
        sizes = np.diff(self.starts)[group]
        chosen: Int64 = self.order[self.starts[group] + stream.integers(sizes)]
        return chosen

    def hold(self, frame: pd.DataFrame, columns: Sequence[str], datasets: Composed) -> bool:
        """Whether these would be the groups still."""
        if self.columns != tuple(columns) or len(self.order) != len(frame):
            return False
        now = _sources(frame, columns, datasets)
        return len(now) == len(self.sources) and all(a.equals(b) for a, b in zip(now, self.sources, strict=True))


def _sources(frame: pd.DataFrame, columns: Sequence[str], datasets: Composed) -> list[Any]:
    """Return the columns that groups are made of; none without columns to balance by."""
    if not columns:
        return []
    own = [frame[name] for name in ("dataset_name", "tissue_id", *columns) if name in frame.columns]
    tables = [dataset.all_tissue_metadata for dataset in datasets.values()]
    return own + [table[name] for table in tables for name in columns if name in table.columns]


def group_rows(frame: pd.DataFrame, columns: Sequence[str], datasets: Composed) -> RowGroups:
    """Group rows by ``"dataset"``, columns of their own or of the tissue metadata; without columns they are one group.

    Rows without a value are a group of their own.

    Raises
    ------
    UnknownNameError
        If neither the rows nor any cohort has a column.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset_name": ["a", "a", "a", "b"], "tissue_id": ["0", "1", "2", "3"]})
    >>> group_rows(rows, ["dataset"], {}).starts
    array([0, 3, 4])
    """
    if not columns:
        return RowGroups(order=np.arange(len(frame), dtype=np.int64), starts=np.array([0, len(frame)], np.int64))
    values = pd.DataFrame({str(number): _values(frame, name, datasets) for number, name in enumerate(columns)})
    group = values.groupby(list(values.columns), dropna=False, sort=True).ngroup().to_numpy(np.int64)
    counts = np.bincount(group)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    return RowGroups(
        order=np.argsort(group, kind="stable").astype(np.int64),
        starts=starts,
        columns=tuple(columns),
        sources=[part.copy() for part in _sources(frame, columns, datasets)],
    )


def _values(frame: pd.DataFrame, name: str, datasets: Composed) -> Objects:
    """Return a column's value for every row."""
    own = "dataset_name" if name == "dataset" else name
    if own in frame.columns:
        return texts(frame[own].tolist())
    tables = {key: dataset.all_tissue_metadata for key, dataset in datasets.items()}
    known = {column for table in tables.values() for column in table.columns}
    if name not in known:
        raise unknown("column to balance by", name, {"dataset", *frame.columns, *known}, where="the tissue metadata")
    found = {
        (key, tissue): value
        for key, table in tables.items()
        if name in table.columns
        for tissue, value in table[name].dropna().items()
    }
    pairs = zip(frame["dataset_name"].tolist(), frame["tissue_id"].tolist(), strict=True)
    return texts([found.get(pair) for pair in pairs])
