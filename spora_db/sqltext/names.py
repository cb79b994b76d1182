"""Names as DuckDB compares them."""

import string

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """Fold the case of a name as DuckDB does: ASCII letters only.

    Examples
    --------
    >>> fold("SMA"), fold("Tiles É")
    ('sma', 'tiles É')
    """
    return name.lower() if name.isascii() else name.translate(_LOWER)
