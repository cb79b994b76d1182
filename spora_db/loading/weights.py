"""Weights of rows: from a column of the query, an array, or such that groups weigh the same."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spora_db.arrays import AnyArray, Float64
from spora_db.errors import ArgumentError
from spora_db.files.arrow_arrays import is_number, numpy_array
from spora_db.loading.row_numbers import value_numbers
from spora_db.loading.underlying import Underlying
from spora_db.selection.arguments import wrong


def row_weights(rows: Underlying, weights: "str | npt.ArrayLike") -> Float64:
    """Return the weight of every row.

    Parameters
    ----------
    rows
        The rows.
    weights
        A column that the query selects, a label that is a number, or a number per row.

    Raises
    ------
    ArgumentError
        If a weight is no number, missing, negative or infinite, if all are zero, or if there is not one per row.
    """
    if isinstance(weights, str):
        column = rows.column(weights)
        if not is_number(column.type):
            raise ArgumentError(
                f"The weights in column {weights!r} are of type {column.type}; expected numbers. To draw its values "
                f"equally often, say balance_by={weights!r}."
            )
        values: Float64 = numpy_array(column.cast(pa.float64()))
    else:
        try:
            values = np.asarray(weights, np.float64)
        except (TypeError, ValueError):
            expected = "the name of a column, or a number per row"
            raise wrong(weights, at="TileSampler(weights=", expected=expected) from None
    if values.shape != (len(rows),):
        raise ArgumentError(f"Weights of shape {values.shape} for {len(rows)} rows; expected one per row.")
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        row = dict(rows.identity(int(bad[0])))
        raise ArgumentError(
            f"{len(bad)} weights are not finite numbers of at least 0; the first is {values[bad[0]]} of {row}. "
            "Leave such rows out with .where(...), or give them a weight."
        )
    if not (values > 0).any():
        raise ArgumentError("All weights are 0: there is nothing to draw.")
    return values.astype(np.float64, copy=False)


def balanced_weights(rows: Underlying, by: Sequence[str]) -> Float64:
    """Return weights with which every combination of the values of `by` is drawn equally often; null is a value."""
    numbers = value_numbers(rows.column(name) for name in by)
    return np.asarray(1.0 / np.bincount(numbers)[numbers])


def digest(values: AnyArray | None) -> str | None:
    """Return a short text that differs where numbers differ; None for none.

    Examples
    --------
    >>> digest(np.ones(3)), digest(None)
    ('15e0d9b6717f8ff8', None)
    """
    return None if values is None else hashlib.blake2b(values.tobytes(), digest_size=8).hexdigest()
