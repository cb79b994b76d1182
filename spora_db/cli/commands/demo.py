"""``spora-db demo``: a lake made, tiled, standardized, queried, loaded and drawn, in under a minute."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spora_db.cli.application import app

if TYPE_CHECKING:
    from spora_db.query import SporaQuery

BATCH = 12


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the demo lake.")] = Path("demo"),
    *,
    seed: Annotated[int, typer.Option(help="Another seed draws another lake.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier demo lake in DIR.")] = False,
) -> None:
    """Make a demo lake and walk through it: tile, standardize, query, load a batch, draw it.

    Example:  spora-db demo my-lake
    """
    from rich.text import Text

    from spora_db.cli.commands.info import info
    from spora_db.cli.commands.standardize import standardize
    from spora_db.cli.commands.tile import tile
    from spora_db.cli.terminal import plain_console
    from spora_db.demo import write_demo_lake
    from spora_db.demo.lake import MPP
    from spora_db.demo.prepare import SPEC, TILE_SIZE, TOLERANCE
    from spora_db.errors import counted

    console = plain_console()
    started = time.perf_counter()
    with console.status("Writing two synthetic cohorts, IMC and CODEX, each with H&E ..."):
        write_demo_lake(folder, seed=seed, overwrite=overwrite)
    console.print(Text.assemble(("Wrote", "bold"), f" two synthetic cohorts to {folder}"))
    console.print("What computes is compiled when first needed, once; speeds and times told below begin with that.")
    tile(folder, tile_size=TILE_SIZE, mpp=str(MPP), tolerance=TOLERANCE)
    for modality in ("imc", "codex"):
        standardize(folder, modality=modality, mpp=str(MPP), method=SPEC.split("/")[0])
    info(folder)
    query = cohort_query(folder)
    told = f" selects {counted(query.count(), 'place')}, each in two modalities:\n"
    console.print(Text.assemble(("\nA cohort query", "bold"), told))
    console.print(cohort_text(folder), style="cyan")
    console.print("\nquery.sql() is the SELECT behind it.")
    batch = load_batch(query)
    picture = draw_batch(batch, folder, folder / "cohort.png")
    told = f" a batch of {len(batch)} places with two workers and drew it: {picture}"
    console.print(Text.assemble(("\nLoaded", "bold"), told))
    seconds = f"{time.perf_counter() - started:.0f} s"
    console.print(f'Done in {seconds}. Next:  spora-db sql {shlex.quote(str(folder))} "SELECT * FROM markers"')


def cohort_query(folder: Path) -> "SporaQuery":
    """Return the demonstration's query: tiles of both technologies, H&E beside, evenly from both cohorts."""
    from spora_db.demo.lake import MPP
    from spora_db.demo.prepare import SPECS, TILE_SIZE
    from spora_db.query import SporaQuery

    return (
        SporaQuery(folder)
        .modality(("imc", "codex"), "he")
        .tiles(size=TILE_SIZE, mpp=MPP)
        .where("split = 'train'")
        .channels(kind="uniprot_filtered", require=["CD20", "P01732"], replace_nuclear_uniprot_ids=True)
        .standardize(SPECS)
        .sample(BATCH, by="dataset", seed=0)
    )


def cohort_text(folder: Path) -> str:
    """Return `cohort_query` as it is written in Python."""
    from spora_db.demo.lake import MPP
    from spora_db.demo.prepare import SPECS, TILE_SIZE

    specs = json.dumps(SPECS, indent=4).replace("\n", "\n    ")
    return f"""query = (
    SporaQuery({json.dumps(str(folder))})
    .modality(("imc", "codex"), "he")
    .tiles(size={TILE_SIZE}, mpp={MPP})
    .where("split = 'train'")
    .channels(kind="uniprot_filtered", require=["CD20", "P01732"], replace_nuclear_uniprot_ids=True)
    .standardize({specs})
    .sample({BATCH}, by="dataset", seed=0)
)"""


def load_batch(query: "SporaQuery") -> list[dict[str, Any]]:
    """Load the query's tiles as one batch, through a DataLoader with two workers."""
    from torch.utils.data import DataLoader

    from spora_db.loading.collates import collate_list

    loader = DataLoader(query.to_torch(), batch_size=BATCH, num_workers=2, collate_fn=collate_list)
    batch: list[dict[str, Any]] = next(iter(loader))
    return batch


def draw_batch(batch: list[dict[str, Any]], folder: Path, path: Path) -> Path:
    """Draw the batch as a contact sheet below one tissue of each cohort that it shows."""
    from spora_db.demo.lake import MPP
    from spora_db.demo.prepare import SPEC, SPECS, TILE_SIZE
    from spora_db.plot import cohort_sheet, tissue_view
    from spora_db.query import SporaQuery

    first = {next(iter(places.values()))["dataset"]: next(iter(places)) for places in reversed(batch)}
    tissues = {
        places[modality]["dataset"]: places[modality]["tissue_id"] for places in reversed(batch) for modality in places
    }
    views = [
        tissue_view(
            SporaQuery(folder).modality(modality).tiles(size=TILE_SIZE, mpp=MPP).standardize(SPECS[modality]),
            tissue,
            dataset=dataset,
        )
        for dataset, tissue in sorted(tissues.items())
        for modality in (first[dataset], "he")
    ]
    cohort_sheet(
        batch,
        views,
        title="One batch from two cohorts with different panels",
        subtitle=f"{TILE_SIZE} px tiles at {MPP} microns per pixel, standardized with {SPEC}; H&E of the same place",
        mpp=MPP,
        path=path,
    )
    return path
