"""The metadata of an import: a CSV of tissues, and one of cells, as the tables of the layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spora_db.errors import FileFormatError, TableError, counted, unknown
from spora_db.files.whole_numbers import whole_numbers
from spora_db.importing.csv_files import read_csv, read_header
from spora_db.importing.decisions import Decision
from spora_db.importing.fields import STORES, TIFFS

if TYPE_CHECKING:
    import pyarrow as pa

IDS: Final = ("tissue_id", "patient_id", "specimen_id")
CELL_IDS: Final = ("cell_id", "object", "objectnumber", "object_number", "label")


def tissue_table(
    path: Path | None, tissues: Sequence[str], *, dataset: str, modality: str, id_column: str | None
) -> tuple["pa.Table", list[Decision]]:
    """Return tissues.parquet for the imported tissues, and notes.

    Parameters
    ----------
    path
        The CSV, a row per tissue; None for ids only.
    tissues
        The imported tissues, sorted.
    dataset, modality
        Where they go.
    id_column
        The column that names the image; ``tissue_id`` if None. File names may have their suffix.

    Raises
    ------
    TableError
        A tissue has no row or several, a column's name repeats, or a column contradicts `dataset` or `modality`.
    UnknownNameError
        There is no such id column.
    """
    import pyarrow as pa

    fixed = {"dataset": dataset, "modality": modality}
    constants = {name: pa.array([value] * len(tissues), pa.string()) for name, value in fixed.items()}
    if path is None:
        ids = {name: pa.array([None] * len(tissues), pa.string()) for name in (*IDS[1:], "split")}
        says = "No metadata was given: tissues.parquet has ids only, and no patient_id or split."
        return pa.table({"tissue_id": pa.array(list(tissues), pa.string()), **constants, **ids}), [
            Decision(about="metadata", says=says)
        ]
    table, ids_here = _read(path, id_column, tissues)
    repeated = sorted({name for name in ids_here if ids_here.count(name) > 1} & set(tissues))
    if repeated:
        raise TableError(
            f"{path} has several rows for the tissues {', '.join(repeated[:10])}. Keep one row per tissue."
        )
    place = {name: row for row, name in enumerate(ids_here)}
    absent = [name for name in tissues if name not in place]
    if absent:
        raise TableError(
            f"{path} has no row for {len(absent)} of {len(tissues)} images: {', '.join(absent[:10])}. It has "
            f"{', '.join(ids_here[:10])}. Add the rows, or name the column of image names as id_column."
        )
    chosen = table.take([place[name] for name in tissues])
    columns = {name: chosen[name] for name in chosen.column_names if name.casefold() not in (*fixed, "tissue_id")}
    for name in chosen.column_names:
        said = fixed.get(name.casefold())
        other = {value for value in chosen[name].to_pylist() if str(value).casefold() != str(said).casefold()} - {None}
        if said is not None and other:
            raise TableError(
                f"The column {name!r} of {path} says {sorted(map(str, other))[0]!r}, the import says {said!r}. Correct "
                "one of them, or rename the column if it means something else."
            )
        if name.casefold() == "tissue_id" and name != (id_column or "tissue_id"):
            columns[f"original_{name}"] = chosen[name]
    left = len(ids_here) - len(tissues)
    says = f"{counted(left, 'row')} of {path.name} left out: without an image here."
    decisions = [Decision(about="metadata", says=says)] if left else []
    return pa.table({"tissue_id": pa.array(list(tissues), pa.string()), **constants, **columns}), decisions


def cell_table(path: Path, tissues: Sequence[str], *, id_column: str | None) -> tuple["pa.Table", list[Decision]]:
    """Return cells.parquet for the imported tissues, and notes; ``Object`` of steinbock becomes ``cell_id``.

    Raises
    ------
    TableError
        There is no column of cell ids; or it has a value that is no whole number from 1, or none; or a cell is there
        twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    header, _ = read_header(path)
    found = [name for name in header if name.strip().casefold() in CELL_IDS]
    if "cell_id" in found:
        found = ["cell_id"]
    if len(found) != 1:
        raise TableError(
            f"{path} has no column of cell ids, or several. It has: {', '.join(header)}. Expected "
            "'cell_id' (steinbock: 'Object'), the number of the cell in the cell mask."
        )
    table, ids_here = _read(path, id_column, tissues, texts=found)
    numbers = _cell_ids(table[found[0]], f"The column {found[0]!r} of {path}")
    columns = {"tissue_id": pa.array(ids_here, pa.string()), "cell_id": numbers}
    columns |= {name: table[name] for name in table.column_names if name not in (found[0], "tissue_id", "cell_id")}
    cells = pa.table(columns)
    chosen = cells.filter(pc.is_in(cells["tissue_id"], pa.array(list(tissues), pa.string())))
    repeated = chosen.group_by(["tissue_id", "cell_id"]).aggregate([([], "count_all")])
    repeated = repeated.filter(pc.greater(repeated["count_all"], 1))
    if len(repeated):
        first = repeated.sort_by([("tissue_id", "ascending"), ("cell_id", "ascending")]).to_pylist()[0]
        raise TableError(
            f"{path} has {first['count_all']} rows for cell {first['cell_id']} of tissue {first['tissue_id']!r} "
            f"({len(repeated)} such cells). Keep one row per cell."
        )
    left = len(cells) - len(chosen)
    says = f"{counted(left, 'row')} of {path.name} left out: of other tissues."
    return chosen, [Decision(about="cells", says=says)] if left else []


def _cell_ids(column: "pa.ChunkedArray", what: str) -> "pa.ChunkedArray":
    """Return the cell ids of a CSV, read as text: ``7.0``, as pandas writes numbers with gaps, is 7."""
    import pyarrow.compute as pc

    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), pattern=r"^([0-9]+)[.]0*$", replacement=r"\1")
    numbers = whole_numbers(plain, what=what, least=1)
    if numbers.null_count:
        raise TableError(
            f"{what} is empty in {counted(numbers.null_count, 'row')}. Number every cell, as its mask does."
        )
    return numbers


def _read(
    path: Path, id_column: str | None, tissues: Sequence[str], *, texts: Sequence[str] = ()
) -> tuple["pa.Table", list[str]]:
    """Read a CSV with inferred types, ids and `texts` as text, and return it with the tissue id of each row."""
    import pyarrow as pa
    import pyarrow.csv

    header, delimiter = read_header(path)
    folded: dict[str, str] = {}
    for name in header:
        first = folded.setdefault(name.casefold(), name)
        if not name or (first is not name and first.casefold() == name.casefold()):
            raise TableError(f"{path} has a column without a name, or {name!r} twice (case does not count). Rename it.")
    wanted = id_column or "tissue_id"
    if wanted not in header:
        fitting = _columns_of_ids(path, header, tissues)
        hint = f" The column {fitting[0]!r} names the images: give id_column={fitting[0]!r}." if fitting else ""
        error = unknown("column", wanted, header, where=str(path))
        raise type(error)(f"{error}{hint}")
    try:
        table = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=1),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys((*IDS, wanted, "split", *texts), pa.string()), strings_can_be_null=True
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as CSV: {error}. Save it as 'CSV UTF-8'.") from error
    return table, [_without_suffix(value) for value in table[wanted].to_pylist()]


def _columns_of_ids(path: Path, header: Sequence[str], tissues: Sequence[str]) -> list[str]:
    """Return the columns that name every image."""
    _, rows = read_csv(path)
    return [
        name
        for at, name in enumerate(header)
        if set(tissues) <= {_without_suffix(row[at]) for row in rows if len(row) > at}
    ]


def _without_suffix(value: str | None) -> str:
    text = value or ""
    suffix = next((suffix for suffix in (*TIFFS, *STORES) if text.lower().endswith(suffix)), "")
    return text[: len(text) - len(suffix)]
