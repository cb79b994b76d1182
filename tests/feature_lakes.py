"""Feature sets written by pyarrow alone, as any program may write them, for tests of what reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spora_db import SporaQuery
from spora_db.feature_sets import FeatureColumn, FeatureSet, described, part_schema
from spora_db.layout import FEATURES_FILE, feature_folder, feature_part

KEYS = {
    "tile": ("tissue_id", "mpp", "strategy", "tile_size", "tile_id", "row", "col"),
    "cell": ("tissue_id", "cell_id"),
    "tissue": ("tissue_id",),
}
EMBEDDING = FeatureColumn(name="embedding", dimension=4, dtype="float16")
SCORE = FeatureColumn(name="score", dimension=None, dtype="float32")


def tiles(lake: Any) -> SporaQuery:
    """Return the query of all tiles of 32 pixels of a lake that `write_lake` made."""
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def vectors(rows: int, *, dimension: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float16)


def write_features(dataset: Path, features: FeatureSet, rows: pd.DataFrame, *, part: int = 1000) -> pd.DataFrame:
    """Write features of the rows of a dataset, in parts; return them with their columns."""
    rows = rows[list(KEYS[features.grain])].reset_index(drop=True)
    made = vectors(len(rows), seed=len(rows))
    schema = part_schema(features)
    flat = pa.array(made.ravel())
    columns = {
        "embedding": pa.FixedSizeListArray.from_arrays(flat, 4),
        "score": pa.array(made[:, 0].astype(np.float32)),
    }
    keys = {name: pa.array(rows[name], schema.field(name).type) for name in rows.columns}
    table = pa.table({**keys, **{column.name: columns[column.name] for column in features.columns}}, schema=schema)
    folder = feature_folder(dataset, features.name)
    folder.mkdir(parents=True)
    for first in range(0, len(table), part):
        piece = table.slice(first, part)
        pq.write_table(piece, folder / feature_part(first, first + len(piece) - 1), compression="none")
    (folder / FEATURES_FILE).write_text(described(features), encoding="utf-8")
    return rows.assign(
        dataset=dataset.name, embedding=list(made.astype(np.float32)), score=made[:, 0].astype(np.float32)
    )
