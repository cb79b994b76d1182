import hashlib
import math
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.errors import ArgumentError, QueryError, SporaError, TableError, UnknownNameError


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


def copied(lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lake, tmp_path / "lake"))


def change(lake: Path, dataset: str, make: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    file = lake / dataset / "metadata/tissues.parquet"
    make(pd.read_parquet(file)).to_parquet(file)


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


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("quota", "column", "taken"),
    [
        ({40: 2, 60.0: 1}, "age", {40: 2, 60: 1}),
        ({3: 2}, "X..spots", {3.0: 2}),
        ({"3": 2}, "X..spots", {3.0: 2}),
        ({True: 4}, "odd", {True: 4}),
        ({8: 3}, "tile_id", {8: 3}),
        ({"alpha": 3}, "dataset", {"alpha": 3}),
    ],
)
def test_a_quota_may_name_values_as_python_writes_them(lake, tmp_path, quota, column, taken):
    copy = copied(lake, tmp_path)
    for name in ("alpha", "beta"):
        change(copy, name, lambda f: f.assign(odd=f["age"] % 20 == 10))
    query = SporaQuery(copy).modality("imc").tiles(size=32, mpp=1.0)
    asked = query.select(*({column} - {"tile_id", "dataset"})).sample(quota=quota, by=column)
    assert asked.df()[column].value_counts().to_dict() == taken
    if column != "X..spots":  # a floating-point number has another text elsewhere
        text = asked.sql(dialect="postgres")
        assert all(f"WHEN '{str(value).lower()}'" in text for value in taken)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"quota": {"LUADx": 5, "BRCA": 3}, "by": "cancer_type"}, UnknownNameError, ["'LUADx'", "mean 'LUAD'"]),
        ({"quota": {"41": 5}, "by": "age"}, UnknownNameError, ["'41'", "40, 50"]),
        ({"quota": {"3": 1, "3.0": 1}, "by": "X..spots"}, ArgumentError, ["X..spots = 3.0"]),
        ({"quota": {None: 5}, "by": "cancer_type"}, ArgumentError, ["cancer_type IS NULL"]),
        ({"quota": {}, "by": "cancer_type"}, ArgumentError, ["quota={}"]),
        ({"n": 5, "weights": "random()"}, QueryError, ["random()", ".sample(n, seed=)"]),
    ],
)
def test_draws_that_cannot_mean_what_they_say(query, options, error, words):
    with pytest.raises(error) as caught:
        query.sample(**options).count()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_quotas_of_an_assigned_split_and_of_values_that_conditions_leave_out(query):
    divided = query.split(by="tissue", fractions={"learn": 0.5, "hold": 0.5}, replace=True).select("split")
    assert divided.sample(quota={"learn": 4}, by="split").df()["split"].tolist() == ["learn"] * 4
    with pytest.raises(UnknownNameError, match="learn"):
        divided.sample(quota={"train": 4}, by="split").count()
    assert query.where("cancer_type = 'LUAD'").sample(quota={"BRCA": 4, "LUAD": 2}, by="cancer_type").count() == 2


@pytest.mark.parametrize(("cap", "column"), [("per_tissue", "tissue_id"), ("per_patient", "patient_id")])
def test_caps(query, tiles, cap, column):
    found = query.select("patient_id").sample(**{cap: 4}, seed=2).df()
    assert set(found.groupby(["dataset", column]).size()) == {4}
    ordered = tiles.assign(key=[key(2, row) for _, row in tiles.iterrows()]).sort_values("key")
    assert identity(found) == identity(ordered.groupby(["dataset", column]).head(4))


def test_caps_come_before_the_number(query):
    assert query.sample(10, per_tissue=1).df()["tissue_id"].is_unique


@pytest.mark.parametrize("unit_of_weights", ["1", "1e-320", "1e306"])
def test_weights_are_exponential_clocks(query, tiles, unit_of_weights):
    weights = (tiles["age"].astype(float) - 40) * float(unit_of_weights)
    clocks = [
        Fraction(-math.log(unit(key(5, row)))) / Fraction(w) if w else math.inf
        for (_, row), w in zip(tiles.iterrows(), weights, strict=True)
    ]
    expected = tiles.assign(clock=clocks).sort_values("clock")[:15]
    assert identity(query.sample(15, weights=f"(age - 40) * {unit_of_weights}", seed=5).df()) == identity(expected)


def test_n_tiles_counts_the_selected_rows_of_the_tissue(query):
    few = query.where("tissue_id <> 'alpha_0000' OR tile_id = 0")
    hits = sum("alpha_0000" in set(few.sample(6, weights="1.0 / n_tiles", seed=s).df()["tissue_id"]) for s in range(20))
    even = sum("alpha_0000" in set(few.sample(6, seed=s).df()["tissue_id"]) for s in range(20))
    assert hits > 4 * max(even, 1) / 2


@pytest.mark.parametrize(("weights", "found"), [("age - 60", "-20.0"), ("1.0 / (age - 40)", "inf")])
def test_negative_and_infinite_weights_are_an_error(query, weights, found):
    with pytest.raises(QueryError, match=f"weight is negative, infinite or not a number: {found}"):
        query.sample(3, weights=weights).df()


@pytest.mark.parametrize("nothing", ["NULL", "0"])
def test_rows_without_a_weight_are_never_drawn(query, tiles, nothing):
    drawn = query.sample(1_000, weights=f"CASE WHEN age > 60 THEN 1 ELSE {nothing} END").df()
    assert identity(drawn) == identity(tiles[tiles.age > 60])
    assert query.sample(per_tissue=2, weights=f"CASE WHEN age > 60 THEN 1 ELSE {nothing} END").count() == 2 * 6


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
        {"n": "10"},
        {"n": True},
        {"n": 2.5},
        {"n": math.nan},
        {"fraction": "0.5"},
        {"quota": ["LUAD"], "by": "cancer_type"},
        {"quota": {"LUAD": "5"}, "by": "cancer_type"},
        {"n": 3, "by": 5},
        {"n": 3, "weights": 2},
        {"n": 3, "seed": "a"},
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


FRACTIONS = {"train": 0.5, "val": 0.25, "test": 0.25}
ROWS = "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc'"


def divided(query: SporaQuery, *names: str) -> SporaQuery:
    return query.split(*names, by="patient", fractions=FRACTIONS, seed=3, replace=True)


def test_names_filter_the_division_chosen_before(query):
    assert divided(query).split("train") == divided(query, "train")
    assert divided(query).split("train", by="patient") == divided(query, "train")
    assert divided(query, "train", "val").split("val") == divided(query, "val")
    assert query.split(by="specimen").split("train") == query.split("train", by="specimen")
    again = divided(query, "train").split("test", by="tissue", fractions={"train": 0.5, "test": 0.5}, replace=True)
    assert again == query.split("test", by="tissue", fractions={"train": 0.5, "test": 0.5}, replace=True)
    own = query.split("train", "test").split("test")
    assert own.count() == query.where("split = 'test'").count() > 0


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: q.split("train").split("test"), ["split('test')", "split('train')", "left out test"]),
        (lambda q: q.split("train").split("train", "test"), ["left out test"]),
        (lambda q: divided(q).split("train", seed=4), ["fractions="]),
        (lambda q: q.split("train", replace=True), ["fractions="]),
        (lambda q: divided(q).split(by="specimen"), ["'specimen'", "'patient'"]),
        (lambda q: q.split(["train"]), ["one by one"]),
        (lambda q: q.split(by="patient", fractions=FRACTIONS, seed="a"), ["seed='a'"]),
    ],
)
def test_splits_that_contradict_each_other(query, build, words):
    with pytest.raises(ArgumentError) as caught:
        build(query)
    assert all(word in str(caught.value) for word in words), str(caught.value)


UNKNOWN = {
    "NULL": lambda f: f.assign(patient_id=f["patient_id"].where(f["tissue_id"] != "alpha_0001")),
    "no text": lambda f: f.assign(patient_id=f["patient_id"].where(f["tissue_id"] != "alpha_0001", "")),
    "no row": lambda f: f[f["tissue_id"] != "alpha_0001"],
}


@pytest.mark.some(4)
@pytest.mark.parametrize("how", UNKNOWN)
@pytest.mark.parametrize(
    ("build", "tissues"),
    [
        (divided, False),
        (lambda q: q.split("train", by="patient"), False),
        (lambda q: q.sample(per_patient=2), False),
        (lambda q: divided(q.tissues(mpp=1.0)), True),
        (lambda q: divided(SporaQuery.from_sql(q.lake, ROWS).modality("imc")), False),
    ],
)
def test_rows_without_a_patient_are_told(lake, tmp_path, how, build, tissues):
    copy = copied(lake, tmp_path)
    change(copy, "alpha", UNKNOWN[how])
    query = SporaQuery(copy).modality("imc").tiles(size=32, mpp=1.0)
    with pytest.raises(TableError, match="have no patient_id") as caught:
        build(query).count()
    rows = 1 if tissues else 9
    assert f"{rows} selected rows (1 tissue) of dataset 'alpha' have no patient_id" in str(caught.value)
    condition = str(caught.value).split('.where("')[1].split('")')[0]
    assert divided(query.where(condition)).count() == 108 - 9


def test_only_selected_rows_are_looked_at(lake, tmp_path):
    """Another cohort, another modality and tiles that a condition leaves out may lack patients, leak and be split."""
    copy = copied(lake, tmp_path)
    change(copy, "beta", lambda f: f.assign(patient_id=None))
    he = {"patient_id": lambda f: f["patient_id"].where(f["modality"] != "he")}
    change(copy, "alpha", lambda f: f.assign(split=f["split"].where(f["modality"] == "he"), **he))
    query = SporaQuery(copy).modality("imc").tiles(size=32, mpp=1.0)
    alpha = query.where("dataset = 'alpha'")
    assert alpha.split(by="patient", fractions=FRACTIONS).count() == 54
    assert alpha.split(by="patient").count() == 54
    assert alpha.sample(per_patient=2).count() == 3 * 2
    assert query.where("NOT (dataset = 'beta' AND tile_id >= 0)").split(by="patient", fractions=FRACTIONS).count() == 54
    with pytest.raises(TableError, match="'beta'"):
        query.split(by="patient", fractions=FRACTIONS).count()
    with pytest.raises(TableError, match="'alpha'"):
        alpha.modality("he").split(by="patient", fractions=FRACTIONS, replace=True).count()
    split = alpha.split(by="patient", fractions=FRACTIONS, seed=3).select("split").where("split <> 'val'")
    assert set(split.df()["split"]) <= {"train", "test"}


def test_a_condition_on_the_split_hides_no_leak(query):
    """Divided anew or checked, what counts are the rows of every split."""
    with pytest.raises(TableError, match="several splits"):
        query.where("split = 'train' AND age > 0").split(by="patient").count()
    with pytest.raises(QueryError, match="split column of its own"):
        query.where("split = 'train'").split(by="patient", fractions=FRACTIONS).count()


@pytest.mark.parametrize(
    "build",
    [divided, lambda q: q.where("tile_id < 4 AND age > 0").sample(per_patient=2), lambda q: q.split(by="specimen")],
)
def test_tiles_are_grouped_only_where_their_tissues_show_a_mistake(query, monkeypatch, build):
    asked, run = [], Catalog._run
    monkeypatch.setattr(Catalog, "_run", lambda self, asks, *rest: asked.append(asks) or run(self, asks, *rest))
    build(query).sql()
    asked = [getattr(asks, "tree", asks) for asks in asked]
    asked = [asks if isinstance(asks, str) else asks.sql("duckdb") for asks in asked]
    assert [text for text in asked if "FROM images AS i LEFT JOIN tissues" in " ".join(text.split())]
    assert not [text for text in asked if "FROM tiles" in text and "LIMIT 0" not in text]


def test_rows_of_sql_and_arrow_are_divided_by_their_tissues_patients(lake, query):
    expected = divided(query, "train").df()
    by_sql = SporaQuery.from_sql(lake, ROWS).modality("imc")
    by_arrow = SporaQuery.from_arrow(lake, query.to_arrow())
    for asked in (by_sql, by_arrow):
        assert identity(divided(asked, "train").df()) == identity(expected)
        assert identity(divided(asked).where("split = 'train'").df()) == identity(expected)
        drawn = divided(asked).select("split").sample(9, by="split").df()
        assert identity(drawn) == identity(divided(query).sample(9, by="split").df())
        assert drawn["split"].nunique() == divided(query).select("split").df()["split"].nunique()
        assert identity(asked.sample(per_patient=3, seed=1).df()) == identity(query.sample(per_patient=3, seed=1).df())
        assert divided(asked).audit().table("splits")["rows"].sum() == 108
        with pytest.raises(QueryError, match="split column of its own"):
            asked.split(by="patient", fractions=FRACTIONS).count()
    assert 'AS "t"' in divided(by_sql).sql(dialect="postgres")
    mine = SporaQuery.from_sql(lake, ROWS.replace(" FROM", ", tile_id % 2 AS patient_id, 'x' AS split FROM", 1))
    assert mine.modality("imc").split("x").count() == 108
    own = divided(mine.modality("imc")).select("patient_id", "split").df()
    assert (own.groupby(["dataset", "patient_id"])["split"].nunique() == 1).all()
