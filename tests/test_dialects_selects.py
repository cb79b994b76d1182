"""Queries of a table in other engines, a row per clause: what is written selects DuckDB's rows."""

import pytest

from dialect_cases import QUERIES
from engines import check_verdict, duck, plain, probed, translated
from spora_db.dialects.translation import translate

__all__ = ["duck", "probed"]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_are_refused_or_written(query):
    check_verdict(query, QUERIES[query])


@pytest.mark.parametrize("query", [query for query, refused in QUERIES.items() if "postgres" not in refused])
def test_queries_select_the_same_in_postgres(duck, probed, query):
    rows = duck.execute(query).fetchall()
    assert rows
    assert plain(probed.query(translated(query, "postgres"))) == plain(rows)


def test_names_keep_their_case_beyond_ascii():
    text = translate(
        'SELECT É AS "Ä", x FROM T', dialect="postgres", columns={"t": {"É": "INTEGER", "é": "TEXT", "X": "DATE"}}
    )
    assert text.split() == ["SELECT", '"t"."É"', "AS", '"Ä",', '"t"."X"', "AS", '"X"', "FROM", '"t"', "AS", '"t"']
