"""Errors for what cannot be drawn: what was given, what is expected, and the line to write instead."""

import os

from spora_db.errors import ArgumentError


def wrong_kind(value: object, *, expected: str, write: str) -> ArgumentError:
    """Build the error for a value of a wrong type.

    Parameters
    ----------
    value
        What was given.
    expected
        What can be drawn.
    write
        The call that works.

    Examples
    --------
    >>> print(wrong_kind("lake", expected="one sample", write="plot.tile(query.to_torch()[0])"))
    Received 'lake'; expected one sample. Write plot.tile(query.to_torch()[0]).
    """
    told = repr(value) if isinstance(value, str | os.PathLike) else f"an object of type {type(value).__name__}"
    return ArgumentError(f"Received {told}; expected {expected}. Write {write}.")
