"""Delimited texts of an import, in any common encoding, as programs and spreadsheets write them."""

import codecs
import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spora_db.errors import FileFormatError
from spora_db.importing.decisions import listed

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS: Final = ",;\t"
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WIDE: Final = (["utf-16-le"], ["utf-16-be"])
_SAVE: Final = "Save it as 'CSV UTF-8'."
_SEP: Final = re.compile(r'"?sep=(.)"?\s*?\r?\n', re.IGNORECASE)
_QUOTED: Final = re.compile(r'"[^"]*"( "[^"]*")+\s*')
_COMMA: Final = r"^\s*[+-]?[0-9]+(,[0-9]+)?\s*$"
_HEAD: Final = 2**20


def read_delimited(path: Path) -> tuple[list[str], "pa.Table", list[str]]:
    r"""Read a delimited text: the names in its header, its values as texts by position, and what was decided.

    Raises
    ------
    FileFormatError
        There is no such file, it is empty or no text, or a row has another number of values than the header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_bytes("Größe;n\n1,5;007\n".encode("latin-1"))
    ...     read_delimited(Path(folder) / "a.csv")[0]
    ['Größe', 'n']
    """
    import pyarrow as pa

    data, encoding = _utf8(path)
    head = data[:_HEAD].decode("utf-8", errors="ignore")
    sep = _SEP.match(head)
    if sep is not None:
        data, head = data[len(sep[0].encode()) :], head[sep.end() :]
    first = next((line for line in io.StringIO(head) if line.strip()), "")
    delimiter = sep[1] if sep is not None else max(_DELIMITERS, key=first.count)
    if not first.count(delimiter) and _QUOTED.fullmatch(first):
        delimiter = " "  # as R's write.table does unless told otherwise
    header, second, lines = _head(path, head, delimiter)
    if len(second) == len(header) + 1:  # R leaves out the name of the column of row names
        header = ["", *header]
    said = [] if encoding.startswith("utf-8") else [f"{path.name} was read as {encoding}, as it is no UTF-8."]
    if not second:
        return header, pa.table({str(at): pa.array([], pa.string()) for at in range(len(header))}), said
    table = _values(path, data, header, delimiter, lines)
    if delimiter == ";":
        table, points = _with_points(table, header)
        said += [f"Decimal commas of {path.name} were read as points: {listed(points)}."] if points else []
    return header, table, said


def _with_points(table: "pa.Table", header: list[str]) -> tuple["pa.Table", list[str]]:
    """Return a table with decimal points for the commas that stand where semicolons separate, and the columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found, columns = [], []
    for name, column in zip(header, table.columns, strict=True):
        values = column.drop_null()
        if (
            len(values)
            and pc.any(pc.match_substring(values, ",")).as_py()
            and pc.all(pc.match_substring_regex(values, _COMMA)).as_py()
        ):
            found.append(name)
            columns.append(pc.replace_substring(column, ",", "."))
        else:
            columns.append(column)
    return pa.table(columns, names=table.column_names), found


def _utf8(path: Path) -> tuple[bytes, str]:
    """Return a file's text in UTF-8, and the encoding that it was taken to have."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise FileFormatError(f"There is no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise FileFormatError(f"{path} is a folder. Expected a table.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path} cannot be read: {error}. {_SAVE}") from error
    if data.startswith(b"PK\x03\x04"):
        raise FileFormatError(f"{path} is a zip archive, no CSV. If it is a workbook of Excel, name it .xlsx.")
    mark, encoding = next((pair for pair in _MARKS if data.startswith(pair[0])), (b"", ""))
    if encoding == "utf-8-sig" or (not encoding and b"\0" not in data[:4096] and _is_utf8(data)):
        return data[len(mark) :], encoding or "utf-8"
    wide = data[1:4096:2].count(0), data[:4096:2].count(0)
    encodings = [encoding] if encoding else ["cp1252", "latin-1"] if not any(wide) else _WIDE[wide[0] < wide[1]]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.encode("utf-8"), encoding
    raise FileFormatError(f"{path} is no CSV: it holds bytes that are no text. {_SAVE}")


def _is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8, in pieces: a text of them all would need as much memory again."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _HEAD):
            decoder.decode(data[start : start + _HEAD], final=start + _HEAD >= len(data))
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _head(path: Path, text: str, delimiter: str) -> tuple[list[str], list[str], int]:
    """Return the header, the first row below it, and after how many lines the header ends."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next((row for row in rows if any(map(str.strip, row))), [])
        lines = rows.line_num
        second = next((row for row in rows if any(map(str.strip, row))), [])
    except csv.Error as error:
        raise FileFormatError(f"{path} cannot be read as CSV: {error}. {_SAVE}") from error
    if not header:
        raise FileFormatError(f"{path} is empty. Expected a header and a row per item.")
    return [name.strip() for name in header], second, lines


def _values(path: Path, data: bytes, header: list[str], delimiter: str, lines: int) -> "pa.Table":
    """Return what stands below the header, as texts; columns are named by position."""
    import pyarrow as pa
    import pyarrow.csv

    names = [str(at) for at in range(len(header))]
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=lines),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        raise _ragged(path, data.decode("utf-8"), header, delimiter, error) from error


def _ragged(path: Path, text: str, header: list[str], delimiter: str, error: Exception) -> FileFormatError:
    """Return the error for rows that cannot be read: it names the first that has another number of values."""
    with_values = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row))
    try:
        for number, row in enumerate(with_values, start=1):
            if number > 1 and len(row) != len(header):
                return FileFormatError(
                    f"Row {number} of {path} has {len(row)} values, the header has {len(header)}. Quote values that "
                    "contain the delimiter."
                )
    except csv.Error:
        pass
    return FileFormatError(f"{path} cannot be read as CSV: {error}. {_SAVE}")
