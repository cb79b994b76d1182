"""Cells and whole tissues through extract, with_features, nearest, bags and what to label next, as tiles go."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spora_db import SporaQuery

KEYS = {"cell": ["dataset", "tissue_id", "cell_id"], "tissue": ["dataset", "tissue_id"]}
DIMENSION = 5


def query(lake: Any, unit: str) -> SporaQuery:
    asked = SporaQuery(lake).modality("imc").select("patient_id")
    if unit == "tissue":
        return asked.tissues(mpp=1.0)
    return asked.cells(size=16, mpp=1.0).where("cell_type = 'Endothelial cell'").sample(60, seed=2)


@pytest.fixture(scope="module", params=["cell", "tissue"])
def made(lake_of_examples: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """Return a query with its features in a layer, the rows, and the vectors and scores by row."""
    unit, mine = request.param, tmp_path_factory.mktemp("features")
    asked = query(lake_of_examples, unit)
    rows = asked.df()
    draw = np.random.default_rng(1)
    vectors = draw.standard_normal((len(rows), DIMENSION)).astype(np.float32)
    scores = draw.dirichlet([1, 1, 1], len(rows)).astype(np.float32)
    left = [(torch.from_numpy(vectors[i : i + 1]), torch.from_numpy(scores[i : i + 1])) for i in range(len(rows))]

    def model(batch: Any) -> dict[str, torch.Tensor]:
        taken = [left.pop(0) for _ in range(len(batch["image"]))]
        return {"v": torch.cat([own for own, _ in taken]), "p": torch.cat([own for _, own in taken])}

    size = 1 if unit == "tissue" else 16
    report = asked.extract(model, name="own", into=mine, dtype="float32", batch_size=size, part_rows=32)
    assert report.complete
    return query([lake_of_examples, mine], unit), rows, vectors, scores, KEYS[unit]


@pytest.mark.some(2)
def test_rows_bring_their_vectors(made: Any) -> None:
    asked, _, vectors, scores, _ = made
    plan = asked.with_features("own").plan()
    assert plan.features.names == ("own.v", "own.p")
    assert np.array_equal(plan.features.values[0], vectors)
    assert np.array_equal(plan.features.values[1], scores)


def test_the_nearest_are_those_of_numpy(made: Any) -> None:
    asked, rows, vectors, _, keys = made
    to = rows.loc[2, keys].to_dict()
    cosine = vectors @ vectors[2] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[2])
    order = np.sort(np.argsort(-cosine)[:3])
    found = asked.nearest(to, name="own", column="v", k=3).df()
    assert found[keys].to_numpy().tolist() == rows.loc[order, keys].to_numpy().tolist()
    assert np.allclose(found["similarity"], cosine[order], atol=1e-6)


def test_bags_are_those_of_pandas(made: Any) -> None:
    asked, rows, vectors, _, keys = made
    bags = asked.bags(by="patient_id", features="own", column="v")
    groups = list(rows.groupby("patient_id", sort=False))
    assert len(bags) == len(groups)
    for bag, (patient, group) in zip((bags[i] for i in range(len(bags))), groups, strict=True):
        assert bag["bag"] == patient
        assert np.array_equal(bag["features"].numpy(), vectors[group.index])
        assert [list(bag[key]) for key in keys[1:]] == [group[key].tolist() for key in keys[1:]]


@pytest.mark.some(2)
def test_what_to_label_next(made: Any) -> None:
    asked, rows, _, scores, keys = made
    entropy = -(scores.astype(np.float64) * np.log(scores.astype(np.float64))).sum(axis=1)
    found = asked.most_uncertain(2, scores="own", column="p").df()
    order = np.sort(np.argsort(-entropy)[:2])
    assert found[keys].to_numpy().tolist() == rows.loc[order, keys].to_numpy().tolist()
    chosen = asked.most_different(2, features="own", column="v", than=asked.limit(2))
    assert sorted(chosen.df()["turn"]) == [1, 2]
    assert len(chosen.to_torch()) == 2
