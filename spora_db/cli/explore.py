"""``spora-db info`` and ``spora-db sql``: look at a lake."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.cli.arguments import Lake
from spora_db.errors import ArgumentError, QueryError, SporaError
from spora_db.layout import LAKE_VARIABLE

if TYPE_CHECKING:
    from spora_db.cli.scripts import Script


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How the answer is written; default: as the name of --output ends, else a table. In csv and json binary "
        "is hex and an interval ISO 8601 (P1DT2H); in csv a list is joined with commas, what is nested deeper is JSON.",
        show_default=False,
    ),
]


def _output_file(path: Path | None) -> Path | None:
    """Return the file of --output, None for standard output."""
    if path is not None and not path.name:
        raise ArgumentError("--output names no file; expected one such as answer.csv, or - for standard output.")
    from spora_db.files.writing import named_file

    return None if path in (None, Path("-")) else named_file(path)


OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write to this file, .parquet, .csv or .json; - is standard output.",
        callback=_output_file,
        show_default=False,
    ),
]
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
        "SELECT dataset, spec, mpp, modality, level, count(DISTINCT tissue_id) AS tissues "
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
    from rich.text import Text

    from spora_db.catalog import Catalog
    from spora_db.cli.tables import print_table
    from spora_db.cli.terminal import plain_console

    console = plain_console()
    with Catalog(lake) as catalog:
        for title, text in INVENTORY.items():
            table = catalog.sql(text).to_arrow_table()
            if len(table):
                print_table(console, table, title=title, rows=len(table), more="a wider terminal")
            else:
                console.print(Text.assemble((title, "bold"), f": {EMPTY[title]}"))


def sql(
    lake_or_query: Annotated[
        str | None,
        typer.Argument(metavar="[LAKE]", help=f"The lake; left out, {LAKE_VARIABLE} names it.", show_default=False),
    ] = None,
    query: Annotated[
        str | None,
        typer.Argument(help="A query over the lake's relations, or a command of the shell.", show_default=False),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Read queries from a file, each ended by a semicolon; - is standard input."),
    ] = None,
    named: Annotated[
        str | None, typer.Option("--query", metavar="NAME", help="Run a query that ships with spora-db.")
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option(
            help="Further names for markers, for the macros: parquet or .csv with the columns alias and marker.",
            show_default=False,
        ),
    ] = None,
    list_queries: Annotated[bool, typer.Option("--queries", help="List the queries that ship with spora-db.")] = False,
    output_format: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Answer SQL over the lake's relations; without any, open a shell (or read it from standard input).

    Relations: datasets, tissues, cells, images, masks, channels, channels_per_tissue, tissue_channels, markers,
    tile_coordinates, tile_stats, standardization_stats, tiles.

    Examples:  spora-db sql my-lake "SELECT dataset, count(*) FROM tiles GROUP BY dataset"

    spora-db sql my-lake   (a shell: .help, .tables, Tab completes)

    spora-db sql my-lake --query panel_overlap --output overlap.csv

    spora-db sql my-lake ".schema tissues"   (the shell's commands; also from a file or standard input)

    Columns of one name are told apart in every format: n, n_1.
    """
    from spora_db.catalog import Catalog
    from spora_db.cli.answers import answer, explained
    from spora_db.cli.interrupts import interruptible
    from spora_db.cli.named_queries import show_queries
    from spora_db.cli.tables import chosen_form, say_written, write_answer
    from spora_db.cli.terminal import plain_console

    if list_queries:
        show_queries(plain_console())
        return
    form = chosen_form(output_format, output)
    lake, script = _lake_and_script(lake_or_query, query, file, named)
    with Catalog(lake, aliases=aliases) as catalog:
        if script is None:
            from spora_db.cli.shell import Shell

            Shell(catalog, plain_console()).run()
            return
        if script.commands:
            from spora_db.cli.shell import Shell

            if output is not None or output_format is not None:
                raise ArgumentError(
                    f"{script.commands[0].split()[0]} writes no file and has no --format: they are for answers. "
                    "SHOW TABLES and DESCRIBE RELATION are answers."
                )
            Shell(catalog, plain_console(), timing=False).play(script)
            return
        if output is not None and len(script.statements) > 1:
            raise ArgumentError(f"--output takes one answer, but there are {len(script.statements)} statements.")
        for statement in script.statements:
            try:
                with explained(), interruptible(catalog):
                    rows = answer(catalog, statement.in_place()).to_arrow_table()
                    write_answer(rows, form, output)
                    say_written(rows, output)
            except SporaError as error:
                raise QueryError(script.failure(statement, error)) from error


def _lake_and_script(
    first: str | None, second: str | None, file: Path | None, named: str | None
) -> tuple[Path, "Script | None"]:
    """Tell the lake from the statements: from arguments, environment, file or standard input; None means the shell."""
    from spora_db.cli.named_queries import query_text
    from spora_db.cli.scripts import STANDARD_INPUT, Script, read_script
    from spora_db.cli.statements import Statement, dot_command, pieces

    if sum(given is not None for given in (second, file, named)) > 1:
        raise ArgumentError("Give the SELECT either as an argument, with --file or with --query, not several of them.")
    lake = os.environ.get(LAKE_VARIABLE)
    if second is None and file is None and named is None and first is not None and not Path(first).is_dir() and lake:
        first, second = lake, first
    if first is None and not lake:
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    place = Path(first or lake or "")
    if second is not None:
        return place, Script(statements=tuple(pieces(second)) if dot_command(second) else (Statement(text=second),))
    if named is not None:
        return place, Script(statements=(Statement(text=query_text(named)),))
    if file is not None:
        return place, read_script(file)
    if not place.is_dir() and (" " in str(place) or dot_command(str(place))):
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    if sys.stdin.isatty():
        return place, None
    return place, read_script(STANDARD_INPUT, hint=f' Example: spora-db sql {place} "SELECT 1"')
