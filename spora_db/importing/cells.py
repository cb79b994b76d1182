"""The table of cells of an import: one table, or one per image, as segmentation tools and QuPath write them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from spora_db.errors import TableError, counted
from spora_db.files.whole_numbers import whole_numbers
from spora_db.importing.column_types import as_text, typed
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.mask_names import bare_name
from spora_db.importing.sheets import Sheet, read_sheet
from spora_db.importing.tissue_ids import Join, TissueName, join_sheet, join_values, no_column

if TYPE_CHECKING:
    import pyarrow as pa

CELL_IDS: Final = ("cellid", "object", "objectnumber", "objectid", "label", "cellnumber", "cellindex", "cell")
"""What the column of cell numbers is called, in order of preference, without case, blanks, hyphens."""
TABLES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet", ".h5ad")
_UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_MICRONS: Final = re.compile(r"centroid[ _]?([xy])[ _\W]*(?:µm|\u03bcm|um|micron(?:s)?)\W*", re.IGNORECASE)


def cell_table(
    path: Path,
    names: Sequence[TissueName],
    *,
    id_column: str | None = None,
    mpp: float | None = None,
    has_masks: bool = False,
) -> tuple["pa.Table", list[Decision]]:
    """Return cells.parquet for the imported tissues, and what was decided.

    Parameters
    ----------
    path
        A table, or a folder with one per tissue.
    names
        The imported tissues.
    id_column
        The column that names the image, in any case; found where None.
    mpp
        Microns per pixel, to place cells whose centroids are in microns.
    has_masks
        Whether there are masks, whose labels the cell ids must be.

    Raises
    ------
    TableError
        There is no column of cell ids; or it has a value that is no whole number from 1, or none; or a cell is there
        twice; or no image is named.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if path.is_dir():
        return _of_folder(path, names, mpp=mpp, has_masks=has_masks)
    sheet = read_sheet(path, about="cells")
    column = _id_column(sheet)
    join = join_sheet(sheet, names, id_column=id_column, besides=[column])
    if join is None and len(names) > 1:
        raise no_column(sheet, names)
    tissues = _tissues(sheet, join, names[0].tissue_id)
    known = pc.is_valid(tissues)
    chosen, tissues = sheet.table.filter(known), tissues.filter(known)
    decisions = [*sheet.decisions, *_told(sheet, join, names, len(chosen))]
    cells, more = _numbered(chosen, tissues, column, sheet.path, has_masks=has_masks)
    decisions += more
    cells, more = _placed(cells, mpp, sheet.path)
    _check_once(cells, sheet.path)
    return pa.table(cells), [*decisions, *more]


def _of_folder(
    folder: Path, names: Sequence[TissueName], *, mpp: float | None, has_masks: bool
) -> tuple["pa.Table", list[Decision]]:
    """Read a table per tissue, known by the names of the files."""
    import pyarrow as pa

    files = [file for file in sorted(folder.iterdir()) if file.name.lower().endswith(TABLES)]
    files = [file for file in files if not file.name.startswith(".")]
    bare = {bare_name(file.name): file for file in files}
    if len(bare) < len(files):
        raise TableError(
            f"{folder} has several tables of one image: {listed([f.name for f in files])}. Keep one of each."
        )
    join = join_values(list(bare), names, what=f"The folder {folder}")
    parts, decisions = [], []
    for stem, tissue in sorted(join.tissues.items(), key=lambda item: item[1]):
        part, more = cell_table(bare[stem], [TissueName(tissue_id=tissue)], mpp=mpp, has_masks=has_masks)
        parts.append(part)
        decisions += [row for row in more if row.warning or "the only image" not in row.says]
    if not parts:
        raise TableError(
            f"{folder} has no table of an image: it has {listed([file.name for file in files])}, the images are "
            f"{listed([name.tissue_id for name in names])}. Name the tables as the images."
        )
    absent = [name.tissue_id for name in names if name.tissue_id not in join.tissues.values()]
    left = [bare[stem].name for stem in bare if stem not in join.tissues]
    says = f"{counted(len(parts), 'table')} of {folder.name} joined by the names of the files."
    says += f" Left out, without an image here: {listed(left)}." if left else ""
    says += f" Without a table: {listed(absent)}." if absent else ""
    first = Decision(about="cells", says=says, warning=bool(absent))
    return pa.concat_tables(parts, promote_options="permissive"), [first, *decisions]


def _id_column(sheet: Sheet) -> str:
    """Return the column of cell ids."""
    words = {name: re.sub(r"[^a-z]", "", name.casefold()) for name in sheet.names}
    found = sorted((CELL_IDS.index(word), name) for name, word in words.items() if word in CELL_IDS)
    if not found:
        raise TableError(
            f"{sheet.path} has no column of cell ids. It has: {', '.join(sheet.names)}. Expected 'cell_id' (steinbock: "
            "'Object', mcmicro: 'CellID', QuPath: 'Object ID'), the number of the cell in the cell mask."
        )
    return found[0][1]


def _tissues(sheet: Sheet, join: Join | None, only: str) -> "pa.ChunkedArray":
    """Return the tissue of each row, null for others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if join is None or join.column is None:
        return pa.chunked_array([[only] * len(sheet.table)], pa.string())
    known = pa.array(list(join.tissues), pa.string())
    at = pc.index_in(as_text(sheet.table[join.column]), known)
    return pc.take(pa.array(list(join.tissues.values()), pa.string()), at)


def _told(sheet: Sheet, join: Join | None, names: Sequence[TissueName], taken: int) -> list[Decision]:
    if join is None:
        says = f"All rows of {sheet.path.name} are of the only image, {names[0].tissue_id!r}."
        return [Decision(about="cells", says=says)]
    decisions = [Decision(about="cells", says=join.says(sheet.path), details=join.details(sheet.path))]
    left = len(sheet.table) - taken
    if left:
        says = f"{counted(left, 'row')} of {sheet.path.name} left out: of other tissues."
        decisions.append(Decision(about="cells", says=says))
    absent = [name.tissue_id for name in names if name.tissue_id not in join.tissues.values()]
    if absent:
        says = f"{sheet.path.name} has no cell of {counted(len(absent), 'image')}: {listed(absent)}."
        decisions.append(Decision(about="cells", says=says, warning=True))
    return decisions


def _numbered(
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


def _placed(
    cells: dict[str, "pa.ChunkedArray"], mpp: float | None, path: Path
) -> tuple[dict[str, "pa.ChunkedArray"], list[Decision]]:
    """Return cells with centroids in pixels beside those in microns, as QuPath writes them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {match[1].lower(): name for name in cells if (match := _MICRONS.fullmatch(name))}
    if mpp is None or set(found) != {"x", "y"} or not all(pa.types.is_floating(cells[n].type) for n in found.values()):
        return cells, []
    placed = {f"centroid_{axis}": pc.divide(cells[found[at]], mpp) for axis, at in (("row", "y"), ("col", "x"))}
    says = f"Centroids of {path.name} in microns ({listed(list(found.values()))}) were divided by {mpp:g} for pixels."
    return {**cells, **placed}, [Decision(about="cells", says=says)]


def _check_once(cells: dict[str, "pa.ChunkedArray"], path: Path) -> None:
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
