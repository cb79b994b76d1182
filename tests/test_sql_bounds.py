"""No call makes DuckDB work on where no interrupt and no limit reaches it."""

import threading

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db import Catalog, SporaQuery
from spora_db.catalog.sql_files import bounds
from spora_db.errors import QueryError
from spora_db.guard.growth import BOUNDED

MANY = "1500000000"
TOO_MUCH = (
    f"repeat('a', {MANY})",
    "repeat('a', 1000 * 1500000)",
    f"repeat('a', {MANY}::INT)",
    "repeat('a', 1.5e9::BIGINT)",
    "repeat('a', 9223372036854775807)",
    f"'a'.repeat({MANY})",
    f"repeat([1, 2], {MANY})",
    f"repeat('a'::BLOB, {MANY})",
    "repeat(repeat('a', 900000), 900000)",
    f"REPEAT('a', (SELECT {MANY}))",
    "repeat('a', age * 100000000)",
    "\"repeat\"('a', 100000::BIGINT * 100000)",
    f"lpad('a', {MANY}, 'b')",
    f"rpad('a', {MANY}, 'b')",
    f"range({MANY})",
    "range(0, 10000000000)",
    "range(0, 10000000000, 7)",
    "range(10000000000, 0, -7)",
    f"len(generate_series({MANY}))",
    "generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '9999-01-01', INTERVAL 1 microsecond)",
    "generate_series(DATE '0001-01-01', DATE '9999-01-01', INTERVAL 1 MINUTE)",
    "range(TIMESTAMPTZ '2000-01-01', TIMESTAMPTZ '2020-01-01', INTERVAL 1 SECOND)",
    "range(age * 100000000)",
    f"list_resize([1], {MANY})",
    f"array_resize([1], {MANY}, 0)",
    f"printf('%{MANY}d', 1)",
    f"printf('a%%%-{MANY}s', 'x')",
    f"printf('%.{MANY}f', 1.0)",
    f"printf('%*d', {MANY}, 1)",
    f"format('{{:{MANY}}}', 1)",
    f"format('{{0:>{MANY}}}', 'x')",
    f"format('{{:{{}}}}', 'a', {MANY})",
    f"format('{{}}' || '{{:{MANY}}}', 1, 2)",
    "replace(repeat('a', 900000), 'a', repeat('b', 900000))",
    "regexp_replace(repeat('a', 900000), 'a', repeat('b', 900000), 'g')",
    "levenshtein(repeat('a', 900000), repeat('b', 900000))",
    "editdist3(repeat('a', 900000), repeat('b', 900000))",
    "damerau_levenshtein(repeat('a', 9000), repeat('b', 9000))",
    "jaro_similarity(repeat('a', 900000), repeat('b', 900000))",
    "jaro_winkler_similarity(repeat('ab', 9000), repeat('ba', 9000), 0.5)",
    "bin(bin(bin(bin(repeat('a', 900000)))))",
    "hex(hex(hex(hex(hex(repeat('a', 1000000))))))",
    "to_hex(hex(bin(repeat('a', 1000000))))",
    "list_resize([range(90000)], 90000, range(90000))",
    "array_resize(['a'], 90000, repeat('a', 90000))",
    f"repeat(string := 'a', count := {MANY})",
    f"range(start := 0, stop := {MANY})",
    "json_pretty(repeat('[', 400000) || repeat(']', 400000))",
    "list_transform(range(99999), lambda x: range(99999))",
    "list_transform(range(99999), x -> repeat('a', 99999))",
    "[range(99999) FOR x IN range(99999)]",
    "list_transform(range(5000), lambda x: repeat('a', x * 100))",
    "list_transform(range(50000), lambda x: repeat(repeat('a', 900), 900))",
    "list_transform(range(90), lambda x: list_transform(range(90), lambda y: range(99999)))",
    "list_reduce(['a', 'b', 'c', 'd'], lambda x, y: x || x || y)",
    "list_reduce([[1], [2]], lambda x, y: list_concat(x, x))",
    "list_reduce([[1], [2]], lambda x, y: flatten([x, x]))",
    "list_reduce(range(100)::VARCHAR[], lambda x, y: array_to_string([x, x], ''))",
    "list_reduce(['a', 'b'], lambda x, y: overlay(x PLACING x FROM 1 FOR 0))",
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("bounds")
    (root / "a" / "metadata").mkdir(parents=True)
    pq.write_table(pa.table({"tissue_id": ["t", "u"], "age": [50, 60]}), root / "a" / "metadata" / "tissues.parquet")
    (root / "a" / "he" / "1_0mpp" / "images").mkdir(parents=True)
    for tissue in ("t", "u"):
        (root / "a" / "he" / "1_0mpp" / "images" / f"{tissue}.ome.tiff").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def catalog(lake):
    with Catalog(lake, memory_limit="300MB", threads=1) as opened:
        yield opened


@pytest.mark.some(4)
@pytest.mark.parametrize("call", TOO_MUCH)
def test_what_nothing_would_end_is_refused(catalog, call):
    asked = (
        f"SELECT {call} FROM tissues",
        f"FROM (SELECT {call} AS made, age FROM tissues) SELECT made",
        f"WITH made AS (SELECT {call} AS x FROM tissues) SELECT length(x::VARCHAR) FROM made",
        f"SELECT age FROM tissues WHERE {call} IS NOT NULL",
        f"EXPLAIN ANALYZE SELECT {call} FROM tissues",
    )
    for text in asked:
        with pytest.raises(QueryError, match=r"A call of \w+ |for every element of a list|doubles what it has"):
            catalog.sql(text).fetchall()


@pytest.mark.parametrize(
    ("text", "value"),
    {
        "SELECT repeat('a', $n)": 1_500_000_000,
        "SELECT range($n)": 10**10,
        "SELECT lpad('a', $n, ' ')": 2_000_000_000,
    }.items(),
)
def test_values_that_are_bound_are_bounded_as_well(catalog, text, value):
    with pytest.raises(QueryError, match="A call of"):
        catalog.sql(
            text.replace("$n", "CAST($n AS BIGINT)" if "lpad" not in text else "CAST($n AS INT)"), {"n": value}
        ).fetchall()


def test_conditions_and_rows_of_a_query_are_bounded(lake):
    with pytest.raises(QueryError, match="A call of repeat"):
        SporaQuery(lake).tissues().where(f"repeat('a', {MANY}) = 'a'").count()
    with pytest.raises(QueryError, match="A call of range"):
        SporaQuery.from_sql(lake, f"FROM tissues WHERE len(range({MANY})) > 3").tissues().df()


WITHIN = {
    "len(repeat('ab', 500000))": 1_000_000,
    "len(repeat([1], 5000))": 5_000,
    "len(range(100000))": 100_000,
    "len(range(5, -5, -3))": 4,
    "len(generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-03-01', INTERVAL 1 MONTH))": 3,
    "len(list_resize([1], 100000))": 100_000,
    "len(lpad('a', 1000000, 'b'))": 1_000_000,
    "len(format('{:>99999}', 'a'))": 99_999,
    "printf('%d of 1234567 %%', 3)": "3 of 1234567 %",
    "format('{:,}|{}|{:.2f}', 1234567, '{', 1.0)": "1,234,567|{|1.00",
    "format('{}{}{}{}{}{}{}{}{}{}', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)": "0123456789",
    "list_transform([3, 1], lambda n: repeat('*', n))": ["***", "*"],
    "[repeat('*', n) FOR n IN range(1, 3)]": ["*", "**"],
    "list_transform(range(3), n -> lpad(n::VARCHAR, 2, '0'))": ["00", "01", "02"],
    "len(list_transform(range(50000), n -> lpad(n::VARCHAR, 5, '0')))": 50_000,
    "list_sum(list_transform(range(1000), lambda x: x * 2))": 999_000,
    "list_reduce([1, 2, 3], lambda a, b: a + a + b)": 11,
    "list_reduce(['a', 'b'], lambda a, b: a || b)": "ab",
    "replace('aaa', 'a', 'bb')": "bbbbbb",
    "regexp_replace('a1b2', '[0-9]', '#', 'g')": "a#b#",
    "levenshtein('kitten', 'sitting')": 3,
    "repeat(NULL, 3)": None,
    "repeat('a', NULL)": None,
    "repeat('a', -1)": "",
    "range(NULL::INT)": None,
}


@pytest.mark.parametrize(("call", "expected"), WITHIN.items())
def test_what_is_within_bounds_is_as_duckdb_has_it(catalog, call, expected):
    assert catalog.sql(f"SELECT {call} FROM tissues LIMIT 1").fetchall() == [(expected,)]


@pytest.mark.parametrize(
    "text", ["SELECT count(*) FROM range(2000000)", "FROM generate_series(1, 3000000) SELECT count(*)"]
)
def test_in_from_there_may_be_any_number(catalog, text):
    assert catalog.sql(text).fetchall()[0][0] >= 2_000_000


AS_BARE = (
    "repeat('ab', '2')", "repeat(string := 'ab', count := 2)", "repeat(['a', NULL], 2)", "repeat('\\x00a'::BLOB, 2)",
    "repeat([{'a': 1}], 2)", "range(start := 1, stop := 9, step := 4)", "range(1, 10, 0)", "generate_series(3, 1, 0)",
    "range(TIMESTAMP '2020-01-01', TIMESTAMP '2021-01-01', INTERVAL 0 MONTH)",
    "range(TIMESTAMPTZ '2020-03-28', TIMESTAMPTZ '2020-03-30', INTERVAL 1 DAY)",
    "generate_series(DATE '2020-01-31', DATE '2020-04-01', INTERVAL 1 MONTH)", "lpad('日本', '5', '語')",
    "rpad('e\u0301', 5, 'ü')", "lpad(string := 'a', count := 3, character := 'x')", "lpad('ab', -1, 'x')",
    "list_resize(list := [1], size := 3, value := NULL)", "replace('aba', source := 'a', target := 'é')",
    "regexp_replace('aBb', 'b', 'x', options := 'gi')", "regexp_replace('ab', '(b)', '<\\1>')",
    "levenshtein(s1 := 'é', s2 := 'e')", "jaro_similarity('abc', 'abd', 0.9)", "jaro_winkler_similarity('abc', NULL)",
    "hex(-1)", "hex(255::UTINYINT)", "hex('\\xFF'::BLOB)", "hex('é')", "to_hex(5::BIGNUM)", "bin(-5::TINYINT)",
    "bin('é')", "bin(NULL)", "printf('%05.1f|%-4s|', 2.5, 'a')", "format('{1}-{0:>4}', 1, 'a')",
)  # fmt: skip


@pytest.mark.some(4)
@pytest.mark.parametrize("call", AS_BARE)
def test_values_and_types_are_those_of_duckdb_alone(catalog, call):
    text = f"SELECT {call} AS made, typeof({call}) AS kind"
    with duckdb.connect(config={"autoload_known_extensions": False}) as bare:
        bare.execute("SET TimeZone = 'UTC'")
        assert repr(catalog.sql(text).fetchall()) == repr(bare.sql(text).fetchall())


def test_what_breaks_duckdb_is_not_told_as_a_broken_file(catalog):
    with pytest.raises(QueryError, match="DuckDB: ") as caught:
        catalog.sql("SELECT NULL::DECIMAL(38, 0)[99999][9999][999] FROM tissues LIMIT 1").fetchall()
    assert "parquet" not in str(caught.value)
    assert "Stack Trace" not in str(caught.value)
    assert catalog.sql("SELECT count(*) FROM tissues").fetchall() == [(2,)]


def test_too_little_memory_comes_with_advice_that_can_be_followed(catalog):
    with pytest.raises(QueryError, match=r"Out of Memory.* memory_limit=") as caught:
        catalog.sql("SELECT len(list(repeat('a', 1000000))) FROM range(5000)").fetchall()
    assert "SET " not in str(caught.value)
    assert "PRAGMA" not in str(caught.value)


def test_the_guard_knows_all_bounds():
    assert bounds().keys() == BOUNDED


@pytest.mark.parametrize(
    "text",
    [
        "SELECT repeat('a', CASE WHEN random() < 0.5 THEN 1 ELSE 2000000000 END)",
        "SELECT repeat(count := (random() * 2000000000)::BIGINT, string := 'a')",
        "SELECT ('a').repeat((random() * 2000000000)::BIGINT)",
        "SELECT levenshtein(CASE WHEN uuid() < uuid() THEN 'a' ELSE repeat('a', 1000000) END, repeat('b', 1000000))",
        "WITH c AS NOT MATERIALIZED (SELECT (random() * 2e9)::BIGINT AS n) SELECT repeat('a', (SELECT n FROM c))",
        "SELECT repeat('a', (SELECT age * 1000 FROM tissues USING SAMPLE 1))",
        "SELECT list_transform([1, 2], x -> repeat('a', (random() * x)::INT))",
    ],
)
def test_what_is_measured_is_what_is_used(catalog, text):
    with pytest.raises(QueryError, match="of something random"):
        catalog.sql(text).fetchall()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT length(replace(uuid()::VARCHAR, '-', '')) = 32",
        "SELECT length(lpad(random()::VARCHAR, 30, ' ')) = 30",
        "SELECT length(printf('%.3f', random() * 9)) = 5",
        "SELECT length(repeat('a', n)) <= 5 FROM (SELECT (random() * 5)::INT AS n)",
        "SELECT length(repeat('a', (SELECT max(age) FROM tissues))) = 60",
    ],
)
def test_short_random_values_may_be_used(catalog, text):
    assert catalog.sql(text).fetchall() == [(True,)]


def test_a_bounded_function_keeps_its_name(catalog):
    assert catalog.sql("SELECT repeat('a', 2), lpad('a', 3, 'b')").columns == ["repeat('a', 2)", "lpad('a', 3, 'b')"]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT max(sqrt(i) + j) FROM range(10000000) AS a(i), range(10000000) AS b(j)",
        "SELECT count(*) FROM range(3000000000) AS a(i) WHERE levenshtein(i::VARCHAR, (i + 1)::VARCHAR) > 9",
        "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i) FROM t",
        "PIVOT (SELECT i % 7 AS k, i FROM range(3000000000) AS a(i)) ON k IN (1, 2) USING sum(sqrt(i))",
        "EXPLAIN ANALYZE SELECT max(sqrt(i) + j) FROM range(10000000) AS a(i), range(10000000) AS b(j)",
        "SUMMARIZE SELECT i FROM range(30000000000) AS a(i)",
    ],
)
def test_an_interrupt_ends_the_rest(catalog, text):
    timer = threading.Timer(0.3, catalog.interrupt)
    timer.start()
    try:
        with pytest.raises((KeyboardInterrupt, QueryError)):
            catalog.sql(text).fetchall()
    finally:
        timer.cancel()
        timer.join()
    assert catalog.sql("SELECT count(*) FROM tissues").fetchall() == [(2,)]


def test_the_limit_ends_what_is_collected(catalog):
    with pytest.raises(QueryError, match=r"(?i)memory"):
        catalog.sql("SELECT len(list(i)) FROM range(60000000) AS t(i)").fetchall()


def test_every_bound_says_what_it_bounds():
    for name, text in bounds().items():
        assert f'CREATE MACRO "{name}"(' in text
        assert f"error('A call of {name} " in text
        assert f'AS system.main."{name}"(' in text or f"AS system.main.{name}(" in text
