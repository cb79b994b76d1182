"""What is remembered of a lake outside it goes by the digest of the lake's path."""

import hashlib
import os
from pathlib import Path

from spora_db.layout import lake_path, layers


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
