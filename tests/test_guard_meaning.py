"""The guard: what it lets through keeps its meaning, alone and built into queries."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from spora_db.errors import QueryError, UnknownNameError
from spora_db.guard import check_columns, check_predicate, check_select
from spora_db.guard.reading import reading

RELATIONS = ("tiles", "tissues", "channels", "secret_free")
COLUMNS = {
    "tiles": ["dataset", "tissue_id", "tile_id", "row", "col", "mpp", "X..spots", "CD31+vWF", "info", "values_list"],
    "tissues": ["dataset", "tissue_id", "cancer_type", "split", "Unnamed: 0", "day"],
}

# Valid SQL, ordinary and odd; run on toy relations, what the guard returns gives the rows and names of the original.
ACCEPTED = [
    "SELECT * FROM tiles",
    "select TILE_ID from TILES;",
    "SELECT dataset, count(*) AS n FROM tiles GROUP BY dataset",
    "SELECT dataset, count(*) AS n FROM tiles GROUP BY ALL ORDER BY ALL",
    "SELECT DISTINCT dataset FROM tiles",
    "SELECT DISTINCT ON (dataset) dataset, tile_id FROM tiles ORDER BY dataset, tile_id DESC",
    'SELECT "X..spots", "CD31+vWF" FROM tiles',
    'SELECT "Unnamed: 0", t."Unnamed: 0" + 1 AS "a ""quoted"" name" FROM tissues AS t',
    'SELECT "row", col, tiles.row FROM tiles WHERE row > 0',
    "SELECT t FROM tissues AS t",
    "SELECT * EXCLUDE (info) REPLACE (row + 1 AS row) FROM tiles",
    "SELECT * RENAME (row AS top) FROM tiles",
    "SELECT tiles.* FROM tiles",
    "SELECT COLUMNS('^(row|col)$') FROM tiles",
    "SELECT COLUMNS(lambda c: c LIKE 'r%') FROM tiles",
    "SELECT max(COLUMNS(* EXCLUDE (info, values_list))) FROM tiles",
    "SELECT * FROM tiles JOIN tissues USING (dataset, tissue_id)",
    "SELECT * FROM tiles NATURAL JOIN tissues",
    "SELECT * FROM tiles AS a LEFT JOIN tissues AS b ON a.tissue_id = b.tissue_id AND b.split = 'train'",
    "SELECT * FROM tissues ANTI JOIN tiles USING (tissue_id)",
    "SELECT * FROM tissues SEMI JOIN tiles USING (tissue_id)",
    "SELECT a.tile_id, b.day FROM tiles AS a ASOF JOIN tissues AS b ON a.tissue_id = b.tissue_id AND a.row >= b.day2",
    "SELECT * FROM tissues POSITIONAL JOIN (SELECT tile_id FROM tiles ORDER BY tile_id LIMIT 4) AS p",
    "SELECT count(*) FROM tiles CROSS JOIN tissues",
    "SELECT count(*) FROM tiles AS a, tissues AS b WHERE a.tissue_id = b.tissue_id",
    "SELECT * FROM tissues, LATERAL (SELECT max(row) FROM tiles WHERE tiles.tissue_id = tissues.tissue_id) AS m(top)",
    "SELECT tile_id, v FROM tiles, unnest(values_list) AS u(v)",
    "SELECT tile_id, unnest(values_list) AS v FROM tiles",
    "SELECT unnest([{'a': 1, 'b': 2}, {'a': 3, 'b': 4}], recursive := true)",
    "SELECT * FROM generate_series(1, 3) AS g(i), range(2) AS r(j), range(0, 10, 5) AS s(k)",
    "SELECT * FROM unnest([1, 2, 3]) AS u(x)",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(number, letter)",
    "SELECT * FROM json_each('{\"a\": 1}')",
    "SELECT tile_id, row_number() OVER (PARTITION BY dataset ORDER BY tile_id) AS n FROM tiles",
    "SELECT tile_id, sum(row) OVER w AS s "
    "FROM tiles WINDOW w AS (ORDER BY tile_id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "SELECT tile_id, sum(row) OVER (ORDER BY tile_id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS s FROM tiles",
    "SELECT tile_id, lag(row, 1, 0) OVER (ORDER BY tile_id) AS b FROM tiles",
    "SELECT tile_id, first_value(row IGNORE NULLS) OVER (ORDER BY tile_id) AS f FROM tiles",
    "SELECT tile_id FROM tiles QUALIFY row_number() OVER (PARTITION BY tissue_id ORDER BY tile_id) = 1",
    "SELECT dataset, sum(row) FILTER (WHERE col > 0) AS s FROM tiles GROUP BY dataset HAVING count(*) > 1",
    "SELECT dataset, tissue_id, count(*) AS n, grouping(dataset) AS g FROM tiles GROUP BY GROUPING SETS ((dataset), "
    "(tissue_id), ())",
    "SELECT dataset, tissue_id, count(*) AS n FROM tiles GROUP BY ROLLUP (dataset, tissue_id)",
    "SELECT dataset, tissue_id, count(*) AS n FROM tiles GROUP BY CUBE (dataset, tissue_id)",
    "SELECT list_transform(values_list, lambda x: x + row) AS l FROM tiles",
    "SELECT list_filter(values_list, lambda x, i: i > 1) AS l, list_reduce([1, 2, 3], lambda a, "
    "b: a * 10 + b) AS r FROM tiles",
    "SELECT [x * 2 FOR x IN values_list IF x > 1] AS l FROM tiles",
    "SELECT values_list[1] AS a, values_list[-1] AS b, values_list[1:2] AS c, values_list[:2] AS d FROM tiles",
    "SELECT info.depth, info['name'], tiles.info.name, (info).depth + 1 AS d FROM tiles",
    "SELECT {'a': 1, 'b': [1, 2]} AS s, MAP {'k': 1} AS m, struct_pack(a := 1) AS p, (1, 'x') AS t, [1] || [2] AS l",
    "SELECT upper(dataset) AS u, dataset.upper() AS v, 'x'.concat('y').upper() AS w FROM tiles",
    "SELECT 7 // 2 AS a, -7 // 2 AS b, 7 / 2 AS c, 7 % 4 AS d, 2 ** 3 AS e, 2 ^ 3 ^ 2 AS f, -2 ** 2 AS g, "
    "2 * 3 ** 2 AS h",
    "SELECT 1 << 3 AS a, 6 & 3 AS b, 6 | 1 AS c, ~5 AS d, xor(6, 3) AS e, abs(-3) AS f",
    "SELECT 'abc' ~ 'a.c' AS a, 'abc' !~ 'x' AS b, 'a' || 'b' ~ 'ab' AS d, NOT 'a' ~ 'b' AS e",
    "SELECT [1, 2] && [2] AS a, [1, 2] @> [1] AS b, [1] <@ [1, 2] AS c, 1 = ANY([1, 2]) AS e",
    "SELECT NULL IS DISTINCT FROM 1 AS a, 1 NOT NULL AS b, NULL ISNULL AS c, (1 = 1) IS TRUE AS d",
    "SELECT 'a' LIKE 'A' AS a, 'a' ILIKE 'A' AS b, 'a%' LIKE 'a#%' ESCAPE '#' AS c, 'ab' SIMILAR TO 'a.' AS d, "
    "'ab' GLOB 'a*' AS e",
    "SELECT 2 BETWEEN 1 AND 3 AS a, 2 NOT BETWEEN 3 AND 1 AS b, NOT 1 = 2 AND true OR false AS c",
    "SELECT CASE WHEN row > 0 THEN 'a' ELSE 'b' END AS a, CASE row WHEN 0 THEN 1 END AS b, if(row > 0, 1, "
    "2) AS c FROM tiles",
    "SELECT COALESCE(NULL, 1) AS a, NULLIF(1, 1) AS b, ifnull(NULL, 3) AS c, greatest(1, 2) AS d, least(1, 2) AS e",
    "SELECT CAST('1' AS INTEGER) AS a, '2'::DOUBLE AS b, TRY_CAST('x' AS INT) AS c, 1.25::DECIMAL(4, 1) AS d, "
    "[1]::VARCHAR[] AS e",
    "SELECT TRY(CAST('x' AS INT)) AS a, {'x': 1}::STRUCT(x VARCHAR) AS b, 'a'::ENUM('a', 'b') AS c, 3::HUGEINT AS d",
    "SELECT day, day + INTERVAL 1 DAY AS b, day - INTERVAL '2 hours' AS c, date_trunc('month', day) AS d FROM tissues",
    "SELECT extract(year FROM day) AS a, date_part('epoch', day) AS b, date_diff('day', day, "
    "DATE '2024-03-01') AS c FROM tissues",
    "SELECT strftime(day, '%Y/%m') AS a, strptime('2024-01-02', '%Y-%m-%d') AS b, year(day) AS c, "
    "dayname(day) AS d FROM tissues",
    "SELECT TIMESTAMP '2024-01-02 03:04:05' AS a, make_date(2024, 1, 2) AS b, epoch(TIMESTAMP '2024-01-02') AS c, "
    "INTERVAL (2) MONTH AS d",
    "SELECT substring('abcd' FROM 2 FOR 2) AS a, trim(BOTH 'a' FROM 'aba') AS b, position('b' IN 'abc') AS c, "
    "left('abc', 2) AS d",
    "SELECT replace('aba', 'a', 'x') AS a, regexp_replace('aba', 'a', 'x', 'g') AS b, regexp_extract('ab12', "
    "'\\d+') AS c, split_part('a-b', '-', 2) AS d",
    "SELECT string_split('a,b', ',') AS a, printf('%05d', 42) AS b, format('{} {}', 1, 'x') AS c, concat_ws('-', "
    "'a', 'b') AS d, lpad('1', 3, '0') AS e",
    "SELECT 'it''s' AS a, $$it's$$ AS b, $$a\\nb$$ AS n, $tag$a $$ b$tag$ AS c, '-- no comment' AS d, '/* no' AS e, "
    "'a\\nb' AS f",
    "SELECT /* outer /* inner */ outer */ 1 AS a -- 'x.parquet'",
    "SELECT 1_000 AS a, 1e3 AS b, .5 AS c, -1 AS e, +1 AS f",
    "SELECT 'größe' AS größe, 'µm' AS \"µm\"",
    "SELECT\u00a0row FROM\u2003tiles",
    "SELECT x: row, y: col + 1 FROM tiles",
    "SELECT row, col, FROM tiles",
    "SELECT json_extract('{\"a\": {\"b c\": 1}}', '$.a.\"b c\"') AS a, '{\"a\": 1}'::JSON -> 'a' AS b, "
    "'{\"a\": \"x\"}'::JSON ->> '$.a' AS c",
    "SELECT j ->> 'a.b' AS a, j -> 'a' ->> 'b' AS b, json_type(j -> 'a') AS c, j ->> 'a.b' = '7' AND true AS d "
    "FROM (SELECT '{\"a.b\": 7, \"a\": {\"b\": 1}}'::JSON) AS t(j)",
    "SELECT '[1, 2]'::JSON -> 0 AS a, '{\"a\": [5]}'::JSON -> '$.a[0]' AS b, json_array_length('[1, 2]') AS c",
    "SELECT quantile_cont(row, [.5, .9]) AS a, median(col) AS b, approx_quantile(row, .5) AS c, stddev(row) AS d, "
    "mad(row) AS e FROM tiles",
    "SELECT arg_max(tile_id, row) AS a, max_by(tile_id, row) AS b, max(row, 2) AS c, "
    "first(tile_id ORDER BY tile_id) AS d, count_if(row > 0) AS e FROM tiles",
    "SELECT string_agg(tile_id::VARCHAR, ',' ORDER BY tile_id DESC) AS a, list(tile_id ORDER BY tile_id) AS b, "
    "histogram(dataset) AS c FROM tiles",
    "SELECT mode(dataset) AS a, bool_and(row >= 0) AS b, count(DISTINCT dataset) AS c, sum(DISTINCT row) AS d, "
    "any_value(dataset) AS e FROM tiles WHERE dataset = 'a'",
    "SELECT percentile_cont(.5) WITHIN GROUP (ORDER BY row) AS a FROM tiles",
    "SELECT tile_id FROM tiles WHERE tile_id IN (SELECT max(tile_id) FROM tiles GROUP BY dataset)",
    "SELECT tile_id FROM tiles AS t WHERE EXISTS (SELECT 1 "
    "FROM tissues AS s WHERE s.tissue_id = t.tissue_id AND s.split = 'val')",
    "SELECT tile_id FROM tiles WHERE row > ALL (SELECT day2 FROM tissues WHERE day2 < 3)",
    "SELECT tile_id FROM tiles WHERE (dataset, tissue_id) IN (SELECT (dataset, tissue_id) FROM tissues)",
    "SELECT tile_id, (SELECT cancer_type FROM tissues WHERE tissues.tissue_id = tiles.tissue_id) AS c FROM tiles",
    "WITH a AS (SELECT * FROM tiles), b AS (SELECT count(*) AS n FROM a) SELECT n FROM b",
    "WITH tiles AS (SELECT 1 AS a) SELECT * FROM tiles",
    "WITH tiles AS (SELECT * FROM tiles WHERE row = 0) SELECT count(*) FROM tiles",
    "WITH a(x, y) AS MATERIALIZED (SELECT 1, 2), b AS NOT MATERIALIZED (SELECT x FROM a) SELECT * FROM a, b",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 4) SELECT * FROM r",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM a UNION SELECT 2 FROM a",
    "SELECT * FROM (WITH x AS (SELECT 5 AS v) SELECT * FROM x) AS s",
    "SELECT dataset FROM tiles EXCEPT SELECT 'a'",
    "SELECT dataset FROM tiles INTERSECT ALL SELECT dataset FROM tissues",
    "(SELECT 1 AS a) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1)",
    "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b",
    "SELECT tile_id FROM tiles ORDER BY row DESC NULLS FIRST, tile_id LIMIT 2 OFFSET 1",
    "SELECT tile_id FROM tiles ORDER BY dataset COLLATE NOCASE, tile_id",
    "SELECT tile_id FROM tiles ORDER BY tile_id LIMIT 50%",
    "SELECT tile_id FROM tiles ORDER BY #1",
    "SELECT count(*) AS n FROM tiles TABLESAMPLE reservoir(3 ROWS) REPEATABLE (1)",
    "SELECT tile_id FROM tiles USING SAMPLE 100%",
    "SELECT tile_id FROM tiles USING SAMPLE 3 ROWS (reservoir, 42)",
    "SELECT * FROM (tiles JOIN tissues USING (dataset, tissue_id))",
    "SELECT * FROM main.tiles",
    "TABLE tiles",
    "SELECT * FROM (TABLE tiles)",
    "VALUES (1, 'a'), (2, 'b') ORDER BY 1",
    "FROM tiles",
    "FROM tiles SELECT row WHERE row > 0",
    "(FROM tiles)",
    "SELECT * FROM (FROM tiles SELECT row)",
    "SELECT (FROM tiles SELECT max(row)) AS m",
    "WITH a AS (FROM tiles) FROM a SELECT count(*)",
    "SELECT row FROM tiles UNION FROM tiles SELECT col",
    "SELECT 1 AS one WHERE EXISTS (FROM tiles)",
    "PIVOT tissues ON split IN ('train', 'val') USING count(*) GROUP BY dataset",
    "SELECT * FROM tiles PIVOT (sum(row) AS s FOR col IN (0, 8) GROUP BY dataset) AS p",
    "SELECT * FROM (UNPIVOT (SELECT tile_id, row, col FROM tiles) ON row, col INTO NAME k VALUE v)",
    "SELECT n, v FROM tiles UNPIVOT INCLUDE NULLS (v FOR n IN (row, col))",
    "SELECT E'it\\'s\\n' AS e",
    "SELECT version() AS v, pg_typeof(row) AS t FROM tiles",
    "SELECT * FROM tissues AS t(d, i, c)",
    "SELECT d.n FROM (SELECT count(*) AS n FROM tiles) AS d",
    "SELECT typeof(row) AS a, hash('a') = hash('a') AS b, md5('a') AS c FROM tiles LIMIT 1",
    "SELECT has_all_markers(dataset, 'imc', tissue_id, ['CD3']) AS m, n_markers(dataset, 'imc', "
    "tissue_id) AS n FROM tiles",
    "SELECT round(row / 3, 2) AS a, floor(1.5) AS b, ln(1) AS c, log(100) AS d, log2(8) AS e, sqrt(4) AS f, "
    "trunc(1.7) AS g FROM tiles",
    "SELECT sum(row)::INT, count(*), avg(row), min(dataset) FROM tiles",
    "SELECT * FROM tiles WHERE \"X..spots\" > 1 AND NOT (row = 0 OR col = 0)",
    "SELECT x -> x + 1 FROM (SELECT 1) AS t(x) WHERE false AND x IS NULL LIMIT 0",
    "SELECT string_agg(DISTINCT dataset, ',' ORDER BY dataset) AS a, "
    "group_concat(DISTINCT split, '-' ORDER BY split) AS b FROM tiles JOIN tissues USING (dataset, tissue_id)",
    "SELECT string_agg(DISTINCT split, ',') AS a FROM tissues WHERE split = 'train'",
    "SELECT max(DISTINCT row, 2) AS a, quantile_cont(DISTINCT row, .5) AS b, arg_max(DISTINCT tile_id, row) AS c, "
    "corr(DISTINCT row, tile_id) AS d FROM tiles WHERE tile_id < 3",
    "SELECT greatest(*COLUMNS(['row', 'col'])) AS g, coalesce(*COLUMNS('^(row|col)$')) AS c FROM tiles",
    "SELECT [*COLUMNS(['row', 'col'])] AS l, 8 IN (*COLUMNS(['row', 'col'])) AS i FROM tiles",
    "SELECT DATE '2020-01-01 10:00'::TIMESTAMP AS a, TIMESTAMP '2020-01-02 03:04:05'::DATE AS b, "
    "TIME '10:00:00'::VARCHAR AS c, DOUBLE '2.7'::INT AS d, DATE '2020-01-01' .year() AS e, INTERVAL '90' MINUTE AS f",
    "SELECT typeof(DATE '2020-01-01'::VARCHAR) AS a, DATE '2020-01-31'::VARCHAR || 'x' AS b, "
    "(TIMESTAMP '2020-01-01 10:00:00'::VARCHAR)[12:13] AS c, JSON '{\"a\": 1}' -> 'a' AS d, INTEGER '3'::VARCHAR AS e",
    "SELECT INTERVAL '2 hours' AS a, INTERVAL 3 DAY AS b, INTERVAL '1.5' HOUR AS c, INTERVAL (1 + 1) DAY AS d, "
    "day + INTERVAL (day2) DAY AS e FROM tissues",
    "SELECT list(row)[1] AS a, list(row ORDER BY row)[:2] AS b, array_agg(row ORDER BY row)[-1] AS c FROM tiles "
    "WHERE row = 0",
    "WITH t(a) AS (VALUES (1), (2)) SELECT sum(a) AS s FROM t",
    "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) AS s FROM t",
    "WITH RECURSIVE t(n) AS (((SELECT 1) UNION (SELECT n + 1 FROM t WHERE n < 5))) SELECT sum(n) AS s FROM t",
    "WITH RECURSIVE a AS (SELECT 1 AS x), t(n) AS (SELECT x FROM a UNION ALL SELECT n + 1 FROM t, a WHERE n < 3) "
    "SELECT * FROM t",
    "SELECT 1 AS a UNION ALL BY NAME (SELECT 2 AS a)",
    "SELECT 1 <> ALL([2, 3]) AS a, 1 = ANY([1]) AS b, 2 > ANY([1]) AS c",
    "SELECT days_in_month(day) AS a, json_pretty('{\"a\":1}') AS b, list_bool_and([true]) AS c, "
    "list_bool_or([false]) AS d, octet_length('a'::BLOB) AS e, "
    "url_decode(url_encode('a b')) AS f, decode(encode('ö')) AS g FROM tissues",
    "SELECT map_contains_value(MAP {'a': 1}, 1) AS a, map_contains_entry(MAP {'a': 1}, 'a', 1) AS b, "
    "get_bit(set_bit('0110'::BIT, 0, 1), 0) AS c, make_timestamp_ms(1) AS d, make_timestamp_ns(1) AS e",
    "SELECT bitstring_agg(row, 0, 8)::VARCHAR AS a, histogram_exact(row, [0, 8]) AS b FROM tiles",
    "SELECT equi_width_bins(0, 10, 2, true) AS a, regexp_split_to_table('a b', ' ') AS b",
    "SELECT list_concat() AS a, reduce([1, 2], lambda a, b: a + b) AS b",
    "SELECT typeof(.50) AS a, typeof(5.) AS b, typeof(1_000.5) AS c, row IN [0, 1] AS d, ARRAY[1, 2] AS e FROM tiles",
    "SELECT NULL IS UNKNOWN AS a, true IS NOT TRUE AS b, NULL IS NOT FALSE AS c, 1::DECIMAL AS d, 2::DECIMAL(3) AS e",
    "SELECT row FROM tiles ORDER BY row DESC NULLS LAST, tile_id ASC NULLS LAST LIMIT 3",
    "SELECT extract(dow FROM day) AS a, extract('isodow' FROM day) AS b, EXTRACT(WEEKDAY FROM day) AS c FROM tissues",
    "SELECT j -> 'a' -> 'b' ->> 'c' AS a, (j -> 'a' ->> 'b') = '{\"c\":5}' AS b "
    "FROM (SELECT '{\"a\": {\"b\": {\"c\": 5}}}'::JSON) AS t(j)",
    "SELECT tile_id, v FROM tiles CROSS JOIN unnest(values_list) AS u(v)",
    "SELECT count(*) AS n FROM tiles, tissues, LATERAL (SELECT 1) AS l",
    "SELECT 'x' NOT LIKE 'y' AS a, 'x' NOT ILIKE 'X' AS b, 'x' NOT GLOB 'y' AS c, 'x' NOT SIMILAR TO 'y' AS d, "
    "1 NOT IN (2) AS e",
]  # fmt: skip


@pytest.fixture(scope="module")
def toy():
    connection = duckdb.connect()
    connection.execute("SET python_enable_replacements = false")
    connection.execute("""
        CREATE TABLE tiles AS SELECT * FROM (VALUES
            ('a', 's1', 0, 0, 0, 1.0, 1, 2.5, {'depth': 1, 'name': 'u'}, [1, 2, 3]),
            ('a', 's1', 1, 0, 8, 1.0, 2, 0.5, {'depth': 2, 'name': 'v'}, [4]),
            ('a', 's2', 2, 8, 0, 1.0, 3, NULL, {'depth': 3, 'name': 'w'}, []),
            ('b', 's3', 3, 8, 8, 0.5, NULL, 1.5, NULL, [5, 6])
        ) AS t(dataset, tissue_id, tile_id, "row", col, mpp, "X..spots", "CD31+vWF", info, values_list);
        CREATE TABLE tissues AS SELECT * FROM (VALUES
            ('a', 's1', 'LUAD', 'train', 0, DATE '2024-01-31', 0), ('a', 's2', 'LUSC', 'val', 1, DATE '2023-02-28', 1),
            ('b', 's3', 'BRCA', 'train', 2, NULL, 2), ('b', 's4', NULL, 'test', 3, DATE '2020-12-01', 9)
        ) AS t(dataset, tissue_id, cancer_type, split, "Unnamed: 0", day, day2);
        CREATE MACRO has_all_markers(dataset, modality, tissue_id, markers) AS len(markers) = 1 AND dataset = 'a';
        CREATE MACRO n_markers(dataset, modality, tissue_id) AS len(tissue_id);
    """)
    yield connection
    connection.close()


def answer(connection, text, parameters=None):
    relation = connection.execute(text, parameters)
    names = [column[0] for column in relation.description]
    return names, sorted(map(repr, relation.fetchall()))


@pytest.mark.some(4)
@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_with_the_same_rows(toy, text):
    written = check_select(text, relations=RELATIONS)
    assert check_select(written, relations=RELATIONS) == written  # what runs is what was checked, and stays so
    names, rows = answer(toy, text)
    written_names, written_rows = answer(toy, written)
    assert written_rows == rows
    if " AS " in text or "*" in text:
        assert [name.lower() for name in written_names] == [name.lower() for name in names]


ATOMS = (
    *("a", "b", "2", "-1", "s", "'a'", "p", "true", "l", "[1]", "n", "NULL", "d", "INTERVAL 1 DAY", ".50"),
    *("DATE '2024-01-31'", "TIMESTAMP '2024-01-02 03:04:05'", "DOUBLE '2.7'", "INTERVAL '2 hours'", "TIME '10:00'"),
)
INFIX = (
    *("+", "-", "*", "/", "//", "%", "**", "^", "||", "&", "|", "<<", ">>", "=", "<>", "!=", "<", ">=", "AND", "OR"),
    *("~", "!~", "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "LIKE", "NOT LIKE", "ILIKE", "GLOB", "SIMILAR TO", "&&"),
)
BEFORE = ("", "", "", "-", "NOT ", "~", "+")
AFTER = ("", "", "", " IS NULL", " IS NOT NULL", "::VARCHAR", "::INT", " IS TRUE", " NOT IN (1, 2)", " BETWEEN 1 AND 3")


@st.composite
def expressions(draw):
    operands = draw(st.lists(st.tuples(*map(st.sampled_from, (BEFORE, ATOMS, AFTER))), min_size=2, max_size=4))
    first, *others = ("".join(operand) for operand in operands)
    return first + "".join(f" {draw(st.sampled_from(INFIX))} {other}" for other in others)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=expressions())
def test_operators_bind_as_duckdb_binds_them(text):
    query = f"SELECT {text} AS x FROM t"  # without parentheses, so that precedence decides
    rows = []
    for candidate in (query, None):
        try:
            candidate = candidate or check_select(query, relations=["t"])
        except QueryError:
            return
        try:
            rows.append(repr(OPERANDS.execute(candidate).fetchall()))
        except duckdb.Error:
            if not rows:
                return  # the original means nothing either
            rows.append("error")
    assert rows[1] in (rows[0], "error")


OPERANDS = duckdb.connect()
OPERANDS.execute(
    "CREATE TABLE t AS SELECT 3 AS a, 2 AS b, 'ab' AS s, true AS p, [1, 2] AS l, NULL::INT AS n, DATE '2024-01-05' d",
)


def test_both_parsers_read_the_same_or_the_guard_refuses():
    for text in ("SELECT 2 ** 3", "SELECT row FROM tiles", "SELECT NOT a FROM tiles", "SELECT 'a'"):
        with pytest.raises(QueryError, match="otherwise than it can be checked"):
            reading(text, condition=False).compare(
                text.replace("2", "3").replace("row", "col").replace("NOT", "").replace("'a'", "'b'")
            )
    with pytest.raises(QueryError, match="line 1, column 11: DuckDB reads this otherwise"):
        reading("'µ' = x + 1", condition=True).compare("'µ' = x + 2")
    with pytest.raises(QueryError, match="otherwise"):
        reading("SELECT a::STRUCT(x INT, y INT)", condition=False).compare("SELECT a::STRUCT(y INT, x INT)")


def test_parameters_are_bound(toy):
    written = check_select("SELECT tile_id FROM tiles WHERE dataset = ? AND row >= ? LIMIT ?", relations=RELATIONS)
    assert toy.execute(written, ["a", 8, 5]).fetchall() == [(2,)]
    written = check_select("SELECT tile_id FROM tiles WHERE dataset = $name AND row >= $row", relations=RELATIONS)
    assert toy.execute(written, {"name": "a", "row": 8}).fetchall() == [(2,)]
    assert toy.execute(check_select("SELECT $1 + $2 AS s", relations=()), [1, 2]).fetchall() == [(3,)]


PREDICATES = {
    "split = 'train'": 2,
    "SPLIT = 'train' AND NOT cancer_type = 'LUAD'": 1,
    '"Unnamed: 0" BETWEEN 1 AND 2': 2,
    "tissues.split IN ('val', 'test')": 2,
    "cancer_type IS NULL OR cancer_type LIKE 'LU%'": 3,
    "list_contains(list_filter(['train', 'val'], lambda s: s <> 'val'), split)": 2,
    "len([s FOR s IN ['train'] IF s = split]) = 1": 2,
    "cancer_type.lower() = 'luad'": 1,
    "tissue_id IN (SELECT tissue_id FROM tiles GROUP BY tissue_id HAVING count(*) > 1)": 1,
    "tissue_id IN (FROM tiles SELECT tissue_id GROUP BY tissue_id HAVING count(*) > 1)": 1,
    "EXISTS (SELECT 1 FROM tiles AS t WHERE t.tissue_id = tissues.tissue_id AND t.row > 0)": 2,
    "day > DATE '2021-01-01' -- recent": 2,
    "true": 4,
    "CASE WHEN split = 'val' THEN true ELSE false END": 1,
    "coalesce(cancer_type, 'none') ~ '^n'": 1,
    "split = 'train' OR split = 'val'": 3,
}


@pytest.mark.parametrize(("text", "count"), PREDICATES.items())
def test_predicates_build_into_queries(toy, text, count):
    tree = check_predicate(text, columns=COLUMNS["tissues"], relations=RELATIONS)
    query = exp.select("*").from_("tissues").where(tree).where(exp.true())
    assert len(toy.execute(query.sql(dialect="duckdb")).fetchall()) == count
    again = check_predicate(tree.sql(dialect="duckdb"), columns=COLUMNS["tissues"], relations=RELATIONS)
    assert len(toy.execute(exp.select("*").from_("tissues").where(again).sql(dialect="duckdb")).fetchall()) == count


REFUSED_PREDICATES = {
    "": "Empty",
    "split = 'train';": "semicolon",
    "split = 'train'; DROP VIEW tiles": "semicolon",
    "split = 'train') OR (1 = 1": "Unexpected token",
    "split = 'train' UNION SELECT 1": "Unexpected token",
    "split = 'train' LIMIT 3": "Unexpected token",
    "split AS x": "Unexpected token",
    "split, day": "Unexpected token",
    "SELECT 1": "Unexpected token",
    "*": "no condition",
    "1": "no condition",
    "'train'": "no condition",
    "(split, day)": "no condition",
    "count(*) > 3": "count cannot stand",
    "row_number() OVER () = 1": "window function",
    "unnest([1]) = 1": "unnest",
    "split = 'train' /* never": "never ends",
    "split = 'train": "never ends",
    "splitt = 'train'": "Did you mean 'split'",
    "tissues.splitt = 'train'": "Unknown column",
    "tile.split = 'train'": "Unknown relation or column 'tile'",
    "lower(splitt) = 'train'": "Did you mean 'split'",
    "splitt.lower() = 'train'": "Did you mean 'split'",
    "list_contains(list_transform(['a'], lambda s: s || splitt), split)": "Did you mean 'split'",
    "split IN (SELECT a FROM 'x.csv')": "file name",
    "split IN (SELECT split FROM secret)": "Unknown relation",
    "split = getenv('HOME')": "'getenv'",
    "split = (SELECT content FROM read_text('/etc/passwd'))": "read_text",
    "COPY tiles TO 'x'": "",
    "split = current_user": "current_user",
    "split = $p0": "A condition takes no parameters; write the value",
    "split = ?": "A condition takes no parameters; write the value",
    "split IN (SELECT split FROM tissues WHERE split = $1)": "A condition takes no parameters",
    "split = 'a' 'b'": "DuckDB cannot read this",
    "day > DATE '2020-01-01' AND\n  position('µ', split) > 0": "line 2, column 15: DuckDB cannot read this: syntax",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED_PREDICATES.items())
def test_refused_predicates(text, reason):
    with pytest.raises((QueryError, UnknownNameError)) as caught:
        check_predicate(text, columns={"tissues": COLUMNS["tissues"]}, relations=RELATIONS)
    assert reason in str(caught.value)


def test_columns_of_several_relations():
    check_predicate("tiles.dataset = 'a' AND row > 0 AND split = 'train' AND info.depth = 1", columns=COLUMNS)
    check_predicate('tiles.info.depth = 1 AND TILES."X..spots" > 2', columns=COLUMNS)
    with pytest.raises(QueryError, match="ambiguous: tiles, tissues") as caught:
        check_predicate("row > 0 AND dataset = 'a'", columns=COLUMNS)
    assert "column 13" in str(caught.value)
    assert "Write tiles.dataset or tissues.dataset" in str(caught.value)
    with pytest.raises(UnknownNameError, match="Unknown column 'split' in tiles"):
        check_predicate("tiles.split = 'train'", columns=COLUMNS)
    tree = check_predicate("row > (SELECT max(anything) FROM tissues)", columns=COLUMNS, relations=RELATIONS)
    check_columns(tree, columns=COLUMNS)  # the sub-select's columns are DuckDB's to know


def test_the_table_is_as_long_as_promised():
    assert len(ACCEPTED) >= 80
