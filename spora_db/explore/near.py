"""The rows of an answer that are most like one of them by features: what is asked, in Python and of the process."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from spora_db.errors import ArgumentError
from spora_db.explore.limits import NEAREST
from spora_db.explore.results import KeptAnswer
from spora_db.explore.selections import query_of, selected

SIMILARITY = "similarity"
_IDS = ("tile_id", "cell_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """Which rows of an answer are wanted.

    Attributes
    ----------
    row
        What they are to be like: dataset, tissue_id and, of tiles and cells, tile_id or cell_id.
    name, column
        The feature set, and which of its vectors; None where it has one only.
    k
        How many.
    """

    row: Mapping[str, str | int]
    name: str
    column: str | None
    k: int

    @classmethod
    def of(cls, asked: object) -> Self:
        """Take a request apart.

        Raises
        ------
        ArgumentError
            It is no such request.
        """
        told = asked if isinstance(asked, dict) else {}
        row, name, column, k = (told.get(key) for key in ("row", "name", "column", "k"))
        if not isinstance(row, dict) or not isinstance(name, str) or not isinstance(column, str | None):
            raise ArgumentError("near is an object of row, name, column (or null) and k.")
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= NEAREST:
            raise ArgumentError(f"{k!r} rows asked for; expected 1 to {NEAREST:,}.")
        ids = {key: row[key] for key in _IDS if row.get(key) is not None}
        try:
            own = {key: int(value) for key, value in ids.items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise ArgumentError(f"A row of {ids}: expected whole numbers.") from error
        texts = {key: str(row[key]) for key in ("dataset", "tissue_id") if row.get(key) is not None}
        return cls(row={**texts, **own}, name=name, column=column, k=k)

    def told(self) -> dict[str, Any]:
        """Return it as `of` takes it."""
        return asdict(self)

    @property
    def code(self) -> str:
        """The verb of `SporaQuery` that asks for it."""
        column = "" if self.column is None else f", column={self.column!r}"
        return f".nearest({dict(self.row)!r}, name={self.name!r}{column}, k={self.k})"

    def among(self, lake: Path, answer: KeptAnswer) -> pa.Table:
        """Return these rows of an answer with all their columns, the most like first, and their ``similarity``.

        Raises
        ------
        SporaError
            The rows are nothing that a SporaQuery can ask for, or as `SporaQuery.nearest`.
        """
        rows = selected(answer, None)
        near = query_of(lake, rows).nearest(self.row, name=self.name, column=self.column, k=self.k).to_arrow()
        keys = [name for name in near.column_names if name in rows.column_names and name not in ("row", "col")]
        own = answer.table.select(keys).cast(near.select(keys).schema, safe=False)
        own = own.append_column("number", pa.array(range(answer.rows)))
        both = near.select([*keys, SIMILARITY]).join(own, keys, join_type="inner")
        both = both.sort_by([(SIMILARITY, "descending"), ("number", "ascending")])
        found = answer.table.take(both["number"])
        if SIMILARITY in found.column_names:
            found = found.drop_columns([SIMILARITY])
        return found.append_column(SIMILARITY, both[SIMILARITY])
