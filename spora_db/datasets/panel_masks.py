"""Masks over the panel that clients may edit, and that follow edits of the table they were made from."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from spora_db.arrays import Bools
from spora_db.errors import ArgumentError


class FollowingMask:
    """A mask as assigned or edited; where the table's values change afterwards, it takes what they say.

    Parameters
    ----------
    mask
        bool array of shape (panel,).
    values
        What the table says of each channel.

    Examples
    --------
    >>> mask = FollowingMask(np.array([True, True]), ["P01732", None])
    >>> mask.now([None, None], np.array([False, False]))
    array([False,  True])
    """

    def __init__(self, mask: Bools, values: Sequence[object]) -> None:
        self.mask, self._values = mask, values

    def now(self, values: Sequence[object], truths: Bools) -> Bools:
        """Return the mask, changed in place where the table says something else than when it was last asked."""
        if values != self._values:
            for place, (old, new) in enumerate(zip(self._values, values, strict=True)):
                if old != new:
                    self.mask[place] = truths[place]
            self._values = values
        return self.mask


def is_missing(value: Any) -> bool:  # noqa: ANN401 - of any column
    """Tell whether a value is None, pandas' NA or NaN."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def truths(values: Sequence[Any], *, where: str, unknown_is: bool | None = None) -> Bools:
    """Return truth values, 0 and 1 among them; anything else is an error, the unknown too unless told what it is.

    Examples
    --------
    >>> truths([1, False, None], where="a column", unknown_is=False)
    array([ True, False, False])
    """
    found = []
    for value in values:
        truth = unknown_is if is_missing(value) else value
        if truth is None or truth not in (0, 1):
            message = f"{where} holds {value!r}; expected True or False."
            raise ArgumentError(message)
        found.append(bool(truth))
    return np.array(found, np.bool_)
