"""``spora-db index``: remember the headers of a lake's images."""

import sys
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Into, Lake, with_layer


@app.command()
def index(
    lake: Lake,
    *,
    beside: Annotated[
        bool, typer.Option("--beside", help="Write into the lake (.spora-db/), for all who read it.")
    ] = False,
    into: Into = None,
) -> None:
    """Read image headers once, so that SQL knows channel_count, height, width and dtype of every image.

    Writes to your own cache folder unless told otherwise. Run it again after images were added or changed: until then
    those columns are NULL for them. With --beside or --into it tells all files of the lake, so that a copy in a bucket
    is opened without listing it, and one at a web address at all. Exit code 1 if an image cannot be read.

    Examples:  spora-db index my-lake

    spora-db sql my-lake "SELECT dataset, min(height), max(height) FROM images GROUP BY dataset"
    """
    from spora_db.errors import counted
    from spora_db.jobs.indexing import index_images

    report = index_images(with_layer(lake, into), beside=beside or into is not None)
    sys.stdout.write(f"{counted(report.read, 'header')} read, {report.kept:,} known already: {report.path}\n")
    for reason in report.problems.values():
        sys.stderr.write(f"spora-db: {reason}\n")
    if report.problems:
        raise typer.Exit(1)
