"""``spora-db copy``: what a query needs of a lake, as a smaller lake."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake, QuietOption
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
def copy(
    lake: Lake,
    folder: Annotated[Path, typer.Argument(help="Where to: a folder that is not there yet, or this copy, unfinished.")],
    *,
    lock: LockOption = None,
    sql: SqlOption = None,
    where: WhereOption = None,
    modality: ModalityOption = None,
    tile_size: TileSizeOption = None,
    mpp: MppOption = None,
    standardize: StandardizeOption = None,
    limit: LimitOption = None,
    images: Annotated[
        Literal["tiles", "whole", "none"],
        typer.Option(help="Of images: the chunk files that the tiles touch, all of them, or none."),
    ] = "tiles",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and copy nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Copy what a query needs, from a folder or a bucket, as a lake of its own: the same rows, hashes and pixels.

    A killed copy goes on when it is started again. copy.lock.json in the copy is its lock.

    Examples:  spora-db copy s3://bucket/lake mine --lock cohort.lock.json

    spora-db copy my-lake mine --modality imc --mpp 1.0 --tile-size 224 --where "split = 'train'" --dry-run
    """
    from spora_db.cli.runs import files_shown, tell
    from spora_db.copying import copy_lake

    asked = AskedRows(
        lock=lock, sql=sql, where=where, modality=modality, tile_size=tile_size, mpp=mpp, standardize=standardize,
        limit=limit,
    )  # fmt: skip
    query = asked.query(lake)
    report = copy_lake(
        query.lake, query.selection, folder, images=images, dry_run=dry_run, progress=files_shown(quiet=quiet)
    )
    tell(report, quiet=quiet)
