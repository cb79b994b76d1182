"""How `spora-db sql` writes answers: every type in every format, names, statements from files, failures, Ctrl-C."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lakes import write_lake
from spora_db.asking.answers import answer
from spora_db.asking.cells import iso_interval
from spora_db.catalog import Catalog
from spora_db.cli import app
from spora_db.cli.named_queries import query_text
from spora_db.cli.tables import print_table
from spora_db.cli.terminal import fit_carets, plain_console
from spora_db.errors import SporaError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("answers") / "lake", tissues=2)


def invoke(*arguments, text=b""):
    """Run a command in this process; errors of the library come as (1, message), as `main` writes them."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)
    if isinstance(result.exception, SporaError):
        return 1, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def written(lake, query, form, folder):
    path = folder / f"answer.{form}"
    assert invoke("sql", lake, query, "--output", path) == (0, "")
    return path


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


ALL_DIGITS = "170141183460469231731687303715884105727"
BEYOND_HUGEINT = "340282366920938463463374607431768211455"


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("expression", "as_json", "as_csv", "as_parquet"),
    [
        ("1.500::DECIMAL(10, 3)", Decimal("1.500"), "1.500", Decimal("1.500")),
        (f"{ALL_DIGITS}::HUGEINT", int(ALL_DIGITS), ALL_DIGITS, Decimal(ALL_DIGITS)),
        ("sum(9007199254740993)", 9007199254740993, "9007199254740993", Decimal(9007199254740993)),
        ("18446744073709551615::UBIGINT", 2**64 - 1, str(2**64 - 1), 2**64 - 1),
        (f"'{BEYOND_HUGEINT}'::UHUGEINT", BEYOND_HUGEINT, BEYOND_HUGEINT, BEYOND_HUGEINT),
        ("'nan'::DOUBLE", None, "nan", pytest.approx(float("nan"), nan_ok=True)),
        ("'-inf'::FLOAT", None, "-inf", float("-inf")),
        ("NULL", None, "", None),
        ("true", True, "true", True),
        ("'ü [/x] \"q\"'", 'ü [/x] "q"', 'ü [/x] "q"', 'ü [/x] "q"'),
        ("unhex('6162ff')", "6162ff", "6162ff", b"ab\xff"),
        ("'101'::BIT", "101", "101", "101"),
        ("['101'::BIT]", "[101]", "[101]", "[101]"),
        ("CAST('12:00:00+02' AS TIMETZ)", "12:00:00+02", "12:00:00+02", "12:00:00+02"),
        ("INTERVAL '3 days'", "P3D", "P3D", "P3D"),
        ("{'a': INTERVAL '3 days'}", {"a": "P3D"}, '{"a": "P3D"}', '{"a": "P3D"}'),
        ("[1, NULL]", [1, None], "1, NULL", [1, None]),
        ("[[1], [2]]", [[1], [2]], "[[1], [2]]", [[1], [2]]),
        ("[1, 2]::INTEGER[2]", [1, 2], "1, 2", [1, 2]),
        ("{'a': 1, 'b': 'nan'::DOUBLE}.a", 1, "1", 1),
        ("{'a': 1, 'b': [unhex('ff')]}", {"a": 1, "b": ["ff"]}, '{"a": 1, "b": ["ff"]}', {"a": 1, "b": [b"\xff"]}),
        ("map(['CD3', 'x'], [1.5, NULL])", {"CD3": Decimal("1.5"), "x": None}, '{"CD3": 1.5, "x": null}',
         [("CD3", Decimal("1.5")), ("x", None)]),
        ("map([7], [DATE '2020-01-02'])", {"7": "2020-01-02"}, '{"7": "2020-01-02"}', None),
        ("map([]::INTEGER[], []::INTEGER[])", {}, "{}", []),
        ("union_value(k := 1)", 1, "1", "1"),
        ("DATE '2020-01-02'", "2020-01-02", "2020-01-02", None),
        ("TIMESTAMP_NS '2020-01-02 00:00:00.123456789'", "2020-01-02 00:00:00.123456789",
         "2020-01-02 00:00:00.123456789", None),
    ],
)  # fmt: skip
def test_values_of_every_type(lake, tmp_path, expression, as_json, as_csv, as_parquet):
    query = f"SELECT {expression} AS x"
    text = written(lake, query, "json", tmp_path).read_text()
    assert json.loads(text, parse_float=Decimal, parse_constant=refuse) == [{"x": as_json}]
    rows = list(csv.reader(io.StringIO(written(lake, query, "csv", tmp_path).read_text())))
    assert rows == [["x"], [as_csv] if as_csv else []]
    table = pq.read_table(written(lake, query, "parquet", tmp_path))
    if as_parquet is not None or expression == "NULL":
        assert table.to_pylist() == [{"x": as_parquet}]


@pytest.mark.parametrize(
    ("months", "days", "nanoseconds", "text"),
    [
        (0, 0, 0, "PT0S"),
        (14, 0, 0, "P14M"),
        (0, -3, 0, "P-3D"),
        (-1, -3, -3_723_000_001_000, "P-1M-3DT-1H-2M-3.000001S"),
        (0, 0, 90_000_000_000_000, "PT25H"),
        (0, 1, 1, "P1DT0.000000001S"),
    ],
)
def test_intervals_are_iso(months, days, nanoseconds, text):
    assert iso_interval(pa.MonthDayNano([months, days, nanoseconds])) == text


def test_every_column_of_an_answer_has_a_name_of_its_own(lake, tmp_path):
    query = "SELECT 1 AS n, 2 AS n, 3 AS N, 4 AS n_1, '11'::BIT AS n UNION ALL SELECT 5, 6, 7, 8, '0' ORDER BY 1 DESC"
    records = json.loads(written(lake, query, "json", tmp_path).read_text())
    names = list(records[0])
    assert [list(row.values()) for row in records] == [[5, 6, 7, 8, "0"], [1, 2, 3, 4, "11"]]
    assert names[:2] == ["n", "n_1"]
    assert len({name.lower() for name in names}) == 5
    assert written(lake, query, "csv", tmp_path).read_text().splitlines()[0].replace('"', "").split(",") == names
    assert pq.read_table(written(lake, query, "parquet", tmp_path)).column_names == names
    code, told = invoke("sql", lake, query)
    assert code == 0
    assert [word for word in told.splitlines()[1].replace("┃", " ").split() if word] == names
    with Catalog(lake) as catalog:
        assert answer(catalog, query).head(1).column_names == names  # as the shell shows them


def test_text_is_shown_as_it_is(lake, tmp_path):
    odd = ["CD45 [clone x]", "[/x]", "[bold]y[/bold]", ":smile:"]
    table = pa.table({"[red]name": odd, "[/y]": [1, 2, 3, 4]})
    told = io.StringIO()
    print_table(Console(file=told, width=120), table, told="[dim] 4 rows")
    assert all(text in told.getvalue() for text in [*odd, *table.column_names, "[dim] 4 rows"])
    root = write_lake(tmp_path / "lake", names=("[bold]c[x]",), tissues=1)
    assert "[bold]c[x]" in invoke("info", root)[1]
    assert "[bold]c[x]" in invoke("sql", root, "SELECT dataset FROM datasets")[1]


def test_notes_below_a_narrow_table_stand_on_one_line():
    told = io.StringIO()
    table = pa.table({"n": list(range(9))})
    print_table(Console(file=told, width=120), table, rows=2, told="2 rows; 0.001 s", more="--format csv")
    assert told.getvalue().splitlines()[-2:] == ["2 rows; 0.001 s", "2 of 9 rows; --format csv shows all"]


def drawn(table, *, width=None, **options):
    """Return the lines of a table on a console of a width, or elsewhere than on a terminal."""
    told = io.StringIO()
    print_table(plain_console(told) if width is None else Console(file=told, width=width), table, **options)
    return told.getvalue().splitlines()


def cells_of(line):
    return [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1234567.891::DOUBLE", "1234567.891"),
        ("12345678.5::DOUBLE", "12345678.5"),
        ("0.1::DOUBLE + 0.2::DOUBLE", "0.30000000000000004"),
        ("3::DOUBLE", "3.0"),
        ("1e300::DOUBLE", "1e+300"),
        ("0.1::FLOAT", "0.1"),
        ("16777217.5::FLOAT", "16777218.0"),
        ("'nan'::FLOAT", "nan"),
        ("[0.1::FLOAT]", "[0.1]"),
        ("NULL", "NULL"),
        ("''", ""),
        ("'a'", "a"),
        ("['a']", "[a]"),
        ("[]::VARCHAR[]", "[]"),
        ("[['a'], [NULL]]", "[[a], [NULL]]"),
        ("[true, NULL]", "[true, NULL]"),
        ("true", "true"),
        ("false", "false"),
        ("1.500::DECIMAL(10, 3)", "1.500"),
        ("{'a': 1}", '{"a": 1}'),
    ],
)
def test_values_in_a_table(lake, expression, shown):
    code, told = invoke("sql", lake, f"SELECT {expression} AS x, 1 AS one")
    assert code == 0
    assert cells_of(told.splitlines()[3]) == [shown, "1"]


def test_null_is_dim_on_a_terminal():
    told = io.StringIO()
    print_table(Console(file=told, width=80, force_terminal=True, color_system="standard"), pa.table({"x": ["", None]}))
    assert "\x1b[2mNULL" in told.getvalue()


def test_off_a_terminal_every_row_is_one_line(lake):
    names = ", ".join(f"'{'x' * 60}' AS a_rather_long_name_{number}" for number in range(30))
    lines = invoke("sql", lake, f"SELECT {names}")[1].splitlines()
    assert len(lines) == 5
    assert cells_of(lines[3]) == ["x" * 60] * 30


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (25, ["c0", "c1", "c2", "c3"]),
        (24, ["c0", "c1", "…", "c3"]),
        (20, ["c0", "…", "c3"]),
        (12, ["c0", "…"]),
        (30, ["c0", "c1", "c2", "c3"]),
    ],
)
def test_on_a_terminal_columns_in_the_middle_give_way(width, names):
    table = pa.table({f"c{number}": ["abc"] for number in range(4)})
    lines = drawn(table, width=width, more=".mode line")
    assert cells_of(lines[1]) == names
    assert all(len(line) <= width for line in lines[:5])
    left_out = [name for name in table.column_names if name not in names]
    if left_out:
        told = f"{4 - len(left_out)} of 4 columns; .mode line shows all; also {', '.join(left_out)}"
        assert " ".join(lines[5:]).replace("  ", " ") == told


def test_a_column_that_is_too_wide_makes_no_other_give_way():
    table = pa.table({name: ["x" * (40 if name == "wide" else 1)] for name in ("a", "wide", "b", "c")})
    assert cells_of(drawn(table, width=40)[1]) == ["a", "…", "b", "c"]
    assert cells_of(drawn(table.select(["a", "b", "wide", "c"]), width=40)[1]) == ["a", "b", "…", "c"]
    assert cells_of(drawn(table.select(["wide"]), width=20)[1]) == ["wide"]


def test_a_long_cell_is_cut_or_folded_on_a_terminal():
    table = pa.table({"name": ["x"], "long": ["ab" * 60]})
    assert cells_of(drawn(table, width=100)[3])[1] == "ab" * 23 + "a…"
    folded = drawn(table, width=100, fold=True)
    assert sum("ab" in line for line in folded) == 2
    assert "".join(cells_of(line)[1] for line in folded[3:-1]) == "ab" * 60


@pytest.mark.parametrize(
    ("name", "arguments", "start"),
    [
        ("x.csv", [], b'"one"'),
        ("x.CSV", [], b'"one"'),
        ("x.json", [], b"["),
        ("x.parquet", [], b"PAR1"),
        ("x.txt", ["--format", "table"], "┏".encode()),
        ("x.csv.gz", ["--format", "csv"], b'"one"'),
        ("x.txt", ["--format", "csv"], b'"one"'),
        ("x.csv", ["--format", "csv"], b'"one"'),
    ],
)
def test_the_name_of_the_file_says_how_it_is_written(lake, tmp_path, name, arguments, start):
    assert invoke("sql", lake, "SELECT 1 AS one", "-o", tmp_path / name, *arguments)[0] == 0
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("command", [["sql", "LAKE", "SELECT 1"], ["quarantine", "LAKE"]])
@pytest.mark.parametrize("name", ["x.xlsx", "x.jsonl", "x.csv.gz", "x.txt", "x"])
def test_a_name_that_says_no_format_is_refused(lake, tmp_path, command, name):
    code, told = invoke(*(lake if word == "LAKE" else word for word in command), "-o", tmp_path / name)
    assert code == 1
    assert told.startswith(f"--output {tmp_path / name}: the name must end with .parquet, .csv, .json.")
    assert not (tmp_path / name).exists()


def test_output_is_standard_output_or_names_a_file(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("sql", lake, "SELECT 1 AS one", "-o", "-", "--format", "csv") == (0, '"one"\n1\n')
    assert invoke("sql", lake, "SELECT 1 AS one", "-o", "-") == invoke("sql", lake, "SELECT 1 AS one")
    assert list(tmp_path.iterdir()) == []
    code, told = invoke("sql", lake, "SELECT 1 AS one", "--output=")
    assert code == 1
    assert told.startswith("--output names no file; expected ")


ASKED = {
    "SHOW TABLES": "tile_coordinates",
    "describe tiles": "column_name",
    "/* c */-- c\n DESC tiles": "column_name",
    "EXPLAIN SELECT 1": "physical_plan",
    "SUMMARIZE tiles": "null_percentage",
    "VALUES (1, 'a'), (2, 'b')": "col1",
    "PIVOT tiles ON split": "train",
    "UNPIVOT (SELECT dataset, n_images FROM datasets) ON n_images": "value",
    "FROM datasets": "modalities",
    "TABLE datasets": "modalities",
}


@pytest.mark.some(3)
@pytest.mark.parametrize(("statement", "words"), ASKED.items())
def test_what_asks_is_answered_in_every_form(lake, tmp_path, statement, words):
    for code, told in (
        invoke("sql", lake, statement, "--format", "csv"),
        invoke("sql", lake, "-f", "-", "--format", "json", text=f"SELECT 1; {statement}".encode()),
    ):
        assert code == 0
        assert words in told
    for name in ("answer.parquet", "answer.csv", "answer.json"):
        assert invoke("sql", lake, statement, "-o", tmp_path / name)[0] == 0
    assert words in pq.read_table(tmp_path / "answer.parquet").to_pandas().to_string()


@pytest.mark.parametrize("statement", ["PRAGMA version", "SET threads = 1", "CREATE TABLE x AS SELECT 1", "CALL f()"])
def test_what_does_not_ask_is_told_what_does(lake, statement):
    code, told = invoke("sql", lake, statement)
    assert code == 1
    assert "a statement that is no SELECT" in told
    assert "Ask with SELECT, FROM, TABLE" in told


@pytest.mark.parametrize(("width", "place"), [(20, 60), (50, 3), (50, 60), (50, 107), (200, 60), (12, 2)])
def test_a_caret_stands_under_its_place_at_any_width(width, place):
    line = "".join(chr(ord("a") + number % 26) for number in range(110))
    message = f"SQL refused at line 1.\n  {line}\n  {' ' * place}^^^\nWrite one SELECT."
    first, shown, caret, last = fit_carets(message, width).split("\n")
    assert (first, last) == ("SQL refused at line 1.", "Write one SELECT.")
    assert max(len(shown), len(caret)) <= width
    assert shown[caret.index("^") :].startswith(line[place : place + 3])
    assert caret.strip() == "^^^"


@pytest.mark.parametrize("command", [["sql", "LAKE", "SELECT 1"], ["quarantine", "LAKE"]])
def test_a_name_that_contradicts_the_format_is_refused(lake, tmp_path, command):
    arguments = [lake if word == "LAKE" else word for word in command]
    code, told = invoke(*arguments, "-o", tmp_path / "x.parquet", "--format", "json")
    assert code == 1
    assert "x.parquet is the name of a parquet file, but --format is json" in told
    assert not (tmp_path / "x.parquet").exists()


SCRIPT = "-- two; statements\nSELECT 1 AS a; SELECT 2\n  AS b;\n\nSELECT\n  {} FROM tissues;\n"


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("nope(age)", ["line 6, column 3", "the function 'nope'", "  nope(age)"]),
        ("agee", ["line 6, column 3", "Unknown column 'agee'"]),
        ("age AS a b", ["line 6, column 12"]),
        ("'2020-13-01'::DATE", ["DuckDB"]),
    ],
)
def test_errors_count_the_lines_of_the_file(lake, tmp_path, last, words):
    (tmp_path / "q.sql").write_text(SCRIPT.format(last))
    code, told = invoke("sql", lake, "-f", tmp_path / "q.sql")
    assert code == 1
    assert told.startswith(f"--file {tmp_path / 'q.sql'}, statement 3 (line 5): ")
    assert all(word in told for word in words), told
    code, told = invoke("sql", lake, "-f", "-", text=SCRIPT.format(last).encode())
    assert told.startswith("standard input, statement 3 (line 5): ")
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"\xef\xbb\xbfSELECT 'M\xc3\xbcller' AS a;\r\n", 0, ['"a"\n"Müller"\n']),
        (b"SELECT 1;\nSELECT 'M\xfcller'", 1, ["is not UTF-8: byte 0xFC in line 2", "iconv"]),
        (b"\xff\xfeS\x00", 1, ["is not UTF-8: byte 0xFF in line 1"]),
        (b"-- nothing\n", 1, ["No query given in"]),
    ],
)
def test_scripts_are_utf_8(lake, tmp_path, content, code, words):
    (tmp_path / "q.sql").write_bytes(content)
    for given in ({"file": tmp_path / "q.sql"}, {"file": "-", "text": content}):
        got, told = invoke("sql", lake, "-f", given["file"], "--format", "csv", text=given.get("text", b""))
        assert got == code
        assert all(word in told for word in words), told


def test_a_file_that_cannot_be_read_is_explained(lake, tmp_path):
    assert "no such file" in invoke("sql", lake, "-f", tmp_path / "absent.sql")[1]
    assert "cannot be read: Is a directory" in invoke("sql", lake, "-f", tmp_path)[1]


def test_a_value_that_python_does_not_have_is_one_line(lake):
    code, told = invoke("sql", lake, "SELECT TIMESTAMP 'infinity' AS t")
    assert code == 1
    assert told.startswith("The answer cannot be shown or written: OverflowError: ")
    assert "CAST(... AS VARCHAR)" in told
    assert "\n" not in told
    assert "infinity" in invoke("sql", lake, "SELECT CAST(TIMESTAMP 'infinity' AS VARCHAR) AS t")[1]


def test_a_query_that_does_not_exist_is_named_without_a_path(lake):
    code, told = invoke("sql", lake, "--query", "split")
    assert code == 1
    assert told.startswith("Unknown query 'split'. Did you mean 'splits'? Available: cells_per_type, ")


def test_counts_of_named_queries_are_integers(lake):
    with Catalog(lake) as catalog:
        assert set(catalog.sql(query_text("splits")).types) <= {"VARCHAR", "BIGINT"}
        assert set(catalog.sql(query_text("tiles_per_split")).types) <= {"VARCHAR", "BIGINT", "INTEGER", "DOUBLE"}


LONG = "SELECT sum(hash(range)) FROM range(200000000000)"
OWN_SIGNALS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background inherits that it is ignored
os.execv(sys.argv[1], sys.argv[1:])
"""


def busy(process, seconds):
    """Wait until a process has used processor time: then it is past its imports and runs the query."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        fields = (Path("/proc") / str(process.pid) / "stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > seconds:
            return
        time.sleep(0.1)


def test_ctrl_c_ends_a_query_with_one_line(lake):
    command = [sys.executable, "-c", OWN_SIGNALS, sys.executable, "-m", "spora_db.cli", "sql", str(lake), LONG]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            busy(process, 5)
            process.send_signal(signal.SIGINT)
            told, errors = process.communicate(timeout=30)  # all threads stop, not only the one that asked
        finally:
            process.kill()
    assert (process.returncode, told, errors) == (130, "", "spora-db: interrupted\n")


def test_other_runtime_errors_are_no_interrupts(lake):
    with Catalog(lake) as catalog:
        with pytest.raises(RuntimeError, match="other"), catalog._guarded():
            raise RuntimeError("other")
        for error in (RuntimeError("Query interrupted"), duckdb.InterruptException("INTERRUPT Error: Interrupted!")):
            with pytest.raises(KeyboardInterrupt), catalog._guarded():
                raise error
        assert catalog.sql("SELECT 1").fetchall() == [(1,)]


def test_macros_know_the_aliases_of_a_file(lake, tmp_path):
    path = tmp_path / "aliases.parquet"
    pq.write_table(pa.table({"alias": ["my marker"], "marker": ["CD3e"]}), path)
    text = (
        "SELECT count(*) FILTER (has_all_markers(dataset, modality, tissue_id, ['{}'])) AS n FROM images "
        "WHERE modality IN (SELECT modality FROM channels)"
    )
    code, expected = invoke("sql", lake, text.format("CD3e"), "--format", "csv")
    assert code == 0
    assert expected.split()[-1] != "0"
    assert invoke("sql", lake, text.format("My Marker"), "--aliases", path, "--format", "csv") == (0, expected)
    code, told = invoke("sql", lake, text.format("My Marker"), "--format", "csv")
    assert (code, "Unknown channel 'My Marker'" in told) == (1, True)
    code, told = invoke("sql", lake, "SELECT 1", "--aliases", tmp_path / "nowhere.parquet")
    assert code == 1
    assert "nowhere.parquet" in told
