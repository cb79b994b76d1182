"""Writing an Arrow table for people or programs."""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from spora_db.errors import ArgumentError

SHOWN_ROWS = 40
LONGEST = 48


def rich_table(table: pa.Table, *, title: str | None = None, rows: int = SHOWN_ROWS, width: int | None = None) -> Table:
    """Return a table for the terminal: numbers to the right, at most `rows` rows and a line that counts the others.

    With a `width` in characters, no cell is broken: long ones are cut, and columns that do not fit are only named.
    """
    drawn = Table(title=title, title_justify="left", header_style="bold", caption_justify="left")
    records = table.slice(0, rows).to_pylist()
    cells = {name: [_cell(record[name]) for record in records] for name in table.column_names}
    shown = table.column_names if width is None else _fitting(cells, width)
    for name in shown:
        kind = table.schema.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        cut = {"overflow": "fold"} if width is None else {"overflow": "ellipsis", "no_wrap": True, "max_width": LONGEST}
        drawn.add_column(name, justify="right" if number else "left", **cut)
    for row in zip(*(cells[name] for name in shown), strict=True):
        drawn.add_row(*row)
    notes = []
    if len(table) > rows:
        notes.append(f"{rows} of {len(table):,} rows; all of them with --format csv")
    if len(shown) < table.num_columns:
        notes.append(f"{len(shown)} of {table.num_columns} columns; also {', '.join(table.column_names[len(shown) :])}")
    drawn.caption = "\n".join(notes) or None
    return drawn


def _fitting(cells: Mapping[str, list[str]], width: int) -> list[str]:
    """Return the first columns that fit side by side, at least one."""
    names: list[str] = []
    used = 1
    for name, texts in cells.items():
        used += min(LONGEST, max(map(len, (name, *texts)))) + 3
        if used > width and names:
            break
        names.append(name)
    return names


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def write_answer(table: pa.Table, form: str, output: Path | None) -> None:
    """Write a table as ``table``, ``csv``, ``json`` or ``parquet``, to a file or to standard output.

    Raises
    ------
    ArgumentError
        If parquet would go to a terminal.
    """
    if form == "table" and output is None:
        console = Console()
        console.print(rich_table(table, width=console.width if console.is_terminal else None))
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
        pyarrow.parquet.write_table(table, buffer)
    elif form == "csv":
        pyarrow.csv.write_csv(_flat(table), buffer)
    elif form == "json":
        buffer.write(json.dumps(table.to_pylist(), default=str, ensure_ascii=False, indent=1).encode() + b"\n")
    else:
        text = io.StringIO()
        Console(file=text, width=160).print(rich_table(table, rows=len(table)))
        buffer.write(text.getvalue().encode())
    return buffer.getvalue()


def _flat(table: pa.Table) -> pa.Table:
    """Turn list columns into text; CSV has no lists."""
    columns = [
        pa.array([None if item is None else ", ".join(map(str, item)) for item in column.to_pylist()], pa.string())
        if pa.types.is_list(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)
