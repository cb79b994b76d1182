"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from spora_db.layout import LAKE_VARIABLE

Lake = Annotated[
    Path,
    typer.Argument(
        envvar=LAKE_VARIABLE,
        help="The lake: a folder of datasets, or one dataset's folder.",
        show_default=False,
    ),
]
