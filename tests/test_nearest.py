"""The most similar rows against numpy in float64, with conditions, layers and whatever vectors there are."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_lakes import tiles
from full_disks import no_room
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, QueryError, UnknownNameError, WriteError
from spora_db.kernels.similarity import products_of_halves
from spora_db.nearest import search
from spora_db.nearest.matrix import FeatureMatrix
from spora_db.nearest.search import most_like

DIMENSION = 20


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nearest")
    return [write_lake(folder / "lake", tissues=3, size=96), folder / "mine"]


@pytest.fixture(scope="module", params=["float16", "float32"])
def made(lake: list[Path], request: pytest.FixtureRequest) -> tuple[str, np.ndarray]:
    """Return the name of features that were made, and the vectors of all 54 rows; two are equal, one is zero."""
    vectors = np.random.default_rng(7).standard_normal((54, DIMENSION)).astype(request.param)
    vectors[11], vectors[30] = vectors[4], 0
    left = list(torch.from_numpy(vectors).split(9))
    tiles(lake[0]).extract(
        lambda batch: {"embedding": left.pop(0), "score": batch["row"]}, name=request.param, dtype=request.param,
        into=lake[1], batch_size=9, part_rows=18,
    )  # fmt: skip
    return request.param, vectors


def expected(vectors: np.ndarray, to: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the most similar of some rows by numpy, and how similar they are."""
    own, vector = vectors.astype(np.float64), to.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cosine = own @ vector / np.linalg.norm(own, axis=1) / np.linalg.norm(vector)
    order = [row for row in np.lexsort((np.arange(len(own)), -cosine)) if row in rows and np.isfinite(cosine[row])][:k]
    return np.array(order), cosine[order]


@pytest.mark.some(3)
@pytest.mark.parametrize("condition", ["true", "dataset = 'beta'", "cancer_type = 'BRCA' AND row > 0", "tile_id < 0"])
@pytest.mark.parametrize("k", [2, 100])
def test_the_nearest_are_those_of_numpy(
    lake: list[Path], made: tuple[str, np.ndarray], condition: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST", 3)  # so that more candidates have to be asked about
    monkeypatch.setattr(search, "MORE", 2)
    name, vectors = made
    every = tiles(lake).select("cancer_type").df()
    rows = np.flatnonzero(
        every.index.isin(every.query(_pandas(condition)).index) if condition != "true" else every.index + 1
    )
    to = np.random.default_rng(k).standard_normal(DIMENSION)
    near = tiles(lake).where(condition).select("cancer_type").nearest(to, name=name, k=k)
    order, similarity = expected(vectors, to, rows, k)
    found = near.df().sort_values("similarity", ascending=False, kind="stable")
    keys = ["dataset", "tissue_id", "tile_id"]
    assert found[keys].to_numpy().tolist() == every.loc[order][keys].to_numpy().tolist()
    assert np.allclose(found["similarity"], similarity, atol=1e-12)
    assert found["cancer_type"].tolist() == every.loc[order]["cancer_type"].tolist()


def _pandas(condition: str) -> str:
    return condition.replace(" = ", " == ").replace("AND", "and")


@pytest.mark.some(2)
def test_the_answer_is_a_query(lake: list[Path], made: tuple[str, np.ndarray]) -> None:
    query = tiles(lake).label("cancer_type")
    sample = query.to_torch()[4]
    near = query.nearest(sample, name=made[0], k=3)
    assert len(near) == 3
    assert len(near.where("similarity > 0.999")) == 2
    dataset = near.to_torch()
    assert {
        (part["tissue_id"], part["tile_id"]) for part in (dataset[i] for i in range(3)) if part["similarity"] > 0.999
    } == {
        ("alpha_0000", 4),
        ("alpha_0001", 2),
    }
    again = query.nearest({"dataset": "alpha", "tissue_id": "alpha_0000", "tile_id": np.int64(4)}, name=made[0], k=3)
    assert again.df().equals(near.df())
    row = tiles(lake).where("tissue_id = 'alpha_0000' AND tile_id = 4").df().iloc[0]
    assert query.nearest(row, name=made[0], k=3).df().equals(near.df())


def test_of_what_was_found_the_similarity_is_the_new_one(lake: list[Path], made: tuple[str, np.ndarray]) -> None:
    to = np.ones(DIMENSION)
    found = tiles(lake).nearest(to, name=made[0], k=5).nearest(-to, name=made[0], k=2).df()
    assert (found["similarity"] < 0).all()
    assert found.columns.tolist().count("similarity") == 1


def test_a_matrix_is_made_once_and_again_when_parts_change(lake: list[Path], made: tuple[str, np.ndarray]) -> None:
    folder, to = lake[1] / "alpha/features" / made[0], np.ones(DIMENSION)
    tiles(lake).nearest(to, name=made[0])
    (place,) = folder.glob(".matrix-*")
    before = (place / "vectors.npy").stat().st_mtime_ns
    tiles(lake).nearest(to, name=made[0])
    assert (place / "vectors.npy").stat().st_mtime_ns == before
    part = sorted(folder.glob("part-*"))[0]
    os.utime(part, ns=(1, 1))
    tiles(lake).nearest(to, name=made[0])
    assert [path != place for path in folder.glob(".matrix-*")] == [True]
    os.utime(part, ns=(2, 2))
    with no_room(), pytest.raises(WriteError, match="No space left on device"):
        tiles(lake).nearest(to, name=made[0])
    assert len(list(folder.glob(".matrix-*"))) == 1


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("to", "options", "error", "said"),
    [
        (np.ones(3), {}, ArgumentError, "the vector has 3 numbers, those of .* have 20"),
        (np.zeros(DIMENSION), {}, ArgumentError, "is zero, or has NaN"),
        (np.full(DIMENSION, np.nan), {}, ArgumentError, "is zero, or has NaN"),
        (np.ones((2, DIMENSION)), {}, ArgumentError, "expected a vector"),
        ("a tile", {}, ArgumentError, "expected a vector"),
        ({"dataset": "alpha", "tissue_id": "alpha_0000"}, {}, ArgumentError, "a row without tile_id"),
        ({"dataset": "alpha", "tissue_id": "no", "tile_id": 1}, {}, QueryError, "have no row"),
        ({"dataset": "alpa", "tissue_id": "no", "tile_id": 1}, {}, UnknownNameError, "Did you mean 'alpha'"),
        (np.ones(DIMENSION), {"name": "float61"}, UnknownNameError, "Did you mean 'float16'"),
        (np.ones(DIMENSION), {"column": "score"}, UnknownNameError, "column of vectors 'score'"),
        (np.ones(DIMENSION), {"k": 0}, ArgumentError, "whole number of rows"),
    ],
)
def test_what_is_nothing_to_look_for_is_told(
    lake: list[Path], made: tuple[str, np.ndarray], to: Any, options: dict[str, Any], error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        tiles(lake).nearest(to, **{"name": made[0], **options})


def test_features_of_other_rows_are_told(lake: list[Path], made: tuple[str, np.ndarray]) -> None:
    with pytest.raises(QueryError, match="grain is 'tile' there, 'tissue' here"):
        SporaQuery(lake).modality("imc").tissues(mpp=1.0).nearest(np.ones(DIMENSION), name=made[0])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_products_of_halves_are_those_of_numpy(data: st.DataObject) -> None:
    """Any finite halves, subnormal ones too, and any length, within the rounding of a float32 sum."""
    rows, size = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 2**32 - 1))
    bits = np.random.default_rng(seed).integers(0, 2**16, (rows, size), dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] &= 0x83FF
    vector = np.random.default_rng(seed + 1).standard_normal(size).astype(np.float32)
    found = np.full(rows, np.nan, np.float32)
    products_of_halves(bits, vector, found)
    exact = bits.view(np.float16).astype(np.float64) * vector.astype(np.float64)
    assert (np.abs(found - exact.sum(axis=1)) <= np.abs(exact).sum(axis=1) * (size + 2) * 2.0**-24 + 1e-30).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 200), st.sampled_from([np.float16, np.float32]))
def test_close_vectors_are_ordered_by_float64(seed: int, k: int, count: int, dtype: type) -> None:
    """Vectors that differ by less than float32's sum tells apart are in numpy's order all the same."""
    draw = np.random.default_rng(seed)
    vectors = (np.ones((count, 30)) + draw.integers(0, 2, (count, 30)) * 2.0**-10).astype(dtype)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    matrix = FeatureMatrix(
        dataset="d",
        vectors=vectors,
        norms=norms.astype(np.float32),
        keys=None,  # type: ignore[arg-type]
        place=Path("none"),
    )
    unit = draw.standard_normal(30)
    unit /= np.linalg.norm(unit)
    wanted = draw.random(count) < 0.5
    rows, similarity = most_like([matrix], unit, k=k, among=lambda rows: wanted[rows])
    exact = vectors.astype(np.float64) @ unit / norms
    order = [row for row in np.lexsort((np.arange(count), -np.round(exact, 13))) if wanted[row]][:k]
    assert np.allclose(similarity, exact[rows], atol=1e-13)
    assert np.allclose(exact[rows], exact[order], atol=1e-12)
