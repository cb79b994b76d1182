"""The rows that are most like a vector: all products in float32, the order of the best in float64."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from spora_db.arrays import Bools, Float32, Float64, Int64
from spora_db.files.processors import usable_cpus
from spora_db.kernels.similarity import products_of_halves
from spora_db.nearest.matrix import FeatureMatrix

ROWS = 65_536
"""Rows that a thread takes at a time: 50 MB of 384 halves."""
FIRST, MORE = 256, 16
"""How many candidates are asked about first, at least, and how many times as many next."""


def similarities(matrix: FeatureMatrix, unit: Float64) -> Float32:
    """Return the cosine of every row with a vector of length 1: float32 array of shape (N,), NaN of those without."""
    vector, count = unit.astype(np.float32), len(matrix.norms)
    found = np.empty(count, np.float32)

    def some(first: int) -> None:
        rows, out = matrix.vectors[first : first + ROWS], found[first : first + ROWS]
        if rows.dtype == np.float16:
            products_of_halves(rows.view(np.uint16), vector, out)
        else:
            np.dot(rows, vector, out=out)
        out /= matrix.norms[first : first + ROWS]

    with np.errstate(invalid="ignore"), ThreadPoolExecutor(usable_cpus()) as pool:
        list(pool.map(some, range(0, count, ROWS)))
    return found


def most_like(
    matrices: Sequence[FeatureMatrix], unit: Float64, *, k: int, among: Callable[[Int64], Bools]
) -> tuple[Int64, Float64]:
    """Return the k rows most like a vector, the most like first, and of equals the first, with their similarity.

    Candidates, the most like of all, are asked about first, and many more only where too few of them are among the
    wanted. Float32 decides who is a candidate, with room for its error; float64 decides the order.

    Parameters
    ----------
    matrices
        The rows, those of one matrix after those of the other.
    unit
        A vector of length 1: float64 array of shape (D,).
    k
        How many.
    among
        Tells which of some rows are wanted.

    Returns
    -------
    rows, similarity
        int64 and float64 arrays of shape (k,), shorter where fewer are wanted.
    """
    starts = np.cumsum([0, *(len(matrix.norms) for matrix in matrices)])
    every = np.concatenate([similarities(matrix, unit) for matrix in matrices]) if matrices else np.empty(0, np.float32)
    every[np.isnan(every)] = -np.inf
    possible = int((every > -np.inf).sum())
    slack = (len(unit) + 8) * 2.0**-23  # of a float32 sum of D products of two vectors of length 1
    count = min(possible, max(FIRST, 4 * k))
    while count:
        least = float(np.partition(every, len(every) - count)[len(every) - count])
        candidates = np.flatnonzero(every >= least - 2 * slack) if count < possible else np.flatnonzero(every > -np.inf)
        wanted = candidates[among(candidates)]
        best = _best(every, wanted, k, slack)
        exact = np.empty(len(best))
        for start, stop, matrix in zip(starts, starts[1:], matrices, strict=False):
            own = (best >= start) & (best < stop)
            exact[own] = matrix.exact(best[own] - start, unit)
        order = np.lexsort((best, -exact))[:k]
        if count == possible or (len(order) == k and exact[order[-1]] >= least - slack):
            return best[order], exact[order]
        count = min(possible, MORE * count)
    return np.empty(0, np.int64), np.empty(0)


def _best(every: Float32, wanted: Int64, k: int, slack: float) -> Int64:
    """Return the wanted rows that may be among the k most like."""
    if len(wanted) <= k:
        return wanted
    own = every[wanted]
    best: Int64 = wanted[own >= np.partition(own, len(own) - k)[len(own) - k] - 2 * slack]
    return best
