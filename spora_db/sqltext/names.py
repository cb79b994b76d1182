"""Names as DuckDB compares them."""

import string
from collections.abc import Sequence

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """Fold the case of a name as DuckDB does: ASCII letters only.

    Examples
    --------
    >>> fold("SMA"), fold("Tiles É")
    ('sma', 'tiles É')
    """
    return name.lower() if name.isascii() else name.translate(_LOWER)


def positions(name: str, columns: Sequence[str]) -> list[int]:
    """Return where a column stands: in its exact spelling, else in another case.

    Examples
    --------
    >>> positions("id", ["ID", "id"]), positions("id", ["Id", "name", "ID"]), positions("id", ["name"])
    ([1], [0, 2], [])
    """
    exact = [at for at, column in enumerate(columns) if column == name]
    return exact or [at for at, column in enumerate(columns) if fold(column) == fold(name)]
