"""Where spora-db keeps what it remembers of a lake outside it: the user's folders, and the digest of a lake's path."""

import hashlib
import os
from pathlib import Path
from typing import Literal

from spora_db.layout import lake_path, layers

DEFAULTS = {"cache": Path(".cache"), "state": Path(".local") / "state"}


def user_folder(kind: Literal["cache", "state"]) -> Path:
    """Return spora-db's folder for what can be made again (cache) or cannot (state), by the rule of XDG.

    Examples
    --------
    >>> user_folder("state").name
    'spora-db'
    """
    return Path(os.environ.get(f"XDG_{kind.upper()}_HOME") or Path.home() / DEFAULTS[kind]) / "spora-db"


def lake_digest(lake: str | Path, *, size: int) -> str:
    """Return the name of a lake among others: a digest of its path, or of its layers', of `size` bytes, links followed.

    Examples
    --------
    >>> lake_digest("/data/lake", size=16) == lake_digest("/data/other/../lake", size=16)
    True
    """
    return hashlib.blake2b(
        os.fsencode(lake_path([root.resolve() for root in layers(lake)])), digest_size=size
    ).hexdigest()
