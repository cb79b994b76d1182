"""Which rows of a plan are in which part of a feature set: the rows of a dataset, in the plan's order, cut evenly."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int64
from spora_db.errors import QueryError
from spora_db.feature_sets import key_columns
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.loading.row_numbers import first_images
from spora_db.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPart:
    """Consecutive rows of a dataset: one file of a feature set.

    Attributes
    ----------
    dataset
        The dataset.
    first, last
        Positions of its first and last row among the dataset's.
    """

    dataset: str
    first: int
    last: int


def rows_of_datasets(plan: Plan) -> dict[str, Int64]:
    """Return the rows of every dataset, in the plan's order: int64 arrays, by name, sorted."""
    encoded = plan.images.column("dataset").combine_chunks().cast(pa.string()).dictionary_encode()
    codes = numpy_array(encoded.indices).astype(np.int64)[first_images(plan)]
    names = encoded.dictionary.to_pylist()
    found = {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}
    return {name: rows for name, rows in sorted(found.items()) if len(rows)}


def parts_of(dataset: str, count: int, *, size: int) -> Iterator[SetPart]:
    """Yield the parts of a dataset of `count` rows, of `size` rows each but the last.

    Examples
    --------
    >>> [(part.first, part.last) for part in parts_of("cohort", 5, size=2)]
    [(0, 1), (2, 3), (4, 4)]
    """
    for first in range(0, count, size):
        yield SetPart(dataset=dataset, first=first, last=min(first + size, count) - 1)


def part_size(rows: int, *, batch_size: int) -> int:
    """Return the rows of a part: about `rows`, in whole batches, so that batches are the same however parts are shared.

    Examples
    --------
    >>> part_size(1000, batch_size=64), part_size(8, batch_size=64)
    (1024, 64)
    """
    return -(-rows // batch_size) * batch_size


def key_columns_of(plan: Plan, rows: Int64, *, strategy: str | None) -> dict[str, pa.Array]:
    """Return what identifies rows within their dataset, by column of a feature set's key."""
    images = plan.images.take(arrow_array(first_images(plan)[rows]))
    places = {
        "tissue_id": images.column("tissue_id").combine_chunks(),
        "mpp": images.column("mpp").combine_chunks(),
        "strategy": arrow_array([strategy] * len(rows), pa.string()),
        "tile_size": arrow_array(np.full(len(rows), plan.tile_size)),
        "cell_id": arrow_array(plan.tile_id[rows]),
        "tile_id": arrow_array(plan.tile_id[rows]),
        "row": arrow_array(plan.row[rows]),
        "col": arrow_array(plan.col[rows]),
    }
    return {name: places[name] for name in key_columns(plan.unit)}


def check_keys(plan: Plan, rows: Int64, *, dataset: str) -> None:
    """Refuse rows of a dataset of which a feature set could not tell two apart.

    Raises
    ------
    QueryError
        Naming the first of them.
    """
    codes = numpy_array(plan.images.column("tissue_id").combine_chunks().dictionary_encode().indices)
    tissue = codes[first_images(plan)[rows]].astype(np.int64)
    order = np.lexsort((plan.tile_id[rows], tissue))
    tied = (np.diff(tissue[order]) == 0) & (np.diff(plan.tile_id[rows][order]) == 0)
    if tied.any():
        own = plan.identity(int(rows[order[int(tied.argmax())]]))
        unit = "" if plan.unit == "tissue" else f", {plan.unit} {own['tile_id']}"
        raise QueryError(
            f"Tissue {own['tissue_id']!r} of {dataset}{unit} is selected several times, such as in "
            "two modalities or by rows that repeat. A feature set has one row of each: select them apart, each for a "
            "set of its own."
        )


def rows_fingerprint(plan: Plan, rows: Int64) -> str:
    """Return a digest of which rows of a dataset these are, in their order: that of other datasets changes nothing.

    It is made of the unit, the tile size and, of each row, its images, tile and corner, as `Plan.rows_hash` is.
    """
    images = plan.images.select(["modality", "mpp", "tissue_id"])
    used = np.unique(plan.image[rows])
    places = np.searchsorted(used, plan.image[rows]).astype(np.int64)
    named = images.take(arrow_array(used[used >= 0].astype(np.int64))).to_pylist()
    head = [plan.unit, plan.tile_size, bool((used < 0).any()), [list(map(str, image.values())) for image in named]]
    digest = hashlib.blake2b(json.dumps(head).encode(), digest_size=16)
    for array in (places, plan.tile_id[rows], plan.row[rows], plan.col[rows]):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
