"""``spora-db quarantine``: the rows that training could not read."""

import sys
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import FormatOption, Lake, OutputOption


@app.command()
def quarantine(
    lake: Lake,
    *,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget them, once the files are repaired: they are tried again.")
    ] = False,
    output_format: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """List the rows that to_torch(on_error="replace") could not read, and why; leave them out with exclude.

    Examples:  spora-db quarantine my-lake --format csv

    spora-db quarantine my-lake --forget
    """
    from spora_db.catalog import Catalog
    from spora_db.cli.forms import chosen_form, say_written, write_answer
    from spora_db.errors import counted
    from spora_db.remembered.quarantine import forget_quarantine, quarantine_path

    form = chosen_form(output_format, output)
    with Catalog(lake) as catalog:
        if forget:
            sys.stdout.write(f"{counted(forget_quarantine(catalog.lake), 'row')} forgotten\n")
            return
        rows, path = catalog.quarantine().to_arrow_table(), quarantine_path(catalog.lake)
    if form != "table" or output is not None:
        write_answer(rows, form, output)
        say_written(rows, output)
        return
    for row in rows.to_pylist():
        what = next((f" {kind} {row[f'{kind}_id']}" for kind in ("tile", "cell") if row[f"{kind}_id"] is not None), "")
        place = f" at row {row['row']}, column {row['col']}" if what else ""
        sys.stdout.write(f"{row['dataset']}/{row['tissue_id']} ({row['modality']}){what}{place}: {row['error']}\n")
    sys.stdout.write(f"{counted(len(rows), 'row')} of {lake} in quarantine: {path}\n")
