"""Features written and read against plain pyarrow, and the nearest rows against one product of numpy's."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.history import record
from benchmarks.test_catalog import Size, write_lake
from spora_db import SporaQuery
from spora_db.extraction.parts import key_columns_of, parts_of, rows_of_datasets
from spora_db.feature_sets import FeatureColumn, FeatureSet, read_feature_set
from spora_db.feature_sets.writing import SetFolder
from spora_db.layout import feature_folder
from spora_db.nearest.matrix import feature_matrix
from spora_db.nearest.search import most_like

DIMENSION = 384
PART = 16_384
SIZES = [
    pytest.param(20_000, id="small"),
    pytest.param(500_000, id="half a million", marks=pytest.mark.slow),
    pytest.param(1_000_000, id="a million", marks=pytest.mark.slow),
]


def alternating(work: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median seconds of each of several things, done in turn."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(1 + rounds):
        for name, action in work.items():
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(own[1:])) for name, own in times.items()}


@pytest.mark.parametrize("rows", SIZES)
def test_features(rows: int, tmp_path: Path) -> None:
    """Prints ratios of writing, reading and searching; checks that what is read and found is what was written."""
    lake = write_lake(
        tmp_path / "lake", Size(datasets=1, tissues=max(rows // 1000, 10), tiles=rows, cells=10, channels=4)
    )
    query = SporaQuery(lake).modality("imc").tiles(size=224, mpp=1.0)
    plan = query.plan()
    ((dataset, own),) = rows_of_datasets(plan).items()
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((len(own), DIMENSION), np.float32).astype(np.float16)
    keys = key_columns_of(plan, own, strategy="default")
    column = FeatureColumn(name="vector", dimension=DIMENSION, dtype="float16")
    features = FeatureSet(
        name="own", dataset=dataset, grain="tile", columns=(column,), expected=len(own), mpp=1.0, tile_size=224,
        strategy="default",
    )  # fmt: skip
    folder = SetFolder(path=feature_folder(lake / dataset, "own"), dataset=dataset)
    parts = [(part.first, part.last) for part in parts_of(dataset, len(own), size=PART)]
    kind = pa.list_(pa.float16(), DIMENSION)

    def write() -> None:
        folder.describe(features)
        for first, last in parts:
            some = {name: values.slice(first, last - first + 1) for name, values in keys.items()}
            folder.write_part(features, first, last, keys=some, vectors={"vector": vectors[first : last + 1]})

    def write_plain() -> None:
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=kind)
        pq.write_table(pa.table({**keys, "vector": flat}), tmp_path / "plain.parquet")

    written = alternating({"ours": write, "plain": write_plain}, rounds=3)
    record(f"writing {len(own):,} features of {DIMENSION}, plain pyarrow / ours", written["plain"] / written["ours"])
    folder.finish(features, parts)
    files = sorted(folder.path.glob("part-*"))
    read = alternating(
        {"ours": lambda: pq.read_table(files), "plain": lambda: pq.read_table(tmp_path / "plain.parquet")},
        rounds=3,
    )
    record(f"reading {len(own):,} features of {DIMENSION}, plain pyarrow / ours", read["plain"] / read["ours"])
    found = pq.read_table(files).column("vector").combine_chunks()
    assert np.array_equal(found.flatten().to_numpy().reshape(-1, DIMENSION), vectors)

    matrix = feature_matrix(folder.path, read_feature_set(folder.path, dataset=dataset), column)
    unit = draw.standard_normal(DIMENSION)
    unit /= np.linalg.norm(unit)
    single, vector = vectors.astype(np.float32), unit.astype(np.float32)
    sought = alternating(
        {
            "search": lambda: most_like([matrix], unit, k=20, among=lambda rows: np.ones(len(rows), np.bool_)),
            "product": lambda: single @ vector,
            "nearest": lambda: query.nearest(unit, name="own"),
        },
        rounds=5,
    )
    record(f"nearest of {len(own):,}, one product of float32 / the search", sought["product"] / sought["search"])
    record(f"nearest of {len(own):,}, the search", sought["search"], "s")
    record(f"nearest of {len(own):,}, with its SQL", sought["nearest"], "s")
    exact = vectors.astype(np.float64) @ unit / np.linalg.norm(vectors.astype(np.float64), axis=1)
    near = query.nearest(unit, name="own").df()
    assert sorted(near["similarity"]) == pytest.approx(sorted(np.sort(exact)[-20:]), abs=1e-12)
