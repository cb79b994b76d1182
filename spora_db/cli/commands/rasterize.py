"""``spora-db rasterize``: regions as masks."""

import sys
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Dataset, Into, Lake, Mpp, Overwrite, with_layer


@app.command()
def rasterize(
    lake: Lake,
    *,
    mpp: Mpp,
    dataset: Dataset = None,
    kind: Annotated[str, typer.Option(help="What the masks are called, for with_masks.")] = "regions",
    into: Into = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the regions of tissues as masks: for every pixel the number of its class, 0 outside of all.

    A pixel is of the class whose region holds its centre; of several, the smallest region's. label_encoder.parquet
    beside the masks names the numbers.

    Examples:  spora-db rasterize my-lake --mpp 0.5
    """
    from spora_db.errors import counted
    from spora_db.jobs.region_masks import write_region_masks

    report = write_region_masks(with_layer(lake, into), mpp=mpp, dataset=dataset, kind=kind, overwrite=overwrite)
    named = ", ".join(f"{number} {name}" for name, number in report.numbers.items())
    sys.stdout.write(f"{counted(len(report.masks), 'mask')} of {named}: {report.masks[0].parent}\n")
