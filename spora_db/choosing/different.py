"""`most_different`: the rows of a query that are least like those already labelled, as rows of a query again.

Greedy k-center, the farthest first (Gonzalez 1985; as a choice of what to label: Sener and Savarese 2018): what is
chosen covers all rows within at most twice the angle that any choice of as many could.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
from sqlglot import exp

from spora_db.arrays import Float32, Float64, Int64
from spora_db.catalog import Catalog, lent_catalog
from spora_db.choosing.rows import check_number, compiled_of, first_key, known, rows_beside
from spora_db.errors import QueryError, TableError, counted
from spora_db.files.processors import usable_cpus
from spora_db.kernels.coverage import closer
from spora_db.layout import LakePath
from spora_db.nearest.sets import FoundSet, MissingFeatures, found_sets, keyed, keys_of, with_new
from spora_db.selection import Selection

KEYED = "keyed_rows"
ROWS = 8192
"""Rows that a thread takes at a time: 12 MB of 384 numbers."""
CHOSEN = 2.0
"""Above every cosine: what was chosen is not chosen again."""


def different_rows(
    lake: LakePath,
    selection: Selection,
    n: int,
    *,
    features: str,
    column: str | None,
    than: Selection,
    missing: MissingFeatures,
) -> pa.Table:
    """Return the rows of a query that are least like those of another; see `SporaQuery.most_different`."""
    keys = keys_of(selection.unit)
    with lent_catalog(lake) as catalog:
        before, labelled, found = _located(than, catalog, features=features, column=column, missing=missing)
        rows, numbers, _ = _located(selection, catalog, features=features, column=column, missing=missing)
    fresh = ~np.isin(numbers, labelled)
    rows, numbers = rows.filter(pa.array(fresh)), numbers[fresh]
    check_number(n, len(rows), at="most_different(")
    if not len(before):
        raise QueryError(
            "most_different(than=): the query selects no rows, so nothing is different from them. Label some first, "
            "such as those of .sample(20)."
        )
    seen = _vectors(found, labelled, before, keys=keys, name=features)
    chosen, cosine = farthest_first(_vectors(found, numbers, rows, keys=keys, name=features), seen, n)
    return with_new(rows.take(pa.array(chosen)), difference=1 - cosine, turn=np.arange(1, n + 1))


def _located(
    selection: Selection, catalog: Catalog, *, features: str, column: str | None, missing: MissingFeatures
) -> tuple[pa.Table, Int64, list[FoundSet]]:
    """Return the rows of a query, and the number of each one's vector, counted through the matrices."""
    resolved, compiled = compiled_of(selection, catalog)
    keys = keys_of(selection.unit)
    found = found_sets(features, column, resolved, catalog)
    every = np.arange(sum(len(each.matrix.norms) for each in found))
    with catalog._registered(KEYED, keyed(found, every, keys)):
        table, numbers = rows_beside(compiled, catalog, relation=KEYED, value=exp.column("number", "beside"), keys=keys)
    table, numbers = known(table, numbers, what=f"features {features!r}", missing=missing, keys=keys)
    return table, numbers.to_numpy(), found


def _vectors(found: Sequence[FoundSet], numbers: Int64, table: pa.Table, *, keys: Sequence[str], name: str) -> Float32:
    """Return the vectors of rows, by their numbers: float32 array of shape (rows, D).

    Raises
    ------
    TableError
        If one is zero or not finite.
    """
    vectors = np.empty((len(numbers), found[0].matrix.vectors.shape[1]), np.float32)
    start = 0
    for each in found:
        count = len(each.matrix.norms)
        own = (numbers >= start) & (numbers < start + count)
        vectors[own] = each.matrix.vectors[numbers[own] - start]
        start += count
    wrong = ~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
    if wrong.any():
        raise TableError(
            f"The features {name!r} of {counted(int(wrong.sum()), 'row')} are zero, or have NaN or infinite numbers, "
            f"the first of {first_key(table.filter(pa.array(wrong)), keys)}: they point nowhere. Leave these rows out."
        )
    return vectors


def farthest_first(vectors: Float32, seen: Float32, n: int) -> tuple[Int64, Float64]:
    """Return the rows that are, one after the other, the least like all that were seen or chosen before.

    Parameters
    ----------
    vectors, seen
        float32 arrays of shape (N, D) and (M, D), M at least 1.
    n
        How many, N at most.

    Returns
    -------
    rows, cosine
        int64 and float64 arrays of shape (n,): of equals the first; and with what is most like each, as it is chosen.
    """
    lengths, closest = _lengths(vectors), np.full(len(vectors), -np.inf)
    rows, cosine = np.empty(n, np.int64), np.empty(n, np.float64)

    def approach(first: int, centers: Float32, of_centers: Float64) -> None:
        some = slice(first, first + ROWS)
        for center, length in zip(centers, of_centers, strict=True):
            closer(vectors[some], lengths[some], center, length, closest[some])

    with ThreadPoolExecutor(usable_cpus()) as pool:

        def approach_all(centers: Float32) -> None:
            near = partial(approach, centers=centers, of_centers=_lengths(centers))
            list(pool.map(near, range(0, len(vectors), ROWS)))

        approach_all(seen)
        for turn in range(n):
            if turn:
                approach_all(vectors[rows[turn - 1] : rows[turn - 1] + 1])
            rows[turn] = closest.argmin()
            cosine[turn] = closest[rows[turn]]
            closest[rows[turn]] = CHOSEN
    return rows, cosine


def _lengths(vectors: Float32) -> Float64:
    """Return the lengths of vectors, equal ones of equal vectors: float64 array of shape (N,)."""
    found = np.empty(len(vectors), np.float64)
    for first in range(0, len(vectors), ROWS):
        own = vectors[first : first + ROWS].astype(np.float64)
        found[first : first + ROWS] = np.sqrt(np.einsum("ij,ij->i", own, own))
    return found
