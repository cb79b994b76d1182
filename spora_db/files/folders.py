"""The folders of the user that runs spora-db."""

import os
from pathlib import Path
from typing import Literal

from spora_db.errors import WriteError

DEFAULTS = {"cache": Path(".cache"), "state": Path(".local") / "state"}


def user_folder(kind: Literal["cache", "state"]) -> Path:
    """Return spora-db's folder for what can be made again (cache) or cannot (state), by the rule of XDG.

    Raises
    ------
    WriteError
        If the user has no home, as in a container that runs under any number.

    Examples
    --------
    >>> user_folder("state").name
    'spora-db'
    """
    variable = f"XDG_{kind.upper()}_HOME"
    try:
        return Path(os.environ.get(variable) or Path.home() / DEFAULTS[kind]) / "spora-db"
    except RuntimeError as error:
        raise WriteError(
            f"No folder is known for the {kind} of spora-db: HOME is not set, and the system does not list this user "
            f"with one. Set HOME, or {variable}, to a folder that may be written to."
        ) from error
