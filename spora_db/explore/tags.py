"""Tags: names that rows of answers are given; they stay while the server runs, and become a table of a layer."""

import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlglot import exp

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.explore.results import KeptAnswer
from spora_db.explore.selections import few
from spora_db.jobs.own_tables import add_table
from spora_db.layout import lake_path, layers
from spora_db.sqltext.dialect import DIALECT

_ROWS: Final = {
    "tile_id": ("dataset", "tissue_id", "mpp", "strategy", "tile_size", "tile_id"),
    "cell_id": ("dataset", "tissue_id", "cell_id"),
    "tissue_id": ("dataset", "tissue_id"),
}
"""What says which row it is, by the column that makes it a tile, a cell or a tissue."""
_KINDS: Final = {"mpp": pa.float64(), "tile_size": pa.int64(), "tile_id": pa.int64(), "cell_id": pa.int64()}
LETTERS: Final = 60
"""Letters of a tag, at most."""


class Tags:
    """Which rows have which tags. A row is a tile, a cell or a tissue, whatever modality shows it; all are of one kind.

    Parameters
    ----------
    lake
        The lake.
    """

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._tagged: dict[str, pa.Table] = {}
        self._saved: tuple[Path, str] | None = None

    def told(self) -> dict[str, Any]:
        """Return what the page is told: the tags with the number of their rows."""
        with self._lock:
            tags = [{"tag": tag, "rows": len(rows)} for tag, rows in self._tagged.items()]
            return {"tags": tags, "saved": None if self._saved is None else self._saved[1]}

    def give(self, answer: KeptAnswer, numbers: Int64 | None, tag: str) -> None:
        """Give a tag to rows of an answer.

        Raises
        ------
        ArgumentError
            The rows are of another kind than those that have tags, or too many were selected one by one, or they do
            not say which they are; or the name cannot be a column.
        """
        rows = _told_apart(answer, None if numbers is None else few(numbers))
        nameless = [name for name in rows.column_names if rows[name].null_count]
        if nameless:
            raise ArgumentError(
                f"{rows[nameless[0]].null_count:,} of the rows have no {nameless[0]}, so they cannot be tagged. "
                f"Leave them out: WHERE {nameless[0]} IS NOT NULL."
            )
        with self._lock:
            _check(tag, list(self._tagged))
            known = self._tagged.get(tag, rows.slice(0, 0))
            if self._tagged and rows.column_names != self._keys:
                raise ArgumentError(
                    f"Tagged rows are told apart by {', '.join(self._keys)}, these by {', '.join(rows.column_names)}. "
                    "Save the tags and forget them, or select the same columns."
                )
            self._keys, self._saved = rows.column_names, None
            self._tagged[tag] = _distinct([known, rows])

    def take(self, answer: KeptAnswer, numbers: Int64 | None, tag: str) -> None:
        """Take a tag from rows of an answer, or from all."""
        rows = _told_apart(answer, numbers)
        with self._lock:
            tagged = self._of(tag)
            if rows.column_names == self._keys:
                self._tagged[tag] = tagged.join(rows, self._keys, join_type="left anti")
                self._saved = None

    def forget(self, tag: str) -> None:
        """Forget a tag; of no row are its rows forgotten that have others."""
        with self._lock:
            self._of(tag)
            del self._tagged[tag]
            self._saved = None

    def among(self, answer: KeptAnswer, tag: str) -> Int64:
        """Return which rows of an answer have a tag.

        Raises
        ------
        UnknownNameError
            There is no such tag.
        """
        rows = _told_apart(answer, None)
        with self._lock:
            tagged = self._of(tag)
            return _held(rows, tagged) if rows.column_names == self._keys else np.empty(0, np.int64)

    def table(self) -> pa.Table:
        """Return a row for every row that has a tag: what it is, and a bool for every tag.

        Raises
        ------
        ArgumentError
            There is none.
        """
        with self._lock:
            if not sum(len(tagged) for tagged in self._tagged.values()):
                raise ArgumentError("No row has a tag. Select some, and give them one.")
            rows = _distinct(list(self._tagged.values())).sort_by([(key, "ascending") for key in self._keys])
            told = rows
            for tag, tagged in self._tagged.items():
                has = np.zeros(len(rows), np.bool_)
                has[_held(rows, tagged)] = True
                told = told.append_column(tag, pa.array(has))
            return told

    def save(self, folder: Path | None, *, name: str) -> Path:
        """Write the table into the folder that may be written to, as a layer over the lake; see `add_table`.

        Raises
        ------
        ArgumentError
            Writing is not allowed, or no table is called like this.
        WriteError
            There is such a table.
        """
        if folder is None:
            raise ArgumentError("This page only reads. Start it with --write DIR to save tags into that folder.")
        roots = [root for root in layers(self._lake) if root != folder]
        path = add_table([*roots, folder], self.table(), name=name)
        with self._lock:
            self._saved = (lake_path([*roots, folder]), name)
        return path

    def verbs(self, tag: str) -> tuple[Path, str] | None:
        """Return the lake and the verbs that ask for the rows with a tag, None where it is not saved as it is."""
        if self._saved is None:
            return None
        lake, name = self._saved
        condition = f"{name}.{exp.to_identifier(tag, quoted=True).sql(DIALECT)}"
        return lake, f".join({name!r}).where({condition!r})"

    def _of(self, tag: str) -> pa.Table:
        if tag not in self._tagged:
            raise unknown("tag", tag, list(self._tagged))
        return self._tagged[tag]


def _told_apart(answer: KeptAnswer, numbers: Int64 | None) -> pa.Table:
    """Return the columns that tell rows apart, of some rows of an answer or of all."""
    names = set(answer.table.column_names)
    kind = next((kind for kind in _ROWS if kind in names), None)
    if kind is None or "dataset" not in names:
        raise ArgumentError("The answer has no columns dataset and tissue_id: its rows cannot be tagged.")
    keys = [name for name in _ROWS[kind] if name in names]
    rows = answer.table.select(keys) if numbers is None else answer.take(numbers, keys)
    return rows.cast(pa.schema([(key, _KINDS.get(key, pa.string())) for key in keys]))


def _distinct(parts: list[pa.Table]) -> pa.Table:
    """Return every row of some tables once."""
    rows = pa.concat_tables(parts)
    return rows.group_by(rows.column_names).aggregate([])


def _held(rows: pa.Table, tagged: pa.Table) -> Int64:
    """Return the numbers of those rows that are tagged."""
    numbered = rows.append_column("number", pa.array(np.arange(len(rows))))
    found: Int64 = numbered.join(tagged, tagged.column_names, join_type="left semi")["number"].to_numpy()
    return np.sort(found)


def _check(tag: str, known: list[str]) -> None:
    """Refuse a name that is no column's, or another's in small and capital letters."""
    taken = [*_ROWS["tile_id"], "cell_id", "modality"]
    alike = [name for name in (*taken, *known) if name != tag or name in taken if name.casefold() == tag.casefold()]
    if not 0 < len(tag) <= LETTERS or tag != tag.strip() or not tag.isprintable() or alike:
        raise ArgumentError(
            f"The tag {tag!r} is refused: expected 1 to {LETTERS} letters, none of them invisible, and no name of a "
            f"column or of a tag in other capitals{f' ({alike[0]})' if alike else ''}."
        )
