"""``spora-db info`` and ``spora-db sql``: look at a lake."""

import os
import sys
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
        str | None,
        typer.Argument(metavar="[LAKE]", help=f"The lake; left out, {LAKE_VARIABLE} names it.", show_default=False),
    ] = None,
    query: Annotated[
        str | None, typer.Argument(help="One SELECT over the lake's relations.", show_default=False)
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read SELECTs from a file, each ended by a semicolon.")
    ] = None,
    named: Annotated[
        str | None, typer.Option("--query", metavar="NAME", help="Run a query that ships with spora-db.")
    ] = None,
    list_queries: Annotated[bool, typer.Option("--queries", help="List the queries that ship with spora-db.")] = False,
    output_format: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
) -> None:
    """Answer SELECTs over the lake's relations; without one, open a shell (or read them from standard input).

    Relations: datasets, tissues, cells, images, masks, channels, channels_per_tissue, tissue_channels, markers,
    tile_coordinates, tile_stats, standardization_stats, tiles.

    Examples:  spora-db sql my-lake "SELECT dataset, count(*) FROM tiles GROUP BY dataset"

    spora-db sql my-lake   (a shell: .help, .tables, Tab completes)

    spora-db sql my-lake --query panel_overlap --format csv
    """
    from rich.console import Console

    from spora_db.catalog import Catalog
    from spora_db.cli.shell import Shell, show_queries
    from spora_db.cli.tables import write_answer

    if list_queries:
        show_queries(Console())
        return
    lake, texts = _lake_and_texts(lake_or_query, query, file, named)
    with Catalog(lake) as catalog:
        if texts is None:
            Shell(catalog, Console()).run()
            return
        if output is not None and len(texts) > 1:
            raise ArgumentError(f"--output takes one answer, but there are {len(texts)} statements.")
        for text in texts:
            write_answer(catalog.sql(text).to_arrow_table(), output_format.value, output)


def _lake_and_texts(
    first: str | None, second: str | None, file: Path | None, named: str | None
) -> tuple[Path, list[str] | None]:
    """Tell the lake from the statements: from arguments, environment, file or standard input; None means the shell."""
    if sum(given is not None for given in (second, file, named)) > 1:
        raise ArgumentError("Give the SELECT either as an argument, with --file or with --query, not several of them.")
    lake = os.environ.get(LAKE_VARIABLE)
    if second is None and file is None and named is None and first is not None and not Path(first).is_dir() and lake:
        first, second = lake, first
    if first is None and not lake:
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    place = Path(first or lake or "")
    if second is not None:
        return place, [second]
    if named is not None:
        from spora_db.catalog.sql_files import sql_text

        return place, [sql_text("queries", named)]
    if file is not None:
        if not file.is_file():
            raise ArgumentError(f"--file {file}: no such file.")
        return place, _statements(file.read_text(encoding="utf-8"), f"--file {file}")
    if not place.is_dir() and " " in str(place):
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    if sys.stdin.isatty():
        return place, None
    return place, _statements(sys.stdin.read(), f'standard input. Example: spora-db sql {place} "SELECT 1"')


def _statements(text: str, origin: str) -> list[str]:
    from spora_db.cli.statements import statements

    complete, rest = statements(text)
    found = [*complete, *([rest] if rest else [])]
    if not found:
        raise ArgumentError(f"No query given in {origin}.")
    return found
