"""Queries of a lake in other engines: PostgreSQL gives the same rows, and so does Spark where it is installed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlglot

import postgres
from dialect_cases import OTHERS
from engines import spark_answers
from lakes import write_lake
from region_lakes import box, write_regions
from spora_db import SporaQuery
from spora_db.catalog import VIEWS, Catalog
from spora_db.catalog.foreign import foreign_columns
from spora_db.dialects.translation import translate
from spora_db.errors import ArgumentError, QueryError, SporaError, UnknownNameError

REGIONS = [("alpha_0002", "2", None, box(10, 10, 20, 20))], []
FRACTIONS = {"train": 0.5, "val": 0.2, "test": 0.3}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts; `grade` is text in one and a number in the other, and both have cells."""
    root = write_lake(tmp_path_factory.mktemp("dialects") / "lake", tissues=6)
    for at, base in enumerate(sorted(root.iterdir())):
        path = base / "metadata/tissues.parquet"
        tissues = pd.read_parquet(path)
        tissues["grade"] = [i % 3 + 1 for i in range(len(tissues))] if at else [str(i % 3) for i in range(len(tissues))]
        tissues.to_parquet(path)
        cells = pd.DataFrame(
            {
                "tissue_id": [f"{base.name}_{i % 6:04d}" for i in range(60)],
                "cell_id": range(1, 61),
                "cell_type": ["T", "B", None][at:] * 20 if at == 0 else ["T", "B"] * 30,
                "centroid_row": [20.5 + i for i in range(60)],
                "centroid_col": [70.25 - i for i in range(60)],
            }
        )
        cells.to_parquet(base / "metadata/cells.parquet")
        write_regions(base, [(f"{base.name}_0001", "1", "tumour", box(0, 0, 40, 50 + at)), *REGIONS[at]])
    return root


def questions(lake: Path) -> dict[str, SporaQuery]:
    query = SporaQuery(lake)
    tiles = query.modality("imc").tiles(size=32, mpp=1.0)
    return {
        "all tiles": tiles,
        "where": tiles.where("cancer_type = 'LUAD' AND age / 3 > 15.5"),
        "where in another case": tiles.where("Cancer_Type ILIKE 'lu%' AND AGE BETWEEN 40 AND 80"),
        "odd column": tiles.where('"X..spots" > 1').select("X..spots", "patient_id"),
        "list": tiles.where("list_contains(['LUAD', 'x'], cancer_type) AND tile_id IN (1, 2, 3)"),
        "regular expression": tiles.where("regexp_matches(patient_id, '[01]') AND regexp_full_match(split, 't.*n')"),
        "sub-select": tiles.where("tissue_id IN (SELECT tissue_id FROM cells WHERE cell_type = 'B' AND cell_id > 40)"),
        "regions": tiles.where("tissue_id IN (SELECT tissue_id FROM regions WHERE class = 'tumour' AND mpp = 1)"),
        "NULLs": tiles.where("specimen_id IS DISTINCT FROM '1' AND coalesce(split, 'x') <> 'y'"),
        "try_cast": tiles.where("TRY_CAST(grade AS DOUBLE) >= 1.5"),
        "limit": tiles.where("age > 50").limit(5),
        "limit of a sample": tiles.sample(20, seed=1).limit(7),
        "own split": tiles.split("train"),
        "new split": tiles.split(by="patient", fractions=FRACTIONS, seed=4, replace=True).select("split"),
        "one new split": tiles.split(by="tissue", fractions=FRACTIONS, replace=True).where("split <> 'train'"),
        "n": tiles.sample(20, seed=1),
        "n by": tiles.sample(21, by=["dataset", "cancer_type"], seed=2),
        "n by a number": tiles.sample(9, by="age", seed=3),
        "fraction": tiles.sample(fraction=0.31, seed=5),
        "quota": tiles.sample(quota={"LUAD": 7, "BRCA": 3}, by="cancer_type", seed=6),
        "quota of a number": tiles.sample(quota={"1.0": 4, "3.0": 2}, by="X..spots", seed=6),
        "caps": tiles.sample(per_tissue=5, per_patient=7, seed=7),
        "cap and n": tiles.sample(30, per_tissue=4, by="dataset", seed=8),
        "weights": tiles.sample(15, weights="1.0 / n_tiles + tile_id", seed=9),
        "require": tiles.channels(require=["CD3e", "P01732"]),
        "require, filtered": tiles.channels(kind="uniprot_filtered", require=["CD3e"]),
        "any_of": tiles.channels(any_of=["CD3e", "P01732"]),
        "at_least": tiles.channels(at_least=2),
        "at_least of some": tiles.channels(any_of=["CD3e", "P01732", "DNA"], at_least=2),
        "exclude": tiles.exclude(pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0000"]})),
        "exclude tiles": tiles.exclude(
            pa.table({"dataset": ["alpha", "beta"], "tissue_id": ["alpha_0001", "beta_0000"], "tile_id": [1, 2]})
        ),
        "drop_tissue": tiles.standardize("quantile_clipping/uq_0.99_image", missing="drop_tissue"),
        "drop_tissue, quantiles": tiles.standardize(
            "quantile_clipping/uq_0.99_image", use_mean_std=False, missing="drop_tissue"
        ).sample(9, seed=14),
        "two modalities": query.modality("imc", "he").tiles(size=32, mpp=1.0).where("age > 50"),
        "two, kept": query.modality("he", "imc", missing="keep").tiles(size=32, mpp=1.0),
        "two, kept, limit": query.modality("he", "imc", missing="keep").tiles(size=32, mpp=1.0).limit(20),
        "alternatives": query.modality(("he", "imc")).tiles(size=32, mpp=1.0).sample(40, by="modality"),
        "tissues": query.modality("imc").tissues(mpp=1.0).where("age > 50").select("grade", "age"),
        "tissue sample": query.modality("imc").tissues(mpp=1.0).sample(3, by="dataset", seed=11),
        "cells": query.modality("imc").cells(size=16, mpp=1.0).where("cell_type = 'T'").sample(25, seed=12),
        "from_sql": SporaQuery.from_sql(
            lake,
            "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc' "
            "QUALIFY row_number() OVER (PARTITION BY dataset, tissue_id ORDER BY tile_id DESC) <= 2",
        ).modality("imc"),
    }


QUESTIONS = tuple(questions(Path("lake")))


@dataclass(frozen=True)
class Asked:
    """A question in DuckDB's SQL, and DuckDB's answer: column names and rows."""

    text: str
    names: list[str]
    rows: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def catalog(lake: Path) -> Iterator[Catalog]:
    with Catalog(lake) as opened:
        yield opened


@pytest.fixture(scope="module")
def asked(lake: Path) -> dict[str, Asked]:
    answers = {}
    for name, query in questions(lake).items():
        table = query.to_arrow()
        rows = list(zip(*(table.column(column).to_pylist() for column in table.column_names), strict=True))
        answers[name] = Asked(query.sql(), table.column_names, rows)
    return answers


@pytest.fixture(scope="module")
def server(lake: Path) -> postgres.Postgres:
    """PostgreSQL with the lake's relations: made by `Catalog.ddl`, loaded with what DuckDB reads."""
    running = postgres.running()
    with Catalog(lake) as catalog:
        script = catalog.ddl(dialect="postgres")
        tables = [name for name in VIEWS if f'CREATE TABLE "{name}"' in script]
        running.psql(script)
        for name in tables:
            lacking = "EXCLUDE (polygon)" if name == "regions" else ""
            running.copy(name, catalog.sql(f"SELECT * {lacking} FROM {name}").fetchall())
    return running


def texts(rows: Sequence[tuple[Any, ...]]) -> list[tuple[str | None, ...]]:
    """Write values as PostgreSQL's CSV does, numbers in one way."""

    def text(value: Any) -> str | None:
        if isinstance(value, bool):
            return "t" if value else "f"
        if isinstance(value, list):
            return "{" + ",".join(filter(None, map(text, value))) + "}"
        try:
            number = float(value)
        except (TypeError, ValueError):
            return value
        return str(int(number)) if number.is_integer() else repr(number)

    return [tuple(text(value) for value in row) for row in rows]


@pytest.mark.some(3)
@pytest.mark.parametrize("name", QUESTIONS)
def test_postgres_gives_the_same_rows_in_the_same_order(catalog, asked, server, name):
    question = asked[name]
    assert question.rows, "a question without an answer shows nothing"
    found = server.query(catalog.translate(question.text, dialect="postgres"))
    assert texts(found) == texts(question.rows)


ELSEWHERE = tuple(name for name in VIEWS if name != "features")
"""The relations that other engines have."""


@pytest.mark.parametrize("relation", ELSEWHERE)
def test_relations_hold_the_same_rows_in_postgres(catalog, server, relation):
    columns = foreign_columns([relation], catalog.column_types, dialect="postgres")[relation]
    listed = ", ".join(f'"{column}"' for column in columns)
    expected = catalog._run(f"SELECT {listed} FROM {relation}").fetchall()
    found = server.query(f"SELECT {listed} FROM {relation}")
    assert sorted(texts(found), key=repr) == sorted(texts(expected), key=repr)


def test_rows_of_another_engine_come_back(lake, server):
    query = questions(lake)["n by"]
    assert query.sql() == query.sql(dialect="duckdb")
    rows = server.query(query.sql(dialect="postgres"))
    numbers = {"mpp": float, "tile_size": int, "tile_id": int, "row": int, "col": int}
    names = query.to_arrow().column_names
    columns = {name: [numbers.get(name, str)(row[at]) for row in rows] for at, name in enumerate(names)}
    returned = SporaQuery.from_arrow(lake, pa.table(columns)).modality("imc")
    assert returned.plan().image.tolist() == query.plan().image.tolist()
    assert returned.to_arrow().select(names).equals(query.to_arrow().select(names).cast(returned.to_arrow().schema))


def test_a_negative_weight_is_an_error_there_too(lake, server):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).sample(5, weights="tile_id - 3")
    with pytest.raises(QueryError, match="negative"):
        query.count()
    with pytest.raises(RuntimeError, match="A sampling weight is negative, infinite or not a number: -"):
        server.query(query.sql(dialect="postgres"))


@pytest.mark.some(4)
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_dialect_can_be_written_and_read(catalog, asked, name):
    lacking = {"postgres": ("QUALIFY", "TRY_CAST"), "spark": ("QUALIFY",)}
    for dialect in OTHERS:
        text = catalog.translate(asked[name].text, dialect=dialect)
        tree = sqlglot.parse_one(text, dialect=dialect)
        for word in (*lacking.get(dialect, ()), "EXCLUDE (", "LIST_", "ISFINITE"):
            assert word not in text.upper()
        assert tree.named_selects == asked[name].names


@pytest.mark.parametrize("dialect", OTHERS)
def test_scripts_make_every_relation(catalog, dialect):
    script = catalog.ddl(dialect=dialect)
    statements = [item for item in sqlglot.parse(script, dialect=dialect) if item is not None]
    made = [item.this.find(sqlglot.exp.Table).name for item in statements if isinstance(item, sqlglot.exp.Create)]
    assert [name for name in made if not name.startswith("source_")] == [
        *(name for name in ELSEWHERE if name not in ("tissue_channels", "markers", "tiles")),
        *("tissue_channels", "markers", "tiles"),
    ]


def test_spark_reads_files_from_where_they_are_said_to_be(lake, catalog):
    script = catalog.ddl(dialect="spark", location="s3a://bucket/lake/")
    assert "`parquet`.`s3a://bucket/lake/alpha/metadata/tissues.parquet`" in script
    assert str(lake) not in script


REFUSED = {
    "has_all_markers(dataset, modality, tissue_id, ['CD8'])": r"has_all_markers has no translation.*channels\(require",
    "damerau_levenshtein(split, 'train') < 2": "levenshtein",
    "split IN (SELECT split FROM tissues GROUP BY ALL)": "GROUP BY ALL",
}


@pytest.mark.parametrize("condition", REFUSED)
def test_what_has_no_translation_is_refused(lake, condition):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).where(condition)
    assert query.count() > 0
    with pytest.raises(QueryError, match=REFUSED[condition]):
        query.sql(dialect="postgres")


def test_errors_name_what_is_wrong(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    with pytest.raises(UnknownNameError, match="postgres"):
        query.sql(dialect="postgresql")
    rows = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0000"]})
    with pytest.raises(QueryError, match="Arrow table"):
        SporaQuery.from_arrow(lake, rows).modality("imc").tissues(mpp=1.0).sql(dialect="spark")
    with pytest.raises(QueryError, match=r"X\.\.spots.*floating-point"):
        query.split(by="X..spots", fractions=FRACTIONS, replace=True).sql(dialect="postgres")
    with Catalog(lake) as catalog, pytest.raises(ArgumentError, match="location"):
        catalog.ddl(dialect="postgres", location="s3://bucket")
    with pytest.raises(SporaError):
        translate("SELECT * REPLACE (1 AS a) FROM t", dialect="postgres", columns={"t": {"a": "INTEGER"}})


@pytest.mark.slow
def test_spark_gives_the_same_rows(catalog, asked, tmp_path):
    whole = {}
    for name in ELSEWHERE:
        columns = foreign_columns([name], catalog.column_types, dialect="spark")[name]
        listed = ", ".join(f'"{column}"' for column in columns)
        text = f"SELECT {listed} FROM {name}"
        whole[name] = Asked(text, list(columns), catalog._run(text).fetchall())
    every = asked | whole
    queries = {name: catalog.translate(question.text, dialect="spark") for name, question in every.items()}
    answers = spark_answers(catalog.ddl(dialect="spark"), queries, tmp_path)
    for name, question in every.items():
        found, wanted = answers[name], json.loads(json.dumps(question.rows))
        assert not isinstance(found, str), (name, found)
        assert (found == wanted) if name in asked else (sorted(found, key=repr) == sorted(wanted, key=repr)), name
