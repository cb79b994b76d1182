"""`bags`: a query's rows grouped, with the features that each row has."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int64
from spora_db.bags.dataset import BagDataset, RowSource, TileSource, VectorSource
from spora_db.bags.grouping import check_labels, grouped, thinned
from spora_db.catalog import lent_catalog
from spora_db.errors import QueryError, TableError, counted
from spora_db.files.arrow_arrays import numpy_array
from spora_db.layout import LakePath
from spora_db.loading.beside import check_columns
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.row_numbers import IMAGE_COLUMNS, first_images
from spora_db.nearest.matrix import FeatureMatrix
from spora_db.nearest.sets import MissingFeatures, found_sets
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection

TILES = "tiles"
OF_BAGS = ("bag", "mask")
"""Fields of bags and their batches that samples do not have."""


def make_bags(
    lake: LakePath,
    selection: Selection,
    *,
    by: str,
    features: str,
    column: str | None,
    max_per_bag: int | None,
    seed: int,
    missing: MissingFeatures,
) -> BagDataset:
    """Return the rows of a query in bags; see `SporaQuery.bags`."""
    carried = selection.columns if by in IMAGE_COLUMNS else tuple(dict.fromkeys((*selection.columns, by)))
    asked = replace(selection, columns=carried)
    plan = plan_of(lake, asked)
    check_columns(plan, also=OF_BAGS, besides=by)
    if not len(plan):
        raise QueryError(f"The query selects no {plan.unit}s in {plan.lake}, so there are no bags.")
    kept, source = np.ones(len(plan), np.bool_), _tiles(plan) if features == TILES else None
    if source is None:
        with lent_catalog(lake) as catalog:
            found = found_sets(features, column, resolve(asked, catalog).selection, catalog)
        source = _vectors(plan, [each.matrix for each in found])
        kept = source.place >= 0
        if not kept.all() and (missing == "error" or not kept.any()):
            first = plan.identity(int((~kept).argmax()))
            raise TableError(
                f"{counted(int((~kept).sum()), 'row')} of {len(plan):,} have no features {features!r}, the first of "
                f"tissue {first['tissue_id']!r} of {first['dataset']}. Extract them, or leave these rows out with "
                "missing='drop'."
            )
    grouping = grouped(plan, by, kept=kept)
    check_labels(plan, grouping, by=by)
    if max_per_bag is not None:
        grouping = thinned(plan, grouping, most=max_per_bag, seed=seed)
    return BagDataset(plan, grouping, by=by, source=source)


def _tiles(plan: Plan) -> RowSource:
    if len(plan.modalities) > 1:
        raise QueryError("Bags of tiles are of one modality; the query has several. Choose one with .modality().")
    return TileSource(tiles=PlanDataset(plan))


def _vectors(plan: Plan, matrices: Sequence[FeatureMatrix]) -> VectorSource:
    """Find every row of a plan in the matrices, by tissue and by tile or cell."""
    images, first = plan.images, first_images(plan)
    matrix, place = np.full(len(plan), -1, np.int64), np.full(len(plan), -1, np.int64)
    datasets = np.array(images.column("dataset").to_pylist(), object)[first]
    tissues = images.column("tissue_id").combine_chunks().cast(pa.string()).dictionary_encode()
    names, codes = tissues.dictionary, numpy_array(tissues.indices).astype(np.int64)[first]
    for number, own in enumerate(matrices):
        rows = np.flatnonzero(datasets == own.dataset)
        theirs = pa.compute.index_in(own.keys.column("tissue_id"), value_set=names)
        there = _numbers(numpy_array(theirs, absent=-1).astype(np.int64), _ids(own, plan))
        here = _numbers(codes[rows], plan.tile_id[rows].astype(np.int64) if plan.unit != "tissue" else 0)
        order = np.argsort(there, kind="stable")
        spot = np.minimum(np.searchsorted(there[order], here), len(there) - 1) if len(there) else here
        hit = there[order[spot]] == here if len(there) else np.zeros(len(here), np.bool_)
        matrix[rows[hit]], place[rows[hit]] = number, order[spot[hit]]
    return VectorSource(matrices=tuple(matrices), matrix=matrix, place=place)


def _ids(own: FeatureMatrix, plan: Plan) -> Int64 | int:
    if plan.unit == "tissue":
        return 0
    ids: Int64 = numpy_array(own.keys.column(f"{plan.unit}_id"), absent=-1)
    return ids


def _numbers(tissue: Int64, own: Int64 | int) -> Int64:
    """Return a number per tissue and tile or cell, whose ids are of 32 bits."""
    return (tissue << 32) + own
