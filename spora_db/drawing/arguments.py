"""Errors for what cannot be drawn: what was given, what is expected, and the line to write instead."""

import os
from typing import TYPE_CHECKING

from spora_db.errors import ArgumentError

if TYPE_CHECKING:
    from spora_db.query import SporaQuery

TILES = "SporaQuery('lake').modality('imc').tiles(size=128, mpp=1.0)"


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


def check_query(query: "SporaQuery", *, write: str) -> None:
    """Refuse what is no query.

    Raises
    ------
    ArgumentError
        The message ends with the call that works, ``write``.
    """
    from spora_db.query import SporaQuery

    if not isinstance(query, SporaQuery):
        raise wrong_kind(query, expected="a SporaQuery", write=write)
