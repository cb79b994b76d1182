"""``spora-db extract``: a model over the rows of a query, into a feature set of the lake."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import EngineOption, Into, Lake, MissingChunksOption, QuietOption
from spora_db.cli.chosen import WhereOption, query_in
from spora_db.cli.runs import FAILURES_RECORDED, progress_shown, shard_of, tell
from spora_db.errors import ArgumentError

if TYPE_CHECKING:
    from spora_db.query import SporaQuery


@app.command()
def extract(
    lake: Lake,
    *,
    model: Annotated[
        str, typer.Option(metavar="MODULE:NAME", help="A function, or a torch module, of a batch.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="What the feature set is called.", show_default=False)],
    query: Annotated[
        Path | None,
        typer.Option(
            "--query",
            help="A file with a SELECT of the rows (dataset, tissue_id, tile_id, row, col), or a lock (.json); by "
            "default all rows of the modality.",
            show_default=False,
        ),
    ] = None,
    where: WhereOption = None,
    modality: Annotated[
        str | None, typer.Option(help="What is read, such as imc; of a lock as it says.", show_default=False)
    ] = None,
    unit: Annotated[Literal["tile", "tissue", "cell"], typer.Option(help="What a row is of.")] = "tile",
    tile_size: Annotated[
        int | None, typer.Option(help="Height and width of a tile, or of the tile around a cell.", show_default=False)
    ] = None,
    mpp: Annotated[str | None, typer.Option(help="Resolution in microns per pixel.", show_default=False)] = None,
    spec: Annotated[
        str | None, typer.Option("--standardize", metavar="SPEC", help="How pixels are standardized.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows that the model is handed at a time.")] = 32,
    num_workers: Annotated[int, typer.Option(help="Processes that read; 0 reads in this one.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="Where batches and a module go, such as cuda.", show_default=False)
    ] = None,
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="The type of vectors.")] = "float16",
    part_rows: Annotated[int, typer.Option(help="Rows of a part, about: what a kill loses at most.")] = 16_384,
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights, by whose hash the model is known.", show_default=False)
    ] = None,
    into: Into = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove a set of that name first.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="List rows that cannot be read; exit code 3 where some cannot.")
    ] = False,
    allow_nan: Annotated[bool, typer.Option("--allow-nan", help="Keep NaN and infinite numbers.")] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Make only every N-th part, from the I-th on (0/3, 1/3, 2/3)."),
    ] = None,
    engine: EngineOption = "local",
    jobs: Annotated[int, typer.Option(min=1, help="Actors of a Ray cluster.")] = 1,
    missing_chunks: MissingChunksOption = "error",
    quiet: QuietOption = False,
) -> None:
    """Run a model over the rows of a query, and keep what it returns as a feature set of the lake.

    A killed run goes on where it was; runs at the same time, and shards, share the parts. Nothing is replaced unasked.

    Examples:  spora-db extract my-lake --model my_models:embed --name virtues-tile --modality imc

    spora-db extract my-lake --query cohort.lock.json --model my_models:embed --name virtues-tile --into mine

    On a Slurm array:  spora-db extract my-lake ... --shard $SLURM_ARRAY_TASK_ID/16
    """
    from spora_db.extraction.models import model_named

    asked = _query(lake, query, where=where, modality=modality, unit=unit, tile_size=tile_size, mpp=mpp, spec=spec)
    report = asked.extract(
        model_named(model),
        name=name,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        dtype=dtype,
        into=into,
        overwrite=overwrite,
        on_error="list" if keep_going else "raise",
        allow_nan=allow_nan,
        model_name=model,
        weights=weights,
        missing_chunks=missing_chunks,
        part_rows=part_rows,
        shard=shard_of(shard),
        engine=engine,
        jobs=jobs,
        progress=progress_shown(quiet=quiet),
    )
    tell(report, quiet=quiet)
    if any(own.failed for own in report.datasets):
        raise typer.Exit(FAILURES_RECORDED)


def _query(
    lake: Path,
    query: Path | None,
    *,
    where: list[str] | None,
    modality: str | None,
    unit: Literal["tile", "tissue", "cell"],
    tile_size: int | None,
    mpp: str | None,
    spec: str | None,
) -> "SporaQuery":
    """Return the query that the options describe."""
    from spora_db.query import SporaQuery

    if query is not None and query.suffix == ".json":
        given = {
            "--where": where,
            "--modality": modality,
            "--tile-size": tile_size,
            "--mpp": mpp,
            "--standardize": spec,
        }
        if said := [option for option, value in given.items() if value is not None]:
            raise ArgumentError(f"--query {query} is a lock, which says what is read: leave out {', '.join(said)}.")
        return SporaQuery.from_lock(query, lake=lake)
    asked = SporaQuery(lake) if query is None else query_in(query, lake)
    asked = asked if modality is None else asked.modality(modality)
    if unit == "tissue":
        asked = asked.tissues(mpp=mpp)
    elif unit == "tile":
        asked = asked.tiles(size=tile_size, mpp=mpp)
    elif tile_size is None:
        raise ArgumentError("--unit cell needs --tile-size, the side of the tile around a cell, in pixels.")
    else:
        asked = asked.cells(size=tile_size, mpp=mpp)
    for condition in where or ():
        asked = asked.where(condition)
    return asked if spec is None else asked.standardize(spec)
