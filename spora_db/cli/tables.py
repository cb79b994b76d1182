"""Writing an Arrow table for people or programs."""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spora_db.cli.cells import cell_text, is_list, json_text
from spora_db.cli.terminal import plain_console
from spora_db.errors import ArgumentError

SHOWN_ROWS = 40
LONGEST = 48
FORMS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}
"""What the end of a file's name says that is written into it."""


def print_table(
    console: Console,
    table: pa.Table,
    *,
    title: str | None = None,
    rows: int = SHOWN_ROWS,
    width: int | None = None,
    told: str = "",
) -> None:
    """Write a table for people: numbers to the right, at most `rows` rows, and below what is not shown.

    Parameters
    ----------
    console
        Where to.
    table
        The answer.
    title
        What stands above it.
    rows
        The most rows that are shown; a line counts the others.
    width
        In characters; then no cell is broken: long ones are cut, and columns that do not fit are only named.
    told
        A line below the table.
    """
    drawn = Table(title=title, title_justify="left", header_style="bold")
    cells = {name: _cells(table.column(name).slice(0, rows)) for name in table.column_names}
    shown = table.column_names if width is None else _fitting(cells, width)
    for name in shown:
        kind = table.schema.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        cut = {"overflow": "fold"} if width is None else {"overflow": "ellipsis", "no_wrap": True, "max_width": LONGEST}
        drawn.add_column(Text(name), justify="right" if number else "left", **cut)
    for row in zip(*(cells[name] for name in shown), strict=True):
        drawn.add_row(*map(Text, row))
    console.print(drawn)
    notes = [told] if told else []  # below the table, not its caption: that is wrapped to the table's width
    if len(table) > rows:
        notes.append(f"{rows} of {len(table):,} rows; all of them with --format csv")
    if len(shown) < table.num_columns:
        notes.append(f"{len(shown)} of {table.num_columns} columns; also {', '.join(table.column_names[len(shown) :])}")
    for note in notes:
        console.print(Text(note, style="dim"))


def _fitting(cells: Mapping[str, list[str]], width: int) -> list[str]:
    """Return the first columns that fit side by side, at least one."""
    names: list[str] = []
    used = 1
    for name, texts in cells.items():
        used += min(LONGEST, max(map(cell_len, (name, *texts)))) + 3
        if used > width and names:
            break
        names.append(name)
    return names


def _cells(column: pa.ChunkedArray) -> list[str]:
    return ["" if value is None else _cell(value, column.type) for value in column.to_pylist()]


def _cell(value: object, kind: pa.DataType) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.6g}"
    return cell_text(value, kind)


def chosen_form(form: str | None, output: Path | None) -> str:
    """Return how an answer is written: as asked for, else as the end of the file's name says, else as a table.

    Raises
    ------
    ArgumentError
        If the two contradict each other.

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
    """
    if form == "table" and output is None:
        console = plain_console()
        print_table(console, table, width=console.width if console.is_terminal else None)
        return
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise ArgumentError("Parquet is not for a terminal; add --output answer.parquet.")
    content = _encode(table, form)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        from spora_db.writing import atomic_path

        with atomic_path(output) as partial:
            partial.write_bytes(content)


def _encode(table: pa.Table, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(_as_text(table, _not_in_parquet), buffer)
    elif form == "csv":
        pyarrow.csv.write_csv(_as_text(table, _not_in_csv), buffer)
    elif form == "json":
        buffer.write(_json(table).encode())
    else:
        text = io.StringIO()
        print_table(Console(file=text, width=160), table, rows=len(table))
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
