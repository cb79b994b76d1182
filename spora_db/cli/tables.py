"""Showing an Arrow table to people."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spora_db.asking.cells import shown_text
from spora_db.cli.terminal import ENDLESS
from spora_db.files.arrow_arrays import is_number

SHOWN_ROWS = 40
LONGEST = 48


def print_table(
    console: Console,
    table: pa.Table,
    *,
    title: str | None = None,
    rows: int = SHOWN_ROWS,
    fold: bool = False,
    told: str = "",
    more: str = "",
) -> None:
    """Write a table for people: numbers to the right, at most `rows` rows, and below what is not shown.

    On a terminal no cell is broken: long ones are cut, and columns that do not fit, in the middle, are only named.
    Elsewhere everything stands on the one line of its row.

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
    fold
        Break long cells into several lines instead, and leave no column out.
    told
        A line below the table.
    more
        What shows the rest, such as ``--format csv``.
    """
    drawn = Table(title=title, title_justify="left", header_style="bold")
    longest = None if fold or console.width >= ENDLESS else LONGEST
    cells = {name: _cells(table.column(name).slice(0, rows)) for name in table.column_names}
    first, last = (table.column_names, []) if longest is None else _fitting(cells, console.width)
    for name in first:
        _add_column(drawn, table.schema.field(name), longest=longest, fold=fold)
    if hidden := table.column_names[len(first) : table.num_columns - len(last)]:
        drawn.add_column("…")
    for name in last:
        _add_column(drawn, table.schema.field(name), longest=longest, fold=fold)
    gap = [[Text("…")] * min(rows, len(table))] if hidden else []
    for row in zip(*(cells[name] for name in first), *gap, *(cells[name] for name in last), strict=True):
        drawn.add_row(*row)
    console.print(drawn)
    notes = [told] if told else []  # below the table, not its caption: that is wrapped to the table's width
    way = f"; {more} shows all" if more else ""
    if len(table) > rows:
        notes.append(f"{rows} of {len(table):,} rows{way}")
    if hidden:
        notes.append(f"{len(first) + len(last)} of {table.num_columns} columns{way}; also {', '.join(hidden)}")
    for note in notes:
        console.print(Text(note, style="dim"))


def print_lines(console: Console, table: pa.Table, *, told: str = "") -> None:
    """Write a table for people with a line for every value, ``column = value``, and an empty line between rows."""
    width = max(map(cell_len, table.column_names))
    columns = [_cells(column) for column in table.columns]
    for row in zip(*columns, strict=True):
        for name, cell in zip(table.column_names, row, strict=True):
            label = Text(" " * (width - cell_len(name)) + f"{name} = ")
            console.print(label + cell, soft_wrap=True)
        console.print()
    if told:
        console.print(Text(told, style="dim"))


def _fitting(cells: Mapping[str, list[Text]], width: int) -> tuple[list[str], list[str]]:
    """Return the first and the last columns that fit side by side, at least one; all are first if all fit."""
    names = list(cells)
    needed = [
        min(LONGEST, max(map(cell_len, (name, *(text.plain for text in texts))))) + 3 for name, texts in cells.items()
    ]
    if 1 + sum(needed) <= width or len(names) == 1:
        return names, []
    left, right = 1, 0
    room = width - 1 - needed[0] - 4  # the column of dots
    while (from_left := needed[left] <= room) | (from_right := needed[-right - 1] <= room):
        if from_right and (right < left or not from_left):
            right += 1
            room -= needed[-right]
        else:
            room -= needed[left]
            left += 1
    return names[:left], names[len(names) - right :]


def _add_column(drawn: Table, field: pa.Field, *, longest: int | None, fold: bool) -> None:
    drawn.add_column(
        Text(field.name),
        justify="right" if is_number(field.type) else "left",
        overflow="fold" if fold else "ellipsis",
        no_wrap=not fold,
        max_width=longest,
    )


def _cells(column: pa.ChunkedArray) -> list[Text]:
    return [Text(shown_text(value, column.type), style="dim" if value is None else "") for value in column.to_pylist()]
