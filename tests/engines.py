"""DuckDB, PostgreSQL and Spark with the same table, for tests that compare their answers."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot

import postgres
from dialect_cases import OTHERS, PROBE, TYPES
from spora_db.catalog.foreign import column_type
from spora_db.dialects.aggregates import AGGREGATES
from spora_db.dialects.translation import translate
from spora_db.errors import QueryError


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the table `probe`."""
    with duckdb.connect() as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
        connection.execute(f"CREATE TABLE probe ({columns})")
        connection.execute(f"INSERT INTO probe VALUES {PROBE}")
        yield connection


@pytest.fixture(scope="module")
def probed(duck: duckdb.DuckDBPyConnection) -> postgres.Postgres:
    """PostgreSQL with the same table."""
    server = postgres.running()
    columns = ", ".join(f'"{name}" {column_type(kind).sql("postgres")}' for name, kind in TYPES.items())
    server.psql(f"DROP TABLE IF EXISTS probe; CREATE TABLE probe ({columns})")
    server.copy("probe", duck.execute("SELECT * FROM probe").fetchall())
    return server


def translated(text: str, dialect: str) -> str:
    return translate(text, dialect=dialect, columns={"probe": TYPES})


def plain(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Make values comparable: numbers to 14 digits, whatever their type; truth values and dates as texts."""

    def value(found: Any) -> Any:
        if isinstance(found, bool):
            return str(found).lower()
        if found in ("t", "f"):
            return {"t": "true", "f": "false"}[found]
        try:
            return f"{float(found) + 0.0:.14g}"  # minus zero is zero
        except (TypeError, ValueError):
            return None if found is None else str(found)

    return [[value(item) for item in row] for row in rows]


def check_verdict(text: str, refused: tuple[str, ...]) -> None:
    """Check that a query is refused for these engines, in words that help, and written for others."""
    for dialect in OTHERS:
        if dialect not in refused:
            assert sqlglot.parse_one(translated(text, dialect), dialect=dialect).find(sqlglot.exp.Select)
            continue
        with pytest.raises(QueryError, match="has no translation to") as caught:
            translated(text, dialect)
        assert dialect in str(caught.value)
        assert "select the rows with DuckDB" in str(caught.value)


def value_query(value: str) -> str:
    return f"SELECT id, {value} AS found FROM probe ORDER BY id"


def call_query(name: str, call: str) -> str:
    return f"SELECT {call} AS found FROM probe" if name in AGGREGATES else value_query(call)


SPARK = """
import json, sys
from pyspark.sql import SparkSession
session = (SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.shuffle.partitions", "2").config("spark.sql.warehouse.dir", sys.argv[1]).getOrCreate())
asked = json.load(sys.stdin)
for statement in asked["script"].split(";\\n"):
    if statement.strip():
        session.sql(statement.strip().replace("CREATE VIEW", "CREATE TEMPORARY VIEW"))
session.sparkContext.setLogLevel("ERROR")
answers = {}
for name, text in asked["queries"].items():
    try:
        answers[name] = [list(row) for row in session.sql(text).collect()]
    except Exception as error:
        answers[name] = f"{error}"[:1000]
print("ANSWER" + json.dumps(answers, default=lambda value: float(value) if hasattr(value, "is_nan") else str(value)))
"""


def spark_answers(script: str, queries: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return Spark's rows of some queries, or its error as a text."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs pyspark (and Java), which is absent")
    done = subprocess.run(
        [sys.executable, "-c", SPARK, str(folder)],
        input=json.dumps({"script": script, "queries": queries}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ANSWER" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.partition("ANSWER")[2])
