import hashlib
import math
from pathlib import Path

import pandas as pd
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, QueryError, SporaError, TableError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("sampling") / "lake", tissues=6)


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


@pytest.fixture
def tiles(query: SporaQuery) -> pd.DataFrame:
    return query.select("cancer_type", "patient_id", "age").df()


def key(seed: int, row: pd.Series) -> str:
    return hashlib.md5(f"spora-db/1|{seed}|{row.dataset}|{row.tissue_id}|{row.tile_id}".encode()).hexdigest()


def unit(text: str) -> float:
    return (int(text[:13], 16) + 0.5) / 2**52


def identity(frame: pd.DataFrame) -> set[tuple[str, str, int]]:
    return set(zip(frame["dataset"], frame["tissue_id"], frame["tile_id"], strict=True))


def test_keys_are_these_on_every_machine_and_version():
    row = pd.Series({"dataset": "alpha", "tissue_id": "alpha_0000", "tile_id": 0})
    assert [key(seed, row)[:8] for seed in (0, 1)] == ["7e698588", "adba1c44"]


def test_fraction_keeps_the_rows_whose_key_is_below_it(query, tiles):
    kept = tiles[[unit(key(4, row)) < 0.3 for _, row in tiles.iterrows()]]
    assert identity(query.sample(fraction=0.3, seed=4).df()) == identity(kept)
    assert query.sample(fraction=1.0).count() == len(tiles)


def test_quota_takes_so_many_of_each_value(query, tiles):
    found = query.select("cancer_type").sample(quota={"LUAD": 5, "BRCA": 3}, by="cancer_type", seed=1).df()
    assert found["cancer_type"].value_counts().to_dict() == {"LUAD": 5, "BRCA": 3}
    expected = tiles.assign(key=[key(1, row) for _, row in tiles.iterrows()]).sort_values("key")
    luad, brca = (expected[expected.cancer_type == name] for name in ("LUAD", "BRCA"))
    assert identity(found) == identity(luad[:5]) | identity(brca[:3])
    numbers = query.select("age").sample(quota={"40": 2, "60": 1}, by="age").df()
    assert numbers["age"].value_counts().to_dict() == {40: 2, 60: 1}


@pytest.mark.parametrize(("cap", "column"), [("per_tissue", "tissue_id"), ("per_patient", "patient_id")])
def test_caps(query, tiles, cap, column):
    found = query.select("patient_id").sample(**{cap: 4}, seed=2).df()
    assert set(found.groupby(["dataset", column]).size()) == {4}
    ordered = tiles.assign(key=[key(2, row) for _, row in tiles.iterrows()]).sort_values("key")
    assert identity(found) == identity(ordered.groupby(["dataset", column]).head(4))


def test_caps_come_before_the_number(query):
    assert query.sample(10, per_tissue=1).df()["tissue_id"].is_unique


def test_weights_are_exponential_clocks(query, tiles):
    weights = tiles["age"].astype(float) - 40
    clocks = [
        -math.log(unit(key(5, row))) / w if w else math.inf
        for (_, row), w in zip(tiles.iterrows(), weights, strict=True)
    ]
    expected = tiles.assign(clock=clocks).sort_values("clock")[:15]
    assert identity(query.sample(15, weights="age - 40", seed=5).df()) == identity(expected)


def test_n_tiles_counts_the_selected_rows_of_the_tissue(query):
    few = query.where("tissue_id <> 'alpha_0000' OR tile_id = 0")
    hits = sum("alpha_0000" in set(few.sample(6, weights="1.0 / n_tiles", seed=s).df()["tissue_id"]) for s in range(20))
    even = sum("alpha_0000" in set(few.sample(6, seed=s).df()["tissue_id"]) for s in range(20))
    assert hits > 4 * max(even, 1) / 2


def test_negative_weights_are_an_error(query):
    with pytest.raises(QueryError, match="weight"):
        query.sample(3, weights="age - 60").df()


def test_a_cohorts_share_does_not_depend_on_other_cohorts(lake, query):
    alone = SporaQuery(lake / "alpha").modality("imc").tiles(size=32)
    for options in ({"fraction": 0.4}, {"per_tissue": 2}, {"per_patient": 3, "weights": "age"}):
        together = query.sample(**options).df().query("dataset == 'alpha'")
        assert identity(alone.sample(**options).df()) == identity(together)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3, "fraction": 0.5},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"quota": {"a": 1}},
        {"per_tissue": 0},
        {"weights": "1"},
    ],
)
def test_samples_that_make_no_sense(query, options):
    with pytest.raises(ArgumentError):
        query.sample(**options)


def test_splits_keep_patients_together(lake, query):
    divided = query.split(by="patient", fractions={"train": 0.5, "val": 0.25, "test": 0.25}, seed=3, replace=True)
    frame = divided.select("patient_id", "split").df()
    assert len(frame) == 108
    assert (frame.groupby(["dataset", "patient_id"])["split"].nunique() == 1).all()
    for (dataset, patient), group in frame.groupby(["dataset", "patient_id"]):
        place = unit(hashlib.md5(f"spora-db/1|3|{dataset}|{patient}".encode()).hexdigest())
        assert set(group["split"]) == {"train" if place < 0.5 else "val" if place < 0.75 else "test"}
    parts = [
        divided.split(name, by="patient", fractions={"train": 0.5, "val": 0.25, "test": 0.25}, seed=3, replace=True)
        for name in ("train", "val", "test")
    ]
    assert sum(part.count() for part in parts) == 108
    alone = SporaQuery(lake / "beta").modality("imc").tiles(size=32)
    alone = alone.split(by="patient", fractions={"train": 0.5, "val": 0.25, "test": 0.25}, seed=3, replace=True)
    assert alone.select("patient_id", "split").df().equals(frame.query("dataset == 'beta'").reset_index(drop=True))


def test_a_cohorts_own_split_is_checked_and_never_replaced_in_silence(query):
    with pytest.raises(TableError, match="several splits"):
        query.split("train", by="patient").count()
    assert query.split("train", by="specimen").count() > 0
    with pytest.raises(QueryError, match="split column of its own"):
        query.split(by="patient", fractions={"train": 0.8, "test": 0.2}).count()
    with pytest.raises(SporaError, match="dev"):
        query.split("dev", by="patient", fractions={"train": 0.8, "test": 0.2}, replace=True).count()


@pytest.mark.parametrize("fractions", [{"train": 0.8}, {"train": 1.2, "test": -0.2}])
def test_fractions_add_up(query, fractions):
    with pytest.raises(ArgumentError, match="add up"):
        query.split(by="patient", fractions=fractions)
