"""``spora-db standardize``: compute the statistics that standardize a modality, and write them into the lake."""

from typing import Annotated, Literal

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
    modality_names,
    with_layer,
)  # fmt: skip
from spora_db.cli.runs import end, jobs_or_all, progress_shown, shard_of
from spora_db.standardization.specs import ZeroQuantile


@app.command()
def standardize(
    lake: Lake,
    *,
    modality: Annotated[str, typer.Option(help=f"{modality_names(rgb=False)}.", show_default=False)],
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
    quantile_level: Annotated[
        Literal["image", "global"], typer.Option(help="Quantiles of each image, or of all together.")
    ] = "image",
    stats_level: Annotated[
        Literal["image", "global", "both"],
        typer.Option(help="Means and standard deviations of each image, of all together, or both tables."),
    ] = "global",
    on_zero_quantile: Annotated[
        ZeroQuantile | None,
        typer.Option(
            help="Where the upper quantile is 0, so that clipping would leave nothing: leave the channel out of that "
            "tissue, clip to the next of 0.999, 0.9999, ... that is above, or to the greatest pixel. Tables of another "
            "name; by default the 0 stands in the tables, and a warning names the channels.",
            show_default=False,
        ),
    ] = None,
    into: Into = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardText = None,
    merge: Merge = False,
    engine: EngineOption = "local",
    keep_going: KeepGoing = False,
    missing_chunks: MissingChunksOption = "error",
    quiet: QuietOption = False,
) -> None:
    """Compute the statistics that standardize a modality: quantiles, means and standard deviations of every channel.

    Exact, over the pixels of the tissue masks. A killed run goes on where it was; tables appear whole.

    Examples:  spora-db standardize my-lake --modality imc --mpp 1.0

    spora-db standardize my-lake --modality imc --mpp 1.0 --method quantile_clipping_log1p --quantile-level global
    """
    from spora_db.jobs import standardize_lake
    from spora_db.standardization.specs import Spec

    lake = with_layer(lake, into)
    report = standardize_lake(
        lake,
        modality=modality,
        mpp=mpp,
        spec=Spec(
            method=method,
            upper=upper_quantile,
            lower=lower_quantile,
            quantile_level=quantile_level,
            on_zero_quantile=on_zero_quantile,
        ),
        stats_level=stats_level,
        dataset=dataset,
        jobs=jobs_or_all(jobs),
        engine=engine,
        shard=shard_of(shard),
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        missing_chunks=missing_chunks,
        progress=progress_shown(quiet=quiet),
    )
    end(report, quiet=quiet)
