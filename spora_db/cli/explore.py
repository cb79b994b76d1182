"""``spora-db info`` and ``spora-db sql``: look at a lake."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.arguments import LAKE_VARIABLE, Lake
from spora_db.errors import ArgumentError


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


INVENTORY = {
    "Datasets": "SELECT * FROM datasets ORDER BY dataset",
    "Images": (
        "SELECT dataset, modality, mpp, format, count(*) AS images FROM images "
        "GROUP BY ALL ORDER BY dataset, modality, mpp"
    ),
    "Panels": (
        "SELECT dataset, modality, count(*) AS channels, count(*) FILTER (WHERE qc_pass) AS qc_passed, "
        "count(uniprot_id) AS with_uniprot FROM channels GROUP BY ALL ORDER BY dataset, modality"
    ),
    "Tilings": (
        "SELECT dataset, mpp, strategy, tile_size, count(DISTINCT tissue_id) AS tissues, count(*) AS tiles "
        "FROM tile_coordinates GROUP BY ALL ORDER BY ALL"
    ),
    "Standardizations": (
        "SELECT dataset, modality, mpp, spec, level, count(DISTINCT tissue_id) AS tissues "
        "FROM standardization_stats GROUP BY ALL ORDER BY ALL"
    ),
}
EMPTY = {
    "Tilings": "no tiles yet: spora-db tile LAKE --tile-size 224 --mpp 1.0",
    "Standardizations": "no statistics yet: spora-db standardize LAKE --modality imc --mpp 1.0",
    "Panels": "no multiplex panel",
    "Images": "no images",
}


def info(
    lake: Lake,
    *,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Show how every tiling and every table of statistics was made.")
    ] = False,
) -> None:
    """Show what a lake holds: datasets, images, panels, tilings, standardizations.

    Examples:  spora-db info my-lake

    spora-db info my-lake --provenance
    """
    if provenance:
        from spora_db.cli.reporting import show_provenance

        show_provenance(lake)
        return
    from rich.console import Console

    from spora_db.catalog import Catalog
    from spora_db.cli.tables import rich_table

    console = Console()
    with Catalog(lake) as catalog:
        for title, text in INVENTORY.items():
            table = catalog.sql(text).to_arrow_table()
            if len(table):
                console.print(rich_table(table, title=title))
            else:
                console.print(f"[bold]{title}[/bold]: {EMPTY[title]}")


def sql(
    lake_or_query: Annotated[
        str,
        typer.Argument(metavar="[LAKE]", help=f"The lake; left out, {LAKE_VARIABLE} names it.", show_default=False),
    ],
    query: Annotated[
        str | None, typer.Argument(help="One SELECT over the lake's relations.", show_default=False)
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the SELECT from a file.")] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
) -> None:
    """Answer one SELECT over the lake's relations.

    Relations: datasets, tissues, cells, images, masks, channels, channels_per_tissue, tissue_channels, markers,
    tile_coordinates, tile_stats, standardization_stats, tiles.

    Example:  spora-db sql my-lake "SELECT dataset, count(*) FROM tiles GROUP BY dataset"
    """
    from spora_db.catalog import Catalog
    from spora_db.cli.tables import write_answer

    lake, text = _lake_and_query(lake_or_query, query, file)
    with Catalog(lake) as catalog:
        table = catalog.sql(text).to_arrow_table()
    write_answer(table, output_format.value, output)


def _lake_and_query(first: str, second: str | None, file: Path | None) -> tuple[Path, str]:
    """Tell the lake from the query: both are given, or the lake is in the environment, or the query in a file."""
    if file is not None:
        if second is not None:
            raise ArgumentError("Give the SELECT either as an argument or with --file, not both.")
        if not file.is_file():
            raise ArgumentError(f"--file {file}: no such file.")
        return Path(first), file.read_text(encoding="utf-8")
    if second is not None:
        return Path(first), second
    lake = os.environ.get(LAKE_VARIABLE)
    if Path(first).is_dir():
        raise ArgumentError(f'No query given. Example: spora-db sql {first} "SELECT * FROM datasets"')
    if not lake:
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    return Path(lake), first
