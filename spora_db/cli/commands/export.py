"""``spora-db export``: rows of a lake as shards that other loaders read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake, MissingChunksOption, QuietOption
from spora_db.cli.chosen import (
    AskedRows,
    LimitOption,
    LockOption,
    ModalityOption,
    MppOption,
    SqlOption,
    StandardizeOption,
    TileSizeOption,
    WhereOption,
)


@app.command()
def export(
    lake: Lake,
    folder: Annotated[
        Path, typer.Argument(help="Where to: a folder that is not there yet, or this export, unfinished.")
    ],
    *,
    output_format: Annotated[
        Literal["webdataset", "mds", "litdata", "zarr"],
        typer.Option("--format", help="As which loader reads it.", show_default=False),
    ],
    lock: LockOption = None,
    sql: SqlOption = None,
    where: WhereOption = None,
    modality: ModalityOption = None,
    tile_size: TileSizeOption = None,
    mpp: MppOption = None,
    standardize: StandardizeOption = None,
    limit: LimitOption = None,
    shard_bytes: Annotated[int, typer.Option(min=1, help="Bytes of the pixels in a shard, at most.")] = 2**26,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that read and write; 0: this one.")] = 0,
    pixels: Annotated[
        Literal["standardized", "raw"], typer.Option(help="As the query standardizes them, or as in the files.")
    ] = "standardized",
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="The type of standardized pixels.")] = "float32",
    missing_chunks: MissingChunksOption = "error",
    quiet: QuietOption = False,
) -> None:
    """Write tiles and what tells what they are as WebDataset, MDS, LitData or Zarr.

    A killed export goes on when it is started again; shards are there whole or not at all.

    Examples:  spora-db export my-lake shards --format webdataset --lock cohort.lock.json --num-workers 8

    spora-db export my-lake arrays --format zarr --modality imc --mpp 1.0 --tile-size 224 --pixels raw
    """
    from spora_db.cli.runs import files_shown, tell
    from spora_db.exporting import export_plan

    asked = AskedRows(
        lock=lock, sql=sql, where=where, modality=modality, tile_size=tile_size, mpp=mpp, standardize=standardize,
        limit=limit,
    )  # fmt: skip
    report = export_plan(
        asked.query(lake).plan(), output_format, folder, shard_bytes=shard_bytes, num_workers=num_workers,
        pixels=pixels, dtype=dtype, missing_chunks=missing_chunks,
        progress=files_shown(quiet=quiet),
    )  # fmt: skip
    tell(report, quiet=quiet)
