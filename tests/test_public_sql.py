"""No public name of a catalog, of its answers or of a query reaches DuckDB past the guard."""

import inspect

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db import Catalog, SporaQuery
from spora_db.catalog import Result
from spora_db.errors import SporaError

WRITES = (
    "COPY (SELECT 1 AS gone) TO '{path}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS gone) TO '{path}' (FORMAT parquet)",
    "SELECT 1; COPY (SELECT 1 AS gone) TO '{path}' (FORMAT parquet)",
    "SELECT * FROM read_parquet('{path}')",
    "CREATE TABLE mine AS SELECT 1",
    "SET threads = 1",
)
TAKES_SQL = {
    name: method
    for name, method in inspect.getmembers(Catalog, callable)
    if not name.startswith("_") and "text" in inspect.signature(method).parameters
}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "lake" / "a" / "metadata" / "tissues.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"tissue_id": ["t"]}), path)
    return path


def test_these_methods_take_sql():
    assert set(TAKES_SQL) == {"sql", "explain_sql", "translate"}


@pytest.mark.some(3)
@pytest.mark.parametrize("name", ["sql", "explain_sql"])
@pytest.mark.parametrize("text", WRITES)
def test_every_one_asks_the_guard(table, name, text):
    before = table.read_bytes()
    with Catalog(table.parents[2]) as catalog:
        with pytest.raises(SporaError):
            TAKES_SQL[name](catalog, text.format(path=table))
        assert catalog.sql("SELECT tissue_id FROM tissues").fetchall() == [("t",)]
    assert table.read_bytes() == before


@pytest.mark.parametrize("text", WRITES)
def test_translate_runs_nothing(table, text):
    before = table.read_bytes()
    with Catalog(table.parents[2]) as catalog:
        for dialect in ("duckdb", "postgres"):
            try:
                catalog.translate(text.format(path=table), dialect=dialect)
            except SporaError:
                continue
    assert table.read_bytes() == before


@pytest.mark.parametrize("text", WRITES)
def test_rows_by_sql_ask_the_guard(table, text):
    before = table.read_bytes()
    with pytest.raises(SporaError):
        SporaQuery.from_sql(table.parents[2], text.format(path=table)).tissues().df()
    assert table.read_bytes() == before


@pytest.mark.parametrize("kind", [Catalog, Result])
def test_nothing_public_hands_out_duckdb(table, kind):
    with Catalog(table.parents[2]) as catalog:
        thing = catalog if kind is Catalog else catalog.sql("SELECT 1 AS one")
        values = [getattr(thing, name) for name in dir(kind) if not name.startswith("_")]
        assert not [value for value in values if type(value).__module__.partition(".")[0] in ("duckdb", "_duckdb")]
