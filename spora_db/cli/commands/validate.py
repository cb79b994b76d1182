"""``spora-db validate``: is a lake as it should be."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake, MissingChunksOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spora_db.validation import Finding

COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


@app.command()
def validate(
    lake: Lake,
    *,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.", show_default=False)] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every pixel and every row, not only names, columns and some headers.")
    ] = False,
    missing_chunks: MissingChunksOption = "error",
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", help="A table, or JSON.")] = "table",
) -> None:
    """Check every rule of the layout; exit code 1 where there is an error.

    Without --deep all names and tables are checked and the headers of at most 100 images per folder.

    Examples:  spora-db validate my-lake

    spora-db validate my-lake --dataset cohort --deep --format json
    """
    import json
    import sys
    from dataclasses import asdict

    from spora_db.cli.terminal import count_files
    from spora_db.errors import counted
    from spora_db.validation import count
    from spora_db.validation import validate as find

    progress = count_files if deep and sys.stderr.isatty() else None
    findings = find(lake, dataset=dataset, deep=deep, missing_chunks=missing_chunks, progress=progress)
    counts = count(findings)
    if output_format == "json":
        told = {"deep": deep, "counts": counts, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    else:
        _show(findings)
        words = ", ".join(counted(number, name) for name, number in counts.items())
        sys.stdout.write(f"{words}.\n")
    if counts["error"]:
        raise typer.Exit(1)


def _show(findings: "Sequence[Finding]") -> None:
    """Write findings to standard output: a table on a terminal, a line each elsewhere."""
    import sys

    from rich.table import Table
    from rich.text import Text

    from spora_db.cli.terminal import plain_console

    console = plain_console()
    if not sys.stdout.isatty():
        for item in findings:
            place = item.file or item.dataset
            line = f"{item.severity}: {item.rule}: {place}{': ' if place else ''}{item.reason} {item.remedy}"
            console.print(line)
        return
    if not findings:
        return
    table = Table(header_style="bold", show_lines=True)
    for name, ratio in (("severity", 1), ("rule", 2), ("file", 3), ("what was found, and what to do", 6)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for item in findings:
        told = Text(item.reason)
        told.append(f"\n{item.remedy}", style="dim")
        severity = Text(item.severity, style=COLOURS[item.severity])
        table.add_row(severity, item.rule, Text(item.file or item.dataset), told)
    console.print(table)
