"""`spora-db sql LAKE` as a shell: driven once on a real terminal, its parts as tables."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from command_line import call
from lakes import write_lake
from spora_db.asking.statements import statements
from spora_db.catalog import VIEWS, Catalog
from spora_db.catalog.sql_files import sql_names
from spora_db.cli.history import history_path
from spora_db.cli.shell import Shell

OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background inherits that it is ignored
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
PROGRAM = [sys.executable, "-m", "spora_db.cli"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("shell") / "lake", tissues=3)


@pytest.mark.parametrize(
    ("text", "complete", "rest"),
    [
        ("", [], ""),
        (" ;; \n;", [], ""),
        ("-- nothing\n/* ; */", [], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT 2 ;", ["SELECT 1", "SELECT 2"], ""),
        ("SELECT ';' AS a;", ["SELECT ';' AS a"], ""),
        ("SELECT 'it''s; so' ; x", ["SELECT 'it''s; so'"], "x"),
        ('SELECT "a;b"";c" FROM t;', ['SELECT "a;b"";c" FROM t'], ""),
        ("SELECT 1 -- one; two\n, 2;", ["SELECT 1 -- one; two\n, 2"], ""),
        ("SELECT /* ; */ 1; -- end", ["SELECT /* ; */ 1"], ""),
        ("SELECT 'open; SELECT 2;", [], "SELECT 'open; SELECT 2;"),
        ('SELECT 1; SELECT "open;', ["SELECT 1"], 'SELECT "open;'),
        ("SELECT 1; SELECT /* open;", ["SELECT 1"], "SELECT /* open;"),
        ("SELECT $$;$$;", ["SELECT $$;$$"], ""),
        (" SELECT 1; SELECT 'open  \n ", ["SELECT 1"], "SELECT 'open  \n "),
    ],
)
def test_statements_end_at_semicolons_outside_of_quotes_and_comments(text, complete, rest):
    assert statements(text) == (complete, rest)


@given(st.lists(st.sampled_from(["SELECT 1", "SELECT ';'", 'SELECT "a;"', "SELECT 2 -- ; x\n", "/* ; */ SELECT 3"])))
def test_statements_split_what_was_joined(parts):
    assert statements("".join(f"{part} ;\n" for part in parts)) == ([part.strip() for part in parts], "")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._end, other = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *command],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment,
            start_new_session=True,
        )
        os.close(other)
        self._read = b""

    def wait(self, text: str, seconds: float = 60) -> str:
        """Return what is written up to and with a text."""
        deadline = time.monotonic() + seconds
        while text.encode() not in self._read:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self._read.decode()}"
            if select.select([self._end], [], [], 1)[0]:
                try:
                    self._read += os.read(self._end, 65_536)
                except OSError:
                    raise AssertionError(f"it ended before {text!r}: {self._read.decode()}") from None
        told, _, self._read = self._read.partition(text.encode())
        return (told + text.encode()).decode()

    def say(self, text: str, until: str = "spora> ") -> str:
        os.write(self._end, text.encode())
        return self.wait(until)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def leave(self, text: str) -> int:
        os.write(self._end, text.encode())
        deadline = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < deadline:
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    os.read(self._end, 65_536)
                except OSError:  # nobody is left at the other end
                    time.sleep(0.1)
        os.close(self._end)
        return self._process.wait(timeout=1)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return {**os.environ, "TERM": "dumb", "COLUMNS": "110", "LINES": "50"}


def test_a_session_on_a_terminal(lake, state, tmp_path):
    shell = Terminal([*PROGRAM, "sql", str(lake)], state)
    assert "2 datasets" in shell.wait("spora> ")
    listed = shell.say(".tables\n")
    assert all(name in listed for name in VIEWS)
    shell.say("SELECT dataset, count(*) AS n\n", until="  ...> ")
    answer = shell.say("FROM tissues GROUP BY dataset; -- done\n")
    assert "alpha" in answer
    assert "2 rows; 0." in answer
    assert "Did you mean 'age'" in shell.say("SELECT agee FROM tissues;\n")
    assert "SQL refused" in shell.say("DROP VIEW tiles;\n")
    assert "cancer_type" in shell.say("SELECT DISTINCT t.age FROM tissues AS t WHERE t.can\t", until="t.cancer_type")
    assert "60" not in shell.say(" = 'LUAD';\n")
    assert "VARCHAR" in shell.say(".schema images\n")
    assert "of 20 columns; .mode line shows all; also" in shell.say("SELECT * FROM tiles;\n")
    assert "rows written" in shell.say(f".save {tmp_path / 'tiles.parquet'}\n")
    shell.say(".timing off\n")
    assert "2 rows;" not in shell.say("SELECT 1 UNION SELECT 2;\n")
    assert "Unknown command '.tabels'" in shell.say(".tabels\n")
    assert "alpha" in shell.say(".query panel_overlap\n")
    assert "row groups" in shell.say(".explain SELECT max(age) FROM tissues WHERE age > 50;\n")
    shell.say("SELECT 'open\n", until="  ...> ")
    time.sleep(0.5)  # Python's readline does not see a signal that comes just before it waits for a key
    shell.say("\x03")
    assert shell.leave(".quit\n") == 0
    assert pq.read_table(tmp_path / "tiles.parquet").num_rows == 90
    assert history_path() == tmp_path / "state/spora-db/history"
    lines = history_path().read_text().splitlines()
    assert "SELECT dataset, count(*) AS n\x01FROM tissues GROUP BY dataset; -- done" in lines
    assert (history_path().stat().st_mode & 0o777) == 0o600

    again = Terminal([*PROGRAM, "sql", str(lake)], state)
    again.wait("spora> ")
    assert ".quit" in again.say("\x1b[A", until=".quit")  # the arrow up brings the last line of the first session
    assert again.leave("\x15\x04") == 0


LONG = "SELECT sum(hash(range)) FROM range(200000000000);\n"


def test_the_shell_survives_ctrl_c_and_every_error(lake, state):
    shell = Terminal([*PROGRAM, "sql", str(lake)], state)
    shell.wait("spora> ")
    shell.say(LONG, until="\n")
    time.sleep(2)  # it runs now
    try:
        assert "interrupted" in shell.say("\x03")
    except AssertionError:
        shell.kill()  # it would go on for minutes
        raise
    assert "OverflowError: date value out of range. Turn the column" in shell.say("SELECT TIMESTAMP 'infinity' AS t;\n")
    assert "[/x]" in shell.say("SELECT '[/x]' AS \"[/y]\";\n")
    assert "│ 3 │" in shell.say("SELECT 1 + 2 AS n;\n")
    for typed, shown in (
        ("EXPLAIN SELECT 1", "Projection"),
        ("-- c\n DESCRIBE tiles", "tile_id"),
        ("show tables", "tile_coordinates"),
    ):
        shell.say("/* */", until="/* */")
        assert shown in shell.say(f"{typed};\n", until=shown)
        shell.wait("spora> ")
    assert "Unknown query 'split'. Did you mean 'splits'" in shell.say(".query split\n")
    assert shell.leave(".quit\n") == 0


def test_statements_are_recalled_exactly(lake, state):
    shell = Terminal([*PROGRAM, "sql", str(lake)], state)
    shell.wait("spora> ")
    shell.say("SELECT 'a  \n", until="  ...> ")
    shell.say("b' = concat('a  ', chr(10), 'b') AS same, -- first; not the end\n", until="  ...> ")
    assert "true" in shell.say("'x' AS x; -- done\n", until="1 row").lower()
    shell.wait("spora> ")
    assert "true" in shell.say("\x1b[A\n", until="1 row").lower()
    shell.wait("spora> ")
    assert shell.leave("\x04") == 0

    again = Terminal([*PROGRAM, "sql", str(lake)], state)
    again.wait("spora> ")
    assert "true" in again.say("\x1b[A\n", until="1 row").lower()
    again.wait("spora> ")
    assert again.leave("\x04") == 0
    assert history_path().read_text().count("SELECT") == 1  # what is asked again is kept once


def typed(lake: Path, monkeypatch: pytest.MonkeyPatch, *lines: str, width: int = 80) -> str:
    """Return what the shell writes when these lines are typed; it has to end by itself."""
    left = iter(lines)
    monkeypatch.setattr("builtins.input", lambda _: next(left))
    console = Console(file=StringIO(), width=width)
    with Catalog(lake) as catalog:
        Shell(catalog, console).run()
    assert next(left, None) is None
    return console.file.getvalue()


TWO = "SELECT * FROM (VALUES (1, 'a', NULL), (20, '', true)) AS t(n, letter, yes);"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("line", "     n = 1\nletter = a\n   yes = NULL\n\n     n = 20\nletter = \n   yes = true\n\n2 rows\n"),
        ("csv", '"n","letter","yes"\n1,"a",\n20,"",true\n2 rows\n'),
        (
            "json",
            '[\n {"n": 1, "letter": "a", "yes": null},\n {"n": 20, "letter": "", "yes": true}\n]\n2 rows\n',
        ),
    ],
)
def test_modes(lake, monkeypatch, mode, expected):
    told = typed(lake, monkeypatch, ".timing off", f".mode {mode}", TWO, ".quit")
    assert told.partition("leaves.\n")[2] == expected


def test_a_line_holds_what_a_table_cuts(lake, monkeypatch):
    long = f"SELECT repeat('x', 300) AS long, {', '.join(f'{n} AS column_{n}' for n in range(20))};"
    lines = typed(lake, monkeypatch, long, ".mode line", long, ".quit").splitlines()
    assert any(re.match(r"\d of 21 columns; \.mode line shows all; also ", line) for line in lines)
    assert f"     long = {'x' * 300}" in lines
    assert "column_10 = 10" in lines


@pytest.mark.parametrize("mode", ["table", "line", "csv", "json"])
def test_rows(lake, monkeypatch, mode):
    ask = "SELECT range + 1000 AS n FROM range(60);"
    told = typed(lake, monkeypatch, f".mode {mode}", ask, ".rows 50", ask, ".rows 60", ask, ".quit")
    first, second, third = re.split(r"rows[^\n]*; \d\.\d+ s\n", told)[:3]
    assert ["1039" in first, "1040" in first] == [True, False]
    assert ["1049" in second, "1050" in second] == [True, False]
    assert "1059" in third
    assert "the first 40 rows; .rows N shows more, .save FILE writes all of them; " in told
    assert "60 rows; " in told


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (".mode", "expected table, line, csv or json"),
        (".mode xml", ".mode xml: expected"),
        (".rows", "expected a number from 1"),
        (".rows 0", ".rows 0: expected a number from 1"),
        (".rows -1", "expected a number from 1"),
        ("help", ".mode     table|line|csv|json"),
        ("HELP;", ".rows     N"),
        (".help ;", ".quit"),
        (".query splits;", "train"),
        (".tables; ", "tile_coordinates"),
        ("EXPLAIN SELECT 1;", "physical_plan"),
        ("SUMMARIZE tiles;", "null_percentage"),
    ],
)
def test_commands_answer(lake, monkeypatch, command, told):
    assert told in typed(lake, monkeypatch, command, ".quit")


@pytest.mark.parametrize("word", [".quit", ".exit;", "exit", "quit", "exit;", "quit();", " EXIT ", ".quit ;"])
def test_every_way_to_leave(lake, monkeypatch, word):
    typed(lake, monkeypatch, word)


def test_words_within_a_statement_are_no_commands(lake, monkeypatch):
    told = typed(lake, monkeypatch, "SELECT 1 AS", "help", ", 2 AS", "quit", ";", ".quit")
    assert [name in told for name in ("help", "quit", ".timing")] == [True, True, False]


def test_the_welcome_counts(tmp_path, monkeypatch):
    one = write_lake(tmp_path / "one", names=("alpha",), tissues=1)
    assert f"{one}: 1 dataset. " in typed(one, monkeypatch, "quit", width=300)


def test_schema_folds_the_types_of_the_cohorts(tmp_path, monkeypatch):
    names = tuple(f"a_cohort_with_a_long_name_{number}" for number in range(6))
    root = write_lake(tmp_path / "lake", names=names, tissues=1)
    for number, name in enumerate(names):
        path = root / name / "metadata/tissues.parquet"
        table = pq.read_table(path)
        kind = pa.int32() if number % 2 else pa.float64()
        column = pa.array([1] * len(table), kind)
        pq.write_table(table.append_column("weight", column), path)
    told = typed(root, monkeypatch, ".schema tissues", ".quit", width=100)
    assert "…" not in told
    rows = [line.split("│")[1:-1] for line in told.splitlines() if line.startswith("│")]
    cohorts = "".join(row[3].strip() for row in rows)
    assert all(name in cohorts for name in names)


def test_a_caret_stands_under_its_place_on_a_narrow_terminal(lake, monkeypatch):
    statement = f"SELECT {', '.join(['dataset'] * 8)}, nope(age) FROM tissues;"
    lines = typed(lake, monkeypatch, statement, ".quit", width=50).splitlines()
    caret = next(number for number, line in enumerate(lines) if set(line.strip()) == {"^"})
    assert lines[caret - 1][lines[caret].index("^") :].startswith("nope(")


def test_a_long_history_loses_its_oldest_entries(state, monkeypatch):
    from spora_db.cli import history

    monkeypatch.setattr(history, "HISTORY_LINES", 2)
    history_path().parent.mkdir(parents=True)
    history_path().write_text("one\ntwo\x01lines\nthree\n")
    history._shorten(history_path())
    assert history._read(history_path()) == ["two\nlines", "three"]


def test_statements_come_from_a_pipe_or_a_file(lake, tmp_path):
    text = "SELECT 1 AS one; -- and\nSELECT dataset FROM datasets ORDER BY 1"
    (tmp_path / "two.sql").write_text(text)
    answers = [
        call("sql", lake, "--format", "csv", text=text).stdout,
        call("sql", lake, "-f", tmp_path / "two.sql", "--format", "csv").stdout,
    ]
    assert answers[0] == answers[1]
    assert answers[0].replace('"', "").split() == ["one", "1", "dataset", "alpha", "beta"]
    told = call("sql", lake, "-f", tmp_path / "two.sql", "-o", tmp_path / "x.csv", "--format", "csv", code=1).stderr
    assert "2 statements" in told
    assert "No query given" in call("sql", lake, text=" -- nothing\n", code=1).stderr


def test_an_error_in_a_pipe_ends_it(lake):
    done = call("sql", lake, "--format", "csv", text="SELECT 1; SELECT agee FROM tissues; SELECT 3;", code=1)
    assert "agee" in done.stderr
    assert "3" not in done.stdout


def test_named_queries_are_listed_and_run(lake):
    listed = call("sql", "--queries").stdout
    assert all(name in listed for name in sql_names("queries"))
    rows = call("sql", lake, "--query", "panel_overlap", "--format", "csv").stdout.splitlines()
    assert len(rows) == 5
    assert "panel_overlap" in call("sql", lake, "--query", "panel_overlaps", code=1).stderr
    assert "not several" in call("sql", lake, "SELECT 1", "--query", "splits", code=1).stderr
