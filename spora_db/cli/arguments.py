"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

LAKE_VARIABLE = "SPORA_DATASETS_DIR"

Lake = Annotated[
    Path,
    typer.Argument(
        envvar=LAKE_VARIABLE,
        help="The lake: a folder of datasets, or one dataset's folder.",
        show_default=False,
    ),
]
