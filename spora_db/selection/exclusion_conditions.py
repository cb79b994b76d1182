"""Rows that `SporaQuery.exclude` leaves out: anti joins against the keys of the excluded rows."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.files.arrow_arrays import arrow_array
from spora_db.selection import Selection
from spora_db.sqltext.binding import Binder

TISSUE = ("dataset", "tissue_id")
CORNER = ("row", "col")
NOT_AMONG = "NOT EXISTS (SELECT 1 FROM (SELECT unnest($keys) AS key) AS excluded WHERE excluded.key = {key})"


def exclusion_conditions(selection: Selection, binder: Binder) -> list[exp.Expr]:
    """Return the conditions that the excluded rows put on ``base``.

    Names of datasets and tissues are names of files, so that ``/`` keeps the parts of a key apart.
    """
    if selection.excluded is None:
        return []
    rows = _that_count(selection.excluded, selection)
    parts: dict[tuple[str, ...], pa.Table] = {TISSUE: rows}
    if selection.unit != "tissue":
        place = (*TISSUE, f"{selection.unit}_id")
        parts[TISSUE] = whole_tissues(rows)
        own = rows.filter(pc.is_valid(rows.column(place[-1])))
        if selection.unit == "tile":
            corners = pc.and_(*(pc.is_valid(own.column(name)) for name in CORNER))
            parts[*place, *CORNER], own = own.filter(corners), own.filter(pc.invert(corners))
        parts[place] = own
    return [
        binder.fragment(NOT_AMONG.format(key=_key(columns)), keys=_keys(part.select(columns)))
        for columns, part in parts.items()
        if part.num_rows
    ]


def whole_tissues(rows: pa.Table | None) -> pa.Table | None:
    """Return the excluded rows that stand for a whole tissue: they name neither a tile nor a cell."""
    if rows is None:
        return None
    return rows.filter(pc.and_(*(pc.is_null(rows.column(name)) for name in ("tile_id", "cell_id"))))


def _key(columns: tuple[str, ...]) -> str:
    numbers = (f"CAST(CAST(base.{name} AS BIGINT) AS VARCHAR)" for name in columns[2:])
    return f"concat_ws('/', base.dataset, base.tissue_id{''.join(f', {number}' for number in numbers)})"


def _that_count(rows: pa.Table, selection: Selection) -> pa.Table:
    """Return the rows that speak of images and tiles such as the selection's; a null speaks of all."""
    same: dict[str, Sequence[object]] = {"modality": selection.modality_names, "mpp": [selection.mpp]}
    if selection.unit == "tile":
        same["tile_size"] = [selection.tile_size]
    for name, values in same.items():
        column = rows.column(name)
        among = pc.is_in(column, value_set=arrow_array(values, column.type), skip_nulls=True)
        rows = rows.filter(pc.or_(pc.is_null(column), among))
    return rows


def _keys(rows: pa.Table) -> list[str]:
    parts = zip(*(column.to_pylist() for column in rows.columns), strict=True)
    return sorted({"/".join(map(str, part)) for part in parts})
