"""Fetches the features of a plan's rows: parts are read one after another, as arrays, and put where rows want them.

No vector passes through DuckDB: 500,000 of 384 numbers would be made float32 and sorted there.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.arrays import AnyArray, Bools, Int64
from spora_db.catalog import Catalog
from spora_db.errors import TableError, counted
from spora_db.feature_sets import FeatureColumn
from spora_db.feature_sets.reading import read_part
from spora_db.files.arrow_arrays import arrow_scalar, numpy_array
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.layout import TableFile
from spora_db.plan.feature_parts import PlanFeatures
from spora_db.plan.plan import ABSENT, Plan
from spora_db.selection.feature_choice import FeatureChoice
from spora_db.selection.features import sets_of
from spora_db.selection.resolved import Resolved
from spora_db.sources.features import FeatureParts, shown

_SHIFT = np.int64(1) << 32
"""Of a tissue's number in a key, whose lower half is the tile or the cell."""
_NUMBER = {"tile": "tile_id", "cell": "cell_id"}
_TILING = ("mpp", "strategy", "tile_size")


def choose_features(plan: Plan, resolved: Resolved, catalog: Catalog) -> PlanFeatures | None:
    """Return the features of a plan's rows; nothing where none were asked for.

    Raises
    ------
    TableError
        If a row has no features, and that is to be an error, or several.
    FileFormatError
        If a part is broken.
    """
    names: list[str] = []
    values: list[AnyArray] = []
    for choice in resolved.selection.features:
        sets = sets_of(choice.name, catalog)
        columns = sets[0].features.columns
        found = _values(plan, choice, sets, resolved)
        names += [choice.name if len(columns) == 1 else f"{choice.name}.{column.name}" for column in columns]
        values += found
    return PlanFeatures(names=tuple(names), values=tuple(values)) if names else None


def _values(plan: Plan, choice: FeatureChoice, sets: Sequence[FeatureParts], resolved: Resolved) -> list[AnyArray]:
    features = sets[0].features
    keys, numbers = _row_keys(plan, by_number=features.grain != "tissue")
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    found = [_empty(column, len(plan)) for column in features.columns]
    known = np.zeros(len(plan), np.bool_)
    for item in sets:
        fetch_whole(part.path for part in item.parts)
        for part in item.parts:
            table, arrays = read_part(part.path, features.columns, grain=features.grain)
            own, there = _part_keys(table, item, numbers, resolved)
            if len(own) != len(np.unique(own)):
                raise _repeated(choice, part)
            first, last = (np.searchsorted(ordered, own, side=side) for side in ("left", "right"))
            rows = np.repeat(np.arange(len(own)), last - first)  # rows of the user's own may name a place twice
            offset = np.arange(len(rows)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
            to = order[np.repeat(first, last - first) + offset]
            if known[to].any():
                raise _repeated(choice, part)
            known[to] = True
            for array, target in zip(arrays, found, strict=True):
                target[to] = array[there][rows]
    if not known.all() and choice.missing == "error":
        raise _missing(plan, choice, sets, known)
    return found


def _row_keys(plan: Plan, *, by_number: bool) -> tuple[Int64, dict[tuple[str, str], int]]:
    """Return a number for what each row is about, and those of tissues."""
    places = zip(plan.images.column("dataset").to_pylist(), plan.images.column("tissue_id").to_pylist(), strict=True)
    numbers: dict[tuple[str, str], int] = {}
    of_image = np.array([numbers.setdefault(place, len(numbers)) for place in places], np.int64)
    present = (plan.image != ABSENT).argmax(axis=1)
    images = plan.image[np.arange(len(plan)), present]
    keys = of_image[images] * _SHIFT if len(plan) else np.empty(0, np.int64)
    return keys + plan.tile_id if by_number else keys, numbers


def _part_keys(
    table: pa.Table, item: FeatureParts, numbers: dict[tuple[str, str], int], resolved: Resolved
) -> tuple[Int64, Bools]:
    """Return the keys of the rows of a part that a plan may ask for, and which rows these are."""
    tissues = table.column("tissue_id").combine_chunks().dictionary_encode()
    known = [numbers.get((item.features.dataset, name), -1) for name in tissues.dictionary.to_pylist()]
    tissue = np.array(known, np.int64)[numpy_array(tissues.indices)]
    there = tissue >= 0
    grain = item.features.grain
    for name in _TILING if grain == "tile" else ():
        asked, own = getattr(resolved.selection, name), table.column(name)
        if name == "strategy":
            asked = asked or "default"
        there &= numpy_array(pc.equal(own, arrow_scalar(asked, own.type)))
    keys = tissue * _SHIFT
    if grain in _NUMBER:
        keys = keys + numpy_array(table.column(_NUMBER[grain]))
    return keys[there], there


def _empty(column: FeatureColumn, rows: int) -> AnyArray:
    shape = (rows,) if column.dimension is None else (rows, column.dimension)
    return np.full(shape, np.nan, np.dtype(column.dtype))


def _repeated(choice: FeatureChoice, part: TableFile) -> TableError:
    return TableError(f"with_features({choice.name!r}): {part.path} has features of a row twice. Extract them again.")


def _missing(plan: Plan, choice: FeatureChoice, sets: Sequence[FeatureParts], known: Bools) -> TableError:
    """Return the error for rows without features, the first of them named."""
    rows = np.flatnonzero(~known)
    told = "; ".join(
        f"{item.features.dataset}: {item.rows:,} of {item.features.expected:,} rows, {item.features.state}"
        for item in sets
    )
    return TableError(
        f"with_features({choice.name!r}): {len(rows):,} of {counted(len(plan), 'row')} have no features; the first is "
        f"{dict(plan.identity(int(rows[0])))}. The set has {shown(sets[0].features)} ({told}). Extract the others, or "
        "say what becomes of such rows: missing='drop' leaves them out, missing='nan' gives them NaN."
    )
