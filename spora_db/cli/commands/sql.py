"""``spora-db sql``: ask a lake in SQL, or open a shell."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import FormatOption, OutputOption
from spora_db.errors import ArgumentError, QueryError, SporaError
from spora_db.layout import LAKE_VARIABLE, layers

if TYPE_CHECKING:
    from spora_db.cli.scripts import Script


@app.command()
def sql(
    lake_or_query: Annotated[
        str | None,
        typer.Argument(metavar="LAKE", help=f"The lake; left out, {LAKE_VARIABLE} names it.", show_default=False),
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

    Relations: datasets, tissues, cells, regions, features, images, masks, channels, channels_per_tissue,
    tissue_channels, markers, tile_coordinates, tile_stats, standardization_stats, tiles, and tables of your own.

    Examples:  spora-db sql my-lake "SELECT dataset, modality, count(*) FROM tiles GROUP BY ALL"

    spora-db sql my-lake   (a shell: .help, .tables, Tab completes)

    spora-db sql my-lake --query panel_overlap --output overlap.csv

    spora-db sql my-lake ".schema tissues"   (the shell's commands; also from a file or standard input)

    Columns of one name are told apart in every format: n, n_1.
    """
    from spora_db.asking.answers import answer, explained
    from spora_db.asking.no_rows import warn_of_no_rows
    from spora_db.catalog import Catalog
    from spora_db.cli.forms import chosen_form, say_written, write_answer
    from spora_db.cli.interrupts import interruptible
    from spora_db.cli.named_queries import show_queries
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
                    warn_of_no_rows(catalog, statement.text, rows)
            except SporaError as error:
                raise QueryError(script.failure(statement, error)) from error


def _is_lake(place: str | Path) -> bool:
    return all(root.is_dir() for root in layers(place))


def _lake_and_script(
    first: str | None, second: str | None, file: Path | None, named: str | None
) -> tuple[Path, "Script | None"]:
    """Tell the lake from the statements: from arguments, environment, file or standard input; None means the shell."""
    from spora_db.asking.statements import ScriptStatement, dot_command, pieces
    from spora_db.cli.named_queries import query_text
    from spora_db.cli.scripts import STANDARD_INPUT, Script, read_script

    if sum(given is not None for given in (second, file, named)) > 1:
        raise ArgumentError("Give the SELECT either as an argument, with --file or with --query, not several of them.")
    lake = os.environ.get(LAKE_VARIABLE)
    if second is None and file is None and named is None and first is not None and not _is_lake(first) and lake:
        first, second = lake, first
    if first is None and not lake:
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    place = Path(first or lake or "")
    if second is not None:
        return place, Script(
            statements=tuple(pieces(second)) if dot_command(second) else (ScriptStatement(text=second),)
        )
    if named is not None:
        return place, Script(statements=(ScriptStatement(text=query_text(named)),))
    if file is not None:
        return place, read_script(file)
    if not _is_lake(place) and (" " in str(place) or dot_command(str(place))):
        raise ArgumentError(f'No lake given. Either: spora-db sql LAKE "SELECT ...", or set {LAKE_VARIABLE}.')
    if sys.stdin.isatty():
        return place, None
    return place, read_script(STANDARD_INPUT, hint=f' Example: spora-db sql {shlex.quote(str(place))} "SELECT 1"')
