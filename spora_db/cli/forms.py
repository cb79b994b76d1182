"""Writing an Arrow table to a file or to standard output, in one of four forms."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from spora_db.asking.cells import cell_text, is_list, json_text
from spora_db.cli.tables import print_table
from spora_db.cli.terminal import plain_console
from spora_db.errors import ArgumentError, counted

FORMS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}
"""What the end of a file's name says that is written into it."""


def chosen_form(form: str | None, output: Path | None) -> str:
    """Return how an answer is written: as asked for, else as the end of the file's name says, a table without a file.

    Raises
    ------
    ArgumentError
        If the two contradict each other, or neither says it.

    Examples
    --------
    >>> chosen_form(None, Path("tiles.parquet")), chosen_form("csv", Path("tiles.txt")), chosen_form(None, None)
    ('parquet', 'csv', 'table')
    """
    named = FORMS.get(output.suffix.lower()) if output else None
    if form is not None and named not in (None, form):
        raise ArgumentError(
            f"--output {output} is the name of a {named} file, but --format is {form}. "
            "Leave --format out, or end the name otherwise."
        )
    if form is None and named is None and output is not None:
        raise ArgumentError(
            f"--output {output}: the name must end with {', '.join(FORMS)}. With --format it may end otherwise."
        )
    return form or named or "table"


def write_answer(table: pa.Table, form: str, output: Path | None) -> None:
    """Write a table as ``table``, ``csv``, ``json`` or ``parquet``, to a file or to standard output.

    Parameters
    ----------
    table
        The answer, every column of another name.
    form
        In CSV and JSON binary is hex and an interval ISO 8601; in CSV a list is joined with commas and what is nested
        deeper is JSON; JSON has exact numbers and null for NaN. Parquet has neither intervals nor unions: a column
        with them is text, as in CSV.
    output
        The file, which appears whole or not at all; None for standard output.

    Raises
    ------
    ArgumentError
        If parquet would go to a terminal.
    WriteError
        If the file's folder is not there, or the file cannot be written.
    """
    if form == "table" and output is None:
        print_table(plain_console(), table, more="--format csv")
        return
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise ArgumentError("Parquet is not for a terminal; add --output answer.parquet.")
    content = encoded(table, form)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        from spora_db.files.writing import atomic_path, named_file

        with atomic_path(named_file(output)) as partial:
            partial.write_bytes(content)


def say_written(table: pa.Table, output: Path | None) -> None:
    """Say on a terminal what was written to a file; scripts, which know it, read nothing."""
    if output is not None and sys.stdout.isatty():
        sys.stdout.write(f"{told_of(table, output)}\n")


def told_of(table: pa.Table, output: Path) -> str:
    """Return what was written where, in words.

    Examples
    --------
    >>> told_of(pa.table({"n": [1, 2]}), Path("answer.csv"))
    '2 rows written to answer.csv'
    """
    return f"{counted(len(table), 'row')} written to {output}"


def encoded(table: pa.Table, form: str) -> bytes:
    """Return a table as `write_answer` writes it to a file."""
    buffer = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(_as_text(table, _not_in_parquet), buffer)
    elif form == "csv":
        pyarrow.csv.write_csv(_as_text(table, _not_in_csv), buffer)
    elif form == "json":
        buffer.write(_json(table).encode())
    else:
        text = io.StringIO()
        print_table(plain_console(text), table, rows=len(table))
        buffer.write(text.getvalue().encode())
    return buffer.getvalue()


def _json(table: pa.Table) -> str:
    """Return the rows as a list of objects, an object per line."""
    kind = pa.struct(list(table.schema))
    return "[" + ",".join(f"\n {json_text(row, kind)}" for row in table.to_pylist()) + "\n]\n"


def _as_text(table: pa.Table, absent: Callable[[pa.DataType], bool]) -> pa.Table:
    """Turn the columns of types that a format has not into text."""
    columns = [_text_column(column) if absent(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _text_column(column: pa.ChunkedArray) -> pa.Array:
    texts = [None if value is None else cell_text(value, column.type) for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _not_in_csv(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_interval(kind) or pa.types.is_binary(kind))


def _not_in_parquet(kind: pa.DataType) -> bool:
    if pa.types.is_interval(kind) or pa.types.is_union(kind):
        return True
    if pa.types.is_map(kind):
        return _not_in_parquet(kind.key_type) or _not_in_parquet(kind.item_type)
    if is_list(kind):
        return _not_in_parquet(kind.value_type)
    return pa.types.is_struct(kind) and any(_not_in_parquet(field.type) for field in kind)
