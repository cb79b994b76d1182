"""Features in SQL and in plans: CPU seconds against pyarrow's for reading the same parts, in one run."""

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db import Catalog, SporaQuery
from spora_db.feature_sets import FeatureColumn, FeatureSet, described, part_schema
from spora_db.layout import FEATURES_FILE, feature_folder, feature_part
from tests.benchmarks.history import MEASURES, record

TISSUES, TILES = (500, 1000) if MEASURES else (4, 50)
DIMENSION = 384
JOIN = """
    SELECT cancer_type, count(*), sum(embedding[1]) FROM feature('virtues')
    JOIN tiles USING (dataset, tissue_id, mpp, strategy, tile_size, tile_id) GROUP BY ALL ORDER BY ALL
"""
BARE = f"""
    SELECT cancer_type, count(*), sum(embedding[1])
    FROM (SELECT tissue_id, tile_id, CAST(embedding AS FLOAT[{DIMENSION}]) AS embedding FROM read_parquet($parts))
    JOIN read_parquet($tiles) USING (tissue_id, tile_id)
    JOIN read_parquet($tissues) USING (tissue_id) GROUP BY ALL ORDER BY ALL
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of tiles without images, with a vector of 384 numbers of 16 bits each."""
    dataset = tmp_path_factory.mktemp("features") / "lake" / "big"
    for folder in ("metadata", "he/1_0mpp/images", "tiling/1_0mpp/default"):
        (dataset / folder).mkdir(parents=True)
    ids = [f"t{number:04d}" for number in range(TISSUES)]
    tissues = pd.DataFrame({"tissue_id": ids, "modality": "he", "cancer_type": ["A", "B"] * (TISSUES // 2)})
    tissues.to_parquet(dataset / "metadata" / "tissues.parquet")
    for tissue in ids:
        (dataset / "he" / "1_0mpp" / "images" / f"{tissue}.ome.tiff").write_bytes(b"")
    tiles = pd.DataFrame({"tissue_id": np.repeat(ids, TILES), "tile_id": np.tile(np.arange(TILES), TISSUES)})
    tiles = tiles.assign(row=tiles["tile_id"] * 4, col=0)
    tiles.to_parquet(dataset / "tiling" / "1_0mpp" / "default" / "224_tile_coordinates.parquet")
    column = FeatureColumn(name="embedding", dimension=DIMENSION, dtype="float16")
    features = FeatureSet(
        name="virtues", dataset="big", grain="tile", columns=(column,), expected=len(tiles), state="complete",
        modalities=("he",), mpp=1.0, strategy="default", tile_size=224,
    )  # fmt: skip
    folder = feature_folder(dataset, "virtues")
    folder.mkdir(parents=True)
    (folder / FEATURES_FILE).write_text(described(features))
    rng = np.random.default_rng(0)
    for first in range(0, len(tiles), 16_384):
        rows = tiles.iloc[first : first + 16_384].assign(mpp=1.0, strategy="default", tile_size=224)
        vectors = pa.array(rng.standard_normal(len(rows) * DIMENSION, np.float32).astype(np.float16))
        schema = part_schema(features)
        columns = {name: pa.array(rows[name], schema.field(name).type) for name in schema.names[:-1]}
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(vectors, DIMENSION)
        path = folder / feature_part(first, first + len(rows) - 1)
        pq.write_table(
            pa.table(columns, schema=schema), path, compression="none", use_dictionary=["tissue_id", "strategy"]
        )
    return dataset.parent


def cpu(ask: Callable[[], object]) -> float:
    """Return the CPU seconds of the second of two runs, those of all threads."""
    ask()
    start = time.process_time()
    ask()
    return time.process_time() - start


def test_features_join_and_come_with_plans(lake: Path) -> None:
    parts = sorted(feature_folder(lake / "big", "virtues").glob("part-*"))
    files = {
        "parts": list(map(str, parts)),
        "tiles": str(lake / "big/tiling/1_0mpp/default/224_tile_coordinates.parquet"),
        "tissues": str(lake / "big/metadata/tissues.parquet"),
    }
    with Catalog(lake) as catalog, duckdb.connect() as bare:
        assert sum(row[1] for row in catalog.sql(JOIN).fetchall()) == TISSUES * TILES
        joined = cpu(lambda: catalog.sql(JOIN).fetchall())
        alone = cpu(lambda: bare.execute(BARE, files).fetchall())
    plain = cpu(lambda: [pq.read_table(part) for part in parts])
    query = SporaQuery(lake).modality("he").tiles(size=224, mpp=1.0).with_features("virtues")
    planned = cpu(query.plan)
    record("500,000 x 384 features: pyarrow's reading, of a join with tiles and tissues in SQL", plain / joined)
    record("500,000 x 384 features: pyarrow's reading, of a plan with them", plain / planned)
    record("500,000 x 384 features: DuckDB's own join of the files, of that in SQL", alone / joined)
    record("500,000 x 384 features: CPU of a join with tiles and tissues in SQL", joined, "s")
