"""Tells what a run over a lake did: a table on a terminal, a line per dataset elsewhere, failures on standard error."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from spora_db.cli.terminal import plain_console

if TYPE_CHECKING:
    from spora_db.jobs import DatasetReport, Report

SHOWN_FAILURES = 20
BELOW = {"slowest": "slowest", "files": "file"}
"""What stands below the table, by column: names and paths, which would be broken into pieces in a narrow one."""


def show_report(report: "Report") -> None:
    """Write what became of every dataset to standard output."""
    rows = [_row(part) for part in report.datasets]
    names = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    console = plain_console()
    if sys.stdout.isatty():
        told = [name for name in names if name not in BELOW]
        table = Table(header_style="bold")
        for name in told:
            table.add_column(name, justify="right" if name in ("tissues", "tiles") else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(row[name]) for name in told))
        console.print(table)
        for row in rows:
            for name in BELOW:
                if row[name]:
                    console.print(f"{row['dataset']}, {BELOW[name]}: {row[name]}", soft_wrap=True)
    else:
        for row in rows:
            rest = ", ".join(f"{name} {row[name]}" for name in names if name not in ("dataset", "state") and row[name])
            console.print(f"{row['dataset']}: {row['state']}, {rest}")
    for name, reason in report.skipped.items():
        console.print(f"{name}: left out, {reason}")
    for part in report.datasets:
        if part.note:
            console.print(f"{part.dataset}: {part.note}")


def _row(part: "DatasetReport") -> dict[str, str]:
    summary, slowest = part.summary, part.slowest
    coverage = f"{summary['coverage_mean']:.3f} ± {summary['coverage_sd']:.3f}" if "coverage_mean" in summary else ""
    return {
        "dataset": part.dataset,
        "state": part.state,
        "tissues": str(part.tissues) if part.tissues else "",
        "failed": str(len(part.failures)) if part.failures else "",
        "tiles": str(summary["tiles"]) if "tiles" in summary else "",
        "coverage": coverage,
        "channels": str(summary["channels"]) if "channels" in summary else "",
        "slowest": f"{slowest.tissue_id} ({slowest.seconds:.2f} s)" if slowest else "",
        "files": " ".join(str(path) for path in part.files[-1:]) if part.state == "written" else "",
    }


def show_failures(report: "Report") -> None:
    """Write the tissues without a result and why to standard error."""
    failures = report.failures
    for (dataset, tissue), reason in list(failures.items())[:SHOWN_FAILURES]:
        sys.stderr.write(f"spora-db: {dataset}{'/' if tissue else ''}{tissue} failed: {reason}\n")
    if len(failures) > SHOWN_FAILURES:
        sys.stderr.write(f"spora-db: and {len(failures) - SHOWN_FAILURES} more failures\n")


def show_provenance(lake: Path) -> None:
    """Write to standard output how every tiling and every table of statistics of a lake was made."""
    from spora_db.files.parquet import read_provenance
    from spora_db.layout import scan

    console = plain_console()
    scanned = scan(lake)
    tables = [*scanned.tables("tile_coordinates"), *scanned.tables("statistics")]
    for table in sorted(tables, key=lambda table: table.path):
        record = read_provenance(table.path)
        console.print(scanned.relative(table.path), style="bold")
        if record is None:
            console.print("  not recorded: another program wrote this file")
        for name, value in _flat(record or {}):
            console.print(f"  {name}: {value}")
    if not tables:
        console.print("no tiling and no statistics yet")


def _flat(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entries of a record, those of ``parameters`` among them, as text."""
    parameters = record.get("parameters")
    inner = parameters if isinstance(parameters, dict) else {}
    entries = {**{name: value for name, value in record.items() if name != "parameters"}, **inner}
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in entries.items()]
