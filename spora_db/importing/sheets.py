"""Tables of an import, whatever wrote them: delimited text, Excel, parquet, AnnData."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.errors import FileFormatError, need
from spora_db.files.failures import telling
from spora_db.images.zarr_roots import attributes_of
from spora_db.importing.decisions import Decision, Topic, listed
from spora_db.importing.delimited import read_delimited

if TYPE_CHECKING:
    import pyarrow as pa

_UNNAMED: Final = re.compile(r"|unnamed: [0-9]+|\.\.\.[0-9]+|__index_level_[0-9]+__", re.IGNORECASE)
"""What columns without a name are called by pandas, R and Arrow."""
_NOTHING: Final = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "n/a")
ROW_NAME: Final = "row_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of an import.

    Attributes
    ----------
    path
        Its file.
    table
        Every column under a name of its own, whatever the case; texts, but for formats that have types.
    decisions
        What was decided to read it.
    """

    path: Path
    table: "pa.Table"
    decisions: tuple[Decision, ...]

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self.table.column_names)


def read_sheet(path: Path, *, about: Topic) -> Sheet:
    r"""Read a table.

    Parameters
    ----------
    path
        A delimited text (also compressed, ``.gz``), ``.xlsx``, ``.parquet``, ``.h5ad`` or an AnnData store.
    about
        What decisions on it are about.

    Raises
    ------
    FileFormatError
        There is no such file, or it is broken.
    MissingExtraError
        It needs a library that is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text(",image,Age,age\n0,f1,61,62\n1,f2,,63\n")
    ...     sheet = read_sheet(Path(folder) / "a.csv", about="metadata")
    >>> sheet.table.to_pydict()
    {'image': ['f1', 'f2'], 'Age': ['61', None], 'age_2': ['62', '63']}
    """
    suffix = path.suffix.lower()
    if is_anndata(path):
        suffix = ".h5ad"
    if suffix in _NO_TABLES:
        raise FileFormatError(f"{path} cannot be read as a table: {_NO_TABLES[suffix]}")
    if suffix in _READERS:
        if not path.exists():
            raise FileFormatError(f"There is no file {path}. Check the path.")
        names, table, said = _READERS[suffix](path)
    else:
        names, table, said = read_delimited(path)
    table, more = _named(names, _without_blanks(table), path)
    return Sheet(path=path, table=table, decisions=tuple(Decision(about=about, says=says) for says in (*said, *more)))


def is_anndata(path: Path) -> bool:
    """Tell whether a folder is an AnnData store, such as a table of SpatialData."""
    if not path.is_dir() or not any((path / mark).is_file() for mark in ("zarr.json", ".zattrs")):
        return False
    found = attributes_of(path)
    return found is not None and found[0].get("encoding-type") == "anndata"


def _excel(path: Path) -> tuple[list[str], "pa.Table", list[str]]:
    """Read the first sheet of a workbook that holds anything, values as they are shown."""
    import pyarrow as pa

    openpyxl = need("openpyxl", extra="excel", what=f"Reading {path.name}", instead="Or save it as 'CSV UTF-8'.")
    with telling(f"The workbook {path}", library="openpyxl", broken=partial(_broken, path, "a workbook")):
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = [(sheet.title, [list(map(_shown, row)) for row in sheet.iter_rows()]) for sheet in book.worksheets]
        finally:
            book.close()
    filled = [(title, [row for row in rows if any(row)]) for title, rows in sheets if any(map(any, rows))]
    if not filled:
        raise FileFormatError(f"{path} is empty. Expected a header and a row per item.")
    title, rows = filled[0]
    width = max(len(row) for row in rows)
    header, *values = [[*row, *[""] * (width - len(row))] for row in rows]
    columns = [pa.array([row[at] for row in values], pa.string()) for at in range(width)]
    said = []
    if len(filled) > 1:
        others = listed([name for name, _ in filled[1:]])
        said.append(f"Of the sheets of {path.name} the first, {title!r}, was taken. Left out: {others}.")
    return header, pa.table({str(at): column for at, column in enumerate(columns)}), said


def _shown(cell: Any) -> str:  # noqa: ANN401 - a cell of openpyxl
    """Return the text of a cell as Excel shows it: 12 in the format 0000 is 0012."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat(" ")
    form = str(getattr(cell, "number_format", ""))
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch("0+", form):
        return f"{value:0{len(form)}d}"
    return str(value).strip()


def _parquet(path: Path) -> tuple[list[str], "pa.Table", list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with telling(f"The table {path}", library="pyarrow", broken=partial(_broken, path, "parquet")):
        table = pq.read_table(path)
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return table.column_names, pa.table({str(at): column for at, column in enumerate(columns)}), []


def _anndata(path: Path) -> tuple[list[str], "pa.Table", list[str]]:
    """Read the observations of an AnnData file, and beside them its matrix, a column per variable."""
    import numpy as np
    import pyarrow as pa

    anndata = need("anndata", extra="anndata", what=f"Reading {path.name}", instead="Or save its table as CSV.")
    with telling(f"The file {path}", library="anndata", broken=partial(_broken, path, "AnnData")):
        data = anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)
        matrix = data.X.toarray() if hasattr(data.X, "toarray") else data.X
    frame = data.obs.reset_index(names="")
    columns = [pa.Array.from_pandas(frame.iloc[:, at]) for at in range(frame.shape[1])]
    columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in columns]
    names = ["", *map(str, data.obs.columns)]
    if matrix is not None:
        columns += [pa.array(np.ascontiguousarray(matrix[:, at])) for at in range(matrix.shape[1])]
        names += list(map(str, data.var_names))
    left = [*data.obsm.keys(), *data.layers.keys()]
    said = [f"Left out of {path.name}: {listed(left)}."] if left else []
    return names, pa.table({str(at): column for at, column in enumerate(columns)}), said


def _broken(path: Path, kind: str, error: Exception) -> FileFormatError:
    return FileFormatError(f"{path} cannot be read as {kind}: {error}. Write it again, or save it as CSV.")


def _without_blanks(table: "pa.Table") -> "pa.Table":
    """Return a table with texts stripped, nothing for what says so, and without rows of nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.utf8_trim_whitespace(column.cast(pa.string()))
            nothing = pc.is_in(text, pa.array(_NOTHING))
            columns.append(pc.if_else(nothing, pa.scalar(None, pa.string()), text))
        else:
            columns.append(column)
    table = pa.table(columns, names=table.column_names)
    if not len(table):
        return table
    filled = pc.is_valid(columns[0])
    for column in columns[1:]:
        filled = pc.or_(filled, pc.is_valid(column))
    return table.filter(filled)


def _named(names: Sequence[str], table: "pa.Table", path: Path) -> tuple["pa.Table", list[str]]:
    """Give every column a name of its own; one without a name that counts rows, or is empty, is left out."""
    import pyarrow as pa

    said, kept, taken = [], {}, {name.casefold() for name in names}
    seen: dict[str, str] = {}
    for at, name in enumerate(map(str.strip, names)):
        column = table.column(at)
        if _UNNAMED.fullmatch(name):
            if column.null_count == len(column) or _counts_rows(column):
                continue
            own = free_name(ROW_NAME, taken)
            said.append(f"A column of {path.name} without a name was kept as {own!r}.")
        elif name.casefold() in seen:
            own = free_name(name, taken)
            other = seen[name.casefold()]
            how = f"differs from {other!r} in case only and" if other != name else "is there twice; the second"
            said.append(f"The column {name!r} of {path.name} {how} was kept as {own!r}.")
        else:
            own = seen.setdefault(name.casefold(), name)
        taken.add(own.casefold())
        kept[own] = column
    return pa.table(kept), said


def _counts_rows(column: "pa.ChunkedArray") -> bool:
    """Tell whether a column counts rows from 0 or 1."""
    texts = [str(value) for value in column.to_pylist()]
    return any(texts == [str(at) for at in range(first, first + len(texts))] for first in (0, 1))


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name that no column has: with a number where it is taken."""
    used = set(taken)
    own, number = name, 2
    while own.casefold() in used:
        own, number = f"{name}_{number}", number + 1
    return own


_READERS: Final[Mapping[str, Callable[[Path], tuple[list[str], "pa.Table", list[str]]]]] = {
    ".xlsx": _excel,
    ".xlsm": _excel,
    ".parquet": _parquet,
    ".h5ad": _anndata,
}
_NO_TABLES: Final[Mapping[str, str]] = {
    ".xls": "the format of Excel before 2007. Save it in Excel as .xlsx or 'CSV UTF-8'.",
    ".ods": "a spreadsheet of OpenDocument. Save it as .xlsx or CSV.",
    ".rds": "an object of R. Write it in R with write.csv.",
    ".rdata": "objects of R. Write one in R with write.csv.",
    ".fcs": "flow cytometry. Convert it to CSV, for example with flowCore.",
    ".json": "JSON. Write it as CSV.",
}
