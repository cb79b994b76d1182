"""The guard: nothing forbidden comes through inside of what is allowed, in no order, no scope and no fork."""

import contextlib
import itertools
import multiprocessing
import threading

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spora_db.errors import SporaError
from spora_db.guard import check_select

RELATIONS = ("tiles", "tissues", "channels", "secret_free")


def test_a_fork_while_texts_are_checked():
    checked = "SELECT 1 AS one"
    check_select(checked, relations=())
    ends, done = threading.Event(), []

    def check() -> None:
        while not ends.is_set():
            check_select(checked, relations=())

    thread = threading.Thread(target=check)
    thread.start()
    try:
        for _ in range(5):
            child = multiprocessing.get_context("fork").Process(target=check_select, args=(checked,), kwargs=NOTHING)
            child.start()
            child.join(60)
            done.append(child.exitcode)
    finally:
        ends.set()
        thread.join()
    assert done == [0] * 5


NOTHING = {"relations": ()}

# A relation that the guard does not know exists in the database: no scope of CTEs may let it through.
LEAVES = ("SELECT s FROM secret", "SELECT s FROM tiles", "SELECT 'v' AS s", "SELECT s FROM Secret")
SCOPES = (
    *("WITH secret AS ({}) {}", "WITH RECURSIVE secret AS ({}) {}", "WITH secret AS ({}), b AS ({}) {}"),
    *("WITH RECURSIVE secret(s) AS ({} UNION ALL {}), b AS ({}) {}", "WITH RECURSIVE secret AS ({} UNION {}) {}"),
    *("WITH b AS ({}), secret AS MATERIALIZED ({}) {}", "WITH RECURSIVE b AS ({}), secret AS ({}) {}"),
    *("WITH RECURSIVE secret AS ({} UNION BY NAME {}) {}", "WITH RECURSIVE secret AS (({} UNION ALL {})) {}"),
    *("({})", "({}) UNION ALL ({})", "{} UNION {}", "{} EXCEPT {}", "({}) INTERSECT {}", "{} UNION ALL BY NAME {}"),
    *("SELECT s FROM ({}) AS t", "SELECT s FROM ({}) AS secret", "SELECT (({}) LIMIT 1) AS s", "({}) LIMIT 4"),
    *("SELECT u.s FROM tiles AS secret, LATERAL ({}) AS u", "SELECT s FROM tiles WHERE s IN ({}) OR EXISTS ({})"),
    *("SELECT ARRAY({})[1] AS s", "(WITH secret AS ({}) {}) UNION ALL {}", "WITH secret AS ({}) ({}) LIMIT 4"),
)


@st.composite
def scopes(draw, depth=2):
    if not depth:
        return draw(st.sampled_from(LEAVES))
    form = draw(st.sampled_from(SCOPES))
    return form.format(*(draw(scopes(depth=depth - 1)) for _ in range(form.count("{}"))))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(text=scopes())
def test_no_scope_of_ctes_reaches_another_relation(text):
    try:
        written = check_select(text, relations=["tiles"])
    except SporaError:
        return
    with contextlib.suppress(duckdb.Error):
        timer = threading.Timer(0.5, SECRETS.interrupt)  # what recurs without end
        timer.start()
        try:
            assert "LEAK" not in str(SECRETS.execute(written).fetchmany(20))
        finally:
            timer.cancel()


SECRETS = duckdb.connect(config={"threads": 1})
SECRETS.execute("CREATE TABLE secret AS SELECT 'LEAK' AS s; CREATE TABLE tiles AS SELECT 'tiles' AS s")

# Forbidden cores, and allowed syntax to wrap around them: a query in a query, a query in an expression, and so on.
CORE_QUERIES = (
    *(
        "SELECT * FROM 'x.parquet'",
        'SELECT * FROM "/etc/passwd"',
        "FROM 'x.csv'",
        "SELECT * FROM read_text('/etc/passwd')",
    ),
    *("SELECT content FROM Read_Blob('/etc/passwd')", "SELECT * FROM glob('*')", "SELECT * FROM query('SELECT 1')"),
    *(
        "SELECT * FROM main.read_csv('x.csv')",
        "SELECT * FROM tiles, read_json('x')",
        "SELECT * FROM information_schema.tables",
    ),
    *(
        "SELECT * FROM \"read_parquet\"('x')",
        "SELECT * FROM parquet_scan(['x'])",
        "SELECT * FROM s.x",
        "SUMMARIZE 'x.csv'",
    ),
    *(
        "SELECT * FROM tiles, LATERAL read_text(tiles.path)",
        "DESCRIBE 'x.csv'",
        "COPY tiles TO 'x.csv'",
        'TABLE "x.csv"',
    ),
    *("SELECT getenv('HOME')", "SELECT current_setting('home_directory')", "SELECT '/etc/passwd'.read_text()"),
)
QUERY_IN_QUERY = (
    *(
        "SELECT * FROM ({q}) AS w",
        "WITH w AS ({q}) SELECT * FROM w",
        "WITH w AS MATERIALIZED ({q}) SELECT 1 FROM tiles, w",
    ),
    *(
        "SELECT * FROM tiles JOIN ({q}) AS w ON true",
        "SELECT * FROM tiles, LATERAL ({q}) AS w",
        "({q}) UNION ALL (SELECT 1)",
    ),
    *(
        "SELECT 1 EXCEPT ({q})",
        "SELECT ({q}) AS w",
        "SELECT 1 FROM tiles WHERE EXISTS ({q})",
        "SELECT 1 WHERE 1 IN ({q})",
    ),
    *(
        "SELECT 1 WHERE 1 = ANY ({q})",
        "SELECT ARRAY({q})",
        "SELECT row FROM tiles ORDER BY ({q})",
        "SELECT 1 LIMIT ({q})",
    ),
    *(
        "SELECT [x FOR x IN ({q})]",
        "SELECT list_transform([1], lambda x: ({q}))",
        "SELECT {{'a': ({q})}}",
        "SELECT ({q})::VARCHAR",
    ),
    *(
        "SELECT CASE WHEN ({q}) THEN 1 END",
        "SELECT sum(({q})) OVER (PARTITION BY ({q}))",
        "SELECT max(row) FROM tiles HAVING ({q})",
    ),
    *("SELECT * FROM unnest(({q})) AS u(x)", "SELECT * FROM range(({q}))", "SELECT * FROM (VALUES (({q}))) AS v(x)"),
    *("SELECT row FROM tiles QUALIFY ({q})", "SELECT 1 FROM tiles GROUP BY ({q})", "SELECT /* {q} */ -- tiles\n({q})"),
    *("WITH RECURSIVE w AS (SELECT 1 UNION ALL ({q})) SELECT * FROM w", "SELECT coalesce(({q}), 1).upper()", "({q})"),
    *(
        "SELECT count(*) FILTER (WHERE ({q})) FROM tiles",
        "SELECT DISTINCT ON (({q})) row FROM tiles",
        "SELECT \n\t({q})",
    ),
)


@st.composite
def smuggled(draw):
    query = draw(st.sampled_from(CORE_QUERIES))
    for _ in range(draw(st.integers(0, 4))):
        query = draw(st.sampled_from(QUERY_IN_QUERY)).format(q=query)
    change = draw(st.sampled_from(("", "upper", "comments", "spaces", "semicolon")))
    if change == "upper" and "'" not in query:
        query = query.upper()
    elif change == "comments":
        query = query.replace(" ", " /* a /* b */ c */ ")
    elif change == "spaces":
        query = query.replace(" ", "\u00a0\n")
    elif change == "semicolon":
        query += ";"
    return query


@settings(max_examples=400, deadline=None, derandomize=True)
@given(query=smuggled())
def test_nothing_forbidden_is_smuggled_in(query):
    with pytest.raises(SporaError):
        check_select(query, relations=RELATIONS)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_is_wrapped_around_it_is_itself_allowed(data):
    wrappers = data.draw(st.lists(st.sampled_from(QUERY_IN_QUERY), max_size=3, unique=True))
    query = "SELECT 1"
    for wrapper in wrappers:  # or the test above would show nothing
        query = wrapper.format(q=query)
    written = check_select(query, relations=RELATIONS)
    assert check_select(written, relations=RELATIONS) == written


SOUP = (
    *(
        "SELECT",
        "FROM",
        "tiles",
        "'x.csv'",
        '"x.csv"',
        "(",
        ")",
        ",",
        "*",
        "WITH",
        "w",
        "AS",
        "read_text",
        "JOIN",
        "ON",
    ),
    *(
        "UNION",
        "ALL",
        ".",
        "$$x.csv$$",
        "--",
        "/*",
        "*/",
        "\n",
        ";",
        "LATERAL",
        "glob",
        "unnest",
        "PIVOT",
        "1",
        "=",
        "COPY",
    ),
    *(
        "TO",
        "query",
        "VALUES",
        "E'\\'",
        "[",
        "]",
        "{",
        "}",
        ":",
        "::",
        "DESCRIBE",
        "TABLE",
        "EXCEPT",
        "USING",
        "SAMPLE",
        "lambda",
    ),
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(words=st.lists(st.sampled_from(SOUP), max_size=9))
def test_any_order_of_words_is_refused_or_harmless(words):
    try:
        written = check_select("SELECT * FROM " + " ".join(words), relations=RELATIONS)
    except SporaError:
        return
    tokens = written.replace("(", " ( ").split()
    assert not {"READ_TEXT", "GLOB", "QUERY", "COPY"} & {
        word.upper().strip('"') for word, after in itertools.pairwise(tokens) if after == "("
    }
    assert "FROM 'x.csv'" not in written
    assert 'FROM "x.csv"' not in written
    assert 'JOIN "x.csv"' not in written
