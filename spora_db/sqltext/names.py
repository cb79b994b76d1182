"""Names as DuckDB compares them."""

import string
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@lru_cache(maxsize=16_384)  # each name of a table of thousands of columns is compared ten times
def fold(name: str) -> str:
    """Fold the case of a name as DuckDB does: ASCII letters only.

    Examples
    --------
    >>> fold("SMA"), fold("Tiles É")
    ('sma', 'tiles É')
    """
    return name.lower() if name.isascii() else name.translate(_LOWER)


def own_names(taken: Iterable[str]) -> Callable[[str], str]:
    """Return what gives names that none of the taken ones is, letter case aside: for columns beside a user's.

    Examples
    --------
    >>> own = own_names(["Turn", "cap"])
    >>> own("turn"), own("key")
    ('turn_', 'key')
    """
    folded = {fold(name) for name in taken}

    def own(name: str) -> str:
        while fold(name) in folded:
            name += "_"
        return name

    return own


def positions(name: str, columns: Sequence[str]) -> list[int]:
    """Return where a column stands: in its exact spelling, else in another case.

    Examples
    --------
    >>> positions("id", ["ID", "id"]), positions("id", ["Id", "name", "ID"]), positions("id", ["name"])
    ([1], [0, 2], [])
    """
    exact = [at for at, column in enumerate(columns) if column == name]
    return exact or [at for at, column in enumerate(columns) if fold(column) == fold(name)]
