"""CSV files of an import: UTF-8, delimited by comma, semicolon or tab, with a header."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from spora_db.errors import FileFormatError

_DELIMITERS = ",;\t"


def read_header(path: Path) -> tuple[list[str], str]:
    """Read the first line of a CSV: the names of its columns, and its delimiter.

    Raises
    ------
    FileFormatError
        There is no such file, it is empty or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(2**20)
    except FileNotFoundError as error:
        raise FileFormatError(f"There is no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise FileFormatError(f"{path} is a folder. Expected a CSV file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as CSV in UTF-8: {error}. Save it as 'CSV UTF-8'.") from error
    if "\0" in first:
        raise FileFormatError(f"{path} is no CSV: its first line holds bytes that are no text. Save it as 'CSV UTF-8'.")
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(_parsed(path, [first], delimiter), [])
    if not any(names):
        raise FileFormatError(f"{path} is empty. Expected a header and a row per item.")
    return [name.strip() for name in names], delimiter


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read a CSV of text values, delimited by comma, semicolon or tab, whichever its first line has most of.

    Raises
    ------
    FileFormatError
        There is no such file, it is empty, not UTF-8, or a row has another number of values than the header.
    """
    header, delimiter = read_header(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as CSV in UTF-8: {error}. Save it as 'CSV UTF-8'.") from error
    rows = [[value.strip() for value in row] for row in _parsed(path, io.StringIO(text, newline=""), delimiter)]
    rows = [row for row in rows if any(row)]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise FileFormatError(
                f"Row {number} of {path} has {len(row)} values, the header has {len(header)}. Quote values that "
                "contain the delimiter."
            )
    return header, rows[1:]


def _parsed(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV."""
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error as error:
        raise FileFormatError(f"{path} cannot be read as CSV: {error}. Save it as 'CSV UTF-8'.") from error
