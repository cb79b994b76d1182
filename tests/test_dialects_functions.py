"""Functions in other engines: each that the guard allows is the same in PostgreSQL and Spark, or refused."""

import pytest
import sqlglot

from dialect_cases import CALLS, OTHERS, QUERIES, TYPES, VALUES
from engines import call_query, duck, plain, probed, spark_answers, translated, value_query
from spora_db.dialects.aggregates import AGGREGATES, WINDOWS
from spora_db.dialects.expressions import RULES
from spora_db.dialects.functions import FUNCTIONS as TRANSLATED
from spora_db.errors import QueryError
from spora_db.guard.functions import FUNCTIONS, TABLE_FUNCTIONS
from spora_db.sqltext.dialect import DIALECT

__all__ = ["duck", "probed"]


@pytest.mark.some(3)
@pytest.mark.parametrize("name", sorted(FUNCTIONS | TABLE_FUNCTIONS))
def test_every_function_of_the_guard_is_the_same_in_postgres_or_refused(request, name):
    if name not in CALLS:
        for given in ("", "i", "l", "t, 'a'", "'a', t, 2", "*"):
            for text in (f"SELECT {name}({given}) FROM probe", f"SELECT 1 AS one FROM {name}({given}) AS r"):
                for dialect in OTHERS:
                    with pytest.raises(QueryError):
                        translated(text, dialect)
        return
    duck, probed = request.getfixturevalue("duck"), request.getfixturevalue("probed")
    for call in CALLS[name]:
        query = call_query(name, call)
        rows = duck.execute(query).fetchall()
        assert plain(probed.query(translated(query, "postgres"))) == plain(rows), call


def test_nothing_is_translated_that_no_test_runs():
    own = {"error"}  # called by the package's own texts, which the guard keeps from users; see negative weights
    forms = {"cast", "exists", "extract", "try_cast", "unnest"}
    assert set(CALLS) == ((set(TRANSLATED) - own) | set(AGGREGATES) | set(WINDOWS)) | forms
    assert set(CALLS) <= FUNCTIONS | TABLE_FUNCTIONS
    same = [value_query(value) for value, refused in VALUES.items() if "postgres" not in refused]
    same += [query for query, refused in QUERIES.items() if "postgres" not in refused]
    same += [call_query(name, call) for name, calls in CALLS.items() for call in calls]
    seen = {type(node) for text in same for node in sqlglot.parse_one(text, dialect=DIALECT).walk()}
    assert set(RULES) - seen == set()


@pytest.mark.slow
def test_spark_gives_the_same_values(duck, tmp_path):
    asked = [value_query(value) for value, refused in VALUES.items() if "spark" not in refused]
    asked += [query for query, refused in QUERIES.items() if "spark" not in refused]
    asked += [call_query(name, call) for name, calls in CALLS.items() for call in calls if name != "array_agg"]
    columns = ", ".join("CAST(h AS DECIMAL(38, 0)) AS h" if name == "h" else name for name in TYPES)
    duck.execute(f"COPY (SELECT {columns} FROM probe) TO '{tmp_path / 'probe.parquet'}'")
    script = f"CREATE VIEW probe AS SELECT * FROM parquet.`{tmp_path / 'probe.parquet'}`"
    answers = spark_answers(script, {query: translated(query, "spark") for query in asked}, tmp_path / "warehouse")
    for query in asked:
        assert not isinstance(answers[query], str), (query, answers[query])
        assert plain(answers[query]) == plain(duck.execute(query).fetchall()), query
