"""What a parquet file says about itself, and which of its columns mean something.

pandas leaves its index in files: as a column of the index's name, as ``__index_level_0__``, and, after ``reset_index``,
as ``index`` or ``level_0`` of whole numbers or texts. Only the key of a table is ever looked for there; other index
columns are dropped.
"""

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from spora_db.errors import FileFormatError, SporaError, TableError, reason
from spora_db.files.failures import NO_DESCRIPTOR, PARQUET_FAILURES, reader_error
from spora_db.files.stamps import Stamp, stamp
from spora_db.files.stores.remote_files import again, fetch_whole
from spora_db.layout import Lake, TableFile
from spora_db.layout.lake import TableKind
from spora_db.sources.duckdb_types import duckdb_type
from spora_db.sources.reconcile import FLOATS
from spora_db.sqltext.names import fold, positions

FOOTERS_KEPT = 4096
_NAMED_INDEX = re.compile(r"index|level_[0-9]+")
_UNNAMED_INDEX = re.compile(r"__index_level_[0-9]+__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """The top-level columns of one file: names, DuckDB types; and its number of rows.

    ``without_nulls`` has the columns of modalities that are known to hold no null; of others nobody asks.
    """

    table: TableFile
    names: tuple[str, ...]
    types: tuple[str, ...]
    without_nulls: frozenset[int]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """One meaningful column of a file: its position, its name and type there, and the name it has in the relation."""

    position: int
    file_name: str
    type: str
    name: str


def whole_tables(lake: Lake, kind: TableKind) -> tuple[TableFile, ...]:
    """Return every table of one kind, in dataset order; of remote lakes they are fetched, many at once."""
    tables = lake.tables(kind)
    fetch_whole(table.path for table in tables)
    return tables


def read_footer(table: TableFile) -> Footer:
    """Read the footer of one parquet file.

    Raises
    ------
    FileFormatError
        If the file cannot be opened or is no parquet file.
    """
    fetch_whole([table.path])
    try:
        current = stamp(table.path)
    except OSError as error:
        message = f"{table.path} cannot be read: {reason(error)}. Download or write the file again."
        raise FileFormatError(message) from error
    return _read_footer(table, current)


@lru_cache(maxsize=FOOTERS_KEPT)
def _read_footer(table: TableFile, _stamp: Stamp) -> Footer:
    """Read a footer once for as long as the file stays as it is: every query of a process asks for the same ones."""
    try:
        with pq.ParquetFile(table.path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            leaves = (metadata.schema.column(at) for at in range(metadata.num_columns))
            types = tuple(duckdb_type(kind, leaves) for kind in schema.types)
            flat = metadata.num_columns == len(schema.names)
            names = tuple(schema.names)
            without_nulls = {
                column
                for column, name in enumerate(names)
                if flat and fold(name) == "modality" and _has_no_null(metadata, column)
            }
            rows = metadata.num_rows
    except PARQUET_FAILURES as error:
        raise broken_parquet(table.path, reason(error)) from error
    return Footer(table=table, names=names, types=types, without_nulls=frozenset(without_nulls), rows=rows)


def broken_parquet(files: Path | str, said: str) -> SporaError:
    """Return the error for a parquet file that cannot be read, with what its reader said.

    An encrypted one is whole, and so is one for which there is no descriptor.

    Examples
    --------
    >>> print(broken_parquet("a.parquet", "Could not read encrypted metadata, no decryption found"))
    a.parquet is encrypted, and spora-db has no key. Write it again without encryption.
    """
    if "encrypt" in said.lower():
        return FileFormatError(f"{files} is encrypted, and spora-db has no key. Write it again without encryption.")
    for number in NO_DESCRIPTOR:
        if os.strerror(number) in said:  # DuckDB's errors have no number
            return reader_error(f"The table {files}", OSError(number, os.strerror(number)), library="pyarrow")
    return FileFormatError(f"{files} cannot be read as parquet: {said}. {again(files)}")


def _has_no_null(metadata: pq.FileMetaData, column: int) -> bool:
    groups = range(metadata.num_row_groups)
    known = (metadata.row_group(group).column(column).statistics for group in groups)
    return all(item is not None and item.has_null_count and item.null_count == 0 for item in known)


def is_unique(table: TableFile, position: int) -> bool:
    """Tell whether a column of a file has another value in every row.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    try:
        return _is_unique(table.path, position, stamp(table.path))
    except (OSError, *PARQUET_FAILURES) as error:
        raise broken_parquet(table.path, reason(error)) from error


@lru_cache(maxsize=FOOTERS_KEPT)
def _is_unique(path: Path, position: int, _stamp: Stamp) -> bool:
    with pq.ParquetFile(path) as file:
        column = file.read(columns=[file.schema_arrow.names[position]]).column(0)
    return column.null_count == 0 and len(column.unique()) == len(column)


def is_stray(name: str, found: str) -> bool:
    """Tell whether a column of a type is an index that pandas left behind; ``Unnamed: 0`` is a column of its own.

    Fractions and truth values are what was measured: of a channel, or by an index of proliferation.

    Examples
    --------
    >>> is_stray("index", "BIGINT"), is_stray("index", "DOUBLE")
    (True, False)
    """
    named = _NAMED_INDEX.fullmatch(name) is not None and found not in {"BOOLEAN", *FLOATS}
    return named or _UNNAMED_INDEX.fullmatch(name) is not None


def layout_positions(footer: Footer, names: Iterable[str]) -> dict[str, int]:
    """Return where columns of the layout are: spelled exactly, wherever that one stands, else in another case.

    Raises
    ------
    TableError
        If several columns have the exact name, or none has and several have it in another case.
    """
    found = {}
    for name in names:
        chosen = positions(name, footer.names)
        if len(chosen) > 1:
            listed = ", ".join(repr(footer.names[at]) for at in chosen)
            message = f"{footer.table.path} has several columns that may be {name!r}: {listed}. Rename all but one."
            raise TableError(message)
        if chosen:
            found[name] = chosen[0]
    return found


def key_position(footer: Footer, key: str) -> int:
    """Return the position of a table's key: a column of that name, else the last unnamed pandas index if it is text.

    Raises
    ------
    TableError
        If the file has neither, or if several columns are meant.
    """
    named = layout_positions(footer, [key])
    if named:
        return named[key]
    for position in reversed(range(len(footer.names))):
        if _UNNAMED_INDEX.fullmatch(footer.names[position]) and footer.types[position] == "VARCHAR":
            return position
    shown = ", ".join(footer.names[:20]) + (", ..." if len(footer.names) > 20 else "")
    message = (
        f"{footer.table.path} has no column {key!r}, and no text index in its place. It has: {shown or 'no columns'}."
    )
    raise TableError(message)


def file_columns(
    footer: Footer, *, key: str | None, layout: Collection[str], place: Iterable[str], taken: Iterable[str],
    computed: Iterable[str] = (),
) -> list[FileColumn]:  # fmt: skip
    """List the columns of a file that mean something, under the names they have in the relation.

    Left out are stray index columns and columns that the file's place in the tree already answers (`place`). Columns of
    the layout are those of `layout_positions`. Of other names that differ in case only, the first keeps its name and
    later ones get ``_2``, ``_3``, ... (the first free), and so does one that is called as a `computed` column. A column
    without a name is called ``column_<position>``.

    Parameters
    ----------
    footer
        The file.
    key
        The column that identifies a row, which may hide in a pandas index; None where there is none.
    layout
        The columns that every file of the relation may have, the key among them.
    place
        Columns taken from the path, or from the order of rows: a column of that name in the file is not used.
    taken
        Folded names of the columns of all files of the relation.
    computed
        Names of columns that the relation has from elsewhere.
    """
    skipped = {fold(name) for name in place}
    genuine = set(taken)
    meant = layout_positions(footer, [name for name in layout if name != key])
    names = {at: name for name, at in meant.items()}
    if key is not None:
        names[key_position(footer, key)] = key
    used = {*names.values(), *computed}
    columns: list[FileColumn] = []
    for position, (file_name, type_name) in enumerate(zip(footer.names, footer.types, strict=True)):
        name = names.get(position, "")
        if not name and (fold(file_name) in skipped or is_stray(file_name, type_name)):
            continue
        if not name:
            spelled = file_name or f"column_{position}"
            name, count = spelled, 2
            while fold(name) in used or (name != file_name and fold(name) in genuine):
                name, count = f"{spelled}_{count}", count + 1
        used.add(fold(name))
        columns.append(FileColumn(position=position, file_name=file_name, type=type_name, name=name))
    return columns


def aliased(footer: Footer, read: Iterable[FileColumn]) -> int:
    """Return how many columns of a file are called by their position: to the last that is read, as each costs time.

    Those behind keep their names, unless one would be called as one of these.
    """
    count = 1 + max((column.position for column in read), default=-1)
    called = {f"c{at}" for at in range(count)}
    return count if called.isdisjoint(map(fold, footer.names[count:])) else len(footer.names)


def verify_pages(path: Path) -> None:
    """Read a file once, comparing every page that has a checksum with it: DuckDB does not (2.0).

    Raises
    ------
    FileFormatError
        If a page is not what was written.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except PARQUET_FAILURES as error:
        raise broken_parquet(path, reason(error)) from error
