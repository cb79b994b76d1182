"""Whole numbers that clients give: 5.7 is not cut to another row, nor 0.5 to another tile."""

from collections.abc import Iterable
from typing import Any

from spora_db.errors import ArgumentError
from spora_db.files.whole_numbers import LEAST, whole_number


def whole(value: Any, what: str) -> int:  # noqa: ANN401 - what a client gave
    """Return a whole number.

    Raises
    ------
    ArgumentError
        If it is none.

    Examples
    --------
    >>> whole(3.0, "row")
    3
    >>> whole(5.7, "row")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: row=5.7: expected a whole number.
    """
    number = _whole_or_none(value)
    if number is None:
        message = f"{what}={value!r}: expected a whole number."
        raise ArgumentError(message)
    return number


def whole_pair(place: Any, where: str) -> tuple[int, int]:  # noqa: ANN401 - what a client wrote
    """Return row and col as ints; anything else is an error that names it."""
    pair = [_whole_or_none(item) for item in place] if isinstance(place, Iterable) else []
    if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
        return pair[0], pair[1]
    message = f"{where} is {place!r}; expected a pair of whole numbers, row and col."
    raise ArgumentError(message)


def checked_size(size: float | str | None) -> int | None:
    """Return a tile size as an int, None for none.

    Raises
    ------
    ArgumentError
        If it is no positive whole number.

    Examples
    --------
    >>> checked_size(32.0)
    32
    """
    if size is None:
        return None
    pixels = None if isinstance(size, str) else _whole_or_none(size)
    if pixels is None or pixels < 1:
        message = f"tile_size={size!r}: expected a positive number of pixels, or None."
        raise ArgumentError(message)
    return pixels


def _whole_or_none(value: Any) -> int | None:  # noqa: ANN401 - what a client gave
    """Return a whole number of Python, numpy or torch, or in digits; None for anything else."""
    single = value.item() if getattr(value, "ndim", None) == 0 else value  # numpy's scalars, arrays, tensors
    return single if type(single) is int else whole_number(single, least=LEAST)
