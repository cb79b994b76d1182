"""What commands that take long share: how a run is carried out, shown and ended."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from spora_db.jobs import Progress, Report, Shard

FAILURES_RECORDED = 3
"""Exit code of a run that wrote its tables without the tissues that failed."""


def jobs_or_all(jobs: int | None) -> int:
    """Return how many tissues are at work at a time: as asked for, or one per processor."""
    from spora_db.files.processors import usable_cpus

    return usable_cpus() if jobs is None else jobs


def shard_of(text: str | None) -> "Shard | None":
    """Return the part of a run that ``i/n`` names, None for all of it."""
    from spora_db.jobs import Shard

    return None if text is None else Shard.parse(text)


def progress_shown(*, quiet: bool) -> "Progress":
    """Choose a bar on a terminal, lines elsewhere, nothing when quiet; all on standard error."""
    import sys

    from spora_db.jobs import Bar, Lines, Quiet

    if quiet:
        return Quiet()
    if not sys.stderr.isatty():
        return Lines(sys.stderr)
    from rich.console import Console

    return Bar(Console(stderr=True))


def files_shown(*, quiet: bool) -> Callable[[int, int], None] | None:
    """Return what counts files on a terminal; None elsewhere and when quiet."""
    import sys

    from spora_db.cli.terminal import count_files

    return None if quiet or not sys.stderr.isatty() else count_files


def tell(report: object, *, quiet: bool) -> None:
    """Write a report that says all of itself, unless quiet."""
    import sys

    if not quiet:
        sys.stdout.write(f"{report}\n")


def end(report: "Report", *, quiet: bool) -> None:
    """Say what was done, and leave with an exit code that says whether all of it was."""
    from spora_db.cli.reporting import show_failures, show_report

    if not quiet:
        show_report(report)
    show_failures(report)
    if not report.written and any(part.state == "failed" or part.failures for part in report.datasets):
        raise typer.Exit(1)
    if report.failures:
        raise typer.Exit(FAILURES_RECORDED)
