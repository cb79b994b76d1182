"""Rules about feature sets: their descriptions, their parts, what their rows are of, and, on request, every number."""

from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray
from spora_db.catalog import Catalog
from spora_db.errors import SporaError, counted, reason
from spora_db.feature_sets import part_rows, part_schema
from spora_db.feature_sets.reading import read_part
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.layout import Dataset, Lake
from spora_db.sources.features import FeatureParts, feature_sets, relation_of
from spora_db.sqltext.expressions import identifier
from spora_db.validation.findings import Finding
from spora_db.validation.rules import broken

KEYS = {
    "tile": ("tissue_id", "mpp", "strategy", "tile_size", "tile_id"),
    "cell": ("tissue_id", "cell_id"),
    "tissue": ("tissue_id",),
}
HOMES = {"tile": "tile_coordinates", "cell": "cells", "tissue": "tissues"}


def check_features(dataset: Dataset, lake: Lake, *, deep: bool) -> Iterator[Finding]:
    """Yield what is wrong with the feature sets of a dataset; `deep` reads every number.

    Parameters
    ----------
    dataset, lake
        The dataset, and the lake that it is of.
    deep
        Whether vectors are read too: NaN and infinite ones are told.
    """
    if not dataset.feature_folders:
        return
    alone = Lake(path=lake.path, roots=lake.roots, datasets=(dataset,))
    try:
        sets = list(feature_sets(alone))
    except SporaError as error:
        yield broken("feature_sets", str(error), dataset=dataset.name, file=f"{dataset.name}/features")
        return
    with Catalog(dataset.paths) as catalog:
        for item in sets:
            yield from _parts(item, dataset, deep=deep)
            yield from _rows(item, dataset, catalog)


def _parts(item: FeatureParts, dataset: Dataset, *, deep: bool) -> Iterator[Finding]:
    features = item.features
    expected, end = part_schema(features), 0
    fetch_whole(part.path for part in item.parts)
    for part in item.parts:
        file = f"{dataset.name}/features/{features.name}/{part.path.name}"
        try:
            first, last = part_rows(part.path.name)
            with pq.ParquetFile(part.path) as opened:
                found, rows = opened.schema_arrow, opened.metadata.num_rows
            same = found.names == expected.names
            values = read_part(part.path, features.columns if deep else (), grain=features.grain)[1] if same else []
        except (SporaError, *PARQUET_FAILURES) as error:
            yield broken("feature_parts", f"It cannot be read: {reason(error)}.", dataset=dataset.name, file=file)
            continue
        if not same:
            said = f"It has the columns {', '.join(found.names[:20])}; expected {', '.join(expected.names)}."
            yield broken("feature_sets", said, dataset=dataset.name, file=file)
        if rows != last - first + 1:
            said = f"It has {counted(rows, 'row')}; by its name expected {last - first + 1:,}."
            yield broken("feature_parts", said, dataset=dataset.name, file=file)
        if first < end:
            said = f"It begins with row {first:,}, which a part before it has already."
            yield broken("feature_parts", said, dataset=dataset.name, file=file)
        if odd := _odd(values):
            said = f"{counted(odd, 'row')} of it have NaN or infinite features."
            yield broken("feature_values", said, dataset=dataset.name, file=file)
        end = max(end, last + 1)


def _odd(values: list[AnyArray]) -> int:
    """Return how many rows have a number that is not finite."""
    finite = [np.isfinite(own).reshape(len(own), -1).all(axis=1) for own in values]
    return int((~np.logical_and.reduce(finite)).sum()) if finite else 0


def _rows(item: FeatureParts, dataset: Dataset, catalog: Catalog) -> Iterator[Finding]:
    features = item.features
    file = f"{dataset.name}/features/{features.name}"
    lacking = features.expected - features.failed - item.rows
    if lacking or features.state != "complete":
        said = f"It has {item.rows:,} of {counted(features.expected, 'row')}, and is {features.state}."
        yield broken("feature_rows", said, dataset=dataset.name, file=file)
    if not item.parts:
        return
    keys, relation = KEYS[features.grain], identifier(relation_of(features.name)).sql("duckdb")
    listed = ", ".join(keys)
    same = " AND ".join(f"home.{key} = f.{key}" for key in keys)
    home = HOMES[features.grain]
    try:
        names = catalog.columns(relation_of(features.name))
        if not set(keys) <= set(names):
            return
        twice = f"SELECT count(*) FROM (SELECT 1 FROM {relation} GROUP BY {listed} HAVING count(*) > 1) AS shared"
        orphans = f"SELECT count(*) FROM {relation} AS f WHERE NOT EXISTS (SELECT 1 FROM {home} AS home WHERE {same})"
        (repeated,), (strange,) = (catalog._run(text).fetchall()[0] for text in (twice, orphans))
    except SporaError as error:
        yield broken("feature_sets", str(error), dataset=dataset.name, file=file)
        return
    if repeated:
        said = f"More than once it has features of {counted(repeated, features.grain)}."
        yield broken("feature_parts", said, dataset=dataset.name, file=file)
    if strange:
        said = f"The relation {home} does not have the {features.grain}s of {counted(strange, 'row')}."
        yield broken("feature_orphans", said, dataset=dataset.name, file=file)
