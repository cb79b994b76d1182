"""Whatever reaches outside the lake, or writes, is refused in every form of statement that is answered."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db import Catalog
from spora_db.errors import QueryError, SporaError, UnknownNameError
from spora_db.guard import check_statement

RELATIONS = ("tissues", "tiles")

SOURCES = {
    # files
    "'secret.parquet'": "file name",
    "'/etc/passwd'": "file name",
    '"secret.csv"': "file name",
    "'s3://bucket/x.parquet'": "file name",
    "'https://example.org/x.csv'": "file name",
    "'*.parquet'": "file name",
    # relations of the engine, of the catalog's own making, of other schemas and databases
    "source_tissues": "Unknown relation",
    "query_rows": "Unknown relation",
    "plan_images": "Unknown relation",
    "duckdb_settings": "Unknown relation",
    "sqlite_master": "Unknown relation",
    "pg_class": "Unknown relation",
    "main.source_tissues": "qualified",
    "main.duckdb_tables": "qualified",
    "main.pg_class": "qualified",
    "memory.main.tissues": "qualified",
    "system.main.duckdb_settings": "qualified",
    "temp.main.tissues": "qualified",
    "pg_catalog.pg_class": "qualified",
    "information_schema.schemata": "qualified",
    "information_schema.key_column_usage": "qualified",
    "system.information_schema.tables": "qualified",
    "memory.information_schema.columns": "qualified",
    "other.tissues": "qualified",
    # functions that read or run
    "read_parquet('x.parquet')": "READ_PARQUET(...) as a relation",
    "read_csv('x.csv')": "READ_CSV(...) as a relation",
    "read_json('x.json')": "READ_JSON(...) as a relation",
    "read_text('/etc/passwd')": "READ_TEXT(...) as a relation",
    "read_blob('/etc/passwd')": "READ_BLOB(...) as a relation",
    "parquet_scan('x')": "PARQUET_SCAN(...) as a relation",
    "parquet_schema('x')": "PARQUET_SCHEMA(...) as a relation",
    "parquet_metadata('x')": "PARQUET_METADATA(...) as a relation",
    "glob('/etc/*')": "GLOB(...) as a relation",
    "sniff_csv('x.csv')": "SNIFF_CSV(...) as a relation",
    "query('SELECT 1')": "QUERY(...) as a relation",
    "query_table('tissues')": "QUERY_TABLE(...) as a relation",
    "seq_scan('tissues')": "SEQ_SCAN(...) as a relation",
    "duckdb_settings()": "DUCKDB_SETTINGS(...) as a relation",
    "duckdb_secrets()": "DUCKDB_SECRETS(...) as a relation",
    "duckdb_tables()": "DUCKDB_TABLES(...) as a relation",
    "duckdb_functions()": "DUCKDB_FUNCTIONS(...) as a relation",
    "pragma_table_info('tissues')": "PRAGMA_TABLE_INFO(...) as a relation",
    "which_secret('s3://x', 's3')": "WHICH_SECRET(...) as a relation",
    "json_execute_serialized_sql('{}')": "JSON_EXECUTE_SERIALIZED_SQL(...) as a relation",
    "main.read_text('x')": "READ_TEXT(...) as a relation",
    "system.main.range(3)": "RANGE(...) as a relation",
    "repeat_row(1, num_rows = 3)": "REPEAT_ROW(...) as a relation",
}
QUERIES = {f"(SELECT * FROM {source})": why for source, why in SOURCES.items()} | {
    "(SELECT getenv('HOME') AS a)": "'getenv'",
    "(SELECT \"getenv\"('HOME') AS a)": "'getenv'",
    "(SELECT main.getenv('HOME') AS a)": "'getenv'",
    "(SELECT current_setting('threads') AS a)": "'current_setting'",
    "(SELECT getvariable('x') AS a)": "'getvariable'",
    "(SELECT current_user AS a)": "current_user",
    "(SELECT 'x'.read_text() AS a)": "'read_text'",
    "(SELECT 'tissues'::regclass AS a)": "the type regclass",
    "(SELECT nextval('s') AS a)": "'nextval'",
    "(SELECT write_log('x') AS a)": "'write_log'",
    "(SELECT COLUMNS(c -> getenv(c) = '') FROM tissues)": "'getenv'",
    "(SELECT COLUMNS(lambda c: c IN (SELECT content FROM read_text('x'))) FROM tissues)": "READ_TEXT",
    "(SELECT system.main.repeat('a', 3) AS a)": "the qualified function",
    "(SELECT pg_catalog.version() AS a)": "the qualified function",
    "(SELECT * FROM tissues AT (VERSION => 1))": "AT CLAUSE is not part",
    "(WITH source_x AS (SELECT 1) SELECT * FROM source_x)": "CTE name",
    '(WITH "x.parquet" AS (SELECT 1) SELECT * FROM "x.parquet")': "CTE name",
    "(WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a)": "Unknown relation 'a'",
    "(SELECT * FROM b, (WITH b AS (SELECT 1) SELECT * FROM b))": "Unknown relation 'b'",
    "(PIVOT tissues ON split IN mine USING count(*))": "PIVOT ENUM is not part",
    "(SHOW DATABASES)": "SHOW DATABASES asks the engine",
    "(SHOW VARIABLES)": "SHOW VARIABLES asks the engine",
    "(SHOW TABLES FROM information_schema)": "another schema",
}
FORMS = (
    "{q}",
    "FROM {q} AS q",
    "SELECT * FROM {q} AS q",
    "SELECT ({q})",
    "WITH q AS {q} FROM q",
    "WITH q AS MATERIALIZED {q} SELECT 1 FROM tissues, q",
    "SELECT 1 UNION ALL {q}",
    "FROM tissues SELECT age WHERE EXISTS {q}",
    "FROM tissues JOIN {q} AS q ON true",
    "FROM tissues, LATERAL {q} AS q",
    "VALUES (({q}))",
    "PIVOT {q} ON a USING count(*)",
    "PIVOT {q} ON a IN ('x') USING count(*) GROUP BY b",
    "PIVOT tissues ON split IN {q} USING count(*)",
    "PIVOT tissues ON split USING max(({q}))",
    "PIVOT tissues ON (split = ({q}))",
    "SELECT * FROM (PIVOT {q} ON a)",
    "WITH p AS (PIVOT {q} ON a) FROM p",
    "SELECT * FROM {q} PIVOT (count(*) FOR a IN ('x'))",
    "PIVOT (FROM (PIVOT {q} ON a)) ON b",
    "UNPIVOT {q} ON a INTO NAME k VALUE v",
    "UNPIVOT tissues ON COLUMNS(c -> c IN {q})",
    "SELECT * FROM {q} UNPIVOT (v FOR k IN (a))",
    "DESCRIBE {q}",
    "DESC {q}",
    "SELECT * FROM (DESCRIBE {q})",
    "SUMMARIZE {q}",
    "SELECT * FROM (SUMMARIZE {q})",
    "EXPLAIN {q}",
    "EXPLAIN ANALYZE {q}",
    "EXPLAIN (FORMAT json, ANALYZE) {q}",
    "EXPLAIN ANALYZE PIVOT {q} ON a",
    "SELECT COLUMNS(c -> c IN {q}) FROM tissues",
    "SELECT list_transform([1], x -> ({q}))",
    "SELECT [x FOR x IN ({q})]",
    "FROM tissues SELECT age ORDER BY ({q}) LIMIT ({q})",
    "SELECT CASE WHEN ({q}) THEN 1 END",
    "FROM information_schema.tables WHERE table_name IN {q}",
    "/* a */ {q} -- b\n;",
)
OF_NAMES = (
    "FROM {s}",
    "TABLE {s}",
    "SHOW {s}",
    "DESCRIBE {s}",
    "DESCRIBE TABLE {s}",
    "SUMMARIZE {s}",
    "PIVOT {s} ON a",
    "PIVOT {s} ON a IN ('x') USING count(*)",
    "UNPIVOT {s} ON a",
    "SELECT * FROM {s} PIVOT (count(*) FOR a IN (1))",
    "SELECT * FROM (TABLE {s})",
    "EXPLAIN FROM {s}",
    "EXPLAIN ANALYZE TABLE {s}",
)


@pytest.mark.some(4)
@pytest.mark.parametrize("query", QUERIES, ids=[ascii(query[:60]) for query in QUERIES])
def test_no_form_lets_it_through(query):
    for form in FORMS:
        text = form.format(q=query)
        with pytest.raises((QueryError, UnknownNameError)) as caught:
            check_statement(text, relations=RELATIONS)
        told = str(caught.value)
        assert QUERIES[query] in told or "DuckDB cannot read this" in told or "Unexpected" in told, (text, told)


@pytest.mark.some(4)
@pytest.mark.parametrize("source", SOURCES)
def test_no_shorthand_lets_it_through(source):
    for form in OF_NAMES:
        with pytest.raises((QueryError, UnknownNameError)):
            check_statement(form.format(s=source), relations=RELATIONS)


def test_what_is_wrapped_around_it_is_itself_answered():
    refused = []
    for form in FORMS:  # or the tables above would show nothing
        if form == "PIVOT tissues ON (split = ({q}))":  # which no DuckDB reads
            continue
        query = "(SELECT age AS a, split AS b FROM tissues)"
        try:
            check_statement(form.format(q=query), relations=RELATIONS)
        except SporaError as error:
            refused.append((form, error))
    assert not refused
    for form in OF_NAMES:
        check_statement(form.format(s="tissues"), relations=RELATIONS)


WRITES = (
    "COPY tissues TO '{path}'",
    "COPY (SELECT 1 AS gone) TO '{path}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY tissues FROM '{path}'",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW tissues AS SELECT 1",
    "CREATE OR REPLACE MACRO repeat(a, b) AS 1",
    "CREATE MACRO upper(x) AS 1",
    "CREATE SECRET s (TYPE s3)",
    "CREATE SCHEMA x",
    "CREATE TYPE x AS ENUM ('a')",
    "INSERT INTO tissues VALUES (1)",
    "UPDATE tissues SET age = 1",
    "DELETE FROM tissues",
    "TRUNCATE tissues",
    "DROP VIEW tissues",
    "DROP MACRO repeat",
    "ALTER VIEW tissues RENAME TO x",
    "MERGE INTO tissues USING tissues AS t ON true WHEN MATCHED THEN DELETE",
    "ATTACH '{path}' AS x",
    "DETACH memory",
    "USE x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lambda_syntax = 'DEFAULT'",
    "RESET ALL",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPORT DATABASE '{path}'",
    "IMPORT DATABASE '{path}'",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN TRANSACTION",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "COMMENT ON VIEW tissues IS 'x'",
    "SET VARIABLE x = 1",
    "WITH x AS (INSERT INTO tissues VALUES (1) RETURNING *) FROM x",
    "WITH x AS (DELETE FROM tissues RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE tissues SET age = 1 RETURNING *) SELECT * FROM x",
    "FROM (INSERT INTO tissues VALUES (1) RETURNING *)",
)
AROUND = (
    "{w}",
    "EXPLAIN {w}",
    "EXPLAIN ANALYZE {w}",
    "EXPLAIN (FORMAT json) {w}",
    "EXPLAIN (ANALYZE, FORMAT json) {w}",
    "EXPLAIN /* a */ ANALYZE -- b\n {w}",
    "SELECT 1; {w}",
    "EXPLAIN SELECT 1; {w}",
    "PIVOT tissues ON split; {w}",
    "{w}; SELECT 1",
    "DESCRIBE ({w})",
    "DESCRIBE {w}",
    "SUMMARIZE ({w})",
    "FROM ({w})",
    "PIVOT ({w}) ON a",
    "PIVOT tissues ON split USING count(*) GROUP BY age; {w}",
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "a" / "metadata" / "tissues.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"tissue_id": ["t"], "split": ["train"], "age": [50]}), path)
    return path


@pytest.fixture(scope="module")
def catalog(table):
    with Catalog(table.parents[2]) as opened:
        yield opened


@pytest.mark.some(4)
@pytest.mark.parametrize("statement", WRITES)
def test_nothing_is_written(catalog, table, statement):
    before = table.read_bytes()
    for form in AROUND:
        with pytest.raises(SporaError):
            catalog.sql(form.format(w=statement.format(path=table)))
    assert table.read_bytes() == before
    assert sorted(table.parent.iterdir()) == [table]


def test_the_catalog_is_as_it_was_after_all_of_them(catalog):
    for statement in WRITES:
        with pytest.raises(SporaError):
            catalog.sql(statement)
    assert catalog.sql("SELECT repeat(tissue_id, 2), upper(split), age FROM tissues").fetchall() == [
        ("tt", "TRAIN", 50)
    ]


def test_the_list_of_tables_names_no_source(catalog):
    for text in (
        "SHOW TABLES",
        "SELECT table_name FROM information_schema.tables",
        "SELECT name FROM (SHOW ALL TABLES)",
    ):
        names = {row[0] for row in catalog.sql(text).fetchall()}
        assert names == set(catalog.relations)
    columns = "SELECT DISTINCT table_name FROM information_schema.columns"
    assert {row[0] for row in catalog.sql(columns).fetchall()} == set(catalog.relations)


def test_a_place_is_shown_in_what_was_typed():
    text = "EXPLAIN ANALYZE\nPIVOT tissues ON split\n  USING max(getenv('HOME'))"
    with pytest.raises(QueryError) as caught:
        check_statement(text, relations=RELATIONS)
    lines = str(caught.value).splitlines()
    assert "line 3, column 13" in lines[0]
    assert lines[1] == "    USING max(getenv('HOME'))"
    assert lines[2].index("^") == lines[1].index("getenv")
    with pytest.raises(QueryError, match=r"line 1, column 24: the file name 'x.csv'"):
        check_statement("DESCRIBE SELECT * FROM 'x.csv'", relations=RELATIONS)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT " + "abs(" * 5_000 + "1" + ")" * 5_000,
        "FROM " + "(FROM " * 100_000 + "tissues" + ")" * 100_000,
        "SELECT " + "CASE WHEN true THEN 1 ELSE " * 3_000 + "1" + " END" * 3_000,
        "SELECT " + "NOT " * 20_000 + "true",
        "SELECT " + "- " * 20_000 + "1",
        "FROM tissues" + ", tissues" * 1_500,
        "FROM tissues" + " UNION ALL FROM tissues" * 1_500,
    ],
    ids=["parentheses", "calls", "queries", "cases", "denials", "signs", "joins", "unions"],
)
def test_what_would_crash_or_occupy_duckdb_is_refused(text):
    with pytest.raises(QueryError, match=r"nested too deeply|more than 1,000 relations"):
        check_statement(text, relations=RELATIONS)
