"""``spora-db quarantine``: the rows that training could not read."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.arguments import Lake
from spora_db.cli.explore import Format


def quarantine(
    lake: Lake,
    *,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget them, once the files are repaired: they are tried again.")
    ] = False,
    output_format: Annotated[Format, typer.Option("--format", help="How the rows are written.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
) -> None:
    """List the rows that to_torch(on_error="replace") could not read, and why; leave them out with exclude.

    Examples:  spora-db quarantine my-lake --format csv

    spora-db quarantine my-lake --forget
    """
    from spora_db.catalog import Catalog
    from spora_db.cli.tables import write_answer
    from spora_db.quarantine import forget_quarantine, quarantine_path

    with Catalog(lake) as catalog:
        if forget:
            sys.stdout.write(f"{forget_quarantine(catalog.lake)} rows forgotten\n")
            return
        rows = catalog.quarantine().to_arrow_table()
    if not len(rows) and output_format is Format.table:
        sys.stdout.write(f"no row of {lake} is in quarantine ({quarantine_path(lake)})\n")
        return
    write_answer(rows, output_format.value, output)
