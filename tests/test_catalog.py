import importlib.util
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from spora_db.catalog import MACROS, VIEWS, Catalog
from spora_db.catalog.names_in import needs
from spora_db.catalog.sql_files import sql_folder, sql_text
from spora_db.errors import (
    ArgumentError,
    DatasetNotFoundError,
    FileFormatError,
    MissingExtraError,
    QueryError,
    QueryInterruptedError,
    SporaError,
    TableError,
    UnknownNameError,
    WriteError,
)
from spora_db.query import SporaQuery
from spora_db.sources import LISTINGS, SOURCES


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    return write_lake(tmp_path_factory.mktemp("catalog") / "lake", tissues=3, size=64)


@pytest.fixture
def catalog(lake):
    with Catalog(lake) as opened:
        yield opened


def test_every_relation_is_a_file_and_every_file_a_relation():
    for folder, names in (("views", VIEWS), ("macros", MACROS)):
        assert {path.stem for path in (sql_folder() / folder).glob("*.sql")} == set(names)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_stands_on_earlier_ones_and_says_what_it_is(name):
    allowed = {*VIEWS[: VIEWS.index(name)], *SOURCES, *LISTINGS}
    assert needs("views", name) & {*VIEWS, *SOURCES, *LISTINGS} <= allowed
    text = sql_text("views", name)
    assert text.startswith("-- purpose: ")
    assert "\n-- grain:   " in text
    assert "\n-- source:  " in text
    assert f"CREATE VIEW {name} AS" in text


def test_views_are_bound_by_the_statements_over_them(catalog):
    catalog.sql("SELECT count(*) FROM images").fetchall()
    catalog._files(VIEWS)
    with catalog._guarded() as duck:
        views = duck.sql("SELECT view_name, is_bound FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for name, _ in views} > set(VIEWS)
    assert {name for name, is_bound in views if is_bound}.intersection(VIEWS) == {"images"}


@pytest.mark.parametrize("name", VIEWS)
def test_every_output_column_of_a_view_has_a_comment(name):
    final = sql_text("views", name).split("\nSELECT\n")[-1].split("\nFROM ")[0]
    lines = [line for line in final.splitlines() if line.startswith("    ") and not line.startswith("     ")]
    lines = [line for line in lines if not line.strip().startswith(("CASE", "WHEN", "END"))]
    assert lines
    assert [line for line in lines if " -- " not in line and not line.endswith("(")] == []


def test_a_result_answers_in_every_form(catalog):
    result = catalog.sql("SELECT dataset, tissue_id FROM tissues WHERE modality = $m ORDER BY ALL", {"m": "imc"})
    rows = result.fetchall()
    assert rows[0] == ("alpha", "alpha_0000")
    assert len(result) == len(rows) == 6
    assert result.columns == ["dataset", "tissue_id"]
    assert result.types == ["VARCHAR", "VARCHAR"]
    assert list(result.df().itertuples(index=False, name=None)) == rows
    assert isinstance(result.arrow(), pa.Table)
    assert result.to_arrow_table().to_pylist() == [dict(zip(result.columns, row, strict=True)) for row in rows]
    assert list(result.fetchnumpy()["tissue_id"]) == [row[1] for row in rows]
    assert result.fetchone() == rows[0]
    assert catalog.sql("SELECT * FROM tissues WHERE FALSE").fetchone() is None
    assert "alpha_0000" in repr(result)
    assert catalog.sql("SELECT count(*) FROM tissues WHERE modality = ?", ["he"]).fetchall() == [(4,)]
    assert "TABLE_SCAN" in result.explain() or "PARQUET" in result.explain()
    if importlib.util.find_spec("polars") is None:
        with pytest.raises(MissingExtraError, match="polars"):
            result.pl()


def test_queries_may_name_relations_and_macros_in_any_case(catalog):
    assert catalog.sql("SELECT count(*) FROM TISSUES").fetchall() == [(10,)]
    assert catalog.sql("SELECT Has_All_Markers('alpha', 'imc', 'alpha_0000', ['CD8'])").fetchall() == [(True,)]


def test_the_parts_in_any_order_of_first_use(lake):
    for name in reversed(VIEWS):
        with Catalog(lake) as catalog:
            assert catalog.sql(f"SELECT count(*) FROM {name}").fetchall()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("SELECT tissue FROM tissues", UnknownNameError, "Did you mean 'tissue_id'"),
        ("SELECT t.tisue_id FROM tiles AS t", UnknownNameError, "Did you mean 'tissue_id'"),
        ("SELECT * FROM tisues", UnknownNameError, "Did you mean 'tissues'"),
        ("SELECT dataset FROM tissues, images", QueryError, "[Aa]mbiguous"),
        ("SELECT CAST(tissue_id AS INTEGER) FROM tissues", QueryError, "alpha_0000"),
        ("SELECT * FROM tissues WHERE", QueryError, None),
        ("SELECT $x FROM tissues", QueryError, None),
        ("SELECT error('x') FROM tissues", QueryError, None),
    ],
)
def test_every_failure_is_ours_and_says_what_exists(catalog, text, error, message):
    with pytest.raises(error, match=message):
        catalog.sql(text).fetchall()
    assert catalog.sql("SELECT count(*) FROM tissues").fetchall() == [(10,)]


def test_an_error_of_a_query_does_not_blame_a_file(catalog):
    with pytest.raises(QueryError) as caught:
        catalog.sql("SELECT CAST(split AS INTEGER) FROM tissues").df()
    assert not isinstance(caught.value, FileFormatError)


OUTSIDE = [
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_parquet('{lake}/alpha/metadata/../../../secret.parquet')",
    "SELECT * FROM read_parquet('{lake}/link/../secret.parquet')",
    "SELECT * FROM read_parquet('{lake}/*/metadata/*.parquet')",
    "SELECT * FROM glob('{lake}/*')",
    "SELECT * FROM parquet_schema('{secret}')",
    "COPY (SELECT 1) TO '{outside}/written.csv'",
    "COPY (SELECT 1) TO '{lake}/written.csv'",
    "ATTACH '{outside}/x.db'",
    "ATTACH '{lake}/x.db'",
    "EXPORT DATABASE '{outside}/export'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
    "SET enable_external_access = true",
    "SET allowed_paths = ['/']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "PRAGMA enable_external_access",
    "SET threads = 1",
    "SELECT * FROM python_variable",
    "SELECT getenv('HOME')",
]


@pytest.mark.some(4)
@pytest.mark.parametrize("statement", OUTSIDE)
def test_the_database_is_closed_even_without_the_guard(tmp_path, statement):
    python_variable = pd.DataFrame({"secret": [1]})
    outside = tmp_path / "outside"
    (outside / "target").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), outside / "secret.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "secret.parquet")
    lake = tmp_path / "lake"
    (lake / "alpha/metadata").mkdir(parents=True)
    pq.write_table(pa.table({"tissue_id": ["t"]}), lake / "alpha/metadata/tissues.parquet")
    pq.write_table(pa.table({"tissue_id": ["t"]}), lake / "alpha/metadata/other.parquet")
    (lake / "link").symlink_to(outside / "target")
    before = sorted(path for path in tmp_path.rglob("*"))
    text = statement.format(secret=outside / "secret.parquet", outside=outside, lake=lake)
    with Catalog(lake) as catalog:
        with pytest.raises(duckdb.Error):
            catalog._connection.use().execute(text).fetchall()
        with pytest.raises(SporaError):
            catalog.sql(text).fetchall()
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert len(python_variable) == 1


def test_limits(lake):
    with Catalog(lake, memory_limit="100MB", threads=1) as catalog:
        assert catalog.sql("SELECT count(*) FROM tiles").fetchall()
        values = dict(catalog._run("SELECT name, value FROM duckdb_settings()").fetchall())
    assert values["threads"] == "1"
    assert values["memory_limit"].startswith("95.3")
    for limits in ({"memory_limit": "many"}, {"threads": 0}):
        with pytest.raises(ArgumentError):
            Catalog(lake, **limits)


def test_a_catalog_stays_in_its_process(lake, catalog):
    with pytest.raises(TypeError, match="path of the lake"):
        pickle.dumps(catalog)
    catalog.sql("SELECT * FROM tiles").fetchall()
    if "fork" in multiprocessing.get_all_start_methods():
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                catalog.sql("SELECT 1")
            except QueryError as error:
                os.write(send, str(error).encode())
            catalog.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert "fork" in os.read(receive, 1000).decode()
        os.close(receive)
        os.close(send)
    catalog.close()
    catalog.close()
    with pytest.raises(QueryError, match="closed"):
        catalog.sql("SELECT * FROM tiles")


def test_a_query_of_another_thread_can_be_ended(catalog):
    catalog.interrupt()
    ended = []

    def ask():
        try:
            catalog.sql("SELECT sum(hash(range)) FROM range(20000000000)").fetchall()
        except QueryInterruptedError as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        catalog.interrupt()
        thread.join(0.05)
    assert len(ended) == 1
    assert catalog.sql("SELECT 1").fetchall() == [(1,)]


def test_threads_may_share_a_catalog(lake, catalog):
    answers = []

    def ask(name):
        answers.extend(catalog.sql(f"SELECT count(*) FROM {name}").fetchall()[0] for _ in range(5))

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("tiles", "tissues", "tissue_channels", "images")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20


def test_registered_tables_live_as_long_as_asked(catalog):
    table = pa.table({"tissue_id": ["alpha_0001"]})
    with catalog._registered("query_rows", table):
        assert catalog._run("SELECT count(*) FROM tissues JOIN query_rows USING (tissue_id)").fetchall() == [(2,)]
        with pytest.raises(UnknownNameError):
            catalog.sql("SELECT * FROM query_rows")
    with pytest.raises(UnknownNameError, match="query_rows"):
        catalog._run("SELECT * FROM query_rows").fetchall()
    catalog._register("query_rows", table)
    assert catalog._run("SELECT * FROM query_rows").fetchall() == [("alpha_0001",)]


def test_explain(catalog):
    assert "PARQUET" in catalog.sql("EXPLAIN SELECT * FROM tissues").fetchall()[0][1].upper()


def test_the_script_makes_the_same_relations_in_a_bare_database(released_cohort):
    assert_same_in_bare_database(released_cohort)


def test_the_script_makes_the_same_relations_of_three_cohorts(tiff_lake):
    assert_same_in_bare_database(tiff_lake)


def test_the_script_of_a_made_lake(lake):
    assert_same_in_bare_database(lake)


def assert_same_in_bare_database(path):
    with Catalog(path) as catalog, duckdb.connect() as bare:
        bare.execute(catalog.ddl())
        for name in VIEWS:
            everything = f"SELECT * FROM {name} ORDER BY ALL"
            assert bare.sql(everything).to_arrow_table().equals(catalog._run(everything).to_arrow_table()), name
        known = [row[0] for row in catalog._run("SELECT uniprot_id FROM markers ORDER BY 1 LIMIT 2").fetchall()]
        macro = f"SELECT tissue_id, n_markers(dataset, modality, tissue_id, {known}) FROM tissues ORDER BY 1, 2"
        assert known
        assert bare.sql(macro).fetchall() == catalog._run(macro).fetchall()


def test_schema_names_what_was_reconciled(tiff_lake):
    with Catalog(tiff_lake) as catalog:
        schema = catalog.schema().df()
        assert catalog.columns("tissues")[:6] == (
            "dataset",
            "tissue_id",
            "modality",
            "patient_id",
            "specimen_id",
            "split",
        )
        with pytest.raises(UnknownNameError, match="tiles"):
            catalog.columns("tilez")
    assert set(schema.relation) == set(VIEWS)
    grade = schema[(schema.relation == "tissues") & (schema.column == "grade")].iloc[0]
    assert grade.type == "VARCHAR"
    assert grade.cohorts == "breast_imc: DOUBLE, lymph_codex: NULL, skin_he: VARCHAR"
    assert schema.problem.isna().all()


def test_a_lake_is_where_its_folder_is(lake, tmp_path, monkeypatch):
    with Catalog(lake / "alpha") as one, Catalog(lake) as all_of_them:
        text = "SELECT * FROM tiles WHERE dataset = 'alpha' ORDER BY ALL"
        assert one.sql(text).to_arrow_table().equals(all_of_them.sql(text).to_arrow_table())
        assert one.lake == all_of_them.lake == lake
    monkeypatch.chdir(lake)
    with Catalog("alpha") as relative:
        assert relative.sql(text).fetchall()
        monkeypatch.chdir(tmp_path)
        assert relative.sql(text).fetchall()
    with pytest.raises(DatasetNotFoundError):
        Catalog(tmp_path)


def test_a_file_that_is_written_again_is_read_again(tmp_path):
    (tmp_path / "d/metadata").mkdir(parents=True)
    path = tmp_path / "d/metadata/tissues.parquet"
    pq.write_table(pa.table({"tissue_id": ["a"], "x": [1], "y": ["one"]}), path)
    with Catalog(tmp_path) as catalog:
        ask = "SELECT tissue_id, x, y FROM tissues ORDER BY 1"
        assert catalog.sql(ask).fetchall() == [("a", 1, "one")]
        pq.write_table(pa.table({"y": ["two", "three"], "z": [0, 0], "tissue_id": ["a", "b"], "x": [7, 8]}), path)
        assert catalog.sql(ask).fetchall() == [("a", 7, "two"), ("b", 8, "three")]
        assert "z" in catalog.columns("tiles")
        path.write_bytes(b"broken")
        with pytest.raises(FileFormatError, match=r"tissues\.parquet"):
            catalog.sql("SELECT * FROM tissues")
        path.unlink()
        with pytest.raises(FileFormatError, match=r"tissues\.parquet"):
            catalog.sql("SELECT * FROM tissues")
        pq.write_table(pa.table({"tissue_id": ["c"]}), path)
        assert catalog.sql("SELECT tissue_id FROM tissues").fetchall() == [("c",)]


def test_checks_ask_for_all_tables(catalog, tmp_path):
    catalog.check()
    catalog.check("tiles", "tissues")
    catalog.check_channels()
    folder = tmp_path / "d/tiling/1_0mpp/default"
    folder.mkdir(parents=True)
    (tmp_path / "d/metadata").mkdir()
    table = pa.table({"tissue_id": ["a", "a"], "tile_id": [0, 0], "row": [0, 1], "col": [0, 0]})
    pq.write_table(table, folder / "64_tile_coordinates.parquet")
    with Catalog(tmp_path) as broken:
        for use in (broken.check, lambda: broken.sql("SELECT * FROM tile_coordinates")):
            with pytest.raises(TableError, match="2 rows with tile_id 0"):
                use()


INHERITED = """
import gc, os, sys
import duckdb
from spora_db import Catalog

def leave_garbage(lake):
    for database, text in ((Catalog(lake), "SELECT * FROM tiles"), (duckdb.connect(), "FROM range(1000000)")):
        answer = database.sql(text)
        cycle = [database, answer, answer.fetchall()]
        cycle.append(cycle)

gc.disable()
leave_garbage(sys.argv[1])
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(0)
sys.stdout.write(str(os.waitpid(child, 0)[1]))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_destroy_what_its_parent_left(lake):
    """DuckDB's threads stay in the parent: in a child, the end of a database waits for them or crashes."""
    command = [sys.executable, "-c", INHERITED, str(lake)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "SELECT age FROM (SELECT dataset FROM tiles)",
            "'age' in its FROM clause, line 1, column 8.*Available: dataset.",
        ),
        ("WITH x AS (SELECT split AS s FROM tiles)\nSELECT split FROM x", "'split' in its FROM clause. Available: s."),
        ("SELECT nosuch FROM (SELECT 1 AS a)", "'nosuch' in its FROM clause, line 1, column 8.*Available: a."),
        ("SELECT t.agee\nFROM tiles AS t", "'agee' in tiles, line 1, column 10.*Did you mean 'age'"),
        ("SELECT 1\nFROM tiles WHERE agee = 1", "'agee' in tiles, line 2, column 18"),
        ("SELECT agee FROM tiles ORDER BY agee", "Unknown column 'agee' in tiles. Did you mean"),
        (
            "SELECT 1 FROM tiles WHERE EXISTS (SELECT 1 FROM tissues AS s WHERE S.Agee = 1)",
            "Unknown column 'Agee' in tissues, line 1, column 70.*Did you mean 'age'",
        ),
        (
            "SELECT 1 FROM tiles WHERE age IN (SELECT tissues.agee FROM tissues)",
            "Unknown column 'agee' in tissues, line 1, column 50.*Did you mean 'age'",
        ),
        (
            "WITH images AS (SELECT 1 AS a) SELECT 1 FROM tiles WHERE age IN (SELECT images.b FROM images)",
            "Unknown relation or alias 'images'",
        ),
        (
            "SELECT year('2021-03-04'::TIMESTAMPTZ_NS)",
            r"year\(TIMESTAMPTZ_NS\).*write CAST\(\.\.\. AS TIMESTAMPTZ\)",
        ),
        ("SELECT x.age FROM tiles", "Unknown relation or alias 'x' in line 1, column 8.*Available: tiles"),
        (
            "SELECT dataset FROM tiles AS t JOIN images AS i USING (tissue_id)",
            "'dataset' in line 1, column 8 of the SQL is ambiguous. Write t.dataset or i.dataset",
        ),
    ],
)
def test_names_that_duckdb_does_not_find_are_told_with_scope_and_place(catalog, text, message):
    with pytest.raises(SporaError, match="(?s)" + message):
        catalog.sql(text)


@pytest.mark.parametrize("text", ["SELECT 1; -- one", "SELECT 1 /* ; */ ; /* done */ ;"])
def test_a_comment_may_follow_the_semicolon(catalog, text):
    assert catalog.sql(text).fetchall() == [(1,)]


def test_names_of_the_engine_cannot_be_reached_through_a_cte(catalog):
    for name in ("source_tissues", "sqlite_master", "pg_settings", "duckdb_views", "pg_proc"):
        for body in (f"SELECT * FROM {name}", f"SELECT * FROM {name} EXCEPT SELECT * FROM {name} WHERE false"):
            with pytest.raises(SporaError, match="CTE name"):
                catalog.sql(f"WITH RECURSIVE {name} AS ({body}) SELECT * FROM {name}")


@pytest.mark.parametrize("params", [5, "x", b"x", {5}, 1.5])
def test_parameters_are_a_mapping_or_a_sequence(catalog, params):
    with pytest.raises(ArgumentError, match=f"received {type(params).__name__}: .*Write .value. for one value"):
        catalog.sql("SELECT ?", params)
    assert catalog.sql("SELECT ?::INT + 1", (5,)).fetchall() == [(6,)]


def test_moments_with_a_time_zone_come_as_rows(catalog):
    ((moment,),) = catalog.sql("SELECT to_timestamp(0)").fetchall()
    assert moment.timestamp() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT CAST(split AS INT) FROM tissues", "Conversion Error"),
        ("SELECT CAST($path || split AS INT) FROM tissues", "Conversion Error"),
        ("SELECT strptime(split, '%Y') FROM tissues", "Could not parse"),
        ("SELECT (200 + age - age)::UTINYINT * 200::UTINYINT FROM tissues", "Out of Range|Overflow"),
    ],
)
def test_an_error_of_values_looks_for_no_broken_file(lake, catalog, monkeypatch, text, message):
    looked = []
    monkeypatch.setattr("spora_db.catalog.failures._broken_file", lambda *given: looked.append(given))
    path = lake / "alpha/metadata/tissues.parquet"
    with pytest.raises(QueryError, match=message) as caught:
        catalog.sql(text, {"path": f"no file {path}"} if "$" in text else None).fetchall()
    assert not isinstance(caught.value, FileFormatError)
    assert looked == []


def test_a_page_that_cannot_be_read_is_told_with_its_file(tmp_path):
    root = write_lake(tmp_path / "lake", tissues=2, size=32)
    path = root / "beta/metadata/tissues.parquet"
    broken = bytearray(path.read_bytes())
    broken[4:64] = b"\0" * 60
    path.write_bytes(broken)
    with Catalog(root) as catalog, pytest.raises(FileFormatError, match=r"beta/metadata/tissues\.parquet"):
        catalog.sql("SELECT * FROM tissues").fetchall()


def test_what_was_spilled_is_gone_after_closing(tmp_path, lake, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    catalog = Catalog(lake, memory_limit="60MB", threads=1)
    catalog._run("CREATE TABLE big AS SELECT i, random() AS r FROM range(12_000_000) AS t(i)")
    assert [path.name[:9] for path in tmp_path.iterdir()] == ["spora-db-"]
    catalog.close()
    assert list(tmp_path.iterdir()) == []


def test_a_compiled_query_can_be_asked_as_sql(lake, catalog):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    for chosen in (query.sample(5, weights="1.0 / n_tiles", seed=0), query.where("tile_id >= 0").sample(3, seed=1)):
        text = chosen.sql()
        assert len(catalog.sql(text).fetchall()) == len(catalog._run(text).fetchall()) == chosen.count()


def test_aggregates_over_distinct_rows_in_conditions(lake, catalog):
    condition = "(SELECT string_agg(DISTINCT split, ',' ORDER BY split) FROM tissues) = $text$%s$text$"
    ((splits,),) = catalog.sql("SELECT array_to_string(list_sort(list(DISTINCT split)), ',') FROM tissues").fetchall()
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    assert query.where(condition % splits).count() == query.count() > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT avg(age, 2) FROM tissues", "No function matches"),
        ("SELECT count(DISTINCT dataset, split) FROM tissues", "No function matches|count"),
        ("WITH tiles AS (SELECT 1 AS a) SELECT b FROM tiles", r"Unknown column 'b' in its FROM clause.*Available: a"),
        (
            "WITH tiles(a) AS MATERIALIZED (SELECT 1) SELECT b FROM tiles",
            r"Unknown column 'b' in its FROM clause.*Available: a",
        ),
        ("SELECT dataset,\n  1::nosuch", "line 2, column 6: the type nosuch"),
    ],
)
def test_errors_in_the_words_of_the_question(catalog, text, message):
    with pytest.raises(SporaError, match=message) as caught:
        catalog.sql(text).fetchall()
    assert "\x1b" not in str(caught.value)


def test_a_user_without_a_home_is_told_what_to_set(lake, monkeypatch):
    from spora_db.files.stores.kept import _mirrors_folder

    for name in ("HOME", "XDG_CACHE_HOME", "SPORA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # nobody's
    _mirrors_folder.cache_clear()
    with pytest.raises(WriteError, match=r"HOME is not set.*Set HOME, or XDG_CACHE_HOME"), Catalog(lake) as catalog:
        catalog.sql("SELECT count(*) FROM tissues").fetchall()
