"""The folders of the user that runs spora-db."""

import os
from pathlib import Path
from typing import Literal

DEFAULTS = {"cache": Path(".cache"), "state": Path(".local") / "state"}


def user_folder(kind: Literal["cache", "state"]) -> Path:
    """Return spora-db's folder for what can be made again (cache) or cannot (state), by the rule of XDG.

    Examples
    --------
    >>> user_folder("state").name
    'spora-db'
    """
    return Path(os.environ.get(f"XDG_{kind.upper()}_HOME") or Path.home() / DEFAULTS[kind]) / "spora-db"
