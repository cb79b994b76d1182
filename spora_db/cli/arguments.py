"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from spora_db.errors import ArgumentError
from spora_db.layout import LAKE_VARIABLE, MODALITIES, lake_path, layers

Lake = Annotated[
    Path,
    typer.Argument(
        envvar=LAKE_VARIABLE,
        help="The lake: a folder of datasets, or one dataset's folder; or its layers, separated as in PATH.",
        show_default=False,
    ),
]
Into = Annotated[
    Path | None,
    typer.Option(
        "--into",
        help="A folder to write to, as a layer over the lake, which stays as it is; made if it is not there.",
        show_default=False,
    ),
]
# The choices repeat those of the library, whose modules take a second to load; mypy compares them.
MissingChunks: TypeAlias = Literal["error", "zeros", "white"]
MissingChunksOption = Annotated[
    MissingChunks,
    typer.Option(
        "--missing-chunks",
        help="An absent chunk of an image: an error (a partial download), zeros, or the white of a brightfield slide.",
    ),
]
EngineOption = Annotated[Literal["local", "ray"], typer.Option(help="Processes of this machine, or a Ray cluster.")]
Dataset = Annotated[str | None, typer.Option(help="Only this dataset; by default every one that has data at --mpp.")]
Mpp = Annotated[str, typer.Option(help="Resolution in microns per pixel, such as 1.0 or 0.5.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there, once the new files are complete.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Tissues at a time; default: all processors, as far as memory allows.", show_default=False
    ),
]
ShardText = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Do only the I-th of N parts (0/3, 1/3, 2/3) and write no table."),
]
Merge = Annotated[bool, typer.Option("--merge", help="Write the tables from what the shards have done.")]
KeepGoing = Annotated[
    bool,
    typer.Option("--keep-going", help="Write the tables without the tissues that failed; exit code 3 where some did."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]


def with_layer(lake: Path, into: Path | None) -> Path:
    """Return a lake with the layer of --into over it, which is made."""
    if into is None:
        return lake
    from spora_db.files.writing import made_folder

    return lake_path([*layers(lake), made_folder(into)])


def modality_names(*, rgb: bool) -> str:
    """Return the modalities, for help: all, or those with a panel.

    Examples
    --------
    >>> modality_names(rgb=False)
    'imc, codex, cycif or mibi'
    """
    *names, last = [row.name for row in MODALITIES if (rgb or not row.is_rgb) and not row.is_derived]
    return f"{', '.join(names)} or {last}"


def _output_file(path: Path | None) -> Path | None:
    """Return the file of --output, None for standard output."""
    if path is not None and not path.name:
        raise ArgumentError("--output names no file; expected one such as answer.csv, or - for standard output.")
    from spora_db.files.writing import named_file

    return None if path in (None, Path("-")) else named_file(path)


Format: TypeAlias = Literal["table", "csv", "json", "parquet"]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How the answer is written; default: as the name of --output ends, else a table. In csv and json binary "
        "is hex and an interval ISO 8601 (P1DT2H); in csv a list is joined with commas, what is nested deeper is JSON.",
        show_default=False,
    ),
]

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
