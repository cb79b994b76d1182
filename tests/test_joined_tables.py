"""`SporaQuery.join`: a user's table beside the rows, against pandas' left merge; kept by locks, checked by key."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlglot
from sqlglot import exp

from spora_db import Catalog, SporaQuery
from spora_db.errors import ArgumentError, LockError, TableError, UnknownNameError


@pytest.fixture(scope="module")
def lake(lake_of_examples: Path) -> Path:
    return lake_of_examples


def query(lake: Path, unit: str) -> SporaQuery:
    asked = SporaQuery(lake).modality(("imc", "codex"))
    if unit == "cell":
        return asked.cells(size=16, mpp=1.0)
    return asked.tiles(size=128, mpp=1.0) if unit == "tile" else asked.tissues(mpp=1.0)


def own(lake: Path, unit: str) -> pd.DataFrame:
    """Return a table about every other row, with a number, a class and a column that rows have too."""
    keys = {"tile": ["mpp", "tile_size", "tile_id"], "cell": ["cell_id"], "tissue": []}[unit]
    rows = query(lake, unit).df()[["dataset", "tissue_id", *keys]].iloc[::2].reset_index(drop=True)
    return rows.assign(score=np.arange(len(rows)) * 0.5, kind=np.where(rows.index % 2, "a", "b"), split="mine")


@pytest.mark.parametrize("unit", ["tile", "cell", "tissue"])
def test_columns_come_as_in_a_left_merge(lake: Path, unit: str) -> None:
    table = own(lake, unit)
    found = query(lake, unit).join("mine", table).select("score", "kind", "mine_split", "split").df()
    rows = query(lake, unit).select("split").df()
    names = {"split": "mine_split"}
    keys = [name for name in table.columns if name not in ("score", "kind", "split")]
    expected = rows.merge(table.rename(columns=names), on=keys, how="left")
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)


@pytest.mark.some(3)
@pytest.mark.parametrize("unit", ["tile", "cell", "tissue"])
@pytest.mark.parametrize("condition", ["score >= 1", "mine.kind = 'a'", "mine.split = 'mine' AND score < 2"])
def test_conditions_know_them(lake: Path, unit: str, condition: str) -> None:
    table = own(lake, unit)
    kept = table.query(condition.replace("mine.", "").replace(" = ", " == ").replace("AND", "and"))
    assert query(lake, unit).join("mine", table).where(condition).count() == len(kept) > 0


def test_labels_draws_and_samples_know_them(lake: Path) -> None:
    table = own(lake, "tile")
    asked = query(lake, "tile").join("mine", table).label("kind", missing="drop").select("score")
    dataset = asked.to_torch()
    assert dataset.classes == {"kind": ("a", "b")}
    assert len(dataset) == len(table)
    codes = [int(dataset[row]["kind"]) for row in range(len(dataset))]
    assert np.bincount(codes).tolist() == table["kind"].value_counts().sort_index().tolist()
    assert dataset[1]["score"] == dataset.plan.columns.column("score")[1].as_py()
    drawn = asked.sample(4, by="kind", seed=1).select("kind").df()
    assert drawn["kind"].value_counts().to_dict() == {"a": 2, "b": 2}
    weighed = query(lake, "tile").join("mine", table).sample(3, weights="coalesce(mine.score, 0)", seed=0)
    assert weighed.select("score").df()["score"].gt(0).all()


def test_own_rows_and_splits_go_with_it(lake: Path) -> None:
    table = own(lake, "tissue")
    text = "SELECT dataset, tissue_id FROM mine WHERE kind = 'b'"
    asked = SporaQuery.from_sql(lake, text).modality(("imc", "codex")).tissues(mpp=1.0).join("mine", table)
    assert asked.select("score").df()["score"].tolist() == table.query("kind == 'b'")["score"].tolist()
    divided = query(lake, "tissue").join("mine", table)
    divided = divided.split("train", by="patient", fractions={"train": 0.5, "test": 0.5}, replace=True)
    assert set(divided.select("split", "mine_split").df()["split"]) == {"train"}


def test_a_lock_holds_the_table(lake: Path, tmp_path: Path) -> None:
    asked = query(lake, "tile").join("mine", own(lake, "tile")).where("score > 1").select("kind")
    path = asked.lock(tmp_path / "a.lock.json")
    again = SporaQuery.from_lock(path)
    assert again.plan().hash == asked.plan().hash


def test_a_lock_knows_when_a_table_of_the_lake_changes(lake: Path, tmp_path: Path) -> None:
    table = own(lake, "tile")
    folder = tmp_path / "above" / "tables"
    folder.mkdir(parents=True)
    table.to_parquet(folder / "mine.parquet")
    asked = query([lake, tmp_path / "above"], "tile").join("mine").where("score > 1")  # type: ignore[arg-type]
    path = asked.lock(tmp_path / "b.lock.json")
    assert len(SporaQuery.from_lock(path)) == len(asked)
    table.assign(score=table["score"] + 1).to_parquet(folder / "mine.parquet")
    with pytest.raises(LockError, match=r"tables/mine\.parquet"):
        SporaQuery.from_lock(path)


def test_scores_name_no_markers(lake: Path, tmp_path: Path) -> None:
    """A lock of a query with scores depends on the panels of its own cohorts alone; with markers, on those of all."""
    table = own(lake, "tile").assign(p=0.5)
    asked = query(lake, "tile").where("dataset = 'lung_imc'").join("mine", table)
    held = []
    for condition in ("score_entropy([p, 1 - p]) > 0", "has_all_markers(dataset, modality, tissue_id, ['CD20'])"):
        files = json.loads(asked.where(condition).lock(tmp_path / "c.lock.json").read_text())["files"]
        held.append({name.split("/")[0] for name in files if name.endswith("channels.parquet")})
    assert held[0] == {"lung_imc"} < held[1]


def test_other_engines_get_the_table_too(lake: Path, tmp_path: Path) -> None:
    """What `ddl` makes is what `sql` names: tables in the lake as views over their files, given ones to be loaded."""
    table, folder = own(lake, "tile"), tmp_path / "above" / "tables"
    folder.mkdir(parents=True)
    table.rename(columns={"kind": "sort"}).to_parquet(folder / "filed.parquet")
    layers, nested = [lake, tmp_path / "above"], table.assign(odd=[{"a": 1}] * len(table))
    asked = query(layers, "tile").join("given", nested).join("filed")  # type: ignore[arg-type]
    asked = asked.where("given.kind = 'a'").select("sort").sample(5, seed=1)
    assert asked.sql().startswith("-- given is a table that was given to join(). Make it there with")
    with Catalog(layers, tables={"given": nested}) as catalog, duckdb.connect() as bare:
        bare.execute(catalog.ddl())
        assert bare.execute(asked.sql()).fetchall() == []
        bare.register("rows_of_given", catalog.sql("SELECT * FROM given").arrow())
        bare.execute("INSERT INTO given SELECT * FROM rows_of_given")
        pd.testing.assert_frame_equal(bare.execute(asked.sql()).df(), asked.df(), check_dtype=False)
        for dialect in ("postgres", "spark"):
            made = [item for item in sqlglot.parse(catalog.ddl(dialect=dialect), dialect=dialect) if item]  # type: ignore[arg-type]
            kinds = {item.this.find(exp.Table).name: item for item in made if isinstance(item, exp.Create)}
            assert kinds["filed"].kind == ("TABLE" if dialect == "postgres" else "VIEW")
            assert "kind" in kinds["given"].sql()
            assert "odd" not in kinds["given"].sql()
            assert f'ddl(dialect="{dialect}")' in asked.sql(dialect=dialect)  # type: ignore[arg-type]


def test_a_table_of_patients_is_told_how_it_joins(lake: Path) -> None:
    rows = query(lake, "tissue").select("patient_id").df()
    table = rows[["dataset", "patient_id"]].drop_duplicates().assign(dose=range(rows["patient_id"].nunique()))
    with pytest.raises(ArgumentError, match="Its rows may be about patients") as caught:
        query(lake, "tissue").join("doses", table).count()
    sql = str(caught.value).split("sql('")[1].split("')")[0]
    with Catalog(lake, tables={"doses": table}) as catalog:
        found = query(lake, "tissue").join("doses", catalog.sql(sql)).select("patient_id", "dose").df()
    assert found["dose"].tolist() == rows.merge(table)["dose"].tolist()
    with pytest.raises(ArgumentError, match="Call its column 'Tissue ID' 'tissue_id'"):
        query(lake, "tissue").join("doses", rows.rename(columns={"tissue_id": "Tissue ID"})).count()


WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("tissue", {"grain": "tile"}, ArgumentError, "rows are about tiles"),
    ("tile", {"grain": "cell"}, ArgumentError, "rows of the query are tiles, which have no cell_id"),
    ("tile", {"name": "tiles"}, ArgumentError, "relation of this name"),
    ("tile", {"drop": "tissue_id"}, ArgumentError, "no column 'tissue_id'.*Call the column that names tissues"),
    ("tile", {"twice": True}, TableError, "2 rows of one tissue"),
    ("tile", {"where": "mine.scor > 1"}, UnknownNameError, "column 'scor' in mine, line 1.*Did you mean 'score'"),
    (
        "tile",
        {"where": "age > 1 OR mien.score > 1"},
        UnknownNameError,
        "relation or column 'mien'.*Did you mean 'mine'",
    ),
    ("tile", {"where": "tissues.agee > 1"}, UnknownNameError, "column 'agee' in tissues.*Did you mean 'age'"),
    ("tile", {"where": "regions.class = 'tumor'"}, UnknownNameError, "column 'regions' in .*asked in a sub-select"),
    ("cell", {"grain": "cell", "where": "cells.celltype = 'B cell'"}, UnknownNameError, "in cells.*mean 'cell_type'"),
    ("tissue", {"where": "scor > 1"}, UnknownNameError, "column 'scor' in line 1.*Did you mean 'score'"),
]


@pytest.mark.some(3)
@pytest.mark.parametrize(("unit", "change", "kind", "said"), WRONG)
def test_what_does_not_fit_is_told(
    lake: Path, unit: str, change: dict[str, Any], kind: type[Exception], said: str
) -> None:
    table = own(lake, change.get("grain", "tissue"))
    table = pd.concat([table, table]) if change.get("twice") else table
    asked = query(lake, unit).join(change.get("name", "mine"), table.drop(columns=change.get("drop", [])))
    with pytest.raises(kind, match=said):
        asked.where(change.get("where", "score > 0")).df()


def test_a_table_that_is_nowhere_is_told(lake: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"table of your own or feature set 'mine'.*add-table"):
        query(lake, "tile").join("mine").count()
    with Catalog(lake) as catalog:
        assert "mine" not in catalog.relations


def test_a_lent_table_is_forgotten(lake: Path) -> None:
    assert query(lake, "tissue").join("mine", own(lake, "tissue")).where("score >= 0").count() > 0
    with pytest.raises(UnknownNameError):
        query(lake, "tissue").where("EXISTS (SELECT 1 FROM mine)").count()


def test_a_query_that_joins_a_table_explains_what_it_reads(lake: Path) -> None:
    asked = query(lake, "tile").join("mine", own(lake, "tile")).where("score >= 1")
    plain = query(lake, "tile").explain()
    explained = asked.explain()
    assert {file.path for file in plain.files} <= {file.path for file in explained.files}
    assert "mine" in explained.sql
    with Catalog(lake, tables={"mine": own(lake, "tissue")}) as catalog:
        assert catalog.explain_sql("FROM mine").files == ()
