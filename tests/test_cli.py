import json
import re
import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import spora_db
from command_line import Done, call
from lakes import write_lake
from spora_db.cli.commands.info import info


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("cli") / "lake", tissues=3)


def spora(*arguments: object, lake: Path | None = None, code: int = 0) -> Done:
    return call(*arguments, code=code, **({} if lake is None else {"SPORA_DATASETS_DIR": str(lake)}))


@pytest.mark.parametrize("command", [[], ["demo"], ["info"], ["sql"], ["tile"], ["standardize"], ["cache", "clear"]])
def test_help_teaches(command):
    told = spora(*command, "--help").stdout
    assert "Usage" in told
    assert "<bool>" not in told  # a flag takes no value
    assert "Example" in told or not command


@pytest.mark.parametrize("command", ["sql", "index", "diff"])
def test_help_fills_its_lines_on_any_screen(command):
    told = call(command, "--help", COLUMNS="80").stdout
    assert "[[" not in told  # an argument that may be left out has one pair of brackets
    for part in re.split(r"\n *\n", told.partition("╭")[0].strip()):
        lines = [line.strip() for line in part.splitlines()]
        for line, after in pairwise(lines):
            assert len(line) + 1 + len(after.split()[0]) > 78, line


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom spora_db.cli import main\nsys.argv = ['spora-db', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'duckdb', 'numba', 'pandas', 'zarr', 'tifffile', 'matplotlib', 'sqlglot'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_info_lists_everything(lake):
    told = spora("info", lake).stdout
    for word in ("alpha", "beta", "imc", "he", "ome-zarr", "default", "quantile_clipping/uq_0.99_image"):
        assert word in told
    tissues = {
        line.split()[-4]: line.split()[-2] for line in told.splitlines() if " global " in line or " image " in line
    }
    assert tissues == {"global": "all", "image": "3"}


QUERY = "SELECT dataset, count(*) AS n, avg(mpp) AS mpp FROM tiles GROUP BY dataset ORDER BY dataset"
ROWS = [("alpha", 45, 1.0), ("beta", 45, 1.0)]


def test_sql_as_table_csv_json_and_parquet(lake, tmp_path):
    assert "alpha" in spora("sql", lake, QUERY).stdout
    lines = spora("sql", lake, QUERY, "--format", "csv").stdout.splitlines()
    assert [line.replace('"', "").split(",")[:2] for line in lines[1:]] == [["alpha", "45"], ["beta", "45"]]
    records = json.loads(spora("sql", lake, QUERY, "--format", "json").stdout)
    assert [tuple(record.values()) for record in records] == ROWS
    spora("sql", lake, QUERY, "--format", "parquet", "--output", tmp_path / "answer.parquet")
    assert [tuple(row.values()) for row in pq.read_table(tmp_path / "answer.parquet").to_pylist()] == ROWS


def test_sql_takes_the_lake_from_the_environment_and_the_query_from_a_file(lake, tmp_path):
    (tmp_path / "query.sql").write_text(QUERY)
    asked = [
        spora("sql", lake, QUERY, "--format", "csv").stdout,
        spora("sql", QUERY, "--format", "csv", lake=lake).stdout,
        spora("sql", lake, "--file", tmp_path / "query.sql", "--format", "csv").stdout,
    ]
    assert len(set(asked)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sql", "LAKE", "SELECT agee FROM tissues"], ["agee", "age"]),
        (["sql", "LAKE", "SELECT * FROM tile"], ["tile", "tiles"]),
        (["sql", "LAKE", "SELECT * FROM read_csv('/etc/passwd')"], ["read_csv"]),
        (["sql", "LAKE", "DROP VIEW tiles"], ["SELECT"]),
        (["sql", "LAKE"], ["No query"]),
        (["sql", "SELECT 1"], ["SPORA_DATASETS_DIR"]),
        (["info", "/no/such/lake"], ["/no/such/lake"]),
    ],
)
def test_mistakes_are_one_line_and_exit_code_1(lake, arguments, words):
    told = spora(*(str(lake) if item == "LAKE" else item for item in arguments), code=1).stderr
    assert told.startswith("spora-db: ")
    assert all(word in told for word in words), told


@pytest.mark.parametrize("module", ["spora_db", "spora_db.cli"])
def test_the_program_runs_in_a_process_of_its_own(lake, module):
    command = [sys.executable, "-m", module, "sql", str(lake), QUERY, "--format", "csv"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == spora("sql", lake, QUERY, "--format", "csv").stdout
    command[4:] = ["/no/such/lake", "SELECT 1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("spora-db: ")
    assert "Traceback" not in done.stderr


def test_the_version_is_that_of_the_package():
    assert spora("--version").stdout == f"spora-db {version('spora-db')}\n" == f"spora-db {spora_db.__version__}\n"


def test_info_shows_every_row_and_folds_nothing_in_a_pipe(tmp_path):
    root = write_lake(tmp_path / "lake", names=tuple(f"cohort_{number:02d}" for number in range(21)), tissues=1)
    told = spora("info", root).stdout
    assert len(re.findall(r"│ cohort_\d\d │ +(?:he|imc) .* ome-zarr", told)) == 42  # a row for each modality
    assert "wider terminal" not in told


@pytest.mark.parametrize("width", [50, 80])
def test_info_breaks_no_cell_on_a_terminal(lake, monkeypatch, width):
    console = Console(file=StringIO(), width=width)
    monkeypatch.setattr("spora_db.cli.terminal.plain_console", lambda: console)
    info(lake)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.startswith(("│ alpha ", "│ beta ")) for line in lines if line.startswith("│"))
    assert any("a wider terminal shows all; also" in line for line in lines)
    assert any(re.search(r"quantile_clipping/uq_0.99_image │.* global ", line) for line in lines) == (width == 80)


class Verbs:
    """Stands for a query: keeps what was called."""

    def __init__(self, folder, *calls):
        self.calls = (str(folder), *calls)

    def __getattr__(self, verb):
        return lambda *given, **named: Verbs(*self.calls, (verb, given, named))


def test_the_demo_shows_its_query_as_it_is_written(monkeypatch):
    from spora_db.cli.commands.demo import cohort_query, cohort_text

    folder = Path('a "lake"')
    shown: dict[str, Verbs] = {}
    exec(cohort_text(folder), {"SporaQuery": Verbs}, shown)
    monkeypatch.setattr("spora_db.query.SporaQuery", Verbs)
    assert shown["query"].calls == cohort_query(folder).calls
    assert len(shown["query"].calls) == 7


def test_a_demo_that_exists_is_replaced_by_an_option(tmp_path):
    (tmp_path / "lung_imc/metadata").mkdir(parents=True)
    (tmp_path / "lung_imc/metadata/dataset.json").write_text('{"generator": "spora-db demo"}')
    assert "--overwrite" in spora("demo", tmp_path, code=1).stderr


def test_wrong_usage_is_exit_code_2():
    assert "No such command" in spora("tiles", code=2).stderr
