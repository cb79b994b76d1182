"""Honest SQL is answered as a bare DuckDB answers it over the same views."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import parse_one

from spora_db import Catalog, SporaQuery
from spora_db.catalog.relations import MACROS, VIEWS
from spora_db.errors import ArgumentError, FileFormatError, QueryError
from spora_db.guard.listings import with_listings
from spora_db.guard.text import tokens_of
from spora_db.selection.repeatable import changing
from spora_db.sqltext.dialect import DIALECT

ANSWERED = (
    # FROM first, TABLE, VALUES
    "FROM tissues ORDER BY ALL",
    "FROM tissues SELECT tissue_id WHERE age > 50 ORDER BY 1 LIMIT 2",
    "FROM tissues AS t SELECT t.split, count(*) GROUP BY ALL ORDER BY ALL",
    "SELECT * FROM (FROM tissues SELECT age) ORDER BY 1",
    "SELECT (FROM tissues SELECT max(age)) AS oldest",
    "WITH old AS (FROM tissues WHERE age > 55) FROM old ORDER BY ALL",
    "SELECT count(*) FROM tissues WHERE tissue_id IN (FROM tissues SELECT tissue_id WHERE age = 60)",
    "FROM tissues SELECT age UNION ALL FROM tissues SELECT age ORDER BY 1",
    "TABLE datasets",
    "SELECT count(*) FROM (TABLE tissues)",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT * FROM (VALUES (1), (2)) AS v(x) ORDER BY x",
    # PIVOT and UNPIVOT, with the values listed and taken from the data
    "PIVOT tissues ON split IN ('train', 'val') USING count(*) GROUP BY dataset ORDER BY dataset",
    "PIVOT tissues ON split IN ('train'), age IN (50, 60) USING sum(age) AS s, count(*) AS n GROUP BY dataset",
    "PIVOT tissues ON split USING count(*) GROUP BY dataset ORDER BY dataset",
    "PIVOT tissues ON split, age USING count(*) GROUP BY dataset",
    "PIVOT tissues ON split IN (SELECT split FROM tissues WHERE age > 55) USING count(*) GROUP BY dataset",
    "PIVOT tissues ON split",
    "PIVOT (SELECT dataset, split, age FROM tissues) ON split USING max(age)",
    "WITH old AS (SELECT * FROM tissues WHERE age > 50) PIVOT old ON split USING count(*) GROUP BY dataset",
    "SELECT dataset, train FROM (PIVOT tissues ON split USING count(*) GROUP BY dataset) ORDER BY 1",
    "FROM (PIVOT (FROM (PIVOT tissues ON split USING count(*) GROUP BY dataset, age)) ON age USING sum(train))",
    "PIVOT tissues ON split = 'train', age % 3 USING count(*) GROUP BY dataset",
    "PIVOT tissues ON CASE WHEN age > 55 THEN 'old' ELSE 'young' END USING count(*) GROUP BY dataset",
    "PIVOT tissues ON (dataset, split) USING count(*)",
    "SELECT * FROM tissues PIVOT (count(*) FOR split IN ('train', 'val') GROUP BY dataset) AS p ORDER BY ALL",
    "SELECT * FROM tissues PIVOT (count(*) AS n FOR split IN ('train' AS t)) ORDER BY ALL",
    "UNPIVOT (SELECT dataset, n_tissues, n_images FROM datasets) ON n_tissues, n_images INTO NAME k VALUE v",
    "UNPIVOT (SELECT dataset, n_tissues, n_images FROM datasets) ON COLUMNS(* EXCLUDE dataset)",
    "SELECT * FROM datasets UNPIVOT (v FOR k IN (n_tissues, n_images)) ORDER BY ALL",
    "SELECT * FROM tissues UNPIVOT INCLUDE NULLS (v FOR k IN (age)) ORDER BY ALL",
    # what a relation is like
    "DESCRIBE tissues",
    "DESC tissues",
    "SHOW tissues",
    "DESCRIBE main.tissues",
    "DESCRIBE TABLE tissues",
    "DESCRIBE SELECT age, 1 AS one FROM tissues",
    "DESCRIBE FROM tissues",
    "DESCRIBE PIVOT tissues ON split USING count(*) GROUP BY dataset",
    "SELECT column_name FROM (DESCRIBE tissues) ORDER BY 1",
    "WITH d AS (DESCRIBE tissues) SELECT count(*) FROM d",
    "SUMMARIZE tissues",
    "SUMMARIZE SELECT age FROM tissues WHERE split = 'train'",
    "SELECT column_name, max FROM (SUMMARIZE tissues) ORDER BY ALL",
    "EXPLAIN SELECT 1",
    "EXPLAIN (FORMAT json) SELECT 1",
    "/* why */ EXPLAIN SELECT 1 -- so",
    # other words
    "SELECT * FROM main.tissues ORDER BY ALL",
    'SELECT t.age FROM "main"."tissues" AS t ORDER BY 1',
    "SELECT tissues.age FROM main.tissues ORDER BY 1",
    "SELECT age FROM tissues ORDER BY age FETCH FIRST 1 ROWS ONLY",
    "SELECT age FROM tissues ORDER BY age OFFSET 1 ROWS FETCH NEXT ROW ONLY",
    "SELECT version(), pg_typeof(age) FROM tissues LIMIT 1",
    "SELECT E'it\\'s\\na\\ttab; \\\\' AS a, e'\\x41' AS b, E'read_text(' AS c",
    "SELECT COLUMNS(c -> c LIKE 'a%') FROM tissues ORDER BY 1",
    "SELECT COLUMNS(lambda c: c LIKE 'a%') FROM tissues ORDER BY 1",
    "SELECT max(COLUMNS(c -> c LIKE '%id')) FROM tissues",
    "SELECT list_transform([1, 2], x -> x + 1) AS a, list_filter([1, 2], (x, i) -> i > 1) AS b",
    "SELECT j -> 'a', json_type(j -> 'a'), coalesce(j -> 'x', '1') FROM (SELECT '{\"a\": {\"b\": 1}}'::JSON) AS t(j)",
    "SELECT +-+5 AS a, - -5 AS b, +(-(+5)) AS c, -(-5) ** 2 AS d",
    "SELECT x[1 + 1], x[-1 - 1:], x[len(x)], x[1:1 + 1] FROM (SELECT [7, 8, 9] AS x)",
    "SELECT 'ab' ^@ 'a' AS a, [1, 2] <=> [2, 1] AS b, @ -1 AS c, 5 ! AS d",
    "SELECT 1 NOT IN (1, 2) >= 0 AS a, true AND (j -> 'a') IS NULL AS b, j ->> 'a' || 'b' AS c "
    "FROM (SELECT '{}'::JSON) AS t(j)",
    "SELECT X'00' AS a, '01'::BIT AS b",
    "SELECT * FROM tissues POSITIONAL JOIN (VALUES (1)) AS v(x) LIMIT 0",
    "SELECT * FROM range(3) WITH ORDINALITY",
    "SELECT repeat(split, 2), lpad(split, 8, '.'), range(3), range(1, 9, 4), generate_series(3, 1, -1) FROM tissues "
    "ORDER BY ALL",
    "SELECT generate_series(DATE '2024-01-30', DATE '2024-02-02', INTERVAL 1 DAY), repeat([1, NULL], 2), "
    "repeat('a'::BLOB, 2)",
    "SELECT list_resize([1], 3, 0), list_resize([1, 2], 1), printf('%5d|%s %%', 1, 'x'), "
    "format('{:>5}|{:,}', 'x', 12345)",
    "SELECT replace('aba', 'a', 'xy'), regexp_replace('aba', 'a', 'x', 'g'), levenshtein('ab', 'b'), "
    "json_pretty('[1]')",
    "SELECT t.* EXCLUDE (t.age) FROM tissues AS t ORDER BY ALL",
    "WITH RECURSIVE t(a, b) USING KEY (a) AS (SELECT 1, 2 UNION SELECT a, b + 1 FROM t WHERE b < 4) SELECT * FROM t",
    "SELECT sum(age) FILTER (WHERE age > 1) OVER (PARTITION BY split ORDER BY age RANGE BETWEEN 1 PRECEDING AND "
    "CURRENT ROW EXCLUDE TIES) AS s FROM tissues ORDER BY ALL",
    "SELECT nth_value(age, 2 IGNORE NULLS) OVER w AS n FROM tissues WINDOW w AS (ORDER BY age) ORDER BY ALL",
    "SELECT st.*, st.b.c, st['a'] FROM (SELECT {'a': 1, 'b': {'c': 2}} AS st)",
    "SELECT try_cast('x' AS INT) AS a, ARRAY(SELECT age FROM tissues ORDER BY 1) AS b, (1, 'x') = (1, 'x') AS c",
    # deep
    "SELECT " + "(" * 900 + "1" + ")" * 900 + " AS n",
    "SELECT " + "abs(" * 400 + "-1" + ")" * 400 + " AS n",
    "SELECT " + "CASE WHEN age > 50 THEN 1 ELSE " * 300 + "0" + " END" * 300 + " AS n FROM tissues ORDER BY 1",
    "SELECT " + " + ".join(["1"] * 900) + " AS n",
    "SELECT 'a'" + ".upper()" * 300 + " AS n",
    "SELECT count(*) FROM " + "(FROM " * 300 + "tissues" + ")" * 300,
    "SELECT 1 AS n" + " UNION ALL SELECT 1" * 300,
    "SELECT count(*) FROM tissues WHERE " + " OR ".join(f"age = {age}" for age in range(500)),
)  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("honest")
    for name, table in {
        "a": {"tissue_id": ["t", "u", "v"], "split": ["train", "val", "train"], "age": [50, 60, None]},
        "b": {"tissue_id": ["t", "w"], "split": ["train", None], "age": [70, 55]},
    }.items():
        (root / name / "metadata").mkdir(parents=True)
        pq.write_table(pa.table(table), root / name / "metadata" / "tissues.parquet")
        images = root / name / "he" / "1_0mpp" / "images"
        images.mkdir(parents=True)
        for tissue in table["tissue_id"]:
            (images / f"{tissue}.ome.tiff").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def catalog(lake):
    with Catalog(lake) as opened:
        yield opened


@pytest.fixture(scope="module")
def bare(catalog):
    connection = duckdb.connect()
    connection.execute(catalog.ddl())
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")
    yield connection
    connection.close()


@pytest.mark.some(4)
@pytest.mark.parametrize("text", ANSWERED, ids=[ascii(text[:60]) for text in ANSWERED])
def test_the_answer_is_duckdbs(catalog, bare, text):
    expected = bare.sql(text)
    found = catalog.sql(text)
    assert found.columns == expected.columns
    assert found.types == [str(kind) for kind in expected.types]
    rows = expected.fetchall()
    if "ORDER BY" in text.upper() or len(rows) < 2:
        assert found.fetchall() == rows
    else:
        assert sorted(map(repr, found.fetchall())) == sorted(map(repr, rows))


def shown(text):
    """What lists relations, as it is asked of a bare database: of the catalog's relations alone."""
    return with_listings(text, tokens_of(text), relations=VIEWS, expected=1)


LISTED = (
    "SHOW ALL TABLES",
    "DESCRIBE",
    "SELECT name, len(column_names) FROM (SHOW ALL TABLES) ORDER BY name",
    "SELECT * FROM information_schema.tables ORDER BY table_name",
    "SELECT tables.table_name FROM information_schema.tables ORDER BY 1",
    'SELECT t.table_name FROM "information_schema"."tables" AS t ORDER BY 1',
    "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL",
    "SELECT count(*) FROM INFORMATION_SCHEMA.COLUMNS c WHERE c.table_name = 'tissues'",
    "FROM information_schema.columns SELECT count(*)",
)


@pytest.mark.parametrize("text", LISTED)
def test_lists_hold_the_relations_and_no_others(catalog, bare, text):
    asked = shown(text)
    assert catalog.sql(text).columns == bare.sql(asked).columns
    assert catalog.sql(text).fetchall() == bare.sql(asked).fetchall()


@pytest.mark.parametrize("text", ["SHOW TABLES", "show tables;", "SHOW TABLES FROM main", "FROM (SHOW TABLES)"])
def test_show_tables(catalog, text):
    assert [row[0] for row in catalog.sql(text).fetchall()] == sorted(VIEWS)
    assert not any(name.startswith(("source_", "listing")) for name in sorted(VIEWS))


def test_a_relation_that_is_broken_spoils_the_list_of_columns_with_its_name(lake, tmp_path):
    (tmp_path / "c" / "metadata").mkdir(parents=True)
    (tmp_path / "c" / "metadata" / "tissues.parquet").write_bytes(b"PAR1 broken PAR1")
    with Catalog(tmp_path) as broken:
        assert len(broken.sql("SHOW TABLES").fetchall()) == len(VIEWS)
        with pytest.raises(FileFormatError, match=r"tissues\.parquet"):
            broken.sql("SELECT * FROM information_schema.columns").fetchall()


def test_every_uuid_is_another(catalog):
    rows = catalog.sql("SELECT uuid(), gen_random_uuid() FROM tissues").fetchall()
    assert len({value for row in rows for value in row}) == 2 * len(rows) == 10


def test_explain_tells_the_plan(catalog):
    assert "TISSUE" in catalog.sql("EXPLAIN SELECT age FROM tissues").fetchall()[0][1].upper()
    assert "Total Time" in catalog.sql("EXPLAIN ANALYZE FROM tissues").fetchall()[0][1]
    assert catalog.explain_sql("FROM tissues").files
    with pytest.raises(QueryError, match="starts with EXPLAIN itself"):
        catalog.explain_sql("EXPLAIN SELECT 1")


def test_values_are_bound_wherever_duckdb_binds_them(catalog):
    assert catalog.sql("FROM tissues SELECT age WHERE tissue_id = ?", ["u"]).fetchall() == [(60,)]
    asked = "PIVOT (FROM tissues WHERE age > $age) ON split IN ('train', 'val') USING count(*) GROUP BY dataset"
    assert sorted(catalog.sql(asked, {"age": 55}).fetchall()) == [("a", 0, 1), ("b", 1, 0)]
    with pytest.raises(ArgumentError, match="params must be"):
        catalog.sql("FROM tissues WHERE age > ?", "5")


ROWS = (
    "FROM tissues SELECT dataset, tissue_id WHERE age > 50",
    "FROM tissues WHERE age > 50",
    "SELECT * FROM (VALUES ('a', 'u'), ('b', 't'), ('b', 'w')) AS v(dataset, tissue_id)",
    "WITH old AS (FROM tissues WHERE age > 50) FROM old SELECT dataset, tissue_id",
    "PIVOT (FROM tissues WHERE age > 50) ON split IN ('train') USING count(*) GROUP BY dataset, tissue_id",
    "SELECT * FROM tissues PIVOT (count(*) FOR split IN ('train') GROUP BY dataset, tissue_id, age) WHERE age > 50",
    "SELECT dataset, tissue_id FROM tissues UNPIVOT (v FOR k IN (age)) WHERE v > 50",
    "SELECT dataset, tissue_id FROM main.tissues WHERE age > E'50'::INT",
)


@pytest.mark.some(3)
@pytest.mark.parametrize("text", ROWS)
def test_queries_are_built_on_them(lake, text):
    query = SporaQuery.from_sql(lake, text).tissues()
    found = query.where("dataset IN (FROM datasets SELECT dataset)").df()
    assert sorted(zip(found["dataset"], found["tissue_id"], strict=True)) == [("a", "u"), ("b", "t"), ("b", "w")]
    assert query.count() == 3


def test_a_table_of_its_own_name(lake):
    assert SporaQuery.from_sql(lake, "TABLE tissues").tissues().count() == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    {
        "DESCRIBE tissues": r"no SELECT \(describe\)",
        "SUMMARIZE tissues": r"no SELECT \(summarize\)",
        "SHOW TABLES": r"no SELECT \(show\)",
        "EXPLAIN SELECT 1": r"no SELECT \(explain\)",
        "PIVOT tissues ON split USING count(*) GROUP BY dataset, tissue_id": "without its values",
        "FROM tissues SELECT dataset, tissue_id WHERE getenv('HOME') = ''": "getenv",
        "FROM 'x.parquet'": "file name",
    }.items(),
)
def test_queries_are_not_built_on_what_has_no_rows_of_its_own(lake, text, reason):
    with pytest.raises(QueryError, match=reason):
        SporaQuery.from_sql(lake, text).tissues().df()


@pytest.mark.parametrize("call", ["uuid()::VARCHAR > 'a'", "gen_random_uuid()::VARCHAR > 'a'", "random() < 2"])
def test_what_changes_from_run_to_run_is_no_condition(lake, call):
    with pytest.raises(QueryError, match="its rows would be others at every run"):
        SporaQuery(lake).tissues().where(call).count()


def test_what_changes_from_run_to_run_is_named_to_locks():
    trees = [parse_one("SELECT uuid(), gen_random_uuid(), version(), pg_typeof(1)", dialect=DIALECT)]
    assert changing(trees) == ["gen_random_uuid()", "uuid()", "version()"]


def test_the_macros_of_the_catalog_are_its_own(catalog):
    of_markers = {"marker_channels", "n_markers", "has_all_markers", "has_any_marker"}
    of_scores = {"is_probabilities", "checked_probabilities", "score_entropy", "score_margin"}
    assert set(MACROS) == of_markers | of_scores | {"regions_at", "regions_of_tile"}
    with pytest.raises(QueryError, match="MARKER_CHANNELS"):  # the other three stand on it; no query names it
        catalog.sql("FROM marker_channels(['CD3'])").fetchall()
    text = "SELECT * FROM tissues WHERE n_markers(dataset, 'he', tissue_id, ['CD3']) > 0"
    assert catalog.sql(text).fetchall() == []
