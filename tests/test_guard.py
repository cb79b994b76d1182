"""The guard: what it refuses, and DuckDB's own lock without it."""

from pathlib import Path

import duckdb
import pytest

from spora_db.errors import QueryError, UnknownNameError
from spora_db.guard import check_select

RELATIONS = ("tiles", "tissues", "channels", "secret_free")

# Every statement with the part of the message that says why; each is refused by the guard alone.
REFUSED = {
    # files as relations
    "SELECT * FROM 'secret.parquet'": "file name",
    'SELECT * FROM "secret.parquet"': "file name",
    "SELECT * FROM '/etc/passwd'": "file name",
    "SELECT * FROM \"/etc/passwd\"": "file name",
    "SELECT * FROM 's3://bucket/x.parquet'": "file name",
    "SELECT * FROM 'https://example.org/x.csv' AS tiles": "file name",
    "SELECT * FROM '*.parquet'": "file name",
    "SELECT * FROM tiles JOIN 'x.csv' USING (a)": "file name",
    "SELECT * FROM tiles, 'x.json' AS tissues": "file name",
    "SELECT (SELECT max(a) FROM 'x.parquet') FROM tiles": "file name",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM 'x.parquet')": "file name",
    "SELECT * FROM tiles WHERE tile_id IN (SELECT a FROM \"x.parquet\")": "file name",
    "WITH tiles AS (SELECT * FROM 'x.parquet') SELECT * FROM tiles": "file name",
    "SELECT * FROM tiles UNION ALL SELECT * FROM 'x.parquet'": "file name",
    "SELECT * FROM LATERAL (SELECT * FROM 'x.parquet')": "file name",
    "SELECT * FROM tiles ORDER BY (SELECT a FROM 'x.parquet')": "file name",
    "SELECT * FROM tiles LIMIT (SELECT a FROM 'x.parquet')": "file name",
    "SELECT CAST((SELECT a FROM 'x.parquet') AS INT)": "file name",
    "SELECT [x FOR x IN (SELECT list(a) FROM 'x.parquet')]": "file name",
    "SELECT list_transform([1], lambda x: (SELECT a FROM 'x.parquet'))": "file name",
    "SELECT * FROM \"file:x.db\"": "file name",
    "SELECT * FROM $$x.parquet$$": "",
    "SELECT * FROM E'x.parquet'": "",
    # relations that are not the catalog's
    "SELECT * FROM secret": "Unknown relation 'secret'",
    "SELECT * FROM tile": "Did you mean 'tiles'",
    "SELECT * FROM memory.main.tiles": "qualified",
    "SELECT * FROM other.tiles": "qualified",
    "SELECT * FROM information_schema.tables": "qualified",
    "SELECT * FROM pg_catalog.pg_class": "qualified",
    "SELECT * FROM sqlite_master": "Unknown relation",
    "SELECT * FROM duckdb_settings": "Unknown relation",
    "SELECT * FROM pg_class": "Unknown relation",
    "SELECT * FROM recurring.tiles": "qualified",
    "SELECT * FROM tile\u017f": "Unknown relation",
    "SELECT * FROM $relation": "",
    "SELECT * FROM ?": "",
    "SELECT * FROM tiles AT (VERSION => 1)": "not part of a query",
    # CTEs out of scope
    "SELECT * FROM x, (WITH x AS (SELECT 1) SELECT * FROM x)": "Unknown relation 'x'",
    "SELECT (WITH x AS (SELECT 1) SELECT 1) FROM x": "Unknown relation 'x'",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a": "Unknown relation 'b'",
    "WITH a AS (SELECT * FROM a) SELECT * FROM a": "Unknown relation 'a'",
    "WITH \"x.parquet\" AS (SELECT 1) SELECT * FROM \"x.parquet\"": "CTE name",
    "SELECT * FROM \"x.parquet\", (WITH \"x.parquet\" AS (SELECT 1) SELECT 1)": "file name",
    # names of the engine through a CTE that DuckDB does not repeat
    "WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS ((SELECT * FROM a)) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT * FROM a UNION ALL SELECT 1) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT * FROM (SELECT 1 UNION SELECT * FROM a)) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT 1 EXCEPT SELECT * FROM a) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT 1 INTERSECT SELECT * FROM a) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT 1 AS x UNION BY NAME SELECT x FROM a) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a UNION SELECT 2) SELECT * FROM a": "Unknown relation 'a'",
    "WITH RECURSIVE a AS (WITH b AS (SELECT * FROM a) SELECT 1 UNION SELECT * FROM b) SELECT * FROM a": "relation 'a'",
    "WITH RECURSIVE source_tissues AS (SELECT * FROM source_tissues) SELECT * FROM source_tissues": "CTE name",
    "WITH RECURSIVE SQLITE_master AS (SELECT 1 UNION SELECT * FROM sqlite_master) SELECT 1": "CTE name",
    "WITH pg_class AS (SELECT 1) SELECT * FROM pg_class": "CTE name",
    "WITH duckdb_views AS (SELECT 1) SELECT * FROM duckdb_views": "CTE name",
    "WITH pragma_database_list AS (SELECT 1) SELECT 1": "CTE name",
    "WITH information_schema AS (SELECT 1) SELECT 1": "CTE name",
    "WITH query_rows AS (SELECT 1) SELECT 1": "CTE name",
    # what sqlglot reads and DuckDB does not, or otherwise
    "SELECT * FROM tiles JOIN tissues": "A JOIN has no condition",
    "SELECT * FROM tiles LEFT JOIN tissues": "A JOIN has no condition",
    "SELECT * FROM tiles FULL JOIN tissues WHERE true": "A JOIN has no condition",
    "SELECT * FROM tiles SEMI JOIN tissues": "A JOIN has no condition",
    "SELECT * FROM tiles ASOF JOIN tissues": "A JOIN has no condition",
    "SELECT * FROM tiles JOIN tissues JOIN channels USING (a)": "A JOIN has no condition",
    "SELECT position('abc', 'b')": "line 1, column",
    "SELECT row FROM tiles LIMIT 5 WHERE row > 50": 'DuckDB cannot read this: syntax error at or near "WHERE"',
    "SELECT row FROM tiles LIMIT 2, 3": "DuckDB cannot read this",
    "SELECT 1 BETWEEN SYMMETRIC 2 AND 0": "",
    "SELECT 'a' 'b'": "DuckDB cannot read this",
    "SELECT extract('year', day) FROM tissues": "DuckDB cannot read this",
    "SELECT INTERVAL row DAY FROM tiles": 'DuckDB cannot read this: syntax error at or near "DAY"',
    "SELECT map(['a'], [1], [2])": "otherwise than it can be checked",
    "SELECT 'µµ', ? + $name": "DuckDB cannot read this: Mixing named and positional",
    "SELECT 'a'" + ".upper()" * 3000: "a chain of more than 100",
    "SELECT dataset,\n  row::nosuch\nFROM tiles": "line 2, column 8: the type nosuch",
    # table functions
    "SELECT * FROM read_parquet('x.parquet')": "READ_PARQUET",
    "SELECT * FROM parquet_scan('x.parquet')": "",
    "SELECT * FROM read_csv('x.csv')": "READ_CSV",
    "SELECT * FROM read_csv_auto('x.csv')": "",
    "SELECT * FROM read_json('x.json')": "as a relation",
    "SELECT * FROM read_json_auto('x.json')": "as a relation",
    "SELECT * FROM read_ndjson_objects('x.json')": "",
    "SELECT * FROM read_text('/etc/passwd')": "",
    "SELECT * FROM read_blob('/etc/passwd')": "",
    "SELECT * FROM read_duckdb('x.db')": "",
    "SELECT * FROM READ_TEXT ('/etc/passwd')": "",
    "SELECT * FROM \"read_text\"('/etc/passwd')": "",
    "SELECT * FROM \"Read_Text\"/**/('/etc/passwd')": "",
    "SELECT * FROM main.read_text('/etc/passwd')": "",
    "SELECT * FROM system.main.read_text('/etc/passwd')": "",
    "SELECT * FROM tiles, LATERAL read_text(tiles.path)": "",
    "SELECT * FROM tiles, read_text(tiles.path)": "",
    "SELECT * FROM tiles, LATERAL (SELECT * FROM read_text('/etc/passwd'))": "",
    "WITH read_text(a) AS (SELECT 1) SELECT * FROM read_text('/etc/passwd')": "",
    "WITH x AS (SELECT * FROM glob('/etc/*')) SELECT * FROM x": "",
    "SELECT * FROM glob('/etc/*')": "",
    "SELECT glob('/etc/*', 'a')": "'glob'",
    "SELECT * FROM sniff_csv('x.csv')": "",
    "SELECT * FROM parquet_schema('x.parquet')": "",
    "SELECT * FROM parquet_metadata('x.parquet')": "",
    "SELECT * FROM parquet_file_metadata('x.parquet')": "",
    "SELECT * FROM parquet_kv_metadata('x.parquet')": "",
    "SELECT * FROM query('SELECT 1')": "",
    "SELECT * FROM query_table('tiles')": "",
    "SELECT * FROM query_table(['tiles', 'x.parquet'])": "",
    "SELECT * FROM json_execute_serialized_sql('{}')": "",
    "SELECT json_serialize_sql('SELECT 1')": "'json_serialize_sql'",
    "SELECT * FROM seq_scan('tiles')": "",
    "SELECT * FROM arrow_scan(1, 2, 3)": "",
    "SELECT * FROM histogram(tiles, row)": "",
    "SELECT * FROM histogram_values(tiles, row)": "",
    "SELECT * FROM summary(tiles)": "",
    "SELECT * FROM repeat_row(1, num_rows = 3)": "",
    "SELECT * FROM upper('x')": "as a relation",
    "SELECT * FROM duckdb_tables()": "",
    "SELECT * FROM duckdb_secrets()": "",
    "SELECT * FROM duckdb_settings()": "",
    "SELECT * FROM duckdb_functions()": "",
    "SELECT * FROM pragma_table_info('tiles')": "",
    "SELECT * FROM enable_logging()": "",
    "SELECT * FROM checkpoint()": "",
    "SELECT * FROM which_secret('s3://x', 's3')": "",
    "SELECT * FROM iceberg_scan('x')": "",
    "SELECT * FROM sqlite_scan('x.db', 't')": "",
    "SELECT * FROM postgres_query('x', 'SELECT 1')": "",
    "SELECT * FROM st_read('x.shp')": "",
    "SELECT * FROM delta_scan('x')": "",
    # scalar functions
    "SELECT getenv('HOME')": "'getenv'",
    "SELECT getvariable('x')": "'getvariable'",
    "SELECT current_setting('access_mode')": "'current_setting'",
    "SELECT current_user": "current_user",
    "SELECT session_user": "session_user",
    "SELECT user": "user",
    "SELECT current_query()": "",
    "SELECT current_schemas(true)": "",
    "SELECT setseed(.5)": "'setseed'",
    "SELECT nextval('s')": "",
    "SELECT write_log('x')": "",
    "SELECT sleep_ms(100000)": "",
    "SELECT pg_sleep(100)": "",
    "SELECT read_text('/etc/passwd')": "",
    "SELECT '/etc/passwd'.read_text()": "",
    "SELECT tiles.path.read_blob() FROM tiles": "",
    "SELECT main.read_text('x')": "",
    "SELECT \"getenv\"('HOME')": "getenv",
    "SELECT unheard_of(1)": "'unheard_of'",
    "SELECT list_transform(['/etc/passwd'], lambda x: read_text(x))": "",
    "SELECT * FROM tiles WHERE getenv('HOME') = 'x'": "",
    "SELECT 1 FROM tiles GROUP BY getenv('HOME')": "",
    "SELECT sum(1) OVER (ORDER BY getenv('HOME')) FROM tiles": "",
    "SELECT sum(1) FILTER (WHERE getenv('HOME') = '') FROM tiles": "",
    "SELECT 1 FROM tiles QUALIFY getenv('HOME') = ''": "",
    "SELECT * FROM tiles a JOIN tiles b ON getenv('HOME') = ''": "",
    "SELECT COLUMNS(lambda c: getenv(c) = '') FROM tiles": "",
    "SELECT CASE WHEN true THEN getenv('HOME') END": "",
    "SELECT {'a': getenv('HOME')}": "",
    "SELECT [getenv('HOME')]": "",
    "SELECT MAP {'a': getenv('HOME')}": "",
    "SELECT getenv('HOME')::VARCHAR": "",
    "SELECT 'tiles'::regclass": "",
    "SELECT 1::unheard_of": "type",
    # statements
    "COPY tiles TO 'x.parquet'": "no SELECT",
    "COPY (SELECT * FROM tiles) TO 'x.csv' (HEADER)": "no SELECT",
    "COPY tiles FROM 'x.csv'": "no SELECT",
    "COPY FROM DATABASE a TO b": "",
    "ATTACH 'x.db' AS x": "no SELECT",
    "ATTACH DATABASE ':memory:' AS x": "no SELECT",
    "DETACH x": "no SELECT",
    "USE x": "no SELECT",
    "INSTALL httpfs": "",
    "FORCE INSTALL httpfs FROM 'x'": "",
    "LOAD httpfs": "",
    "UPDATE EXTENSIONS": "",
    "PRAGMA database_list": "no SELECT",
    "PRAGMA enable_profiling": "no SELECT",
    "SET enable_external_access = true": "no SELECT",
    "SET VARIABLE x = 1": "no SELECT",
    "RESET ALL": "",
    "CALL pragma_version()": "no SELECT",
    "EXPORT DATABASE 'x'": "",
    "IMPORT DATABASE 'x'": "",
    "CHECKPOINT": "",
    "VACUUM": "",
    "ANALYZE": "no SELECT",
    "BEGIN TRANSACTION": "no SELECT",
    "COMMIT": "no SELECT",
    "PREPARE p AS SELECT 1": "",
    "EXECUTE p": "",
    "DEALLOCATE p": "",
    "EXPLAIN SELECT 1": "",
    "EXPLAIN ANALYZE SELECT 1": "",
    "CREATE TABLE x AS SELECT 1": "no SELECT",
    "CREATE OR REPLACE VIEW tiles AS SELECT 1": "no SELECT",
    "CREATE MACRO f(x) AS x": "no SELECT",
    "CREATE MACRO tiles() AS TABLE SELECT 1": "",
    "CREATE SECRET s (TYPE s3)": "",
    "CREATE TEMP TABLE x (a INT)": "no SELECT",
    "CREATE SCHEMA x": "no SELECT",
    "ALTER TABLE tiles ADD COLUMN a INT": "no SELECT",
    "DROP VIEW tiles": "no SELECT",
    "TRUNCATE tiles": "no SELECT",
    "INSERT INTO tiles VALUES (1)": "no SELECT",
    "UPDATE tiles SET a = 1": "no SELECT",
    "DELETE FROM tiles": "no SELECT",
    "MERGE INTO tiles USING tissues ON true WHEN MATCHED THEN DELETE": "no SELECT",
    "COMMENT ON TABLE tiles IS 'x'": "no SELECT",
    "WITH x AS (INSERT INTO tiles VALUES (1) RETURNING *) SELECT * FROM x": "INSERT",
    "WITH x AS (DELETE FROM tiles RETURNING *) SELECT * FROM x": "DELETE",
    "SELECT * FROM tiles INTO x": "",
    "SELECT a INTO x FROM tiles": "INTO",
    "SELECT * FROM tiles FOR UPDATE": "LOCK",
    ".read x.sql": "",
    ".shell ls": "",
    # second statements
    "SELECT 1; SELECT 2": "second statement",
    "SELECT 1;;SELECT 2": "second statement",
    "SELECT 1; COPY tiles TO 'x'": "second statement",
    "SELECT 1 --\n; DROP VIEW tiles": "second statement",
    "SELECT 1 /* ; */; DROP VIEW tiles": "second statement",
    "SELECT ';'; SELECT 1": "second statement",
    # forms that tell of rows, or whose columns hang on the data: no query is built on them
    "PIVOT tiles ON row": "a PIVOT without its values",
    "SELECT * FROM (PIVOT tiles ON row)": "a PIVOT without its values",
    "FROM 'x.parquet'": "",
    "FROM 'x.parquet' SELECT a": "",
    "SUMMARIZE tiles": "no SELECT",
    "SUMMARIZE 'x.parquet'": "no SELECT",
    "SELECT * FROM (SUMMARIZE tiles)": "SUMMARIZE",
    "DESCRIBE tiles": "no SELECT",
    "DESCRIBE SELECT * FROM 'x.parquet'": "no SELECT",
    "SELECT * FROM (DESCRIBE tiles)": "DESCRIBE",
    "SHOW TABLES": "no SELECT",
    "SHOW ALL TABLES": "",
    "SELECT * FROM (SHOW TABLES)": "",
    "SELECT * FROM (SHOW ALL TABLES)": "",
    # tricks with text
    "": "Empty",
    "   \n\t": "Empty",
    ";": "Empty",
    "-- nothing": "Empty",
    "/* nothing */": "Empty",
    "SELECT 'abc": "never ends",
    'SELECT "abc': "never ends",
    "SELECT 1 /* never": "never ends",
    "SELECT $$never": "never ends",
    "SELECT /* /* */ 1": "never ends",
    "SELECT 1\x00; DROP VIEW tiles": "control character U+0000",
    "SELECT 'a\x00b'": "control character",
    "SELECT 'a\ud800'": "control character",
    "SELECT \u2018a\u2019": "U+2018",
    "SELECT a\u200bb FROM tiles": "U+200B",
    "SELECT * FROM \u202eselit": "U+202E",
    "SELECT * FROM /* tiles */ 'x.parquet'": "file name",
    "SELECT * FROM tiles -- \n, 'x.parquet'": "file name",
    "SELECT * FROM /* /* */ tiles */ 'x.parquet'": "file name",
    "SELECT * FROM tiles /*+ read_text('x') */ , read_text('x')": "",
    "SELECT * FROM\u00a0read_text('x')": "",
    "\u017fELECT * FROM 'x.parquet'": "file name",
    "SELECT 'ab' ^@ 'a'": "starts_with",
    "SELECT [1] <=> [2]": "IS NOT DISTINCT FROM",
    "SELECT @ -1": "ABS",
    "SELECT true AND j -> 'a' FROM tiles": "an arrow beside another operator",
    "SELECT j ->> 'a' || 'b' FROM tiles": "an arrow beside another operator",
    "SELECT 1 NOT IN (1, 2) >= 0": "a NOT as an operand",
    "SELECT X'00'": "",
    "SELECT b'01'": "",
    "SELECT N'a'": "NATIONAL",
    "SELECT 0xFF AS a": "",
    "SELECT 'a' FROM": "",
    "SELECT ((1)": "",
    "hello": "no SELECT",
    "1 + 1": "no SELECT",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000: "nested too deeply",
    "SELECT '" + "a" * 1_000_000 + "'": "characters",
    "SELECT regclass 'tiles'": "",
    "SELECT * FROM tiles WHERE row = 1) UNION SELECT * FROM (SELECT 1": "",
}  # fmt: skip


@pytest.mark.some(4)
@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=[ascii(text[:60]) for text in REFUSED])
def test_refused_by_the_guard_alone(text, reason):
    with pytest.raises((QueryError, UnknownNameError)) as caught:
        check_select(text, relations=RELATIONS)
    assert reason in str(caught.value)


def test_the_error_shows_the_place():
    text = "SELECT dataset\nFROM tiles\nJOIN read_csv('secret.csv') AS s ON true"
    with pytest.raises(QueryError) as caught:
        check_select(text, relations=RELATIONS)
    lines = str(caught.value).splitlines()
    assert "line 3, column 6" in lines[0]
    assert lines[1] == "  JOIN read_csv('secret.csv') AS s ON true"
    start = lines[2].index("^")
    assert lines[1][start : lines[2].rindex("^") + 1].startswith("read_csv")
    assert "relations, CTEs" in lines[3]


@pytest.mark.parametrize("text", [None, 3, b"SELECT 1"])
def test_text_must_be_text(text):
    with pytest.raises(QueryError, match="must be a str"):
        check_select(text, relations=RELATIONS)


# What reaches outside the lake or changes the lock, run without the guard against DuckDB's lock alone. {outside} and
# {lake} are folders; every statement must fail.
LOCKED = (
    "SELECT * FROM '{outside}/secret.csv'",
    'SELECT * FROM "{outside}/secret.parquet"',
    "FROM '{outside}/secret.json'",
    "SELECT * FROM '{outside}/*.csv'",
    "SELECT * FROM read_csv('{outside}/secret.csv')",
    "SELECT * FROM read_csv_auto('{outside}/secret.csv')",
    "SELECT * FROM read_parquet('{outside}/secret.parquet')",
    "SELECT * FROM parquet_scan('{outside}/secret.parquet')",
    "SELECT * FROM parquet_schema('{outside}/secret.parquet')",
    "SELECT * FROM parquet_metadata('{outside}/secret.parquet')",
    "SELECT * FROM parquet_file_metadata('{outside}/secret.parquet')",
    "SELECT * FROM read_json('{outside}/secret.json')",
    "SELECT * FROM read_text('{outside}/secret.csv')",
    "SELECT * FROM read_blob('{outside}/secret.csv')",
    "SELECT * FROM read_text('{lake}/../outside/secret.csv')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_text('file:///etc/passwd')",
    "SELECT * FROM sniff_csv('{outside}/secret.csv')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('{outside}/secret.csv')",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SUMMARIZE '{outside}/secret.csv'",
    "DESCRIBE SELECT * FROM '{outside}/secret.csv'",
    "SELECT * FROM 'https://example.org/x.csv'",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "COPY (SELECT 1) TO '{outside}/new.csv'",
    "COPY (SELECT 1) TO '{outside}/new.parquet' (FORMAT parquet)",
    "COPY t FROM '{outside}/secret.csv'",
    "ATTACH '{outside}/new.db' AS d",
    "EXPORT DATABASE '{outside}/dump'",
    "IMPORT DATABASE '{outside}/dump'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{outside}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET lock_configuration = false",
    "SET autoload_known_extensions = true",
    "RESET enable_external_access",
    "PRAGMA enable_external_access",
    "SET home_directory = '/'",
    "SET temp_directory = '{outside}'",
    "SET secret_directory = '{outside}'",
    "SET python_enable_replacements = true",
    "SELECT * FROM COLUMNS_OF_PYTHON",
    "SELECT getenv('HOME')",
)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    root = tmp_path_factory.mktemp("lock").resolve()
    for folder in ("lake", "outside"):
        (root / folder).mkdir()
        (root / folder / "secret.csv").write_text("a\n1\n")
        (root / folder / "secret.json").write_text('[{"a": 1}]')
        duckdb.sql("SELECT 1 AS a").write_parquet(str(root / folder / "secret.parquet"))
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (a INT)")
    for setting in (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",
        f"allowed_directories = ['{root}/lake/']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    yield connection, root
    connection.close()


@pytest.mark.parametrize("text", LOCKED)
def test_refused_by_the_lock_alone(locked, text):
    connection, root = locked
    COLUMNS_OF_PYTHON = [1]  # noqa: F841 -- a replacement scan would find it
    before = sorted(path.name for path in (root / "outside").iterdir())
    with pytest.raises(duckdb.Error):
        connection.execute(text.format(outside=root / "outside", lake=root / "lake")).fetchall()
    assert sorted(path.name for path in Path(root / "outside").iterdir()) == before


def test_the_lock_leaves_the_lake_readable_and_so_the_guard_must_refuse_writing(locked):
    connection, root = locked
    assert connection.execute(f"SELECT a FROM '{root}/lake/secret.csv'").fetchall() == [(1,)]
    text = f"COPY (SELECT 1) TO '{root}/lake/new.csv'"
    connection.execute(text)  # seen with DuckDB 2.0: allowed folders may be written
    assert (root / "lake" / "new.csv").exists()
    with pytest.raises(QueryError, match="no SELECT"):
        check_select(text, relations=RELATIONS)


def test_every_outside_statement_is_refused_by_the_guard_as_well():
    for text in LOCKED:
        with pytest.raises((QueryError, UnknownNameError)):
            check_select(text.format(outside="/outside", lake="/lake"), relations=RELATIONS)


def test_the_table_is_as_long_as_promised():
    assert len(REFUSED) >= 120
