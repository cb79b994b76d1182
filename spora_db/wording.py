"""How numbers are told in sentences, wherever they are written."""


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
