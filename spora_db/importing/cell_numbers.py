"""Cells of an import: their numbers, which are labels of masks, and their places in pixels."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from spora_db.errors import TableError, counted
from spora_db.files.whole_numbers import whole_numbers
from spora_db.importing.column_types import as_text, typed
from spora_db.importing.decisions import Decision, listed

if TYPE_CHECKING:
    import pyarrow as pa

_UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_MICRONS: Final = re.compile(r"centroid[ _]?([xy])[ _\W]*(?:\u00b5m|\u03bcm|um|micron(?:s)?)\W*", re.IGNORECASE)


def numbered(
    table: "pa.Table", tissues: "pa.ChunkedArray", column: str, path: Path, *, has_masks: bool
) -> tuple[dict[str, "pa.ChunkedArray"], list[Decision]]:
    """Return the columns of cells with their numbers; cells named by UUIDs are numbered in the order of the rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = as_text(table[column]) if not pa.types.is_floating(table[column].type) else table[column]
    rest = typed(table.drop_columns([column]))
    own = {name: rest[name] for name in rest.column_names if name.casefold() not in ("tissue_id", "cell_id")}
    if pa.types.is_string(texts.type) and len(texts) and pc.all(pc.match_substring_regex(texts, _UUID)).as_py():
        if has_masks:
            raise TableError(
                f"The cells of {path} are named by UUIDs in {column!r}, which no mask has as labels. Give a table with "
                "the labels of the masks, or leave out the masks (cell_masks)."
            )
        numbers = pa.chunked_array([_counted_up(tissues)])
        says = (
            f"The cells of {path.name} are named by UUIDs in {column!r}: they were numbered in the order of their "
            "rows, from 1 in each tissue. The numbers are not those of a cell mask."
        )
        named = {"tissue_id": tissues, "cell_id": numbers, column: texts}
        return {**named, **own}, [Decision(about="cells", says=says, warning=True)]
    numbers = _cell_ids(texts, f"The column {column!r} of {path}", least=0 if has_masks else 1)
    return {"tissue_id": tissues, "cell_id": numbers, **own}, []


def _counted_up(tissues: "pa.ChunkedArray") -> "pa.Array":
    """Count the rows of each tissue from 1."""
    import pyarrow as pa

    _, group = np.unique(np.asarray(tissues.to_pylist(), dtype=str), return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]
    sizes = np.diff(np.r_[starts, len(order)])
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order)) - np.repeat(starts, sizes) + 1
    return pa.array(numbers)


def are_numbers(column: "pa.ChunkedArray") -> bool:
    """Tell whether a column could be of cell ids: whole numbers, also as texts and with a point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return bool(pc.all(pc.match_substring_regex(column.drop_null(), r"^[0-9]+([.]0*)?$")).as_py())
    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _cell_ids(column: "pa.ChunkedArray", what: str, *, least: int) -> "pa.ChunkedArray":
    """Return the cell ids of a table: ``7.0``, as pandas writes numbers with gaps, is 7."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        column = pc.replace_substring_regex(column, pattern=r"^([0-9]+)[.]0*$", replacement=r"\1")
    numbers: pa.ChunkedArray = whole_numbers(column, what=what, least=least)
    if numbers.null_count:
        raise TableError(
            f"{what} is empty in {counted(numbers.null_count, 'row')}. Number every cell, as its mask does."
        )
    return numbers


def placed(
    cells: dict[str, "pa.ChunkedArray"], mpp: float | None, path: Path
) -> tuple[dict[str, "pa.ChunkedArray"], list[Decision]]:
    """Return cells with centroids in pixels beside those in microns, as QuPath writes them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {match[1].lower(): name for name in cells if (match := _MICRONS.fullmatch(name))}
    if mpp is None or set(found) != {"x", "y"} or not all(pa.types.is_floating(cells[n].type) for n in found.values()):
        return cells, []
    more = {f"centroid_{axis}": pc.divide(cells[found[at]], mpp) for axis, at in (("row", "y"), ("col", "x"))}
    says = f"Centroids of {path.name} in microns ({listed(list(found.values()))}) were divided by {mpp:g} for pixels."
    return {**cells, **more}, [Decision(about="cells", says=says)]


def check_once(cells: dict[str, "pa.ChunkedArray"], path: Path) -> None:
    """Refuse a table in which a cell has several rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.table({name: cells[name] for name in ("tissue_id", "cell_id")})
    repeated = keys.group_by(["tissue_id", "cell_id"]).aggregate([([], "count_all")])
    repeated = repeated.filter(pc.greater(repeated["count_all"], 1))
    if len(repeated):
        first = repeated.sort_by([("tissue_id", "ascending"), ("cell_id", "ascending")]).to_pylist()[0]
        raise TableError(
            f"{path} has {first['count_all']} rows for cell {first['cell_id']} of tissue {first['tissue_id']!r} "
            f"({len(repeated)} such cells). Keep one row per cell."
        )
