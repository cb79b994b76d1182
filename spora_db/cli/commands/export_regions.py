"""``spora-db export-regions``: regions as GeoJSON."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake


@app.command("export-regions")
def export_regions(
    lake: Lake,
    folder: Annotated[Path, typer.Argument(help="Where to: <folder>/<dataset>/<tissue_id>.geojson.")],
    *,
    mpp: Annotated[
        str | None, typer.Option(help="Microns per pixel of the pixels that coordinates count; default: the regions'.")
    ] = None,
) -> None:
    """Write the regions of tissues as GeoJSON, as QuPath opens and import reads them.

    Examples:  spora-db export-regions my-lake geojson --mpp 0.25
    """
    from spora_db.errors import counted
    from spora_db.jobs.region_export import write_region_geojson

    files = write_region_geojson(lake, folder, mpp=mpp)
    sys.stdout.write(f"{counted(len(files), 'file')}: {folder}\n")
