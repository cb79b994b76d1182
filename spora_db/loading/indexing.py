"""What a dataset of rows may be indexed with: the number of one row; everything else is told how it is written."""

from collections.abc import Sequence

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.drawn import Drawn
from spora_db.selection.arguments import row_of


def row_numbers(indices: Sequence[object], count: int) -> Int64:
    """Return the numbers of rows as int64; see `row_number`.

    Examples
    --------
    >>> row_numbers([0, -1], 5)
    array([0, 4])
    """
    listed = list(indices)  # what has no truth value of its own, as a Series, too
    usual = {int, Drawn}.issuperset(map(type, listed))  # what samplers yield: asked at once
    if usual and listed and -count <= min(listed) and max(listed) < count:  # type: ignore[operator,type-var]
        return np.array(listed, np.int64) % count
    return np.array([row_number(index, count) for index in listed], np.int64)


def row_number(index: object, count: int) -> int:
    """Return the number of a row, negative ones counted from the end.

    Parameters
    ----------
    index
        A whole number of Python, numpy or torch.
    count
        How many rows there are.

    Raises
    ------
    IndexError
        If there is no such row.
    ArgumentError
        If it is something else: a slice, a list, an array, a mask, a bool, a float, a text.

    Examples
    --------
    >>> row_number(-1, 5)
    4
    >>> row_number(slice(0, 3), 5)
    Traceback (most recent call last):
    ...
    spora_db.errors.ArgumentError: dataset[0:3]: expected the number of one row, from 0 to 4. For several samples write
    [dataset[i] for i in range(0, 3)]; for a dataset of these rows torch.utils.data.Subset(dataset, range(0, 3)), or
    query.limit(3).to_torch().
    """

    def otherwise() -> ArgumentError:
        return ArgumentError(f"dataset[{_shown(index)}]: expected the number of one row, {_remedy(index, count)}.")

    return row_of(index, count, otherwise=otherwise)


def _shown(index: object) -> str:
    if isinstance(index, slice):
        parts = ["" if part is None else str(part) for part in (index.start, index.stop)]
        return ":".join(parts if index.step is None else [*parts, str(index.step)])
    shown = " ".join(repr(index).split())
    return shown[:60] + "..." * (len(shown) > 60)


def _remedy(index: object, count: int) -> str:
    """Return what is possible, and how an index of several rows is written."""
    possible = f"from 0 to {count - 1}"
    rows, also = "rows", ""
    if isinstance(index, slice):
        try:
            rows = repr(range(*index.indices(count)))
        except TypeError:  # a slice of texts
            return possible
        if index.start in (None, 0) and index.step in (None, 1) and index.stop is not None:
            also = f", or query.limit({len(range(*index.indices(count)))}).to_torch()"
    elif getattr(index, "ndim", 1) == 0 or not hasattr(index, "__len__") or isinstance(index, str | bytes | dict):
        return possible
    elif "bool" in str(getattr(index, "dtype", "")) or (isinstance(index, list) and bool in map(type, index)):
        rows = "numpy.flatnonzero(mask)"
    return (
        f"{possible}. For several samples write [dataset[i] for i in {rows}]; for a dataset of these rows "
        f"torch.utils.data.Subset(dataset, {rows}){also}"
    )
