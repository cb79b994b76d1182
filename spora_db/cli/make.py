"""``spora-db tile`` and ``spora-db standardize``: the commands that write into a lake."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.cli.arguments import Lake, MissingChunks, MissingChunksOption
from spora_db.errors import ArgumentError

if TYPE_CHECKING:
    from spora_db.jobs import Progress, Report, Shard

FAILURES_RECORDED = 3
"""Exit code of a run that wrote its tables without the tissues that failed."""


class EngineName(StrEnum):
    """What runs the units of work."""

    local = "local"
    ray = "ray"


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
EngineOption = Annotated[EngineName, typer.Option(help="Processes of this machine, or a Ray cluster.")]
KeepGoing = Annotated[
    bool,
    typer.Option("--keep-going", help="Write the tables without the tissues that failed; exit code 3 where some did."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]


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
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardText = None,
    merge: Merge = False,
    engine: EngineOption = EngineName.local,
    keep_going: KeepGoing = False,
    quiet: QuietOption = False,
    preview: Annotated[
        Path | None, typer.Option(help="Draw some tissues with mask and tiles: .png, .pdf or .svg.", show_default=False)
    ] = None,
    missing_chunks: MissingChunksOption = MissingChunks.error,
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
    report = tile_lake(
        lake,
        mpp=mpp,
        parameters=parameters,
        dataset=dataset,
        jobs=_jobs(jobs),
        engine=engine.value,
        shard=_shard(shard),
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        keep_existing=preview is not None,
        progress=_progress(quiet=quiet),
    )
    if preview is not None and any(part.state in ("written", "kept") for part in report.datasets):
        from spora_db.jobs.preview import draw_preview

        draw_preview(lake, preview, report=report, mpp=mpp, parameters=parameters, missing_chunks=missing_chunks.value)
        if not quiet:
            typer.echo(f"Drew {preview}")
    _end(report, quiet=quiet)


class Level(StrEnum):
    """Over what a figure is computed: each tissue, or all of a dataset together."""

    image = "image"
    whole = "global"


class MomentLevel(StrEnum):
    """Over what means and standard deviations are computed."""

    image = "image"
    whole = "global"
    both = "both"


def standardize(
    lake: Lake,
    *,
    modality: Annotated[str, typer.Option(help="imc, codex, cycif or mibi.", show_default=False)],
    mpp: Mpp,
    dataset: Dataset = None,
    method: Annotated[
        str, typer.Option(help="quantile_clipping, quantile_clipping_log1p or a registered method.")
    ] = "quantile_clipping",
    upper_quantile: Annotated[float, typer.Option(help="Quantile that pixels are clipped to from above.")] = 0.99,
    lower_quantile: Annotated[
        float | None,
        typer.Option(help="Quantile that they are clipped to from below; default: zero.", show_default=False),
    ] = None,
    quantile_level: Annotated[Level, typer.Option(help="Quantiles of each image, or of all together.")] = Level.image,
    stats_level: Annotated[
        MomentLevel, typer.Option(help="Means and standard deviations of each image, of all together, or both tables.")
    ] = MomentLevel.whole,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardText = None,
    merge: Merge = False,
    engine: EngineOption = EngineName.local,
    keep_going: KeepGoing = False,
    missing_chunks: MissingChunksOption = MissingChunks.error,
    quiet: QuietOption = False,
) -> None:
    """Compute the statistics that standardize a modality: quantiles, means and standard deviations of every channel.

    Exact, over the pixels of the tissue masks. A killed run goes on where it was; tables appear whole.

    Examples:  spora-db standardize my-lake --modality imc --mpp 1.0

    spora-db standardize my-lake --modality imc --mpp 1.0 --method quantile_clipping_log1p --quantile-level global
    """
    from spora_db.jobs import standardize_lake
    from spora_db.standardization.specs import Spec

    report = standardize_lake(
        lake,
        modality=modality,
        mpp=mpp,
        spec=Spec(method=method, upper=upper_quantile, lower=lower_quantile, quantile_level=quantile_level.value),
        stats_level=stats_level.value,
        dataset=dataset,
        jobs=_jobs(jobs),
        engine=engine.value,
        shard=_shard(shard),
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        missing_chunks=missing_chunks.value,
        progress=_progress(quiet=quiet),
    )
    _end(report, quiet=quiet)


def _default_stride(tile_size: int, *, is_grid: bool) -> int:
    return tile_size if is_grid else max(tile_size // 2, 1)


def _jobs(jobs: int | None) -> int:
    from spora_db.jobs.resources import usable_cpus

    return usable_cpus() if jobs is None else jobs


def _shard(text: str | None) -> "Shard | None":
    from spora_db.jobs import Shard

    return None if text is None else Shard.parse(text)


def _progress(*, quiet: bool) -> "Progress":
    """Choose a bar on a terminal, lines elsewhere, nothing when quiet; all on standard error."""
    import sys

    from spora_db.jobs import Bar, Lines, Quiet

    if quiet:
        return Quiet()
    if not sys.stderr.isatty():
        return Lines(sys.stderr)
    from rich.console import Console

    return Bar(Console(stderr=True))


def _end(report: "Report", *, quiet: bool) -> None:
    """Say what was done, and leave with an exit code that says whether all of it was."""
    from spora_db.cli.reporting import show_failures, show_report

    if not quiet:
        show_report(report)
    show_failures(report)
    if not report.written and any(part.state == "failed" or part.failures for part in report.datasets):
        raise typer.Exit(1)
    if report.failures:
        raise typer.Exit(FAILURES_RECORDED)
