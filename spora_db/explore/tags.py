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
        self._keys: tuple[str, ...] = ()
        self._tagged: dict[str, set[tuple[Any, ...]]] = {}
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
            The rows are of another kind than those that have tags, or too many; or the name cannot be a column.
        """
        _check(tag, list(self._tagged))
        keys, rows = self._rows(answer, np.arange(answer.rows) if numbers is None else few(numbers))
        with self._lock:
            if self._tagged and keys != self._keys:
                raise ArgumentError(
                    f"Tagged rows are told apart by {', '.join(self._keys)}, these by {', '.join(keys)}. Save the tags "
                    "and forget them, or select the same columns."
                )
            self._keys, self._saved = keys, None
            self._tagged.setdefault(tag, set()).update(rows)

    def take(self, answer: KeptAnswer, numbers: Int64, tag: str) -> None:
        """Take a tag from rows of an answer."""
        _, rows = self._rows(answer, numbers)
        with self._lock:
            self._of(tag).difference_update(rows)
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
        keys, rows = self._rows(answer, np.arange(answer.rows))
        with self._lock:
            tagged = self._of(tag)
            found = [number for number, row in enumerate(rows) if row in tagged] if keys == self._keys else []
        return np.array(found, np.int64)

    def table(self) -> pa.Table:
        """Return a row for every row that has a tag: what it is, and a bool for every tag.

        Raises
        ------
        ArgumentError
            There is none.
        """
        with self._lock:
            if not any(self._tagged.values()):
                raise ArgumentError("No row has a tag. Select some, and give them one.")
            rows = sorted(set().union(*self._tagged.values()))
            columns = {key: list(values) for key, values in zip(self._keys, zip(*rows, strict=True), strict=True)}
            return pa.table(columns | {tag: [row in own for row in rows] for tag, own in self._tagged.items()})

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

    def _of(self, tag: str) -> set[tuple[Any, ...]]:
        if tag not in self._tagged:
            raise unknown("tag", tag, list(self._tagged))
        return self._tagged[tag]

    def _rows(self, answer: KeptAnswer, numbers: Int64) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Return what tells rows apart, and it of each row."""
        names = set(answer.table.column_names)
        kind = next((kind for kind in _ROWS if kind in names), None)
        if kind is None or "dataset" not in names:
            raise ArgumentError("The answer has no columns dataset and tissue_id: its rows cannot be tagged.")
        keys = tuple(name for name in _ROWS[kind] if name in names)
        rows = answer.take(numbers, list(keys))
        columns = [rows[key].cast(_KINDS.get(key, pa.string())).to_pylist() for key in keys]
        return keys, list(zip(*columns, strict=True))


def _check(tag: str, known: list[str]) -> None:
    """Refuse a name that is no column's, or another's in small and capital letters."""
    taken = [*_ROWS["tile_id"], "cell_id", "modality"]
    alike = [name for name in (*taken, *known) if name != tag or name in taken if name.casefold() == tag.casefold()]
    if not 0 < len(tag) <= LETTERS or tag != tag.strip() or not tag.isprintable() or alike:
        raise ArgumentError(
            f"The tag {tag!r} is refused: expected 1 to {LETTERS} letters, none of them invisible, and no name of a "
            f"column or of a tag in other capitals{f' ({alike[0]})' if alike else ''}."
        )
