"""``spora-db diff``: what differs between two locks, or between a lock and the lake as it is now."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.errors import ArgumentError, SporaError


@app.command()
def diff(
    lock: Annotated[Path, typer.Argument(metavar="LOCK", help="A lock, as query.lock(path) writes it.")],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="Another lock; left out, the lake as it is now.", show_default=False),
    ] = None,
    *,
    lake: Annotated[
        Path | None, typer.Option(help="Where the lake is now, if it was moved.", show_default=False)
    ] = None,
) -> None:
    """Tell what differs between two locks, or between a lock and its lake: choices, files, rows, plan.

    Exit code 0 where nothing differs, 1 where something does, 2 where it cannot be told.

    Examples:  spora-db diff old.lock.json new.lock.json

    spora-db diff cohort.lock.json --lake /data/moved-lake
    """
    from spora_db.cli.terminal import error_text
    from spora_db.lock.difference import compare
    from spora_db.lock.lockfile import read_lock
    from spora_db.lock.locking import check_lock

    if other is not None and lake is not None:
        raise ArgumentError("--lake is for comparing one lock with the lake; two locks are compared with each other.")
    try:
        first = read_lock(lock)
        found = check_lock(first, lake=lake) if other is None else compare(first, read_lock(other))
    except SporaError as error:
        sys.stderr.write(error_text(f"spora-db: {error}") + "\n")
        raise typer.Exit(2) from error
    sys.stdout.write(f"{found}\n")
    if found:
        raise typer.Exit(1)
