"""Values of a table in other engines: what is written gives DuckDB's, what is refused is so in words that help."""

import pytest

from dialect_cases import VALUES
from engines import check_verdict, duck, plain, probed, translated, value_query

__all__ = ["duck", "probed"]


@pytest.mark.some(4)
@pytest.mark.parametrize("value", VALUES)
def test_values_are_refused_or_written(value):
    check_verdict(value_query(value), VALUES[value])


@pytest.mark.some(4)
@pytest.mark.parametrize("value", [value for value, refused in VALUES.items() if "postgres" not in refused])
def test_values_are_the_same_in_postgres(duck, probed, value):
    query = value_query(value)
    rows = duck.execute(query).fetchall()
    assert value in ("NULL = 5", "CAST(NULL AS DOUBLE)") or any(found is not None for _, found in rows)
    assert plain(probed.query(translated(query, "postgres"))) == plain(rows)
