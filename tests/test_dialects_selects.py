"""Queries of a table in other engines, a row per clause: what is written selects DuckDB's rows."""

import pytest

from dialect_cases import QUERIES
from engines import check_verdict, duck, plain, probed, translated

__all__ = ["duck", "probed"]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_are_refused_or_written(query):
    check_verdict(query, QUERIES[query])


@pytest.mark.parametrize("query", [query for query, refused in QUERIES.items() if "postgres" not in refused])
def test_queries_select_the_same_in_postgres(duck, probed, query):
    rows = duck.execute(query).fetchall()
    assert rows
    assert plain(probed.query(translated(query, "postgres"))) == plain(rows)
