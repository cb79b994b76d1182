"""How many files of one kind a process keeps open: few of those that it may have, as others need some too."""

import resource
from typing import Final

MOST: Final = 128
PART: Final = 8
"""Of the 1,024 files that Linux lets a process have, `MOST`; where fewer are allowed, fewer."""


def open_at_once() -> int:
    """Return how many files of one kind this process keeps open.

    Examples
    --------
    >>> 1 <= open_at_once() <= MOST
    True
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if allowed == resource.RLIM_INFINITY else max(1, min(MOST, allowed // PART))
