"""``spora-db add-table``: a table of your own into a lake."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Into, Lake, Overwrite, with_layer


@app.command("add-table")
def add_table(
    lake: Lake,
    file: Annotated[Path, typer.Argument(help="The table: parquet or .csv.", show_default=False)],
    *,
    name: Annotated[str, typer.Option(help="What SQL calls it.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="The dataset that all rows are of; else a column says it.", show_default=False)
    ] = None,
    into: Into = None,
    overwrite: Overwrite = False,
) -> None:
    """Put a table of your own into a lake: a relation of its name, for SQL, where, select and label.

    Its columns say what a row is about: dataset and tissue_id, with tile_id a tile, with cell_id a cell; each is there
    once. Rows about what the lake does not have are told.

    Examples:  spora-db add-table my-lake labels.csv --name labels

    spora-db add-table my-lake labels.csv --name labels --into my-layer
    """
    import pyarrow.parquet as pq

    from spora_db.errors import OrphanRowsWarning, counted
    from spora_db.jobs.own_tables import add_table as write

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", OrphanRowsWarning)
        path = write(with_layer(lake, into), file, name=name, dataset=dataset, overwrite=overwrite)
    for warning in said:
        sys.stderr.write(f"spora-db: {warning.message}\n")
    rows = pq.read_metadata(path).num_rows
    sys.stdout.write(f"{counted(rows, 'row')}: {path}\n")
