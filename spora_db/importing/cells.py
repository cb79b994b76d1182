"""The table of cells of an import: one table, or one per image, as segmentation tools and QuPath write them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spora_db.errors import TableError, counted
from spora_db.importing.cell_numbers import are_numbers, check_once, numbered, placed
from spora_db.importing.column_types import as_text, look_like_numbers
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.mask_names import bare_name
from spora_db.importing.sheets import Sheet, free_name, is_anndata, read_sheet
from spora_db.importing.table_joins import ID_COLUMNS, has_column, join_sheet, no_column, word_of
from spora_db.importing.tissue_ids import Join, TissueName, join_values

if TYPE_CHECKING:
    import pyarrow as pa

CELL_IDS: Final = (
    "cellid",
    "object",
    "objectnumber",
    "objectid",
    "instanceid",
    "label",
    "cellnumber",
    "cellindex",
    "cell",
    "id",
)
"""What the column of cell numbers is called, in order of preference, without case, blanks, hyphens."""
_OF_CELLS: Final = re.compile("^cells?number(?=objectnumber)")
"""What CellProfiler puts before the number of a cell in its database."""
TABLES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet", ".h5ad")


def cell_table(
    path: Path,
    names: Sequence[TissueName],
    *,
    id_column: str | None = None,
    mpp: float | None = None,
    has_masks: bool = False,
    also: Mapping[str, Mapping[str, str]] | None = None,
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
    also
        Columns of the tissues by which their cells may be known where none names the image: the tissue of each value.

    Raises
    ------
    TableError
        There is no column of cell ids; or it has a value that is no whole number from 1, or none; or a cell is there
        twice; or no image is named.
    """
    import pyarrow.compute as pc

    if path.is_dir() and not is_anndata(path):
        return _of_folder(path, names, mpp=mpp, has_masks=has_masks)
    sheet = read_sheet(path, about="cells")
    column = _id_column(sheet)
    numbers = [name for name in sheet.names if word_of(name) not in ID_COLUMNS and look_like_numbers(sheet.table[name])]
    if (
        id_column is not None
        and not has_column(sheet, id_column)
        and id_column.casefold() in map(str.casefold, also or {})
    ):
        id_column = None  # it is that of the tissues
    join = join_sheet(sheet, names, id_column=id_column, besides=[column, *numbers]) or _by_column(sheet, also or {})
    if join is None and len(names) > 1:
        raise no_column(sheet, names)
    tissues = _all_of(sheet, names[0]) if join is None else join.of_rows(sheet.table)
    known = pc.is_valid(tissues)
    table = sheet.table.filter(known)
    told = _told(sheet, join, names, len(table))
    cells, more = _numbered(table, tissues.filter(known), column, sheet, mpp=mpp, has_masks=has_masks)
    return cells, [*told, *more]


def _numbered(
    table: "pa.Table", tissues: "pa.ChunkedArray", column: str, sheet: Sheet, *, mpp: float | None, has_masks: bool
) -> tuple["pa.Table", list[Decision]]:
    """Return the cells of a sheet with their tissues, numbers and places, and what was decided."""
    import pyarrow as pa

    cells, numbers = numbered(table, tissues, column, sheet.path, has_masks=has_masks)
    cells, places = placed(cells, mpp, sheet.path)
    check_once(cells, sheet.path)
    return pa.table(cells), [*sheet.decisions, *numbers, *places]


def _all_of(sheet: Sheet, name: TissueName) -> "pa.ChunkedArray":
    """Return the one tissue of all rows."""
    import pyarrow as pa

    return pa.chunked_array([[name.tissue_id] * len(sheet.table)], pa.string())


def _by_column(sheet: Sheet, also: Mapping[str, Mapping[str, str]]) -> Join | None:
    """Join by a column that tissues have too, such as CellProfiler's ImageNumber, if all values are there."""
    for column, tissues in also.items():
        name = next((name for name in sheet.names if name.casefold() == column.casefold()), None)
        if name is None:
            continue
        values = [value for value in as_text(sheet.table[name]).unique().to_pylist() if value is not None]
        if values and all(value in tissues for value in values):
            return Join(
                columns=(name,),
                tissues={value: tissues[value] for value in values},
                levels=dict.fromkeys(values, "column"),
            )
    return None


def side_by_side(tables: Sequence["pa.Table"], paths: Sequence[Path]) -> "pa.Table":
    """Return several tables of the same cells as one.

    Raises
    ------
    TableError
        They have other cells.
    """
    import pyarrow as pa

    keys = [("tissue_id", "ascending"), ("cell_id", "ascending")]
    if len(tables) == 1:
        return tables[0]
    first, *others = (table.sort_by(keys) for table in tables)
    columns = {name: first[name] for name in first.column_names}
    for table, path in zip(others, paths[1:], strict=True):
        if not all(table[name].equals(first[name]) for name, _ in keys):
            raise TableError(
                f"{path} has other cells than {paths[0]}: {len(table):,} and {len(first):,}. Expected a row for each "
                "cell in both, or give one of them."
            )
        for name in table.column_names:
            same = next((other for other in columns if other.casefold() == name.casefold()), None)
            if same is None or not columns[same].equals(table[name]):
                columns[free_name(name, {other.casefold() for other in columns})] = table[name]
    return pa.table(columns)


def _of_folder(
    folder: Path, names: Sequence[TissueName], *, mpp: float | None, has_masks: bool
) -> tuple["pa.Table", list[Decision]]:
    """Read a table per tissue, known by the names of the files: all rows are of that tissue."""
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
        sheet = read_sheet(bare[stem], about="cells")
        tissues = _all_of(sheet, TissueName(tissue_id=tissue))
        part, more = _numbered(sheet.table, tissues, _id_column(sheet), sheet, mpp=mpp, has_masks=has_masks)
        parts.append(part)
        decisions += more
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
    """Return the column of cell ids: the first that holds whole numbers, of those that may be."""
    words = {name: _OF_CELLS.sub("", word_of(name)) for name in sheet.names}
    known = [name for name, word in words.items() if word in CELL_IDS]
    known = [name for name in known if words[name] != "id" or are_numbers(sheet.table[name])]  # others name images
    likely = sorted((name != "cell_id", CELL_IDS.index(words[name]), name) for name in known)
    found = [name for *_, name in likely]
    if not found:
        raise TableError(
            f"{sheet.path} has no column of cell ids. It has: {', '.join(sheet.names)}. Expected 'cell_id' (steinbock: "
            "'Object', mcmicro: 'CellID', QuPath: 'Object ID'), the number of the cell in the cell mask."
        )
    return next((name for name in found if are_numbers(sheet.table[name])), found[0])


def _told(sheet: Sheet, join: Join | None, names: Sequence[TissueName], taken: int) -> list[Decision]:
    if join is None:
        says = f"All rows of {sheet.path.name} are of the only image, {names[0].tissue_id!r}."
        return [Decision(about="cells", says=says)]
    decisions = [Decision(about="cells", says=join.says(sheet.path), details=join.details(sheet.path))]
    left = len(sheet.table) - taken
    if left:
        strangers = join.strangers(sheet.table)
        which = f": {listed(strangers)}" if strangers else ""
        says = f"{counted(left, 'row')} of {sheet.path.name} left out, of other tissues{which}."
        decisions.append(Decision(about="cells", says=says))
    absent = [name.tissue_id for name in names if name.tissue_id not in join.tissues.values()]
    if absent:
        says = f"{sheet.path.name} has no cell of {counted(len(absent), 'image')}: {listed(absent)}."
        decisions.append(Decision(about="cells", says=says, warning=True))
    return decisions
