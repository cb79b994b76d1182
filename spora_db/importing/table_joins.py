"""Which columns of a table name the tissues: one, or several together, such as slide and core."""

import re
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Final

from spora_db.errors import TableError, counted, unknown
from spora_db.importing.decisions import listed
from spora_db.importing.mask_names import without_ending
from spora_db.importing.sheets import Sheet
from spora_db.importing.tissue_ids import AND, Join, TissueName, join_values, keys_of_rows, without_zeros

ID_COLUMNS: Final = (
    "tissueid", "tissue", "image", "imagename", "imageid", "file", "filename", "fov", "fovname", "fovid", "roi",
    "roiname", "roiid", "sample", "sampleid", "samplename", "acquisition", "acquisitionid", "core", "coreid", "slide",
    "slideid", "slidename", "scene", "libraryid", "name", "id", "region", "spot", "specimen", "specimenid", "point",
)  # fmt: skip
"""What the column that names the image is called, in order of preference, where several do; letters only."""
_WITH_OTHERS: Final = (
    "patient", "patientid", "case", "caseid", "subject", "subjectid", "donor", "donorid", "tma", "tmaid", "block",
    "array", "row", "tmarow", "column", "col", "tmacolumn", "position", "plate", "well", "site", "field", "scan",
)  # fmt: skip
"""What columns are called that name the image together with another."""
_MOST_TOGETHER: Final = 3


def word_of(column: str) -> str:
    """Return the name of a column as `ID_COLUMNS` has it.

    Examples
    --------
    >>> word_of("Sample ID"), word_of("image_name")
    ('sampleid', 'imagename')
    """
    return re.sub(r"[^a-z]", "", column.casefold())


def join_sheet(
    sheet: Sheet, names: Sequence[TissueName], *, id_column: str | None, besides: Sequence[str] = ()
) -> Join | None:
    """Find the columns of a table that name tissues, and their values; None where it has none.

    Parameters
    ----------
    sheet
        The table.
    names
        The tissues.
    id_column
        The column, in any case; found where None.
    besides
        Columns that number or measure something else.

    Raises
    ------
    UnknownNameError
        There is no column `id_column`.
    TableError
        Values cannot be told apart.
    """
    if id_column is not None:
        return _joined(sheet, _spelled(sheet, id_column), names)
    columns = [column for column in sheet.names if column not in besides]
    known = {word_of(column): column for column in columns}
    likely = [known[word] for word in ID_COLUMNS if word in known]
    fault: TableError | None = None
    found: Join | None = None
    try:
        found = _best(sheet, likely, names, least=1)
    except TableError as error:
        fault = error
    if found is not None and len(found.tissues) == len(names):
        return found
    together = [column for column in sheet.names if word_of(column) in (*ID_COLUMNS, *_WITH_OTHERS)]
    if (several := _joined_by_several(sheet, together, names)) is not None:
        return several
    if fault is not None:
        raise fault
    return found or _best(sheet, [column for column in columns if column not in likely], names, least=len(names))


def _best(sheet: Sheet, columns: Sequence[str], names: Sequence[TissueName], *, least: int) -> Join | None:
    """Return the join by the first of the columns that name the most tissues, at least some; None if there is none."""
    joins, failed = [], []
    for column in columns:
        try:
            joins.append(_joined(sheet, column, names))
        except TableError as error:
            failed.append(error)
    best = max(joins, key=lambda join: len(join.tissues), default=None)
    if best is not None and len(best.tissues) >= least:
        return best
    if failed and least == 1:
        raise failed[0]
    return None


def _joined_by_several(sheet: Sheet, columns: Sequence[str], names: Sequence[TissueName]) -> Join | None:
    """Return the join by the first columns that name every tissue together, None if there are none.

    They do where the parts of their values, letters and numbers, are those of the tissue's name: ``A`` and ``1`` of
    ``A-1``, ``S1`` and 2 in a column ``roi`` of ``S01_ROI2``.
    """
    tissues = {_parts(without_ending(name.tissue_id)): name.tissue_id for name in names}
    if len(tissues) < len(names) or max(map(len, tissues), default=0) < 2:
        return None
    for together in (some for count in range(2, _MOST_TOGETHER + 1) for some in permutations(columns, count)):
        values = [value for value in keys_of_rows(sheet.table, together).unique().to_pylist() if value is not None]
        found = {
            value: tissues[parts] for value in values for parts in _spelled_out(value, together) if parts in tissues
        }
        if len(found) == len(set(found.values())) == len(names):
            return Join(columns=together, tissues=found, levels=dict.fromkeys(found, "parts"))
    return None


def _spelled_out(value: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the values of several columns, also with the names of the columns before bare numbers."""
    texts = value.split(AND)
    if len(texts) == len(columns):
        yield tuple(part for text in texts for part in _parts(text))
        named = (
            _parts(column)[:1] if text[:1].isdecimal() else () for column, text in zip(columns, texts, strict=True)
        )
        yield tuple(part for name, text in zip(named, texts, strict=True) for part in (*name, *_parts(text)))


def _parts(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a name.

    Examples
    --------
    >>> _parts("S01_ROI-2")
    ('s', '1', 'roi', '2')
    """
    return tuple(re.findall(r"[^\W\d_]+|[0-9]+", without_zeros(text)))


def has_column(sheet: Sheet, name: str | None) -> bool:
    """Tell whether a table has a column of that name, in any case."""
    return name is not None and name.casefold() in {column.casefold() for column in sheet.names}


def _spelled(sheet: Sheet, id_column: str) -> str:
    """Return the column of a table that is called so, in any case."""
    alike = {column.casefold(): column for column in sheet.names}
    if id_column.casefold() not in alike:
        raise unknown("column", id_column, sheet.names, where=str(sheet.path))
    return alike[id_column.casefold()]


def _joined(sheet: Sheet, column: str, names: Sequence[TissueName]) -> Join:
    values = [value for value in keys_of_rows(sheet.table, [column]).unique().to_pylist() if value is not None]
    join = join_values(values, names, what=f"The column {column!r} of {sheet.path}")
    return Join(columns=(column,), tissues=join.tissues, levels=join.levels)


def no_column(sheet: Sheet, names: Sequence[TissueName]) -> TableError:
    """Return the error for a table that names no tissue."""
    return TableError(
        f"{sheet.path} has no column that names the {counted(len(names), 'image')}: "
        f"{listed([name.tissue_id for name in names], most=6)}. It has the columns {listed(sheet.names)}. Name the "
        "column as id_column (--id-column), and write in it ids, file names or paths of the images."
    )
