"""A statement costs the columns that it names: others of the cohorts are not bound, and no answer is another for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cell_lakes import write_cells, write_masks
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.catalog import close_kept_catalog
from spora_db.catalog.known_sources import KnownSources
from spora_db.catalog.relations import VIEWS
from spora_db.errors import UnknownNameError
from spora_db.sqltext.named import Named

WIDE = 5_000
HOSTILE = {
    'a "quoted" one': 1, "t": 2, "c": 3, "base": 4, "tissues": 5, "rows": 6, "row": 7, "Path": 8, "count": 9, "*": 10,
    "c0": 11, "Größe (µm)": 12, "TCF1/TCF7": 13, "sma": 14, "SMA": 15, "": 16, "a.b": 17, "cell_split": 18, "x'y": 19,
    "order": 20, "dataset_": 21, "tile_size": 22, "spora-db: number of the image": 23, "line\nbreak": 24, "n_tiles": 25,
}  # fmt: skip
TYPES = {
    "days": pa.array([1, 2], pa.duration("us")),
    "list": pa.array([[1.5], None]),
    "struct": pa.array([{"a b": 1}, None]),
    "time": pa.array([0, 1], pa.timestamp("ns", "UTC")),
    "bytes": pa.array([b"x", b"y"]),
    "nothing": pa.nulls(2),
    "decimal": pa.array(["1.50", "2.25"]).cast(pa.decimal128(5, 2)),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts with tables of hostile names and odd types; the second has other types, and no modality."""
    root = write_lake(tmp_path_factory.mktemp("lake") / "lake")
    write_cells(root / "alpha", write_masks(root), names=("centroid_row", "centroid_col"))
    for name in ("alpha", "beta"):
        path = root / name / "metadata/tissues.parquet"
        table = pq.read_table(path)
        for column, value in HOSTILE.items():
            values = pa.array([value * (0.5 if name == "beta" else 1)] * len(table))
            table = table.append_column(column, values)
        for column, values in TYPES.items():
            given = pa.concat_arrays([values] * len(table)).slice(0, len(table))
            table = table.append_column(column, given)
        if name == "beta":
            frame = table.filter(pa.compute.equal(table.column("modality"), "imc"))
            table = frame.drop_columns(["modality"])
        pq.write_table(table.replace_schema_metadata(None), path)
    cells = root / "alpha/metadata/cells.parquet"
    frame = pd.read_parquet(cells)
    pq.write_table(pa.Table.from_pandas(frame.assign(t=1.5, **{'q"': 2, "age": 3, "split": "x"})), cells)
    return root


def take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every statement name all columns: the oracle."""
    name = KnownSources.name
    every = Named(relations=frozenset(), columns=None)
    monkeypatch.setattr(KnownSources, "name", lambda self, source, _: name(self, source, every))


STATEMENTS = (
    """
SELECT count(*) FROM tissues
SELECT * FROM tissues ORDER BY ALL
FROM tiles ORDER BY ALL LIMIT 3
SELECT "t", "a ""quoted"" one", TCF FROM (SELECT "TCF1/TCF7" AS TCF, * FROM tissues) ORDER BY ALL
SELECT y FROM tissues AS y ORDER BY ALL
SELECT t.age FROM tissues AS t ORDER BY ALL
SELECT tissues FROM tissues ORDER BY ALL
SELECT count(x) FROM tissues AS x
SELECT main.tissues.sma FROM main.tissues ORDER BY ALL
SELECT #8 FROM tissues ORDER BY ALL
SELECT COLUMNS('s.*') FROM tissues ORDER BY ALL
SELECT COLUMNS(lambda c: c LIKE 'c%') FROM tissues ORDER BY ALL
SELECT a, b, e FROM tissues AS r(a, b, c, d, e) ORDER BY ALL
SELECT count(*) FROM tissues NATURAL JOIN tiles
SELECT count(*) FROM tissues NATURAL JOIN cells
SELECT count(*), min(tissues.age), min(cells.age) FROM cells JOIN tissues USING (dataset, tissue_id)
SELECT tissue_id, sum(cells.age) FROM cells JOIN tissues USING (tissue_id, split) GROUP BY ALL
SELECT unnest(y) FROM tissues AS y ORDER BY ALL
SELECT dataset, (SELECT max(sma) FROM tissues AS i WHERE i.dataset = o.dataset AND o."order" > 0) FROM tissues AS o
WITH c AS (SELECT * FROM tissues) SELECT "SMA", sma_2 FROM c ORDER BY ALL
DESCRIBE tissues
DESCRIBE SELECT days, list, "struct", nothing, "decimal", bytes, time FROM tissues
SUMMARIZE SELECT sma, "Path" FROM tissues
SHOW tissues
SHOW TABLES
SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL
PIVOT tissues ON split USING count(*) GROUP BY cancer_type
UNPIVOT (SELECT tissue_id, sma, base FROM tissues) ON sma, base
SELECT tiles."row", tiles.path, tissues."Path" FROM tiles JOIN tissues USING (tissue_id) ORDER BY ALL
SELECT "Größe (µm)" AS groesse, "line
break" FROM tiles ORDER BY ALL LIMIT 5
EXPLAIN SELECT age FROM tissues
SELECT DISTINCT ON (cancer_type) cancer_type, n FROM (SELECT cancer_type, count(*) AS n FROM tiles GROUP BY ALL)
SELECT age FROM tissues UNION BY NAME SELECT sma FROM tissues ORDER BY ALL
SELECT struct_pack(a := t.age).a FROM tissues AS t ORDER BY ALL
SELECT [x for x in [sma, base]] FROM tissues ORDER BY ALL
SELECT *, count(*) OVER () FROM channels ORDER BY ALL
SELECT column_23, "a.b", "*" FROM tissues ORDER BY ALL
""".strip()
    .replace("\nbreak", "<break>")
    .splitlines()
)


@pytest.fixture(scope="module")
def narrow(lake: Path) -> Iterator[Catalog]:
    """A catalog in which other statements may have named columns."""
    with Catalog(lake) as catalog:
        yield catalog


@pytest.mark.some(3)
@pytest.mark.parametrize("text", STATEMENTS)
def test_answers_are_those_over_all_columns(lake, narrow, monkeypatch, text):
    text = text.replace("<break>", "\nbreak")
    with Catalog(lake) as fresh:
        first = answer(fresh, text)
    assert first == answer(narrow, text)
    take_all(monkeypatch)
    with Catalog(lake) as catalog:
        assert first == answer(catalog, text)


def answer(catalog: Catalog, text: str) -> object:
    try:
        result = catalog.sql(text)
        return result.columns, result.types, list(map(repr, result.fetchall()))
    except Exception as error:  # noqa: BLE001 - it must be the same one
        return type(error), str(error)


QUERIES: dict[str, Callable[[SporaQuery], SporaQuery]] = {
    "tissues": lambda q: q.tissues(mpp=1.0),
    "tiles": lambda q: q.tiles(size=32, mpp=1.0),
    "where": lambda q: q.tiles(size=32, mpp=1.0).where('"TCF1/TCF7" > 0 AND tissues.sma > 1 AND tiles."row" < 40'),
    "hostile": lambda q: q.tissues(mpp=1.0).select(*(name for name in HOSTILE if name not in ("", "SMA"))),
    "of tiles": lambda q: q.tiles(size=32, mpp=1.0).select(
        "t", "c", "base", "tissues", 'a "quoted" one', "days", "list"
    ),
    "sub-select": lambda q: q.tissues(mpp=1.0).where(
        "EXISTS (SELECT tissues.* FROM cells WHERE cells.tissue_id = 'x')"
    ),
    "correlated": lambda q: q.tissues(mpp=1.0).where(
        "sma <= (SELECT max(o.sma) FROM tissues o WHERE o.age = tiles.age)"
    ),
    "weights": lambda q: q.tiles(size=32, mpp=1.0).sample(9, weights='"order" / n_tiles', seed=1),
    "quota": lambda q: q.tissues(mpp=1.0).sample(by="cancer_type", quota={"LUAD": 1}, seed=1),
    "by": lambda q: q.tiles(size=32, mpp=1.0).sample(4, by=["rows", "split"], per_patient=2, seed=3),
    "label": lambda q: q.tiles(size=32, mpp=1.0).label("x'y").label("cancer_type"),
    "split": lambda q: q.tiles(size=32, mpp=1.0).split("train"),
    "assigned": lambda q: q.tissues(mpp=1.0).split("a", by="sma", fractions={"a": 0.5, "b": 0.5}, seed=0, replace=True),
    "cells": lambda q: q.cells(size=8, mpp=1.0),
    "cells where": lambda q: q.cells(size=8, mpp=1.0).where(
        'cells.age = 3 AND tissues.age > 0 AND "q""" = 2 AND t = 1.5'
    ),
    "cells select": lambda q: q.cells(size=8, mpp=1.0).select("cell_split", "tissue_age", "tissue_t", "age", "row"),
    "with cells": lambda q: q.tiles(size=32, mpp=1.0).with_cells("age", "t").where("dataset = 'alpha'"),
    "required": lambda q: q.tissues(mpp=1.0).channels(require=["CD3e"]).where("age > 40"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("ask", QUERIES.values(), ids=QUERIES)
def test_queries_are_those_over_all_columns(lake, monkeypatch, ask):
    query = ask(SporaQuery(lake).modality("imc"))
    close_kept_catalog()
    found = told(query)
    take_all(monkeypatch)
    close_kept_catalog()
    assert found == told(query)
    close_kept_catalog()


def told(query: SporaQuery) -> list[object]:
    answers = (query.count, query.to_arrow, query.sql, lambda: query.plan().hash)
    return [outcome(one) for one in answers]


def outcome(ask: Callable[[], object]) -> object:
    try:
        found = ask()
        return found if isinstance(found, int | str | pa.Table) else str(found)
    except Exception as error:  # noqa: BLE001 - it must be the same one
        return type(error), str(error)


def test_columns_are_those_that_duckdb_binds(lake):
    for relation in VIEWS:
        with Catalog(lake) as catalog:
            catalog.sql("SELECT sma FROM tissues").fetchall()
            columns, types = catalog.columns(relation), catalog.column_types(relation)
            bound = catalog.sql(f"FROM {relation}")
            assert (list(columns), list(types.values())) == (bound.columns, bound.types)


def test_an_explanation_is_that_over_all_columns(lake, monkeypatch):
    query = QUERIES["where"](SporaQuery(lake).modality("imc"))
    found = str(query.explain())
    take_all(monkeypatch)
    assert found == str(query.explain())


def test_an_answer_that_waits_is_what_it_was(lake):
    with Catalog(lake) as catalog:
        few, every = catalog.sql("SELECT sma FROM tissues ORDER BY 1"), catalog.sql("FROM tissues ORDER BY ALL")
        catalog.sql("SELECT age, base FROM tissues").fetchall()
        assert few.columns == ["sma"]
        assert len(few.fetchall()) == len(every.fetchall())
        assert len(every.columns) == len(every.fetchall()[0]) > len(HOSTILE)


def test_a_file_that_is_written_anew_has_its_new_columns(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",))
    path = lake / "alpha/metadata/tissues.parquet"
    with Catalog(lake) as catalog:
        waiting = catalog.sql("SELECT min(age) FROM tissues")
        table = pq.read_table(path)
        pq.write_table(table.append_column("new", pa.array(range(len(table)))), path)
        assert catalog.sql("SELECT max(new) FROM tissues").fetchall() == [(len(table) - 1,)]
        assert waiting.fetchall() == [(40,)]
        assert "new" in catalog.columns("tiles")


def test_equal_rows_of_a_tissue_are_told_by_all_columns(tmp_path):
    """Of a table without modality, rows that are equal are one; those that differ contradict each other."""
    lake = write_lake(tmp_path / "lake", names=("alpha",))
    path = lake / "alpha/metadata/tissues.parquet"
    table = pq.read_table(path).drop_columns(["modality"])
    pq.write_table(table, path)
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT count(*) FROM tissues WHERE age > 0").fetchall() == [(7,)]
    pq.write_table(table.append_column("odd", pa.array(range(len(table)))), path)
    with Catalog(lake) as catalog, pytest.raises(Exception, match="has 2 rows in tissues"):
        catalog.sql("SELECT count(*) FROM tissues")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with thousands of columns of tissues and of cells."""
    root = write_lake(tmp_path_factory.mktemp("wide") / "lake")
    write_cells(root / "alpha", write_masks(root), names=("centroid_row", "centroid_col"))
    for path in (root / "alpha/metadata/tissues.parquet", root / "alpha/metadata/cells.parquet"):
        table = pq.read_table(path)
        scores = {f"score_{number}": pa.repeat(number, len(table)) for number in range(WIDE)}
        columns = dict(zip(table.column_names, table.columns, strict=True))
        pq.write_table(pa.table(columns | scores), path)
    return root


@pytest.mark.slow
def test_nobody_writes_a_column_that_is_not_named(wide, monkeypatch):
    made: list[int] = []
    copies: list[int] = []
    copy, init = exp.Expr.copy, exp.Alias.__init__
    monkeypatch.setattr(exp.Expr, "copy", lambda self: copies.append(1) or copy(self))
    monkeypatch.setattr(exp.Alias, "__init__", lambda self, *a, **k: made.append(1) or init(self, *a, **k))
    query = SporaQuery(wide).modality("imc")
    asked = [
        query.tissues(mpp=1.0).where("score_7 = 7"),
        query.tiles(size=32, mpp=1.0).where("score_7 = 7").select("score_9"),
        query.cells(size=8, mpp=1.0).where("score_7 = 7").sample(3, by="tissue_score_8", seed=0),
    ]
    close_kept_catalog()
    for one in asked:
        assert one.count() == len(one.plan()) > 0
        assert "score_1" not in one.sql()
    with Catalog(wide) as catalog:
        assert catalog.sql("SELECT count(*) FROM tissues WHERE score_7 = 7").fetchall() == [(7,)]
        assert len(catalog.columns("tiles")) == 14 + 3 + WIDE + 3
        views = catalog._connection.use().sql("SELECT view_name, column_count FROM duckdb_views()").fetchall()
        assert max(count for name, count in views if name in ("tissues", "tiles", "source_tissues")) < 20
    assert len(made) < 3_000
    assert len(copies) < WIDE
    close_kept_catalog()


def test_near_spellings_of_columns_that_nobody_named(wide):
    with Catalog(wide) as catalog, pytest.raises(UnknownNameError, match="Did you mean 'score_4999'"):
        catalog.sql("SELECT score_49999 FROM tissues")
    with pytest.raises(UnknownNameError, match="Did you mean 'score_4999'"):
        SporaQuery(wide).modality("imc").tissues(mpp=1.0).where("score_49999 = 1").count()
