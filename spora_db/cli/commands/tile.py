"""``spora-db tile``: choose tiles of every tissue, and write them into the lake."""

from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import (
    Dataset,
    EngineOption,
    Into,
    Jobs,
    KeepGoing,
    Lake,
    Merge,
    MissingChunksOption,
    Mpp,
    Overwrite,
    QuietOption,
    ShardText,
    with_layer,
)  # fmt: skip
from spora_db.cli.runs import end, jobs_or_all, progress_shown, shard_of
from spora_db.errors import ArgumentError


@app.command()
def tile(
    lake: Lake,
    *,
    tile_size: Annotated[int, typer.Option(help="Height and width of a tile in pixels.", show_default=False)],
    mpp: Mpp,
    dataset: Dataset = None,
    strategy: Annotated[
        str, typer.Option(help="Name of the tiling: 'default' covers the tissue greedily, any other name is a grid.")
    ] = "default",
    grid: Annotated[
        bool, typer.Option("--grid", help="Tile as a grid; needs a --strategy name, such as grid_224.")
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Pixels between candidate tiles; default: half a tile, a whole one for a grid.", show_default=False
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Largest share of a tile that may be background.")] = 0.85,
    coverage_goal: Annotated[float, typer.Option(help="Share of the tissue to cover before small gains end it.")] = 1.0,
    min_gain_ratio: Annotated[
        float, typer.Option(help="Gain, as a share of a tile, that is too small to go on.")
    ] = 0.05,
    max_tiles: Annotated[int | None, typer.Option(help="Most tiles per tissue.", show_default=False)] = None,
    no_overlap: Annotated[bool, typer.Option("--no-overlap", help="Choose no tile that overlaps another.")] = False,
    into: Into = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardText = None,
    merge: Merge = False,
    engine: EngineOption = "local",
    keep_going: KeepGoing = False,
    quiet: QuietOption = False,
    preview: Annotated[
        Path | None, typer.Option(help="Draw some tissues with mask and tiles: .png, .pdf or .svg.", show_default=False)
    ] = None,
    missing_chunks: MissingChunksOption = "error",
) -> None:
    """Tile the tissue masks of a lake: write <size>_tile_coordinates.parquet and <size>_tile_stats.parquet.

    A killed run goes on where it was. Tables appear whole, when every tissue is tiled.

    Examples:  spora-db tile my-lake --tile-size 224 --mpp 1.0

    spora-db tile my-lake --tile-size 224 --mpp 1.0 --strategy grid_224 --grid

    On a Slurm array:  spora-db tile my-lake --tile-size 224 --mpp 1.0 --shard $SLURM_ARRAY_TASK_ID/16,
    then the same with --merge instead of --shard.
    """
    from spora_db.jobs import tile_lake
    from spora_db.tiling.parameters import TilingParameters, check_strategy

    is_grid = check_strategy(strategy, grid=grid) == "grid"
    parameters = TilingParameters(
        tile_size=tile_size,
        stride=_default_stride(tile_size, is_grid=is_grid) if stride is None else stride,
        tolerance=tolerance,
        coverage_goal=coverage_goal,
        min_gain_ratio=min_gain_ratio,
        max_tiles=max_tiles,
        allow_overlap=not no_overlap,
        strategy=strategy,
    )
    if is_grid and (max_tiles is not None or no_overlap):
        raise ArgumentError(
            f"--max-tiles and --no-overlap are for the greedy tiling; {strategy!r} is a grid, which takes every tile. "
            "Leave them out, or leave out --strategy."
        )
    if preview is not None and shard is not None:
        raise ArgumentError("--preview draws finished tilings; give it with --merge, after the shards.")
    if preview is not None:
        from spora_db.drawing.canvas import picture_format

        picture_format(preview)
    lake = with_layer(lake, into)
    report = tile_lake(
        lake,
        mpp=mpp,
        parameters=parameters,
        dataset=dataset,
        jobs=jobs_or_all(jobs),
        engine=engine,
        shard=shard_of(shard),
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        keep_existing=preview is not None,
        progress=progress_shown(quiet=quiet),
    )
    if preview is not None and any(part.state in ("written", "kept") for part in report.datasets):
        from spora_db.jobs.preview import draw_preview

        draw_preview(lake, preview, report=report, mpp=mpp, parameters=parameters, missing_chunks=missing_chunks)
        if not quiet:
            typer.echo(f"Drew {preview}")
    end(report, quiet=quiet)


def _default_stride(tile_size: int, *, is_grid: bool) -> int:
    return tile_size if is_grid else max(tile_size // 2, 1)
