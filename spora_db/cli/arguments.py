"""Arguments that several commands share."""

from enum import StrEnum
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


class MissingChunks(StrEnum):
    """What an absent chunk of an image is: the choices of :data:`spora_db.images.base.MissingChunks`."""

    error = "error"
    zeros = "zeros"
    white = "white"


MissingChunksOption = Annotated[
    MissingChunks,
    typer.Option(
        "--missing-chunks",
        help="An absent chunk of an image: an error (a partial download), zeros, or the white of a brightfield slide.",
    ),
]
