"""Numbers for the rows of a plan, equal where rows share an image, a panel, a cohort or the values of columns."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int64
from spora_db.errors import unknown
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.plan import ABSENT, Plan

IMAGE_COLUMNS = ("dataset", "modality", "mpp", "tissue_id")


def first_images(plan: Plan) -> Int64:
    """Return the first image that is present in each row."""
    image = np.full(len(plan), ABSENT, np.int64)
    for column in plan.image.T[::-1]:
        image = np.where(column == ABSENT, image, column)
    return image


def panel_numbers(plan: Plan) -> Int64:
    """Return a number per row, equal where rows deliver the same channels under the same accessions."""
    known = dict[bytes, int]()
    of_image = np.empty(plan.images.num_rows + 1, np.int64)
    of_image[ABSENT] = -1
    for panel in plan.channels.panels:
        codes = np.stack([panel.name, panel.uniprot])
        for image, delivered in enumerate(panel.delivered, panel.first):
            of_image[image] = known.setdefault(codes[:, delivered].tobytes(), len(known))
    return _combined(of_image[column] + 1 for column in plan.image.T)


def cohort_numbers(plan: Plan) -> Int64:
    """Return a number per row, equal where rows come from the same dataset and the same modalities."""
    known = dict[tuple[object, ...], int]()
    names = zip(*(plan.images.column(name).to_pylist() for name in ("dataset", "modality")), strict=True)
    of_image = np.array([*(known.setdefault(name, len(known)) for name in names), ABSENT], np.int64)
    return _combined(of_image[column] + 1 for column in plan.image.T)


def value_numbers(columns: Iterable[pa.ChunkedArray]) -> Int64:
    """Return a number per row, equal where rows have the same values in all columns; null is a value."""
    return _combined(map(_value_codes, columns))


def _value_codes(column: pa.ChunkedArray) -> Int64:
    """Return a number from 0 per value of a column, and one for null."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes: Int64 = numpy_array(encoded.indices.cast(pa.int64()), absent=-1) + 1
    return codes


def plan_column(plan: Plan, name: str) -> pa.ChunkedArray:
    """Return a column of a plan, row by row: one that the query selects, a label, or one of the row's first image.

    Raises
    ------
    UnknownNameError
        If the plan has no such column.
    """
    carried = plan.carried
    if name in carried.column_names:
        return carried.column(name)
    if name not in IMAGE_COLUMNS:
        available = [*carried.column_names, *IMAGE_COLUMNS]
        raise unknown("column", name, available, where=f"the plan (add it with .select({name!r}))")
    return plan.images.column(name).take(arrow_array(first_images(plan)))


def _combined(parts: Iterable[Int64]) -> Int64:
    """Return a number per combination of numbers from 0, in lexicographic order of what occurs."""
    numbers: Int64 = np.zeros(1, np.int64)
    for own in parts:
        numbers = np.unique(numbers * (int(own.max(initial=0)) + 1) + own, return_inverse=True)[1]
    return numbers
