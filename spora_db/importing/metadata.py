"""The table of tissues of an import: rows of several sheets, each joined by tissue or by patient."""

import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Final

from spora_db.errors import TableError, counted
from spora_db.importing.column_types import as_text, typed
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.sheets import Sheet, free_name
from spora_db.importing.table_joins import has_column, join_sheet, no_column
from spora_db.importing.tissue_ids import Join, TissueName, join_values

if TYPE_CHECKING:
    import pyarrow as pa

IDS: Final = ("patient_id", "specimen_id", "split")
_MEANT: Final[Mapping[str, str]] = {
    "patientid": "patient_id", "patient": "patient_id", "patientnumber": "patient_id", "patientno": "patient_id",
    "specimenid": "specimen_id", "split": "split",
}  # fmt: skip
"""What columns of the layout are called elsewhere, without case, blanks and hyphens."""
_PATIENTS: Final = ("patient_id", "case", "case_id", "subject", "subject_id", "donor", "donor_id", "participant_id")


def tissue_table(
    sheets: Sequence[Sheet],
    names: Sequence[TissueName],
    *,
    dataset: str,
    modality: str,
    id_column: str | None = None,
    found: Mapping[str, Sequence[str | None]] | None = None,
    known: Collection[str] | None = None,
) -> tuple["pa.Table", list[Decision]]:
    """Return tissues.parquet for the imported tissues, and what was decided.

    Parameters
    ----------
    sheets
        Tables with a row per tissue, or a row per patient where an earlier one, or the folders, say whose tissue it is.
    names
        The imported tissues, sorted.
    dataset, modality
        Where they go.
    id_column
        The column that names the image, in any case; found where None, and in sheets without it where others have it.
    found
        Columns that the names of folders and files give, a value per tissue.
    known
        The columns that a dataset has to which the tables are added: those by which they are joined stay as they are,
        and a tissue may have no row.

    Raises
    ------
    TableError
        A tissue has no row or several, or a column contradicts `dataset` or `modality`.
    UnknownNameError
        There is no such id column.
    """
    import pyarrow as pa

    fixed = {"dataset": dataset, "modality": modality}
    columns: dict[str, pa.ChunkedArray] = {}
    decisions: list[Decision] = []
    given = dict(found or {})
    patients = [name.patient for name in names]
    elsewhere = any(has_column(sheet, id_column) for sheet in sheets)
    for sheet in sheets:
        renamed, more = _in_our_words(sheet, id_column)
        join, rows = _rows(
            renamed,
            names,
            patients,
            id_column if not elsewhere or has_column(sheet, id_column) else None,
            is_partial=known is not None,
        )
        decisions += [*sheet.decisions, *more, *_told(renamed, join, rows, names)]
        if join.of == "patient" and "patient_id" in join.columns:
            given.pop("patient_id", None)  # as the sheet spells them
        chosen = typed(renamed.table).take(pa.array(rows, pa.int64()))
        there = {name.casefold() for name in known or ()}.intersection(map(str.casefold, join.columns))
        chosen = chosen.select([name for name in chosen.column_names if name.casefold() not in there])
        decisions += _merge(columns, _own(chosen, renamed, join, fixed), renamed)
        if "patient_id" in columns:
            patients = as_text(columns["patient_id"]).to_pylist()
    decisions += _merge(columns, {n: pa.chunked_array([list(v)], pa.string()) for n, v in given.items()}, None)
    if not sheets:
        for name in IDS:
            columns.setdefault(name, pa.chunked_array([[None] * len(names)], pa.string()))
        more_ids = f" and {', '.join(given)}" if given else ""
        says = f"No metadata was given: tissues.parquet has ids{more_ids} only."
        decisions.append(Decision(about="metadata", says=says))
    constants = {name: pa.array([value] * len(names), pa.string()) for name, value in fixed.items()}
    ids = pa.array([name.tissue_id for name in names], pa.string())
    return pa.table({"tissue_id": ids, **constants, **columns}), decisions


def columns_of_tissues(rows: "pa.Table") -> dict[str, dict[str, str]]:
    """Return the columns of which every tissue has a value of its own: the tissue of each value.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = pa.table({"tissue_id": ["a", "b"], "ImageNumber": [1, 2], "sex": ["F", "F"]})
    >>> columns_of_tissues(rows)
    {'ImageNumber': {'1': 'a', '2': 'b'}}
    """
    tissues = rows["tissue_id"].to_pylist()
    found = {name: as_text(rows[name]).to_pylist() for name in rows.column_names if name != "tissue_id"}
    return {
        name: dict(zip(values, tissues, strict=True))
        for name, values in found.items()
        if None not in values and len(set(values)) == len(values)
    }


def _in_our_words(sheet: Sheet, id_column: str | None) -> tuple[Sheet, list[Decision]]:
    """Return a sheet whose columns of patients, specimens and splits are called as in the layout."""
    names, decisions = sheet.names, []
    have = {name.casefold() for name in names}
    for at, name in enumerate(names):
        meant = _MEANT.get(re.sub(r"[^a-z]", "", name.casefold()))
        if meant is None or name in (meant, id_column) or (meant in have and name.casefold() != meant):
            continue
        names[at] = meant
        have.add(meant)
        decisions.append(Decision(about="metadata", says=f"The column {name!r} of {sheet.path.name} is {meant!r}."))
    return Sheet(path=sheet.path, table=sheet.table.rename_columns(names), decisions=sheet.decisions), decisions


def _rows(
    sheet: Sheet,
    names: Sequence[TissueName],
    patients: Sequence[str | None],
    id_column: str | None,
    *,
    is_partial: bool,
) -> tuple[Join, list[int | None]]:
    """Return how a sheet is joined, and its row for each tissue."""
    join = join_sheet(sheet, names, id_column=id_column)
    if join is not None:
        return join, _row_of_each(sheet, join, [name.tissue_id for name in names], is_partial=is_partial)
    wanted = sorted({patient for patient in patients if patient is not None})
    known = {name.casefold(): name for name in sheet.names}
    for column in (known[word] for word in _PATIENTS if word in known and wanted):
        values = [value for value in as_text(sheet.table[column]).unique().to_pylist() if value is not None]
        people = [TissueName(tissue_id=patient) for patient in wanted]
        found = join_values(values, people, what=f"The column {column!r} of {sheet.path}")
        if found.tissues:
            join = Join(columns=(column,), tissues=found.tissues, levels=found.levels, of="patient")
            return join, _row_of_each(sheet, join, [patient or "" for patient in patients], is_partial=is_partial)
    raise no_column(sheet, names)


def _row_of_each(sheet: Sheet, join: Join, wanted: Sequence[str], *, is_partial: bool) -> list[int | None]:
    """Return the row of each wanted tissue or patient, of which each has one, or, where that may be, none."""
    keys = join.of_rows(sheet.table).to_pylist()
    kinds = "images" if join.of == "tissue" else "patients of the images"
    place: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None:
            place.setdefault(key, []).append(row)
    repeated = sorted(key for key in set(wanted) if len(place.get(key, ())) > 1)
    if repeated:
        raise TableError(
            f"{sheet.path} has several rows for the {join.of}s {', '.join(repeated[:10])}. Keep one row per {join.of}."
        )
    absent = sorted({key for key in wanted if key not in place})
    if absent and not is_partial:
        strangers = join.strangers(sheet.table)
        raise TableError(
            f"{sheet.path} has no row for {len(absent)} of {len(set(wanted))} {kinds}: {listed(absent)}. In "
            f"{' and '.join(map(repr, join.columns))} it has {listed(strangers) or 'nothing'} besides. Correct or add "
            "these rows, or name the column of image names as id_column (--id-column)."
        )
    return [place[key][0] if key in place else None for key in wanted]


def _told(sheet: Sheet, join: Join, rows: Sequence[int | None], names: Sequence[TissueName]) -> list[Decision]:
    """Say how a sheet was joined, and what of it was left out."""
    decisions = [Decision(about="metadata", says=join.says(sheet.path), details=join.details(sheet.path))]
    left = len(sheet.table) - len(set(rows) - {None})
    if left:
        strangers = join.strangers(sheet.table)
        which = f": {listed(strangers)}" if strangers else ""
        says = f"{counted(left, 'row')} of {sheet.path.name} left out, without an image here{which}."
        decisions.append(Decision(about="metadata", says=says))
    absent = [name.tissue_id for name, row in zip(names, rows, strict=True) if row is None]
    if absent:
        says = f"{sheet.path.name} has no row for {len(absent)} of {counted(len(names), 'tissue')}: {listed(absent)}."
        decisions.append(Decision(about="metadata", says=says, warning=True))
    return decisions


def _own(chosen: "pa.Table", sheet: Sheet, join: Join, fixed: Mapping[str, str]) -> dict[str, "pa.ChunkedArray"]:
    """Return the columns to keep: not those that say again what is said already, which they may not contradict."""
    kept = {}
    for name in chosen.column_names:
        said = fixed.get(name.casefold())
        if said is not None:
            values = {str(value) for value in chosen[name].to_pylist() if value is not None}
            other = sorted(value for value in values if value.casefold() != said.casefold())
            if other:
                raise TableError(
                    f"The column {name!r} of {sheet.path} says {other[0]!r}, the import says {said!r}. Correct one of "
                    "them, or rename the column if it means something else."
                )
        elif name.casefold() != "tissue_id":
            kept[name] = chosen[name]
        elif name not in join.columns:
            kept[f"original_{name}"] = chosen[name]
    return kept


def _merge(
    columns: MutableMapping[str, "pa.ChunkedArray"], more: Mapping[str, "pa.ChunkedArray"], sheet: Sheet | None
) -> list[Decision]:
    """Add columns to others; one that is there already fills gaps where it agrees, and has a name of its own if not."""
    import pyarrow.compute as pc

    decisions = []
    source = sheet.path.name if sheet is not None else "the names of folders and files"
    for name, column in more.items():
        same = next((other for other in columns if other.casefold() == name.casefold()), None)
        if same is None:
            columns[name] = column
        elif _agree(columns[same], column):
            if columns[same].type == column.type:
                columns[same] = pc.coalesce(columns[same], column)
        else:
            own = free_name(name, {other.casefold() for other in columns})
            columns[own] = column
            says = f"The column {same!r} has other values in {source} than before; those were kept as {own!r}."
            decisions.append(Decision(about="metadata", says=says, warning=True))
    return decisions


def _agree(one: "pa.ChunkedArray", other: "pa.ChunkedArray") -> bool:
    pairs = zip(as_text(one).to_pylist(), as_text(other).to_pylist(), strict=True)
    return all(left == right for left, right in pairs if left is not None and right is not None)
