"""The shell's commands without a terminal: on a pipe, from a file, as one argument."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakes import write_lake
from spora_db.catalog.relations import VIEWS
from spora_db.cli import app
from spora_db.errors import SporaError
from spora_db.layout import LAKE_VARIABLE


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("pipes") / "lake", tissues=2)


def invoke(*arguments, text=""):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=text.encode())
    if isinstance(result.exception, SporaError):
        return 1, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def by_pipe(lake, text, tmp_path):
    return invoke("sql", lake, text=text)


def by_file(lake, text, tmp_path):
    path = tmp_path / "script.sql"
    path.write_text(text)
    return invoke("sql", lake, "--file", path)


def as_argument(lake, text, tmp_path):
    return invoke("sql", lake, text)


WAYS = (by_pipe, by_file, as_argument)


@pytest.mark.some(4)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("command", "words"),
    {
        ".tables": VIEWS,
        "  .tables ; ": VIEWS,
        ".schema tissues": ("tissue_id", "VARCHAR"),
        ".schema": ("tile_coordinates", "standardization_stats"),
        ".queries": ("panel_overlap",),
        ".query splits": ("split",),
        ".explain FROM tissues;": ("Row groups",),
        ".help": (".tables", ".schema", ".explain"),
        "help": (".tables",),
    }.items(),
)
def test_a_command_is_answered(lake, tmp_path, way, command, words):
    code, told = way(lake, f"{command}\n", tmp_path)
    assert code == 0
    assert not [word for word in words if word not in told]


@pytest.mark.parametrize("way", [by_pipe, by_file])
def test_commands_and_statements_take_turns(lake, tmp_path, way):
    text = "-- first\n.mode csv\nSELECT 1 AS a,\n .5 AS b;\n.mode json\nSELECT 'x;\n.tables\n' AS c; SELECT 3 AS d;\n"
    text += ".quit\nSELECT 9"
    code, told = way(lake, text, tmp_path)
    assert code == 0
    assert told.split("\n")[:2] == ['"a","b"', "1,0.5"]
    assert '"c": "x;\\n.tables\\n"' in told
    assert '"d": 3' in told
    assert "tile_coordinates" not in told
    assert "9" not in told
    assert " s\n" not in told  # no times: the same script writes the same


def test_a_script_without_commands_writes_as_before(lake):
    assert invoke("sql", lake, "--format", "csv", text="SELECT 1 AS a;\nSELECT 2 AS a\n") == (0, '"a"\n1\n"a"\n2\n')


@pytest.mark.parametrize(
    ("text", "message"),
    {
        ".tabels": "Did you mean '.tables'",
        "SELECT 1;\n.schema tissue": "statement 2 (line 2): Unknown relation 'tissue'",
        ".tables\nSELECT nosuch\nFROM tissues;": "statement 2 (line 2)",
        ".mode xml": "expected table, line, csv or json",
        ".save answer.parquet": "there is no answer yet",
    }.items(),
)
def test_an_error_ends_the_script_and_says_where(lake, tmp_path, text, message):
    code, told = by_pipe(lake, text, tmp_path)
    assert code == 1
    assert message in told
    assert told.startswith("standard input, statement ")


def test_a_command_saves_the_last_answer(lake, tmp_path):
    code, told = by_pipe(lake, f"SELECT 1 AS a;\n.save {tmp_path / 'answer.csv'}\n", tmp_path)
    assert code == 0
    assert "1 row written" in told
    assert (tmp_path / "answer.csv").read_text() == '"a"\n1\n'


@pytest.mark.parametrize("options", [("--output", "answer.csv"), ("--format", "csv")])
def test_a_command_has_no_answer_to_write(lake, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    code, told = invoke("sql", lake, ".schema tissues", *options)
    assert code == 1
    assert told.startswith(".schema writes no file and has no --format")
    assert "SHOW TABLES" in told
    assert not list(tmp_path.iterdir())
    assert invoke("sql", lake, "DESCRIBE tissues", *options)[0] == 0


def test_the_lake_may_come_from_the_environment(lake, monkeypatch):
    assert "No lake given" in invoke("sql", ".tables")[1]
    monkeypatch.setenv(LAKE_VARIABLE, str(lake))
    assert "tile_coordinates" in invoke("sql", ".tables")[1]
    assert "tile_coordinates" in invoke("sql", text=".tables\n")[1]
