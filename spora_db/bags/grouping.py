"""Which rows of a plan are in which bag, and what a bag's label is."""

from dataclasses import dataclass

import numpy as np

from spora_db.arrays import Bools, Int64
from spora_db.errors import TableError, counted
from spora_db.files.arrow_arrays import numpy_array
from spora_db.loading.draws import hashed, order_key
from spora_db.loading.row_numbers import first_images, plan_column, value_numbers
from spora_db.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The rows of every bag, one bag after the other.

    Attributes
    ----------
    rows
        Rows of the plan: int64 array of shape (sum of N,); those of a bag in the plan's order.
    offsets
        Bag ``i`` has ``rows[offsets[i]:offsets[i + 1]]``: int64 array of shape (bags + 1,).
    """

    rows: Int64
    offsets: Int64

    def of(self, bag: int) -> Int64:
        """Return the rows of a bag."""
        return self.rows[self.offsets[bag] : self.offsets[bag + 1]]


def grouped(plan: Plan, by: str, *, kept: Bools) -> Grouping:
    """Return the rows by dataset and the values of a column, in the order in which the plan has the first of each.

    Parameters
    ----------
    plan
        The plan.
    by
        The column; patients of two datasets are two, whatever they are called.
    kept
        Which rows count.

    Raises
    ------
    TableError
        If rows have no value there.
    """
    column = plan_column(plan, by)
    rows = np.flatnonzero(kept)
    unknown = numpy_array(column.is_null())[rows]
    if unknown.any():
        first = plan.identity(int(rows[int(unknown.argmax())]))
        raise TableError(
            f"{counted(int(unknown.sum()), 'row')} of the selection, the first of tissue {first['tissue_id']!r} of "
            f"{first['dataset']}, have no {by}: nothing tells in which bag they are. Leave them out: "
            f".where('{by} IS NOT NULL')."
        )
    numbers = value_numbers([plan_column(plan, "dataset"), column])[rows]
    _, firsts, numbers = np.unique(numbers, return_index=True, return_inverse=True)
    place = np.empty(len(firsts), np.int64)
    place[np.argsort(firsts)] = np.arange(len(firsts))
    order = np.argsort(place[numbers], kind="stable")
    counts = np.bincount(place[numbers], minlength=len(firsts))
    return Grouping(rows=rows[order], offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def thinned(plan: Plan, grouping: Grouping, *, most: int, seed: int) -> Grouping:
    """Return at most so many rows of every bag, drawn by a hash of the row's identity: the same on every machine.

    What is drawn of a bag does not change when other tissues, or other bags, come or go.
    """
    keys = _random_keys(plan, grouping.rows, seed=seed)
    bag = np.repeat(np.arange(len(grouping.offsets) - 1), np.diff(grouping.offsets))
    order = np.lexsort((grouping.rows, keys, bag))
    rank = np.arange(len(order)) - grouping.offsets[bag[order]]
    chosen = np.sort(order[rank < most])  # in the plan's order again
    counts = np.bincount(bag[chosen], minlength=len(grouping.offsets) - 1)
    return Grouping(rows=grouping.rows[chosen], offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def _random_keys(plan: Plan, rows: Int64, *, seed: int) -> Int64:
    """Return a random number per row, made of its dataset, tissue and tile or cell."""
    names = zip(plan.images.column("dataset").to_pylist(), plan.images.column("tissue_id").to_pylist(), strict=True)
    keys = [order_key(f"{dataset}/{tissue}", seed=seed, epoch=0, purpose="bags") for dataset, tissue in names]
    of_image = np.array(keys, np.uint64)[first_images(plan)[rows]]
    drawn: Int64 = (hashed(0, (of_image ^ hashed(0, plan.tile_id[rows].astype(np.int64))).view(np.int64))).view(
        np.int64
    )
    return drawn


def check_labels(plan: Plan, grouping: Grouping, *, by: str) -> None:
    """Refuse bags whose rows do not agree in their labels.

    Raises
    ------
    TableError
        If rows of one bag have several values.
    """
    firsts = grouping.rows[grouping.offsets[:-1]]
    for name in () if plan.labels is None else plan.labels.names:
        assert plan.labels is not None
        values = plan.labels.of(name)
        own = values[grouping.rows]
        first = np.repeat(values[firsts], np.diff(grouping.offsets))
        other = (own != first) & ~((own != own) & (first != first))
        if other.any():
            bag = plan.identity(int(grouping.rows[int(other.argmax())]))
            value = plan_column(plan, by)[int(grouping.rows[int(other.argmax())])].as_py()
            raise TableError(
                f"The rows of {by} {value!r} of {bag['dataset']} have several values of the label {name!r}. A bag has "
                "one: choose a label of the whole group, or smaller bags, such as by='tissue_id'."
            )
