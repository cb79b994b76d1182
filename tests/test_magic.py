"""The notebook commands in a real IPython shell: answers, variables, errors without a traceback."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from lakes import write_lake
from spora_db import SporaQuery

TILES = "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc' AND age > 60"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("magic") / "lake", names=("alpha",))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    monkeypatch.delenv("SPORA_DATASETS_DIR", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.run_line_magic("load_ext", "spora_db.magic")
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def test_a_cell_gives_a_frame_and_a_query(shell: InteractiveShell, lake: Path) -> None:
    shell.run_line_magic("spora_lake", str(lake))
    shown = shell.run_cell_magic("spora", "cohort", TILES)
    frame, query = shell.user_ns["cohort_df"], shell.user_ns["cohort"]
    pd.testing.assert_frame_equal(shown, frame)
    assert isinstance(query, SporaQuery)
    assert query.modality("imc").tiles(size=32, mpp=1.0).count() == len(frame) == 9


def test_the_environment_names_the_lake_and_a_line_asks(
    shell: InteractiveShell, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPORA_DATASETS_DIR", str(lake))
    shell.run_line_magic("spora_lake", "")
    assert capsys.readouterr().out == f"lake: {lake}\n"
    assert shell.run_line_magic("spora", "SELECT count(*) AS n FROM tiles")["n"].tolist() == [63]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("text", "rows"),
    {
        "FROM tiles SELECT dataset, tissue_id, tile_id, row, col WHERE modality = 'imc' AND age > 60": 9,
        "DESCRIBE datasets": 7,
        "SHOW TABLES": 15,
        "PIVOT datasets ON dataset USING count(*)": 1,
        "VALUES (1), (2)": 2,
        "EXPLAIN FROM tiles": 1,
    }.items(),
)
def test_what_asks_is_answered(shell: InteractiveShell, lake: Path, text: str, rows: int) -> None:
    shell.run_line_magic("spora_lake", str(lake))
    assert len(shell.run_cell_magic("spora", "asked", text)) == rows
    if "tile_id" in text:
        assert shell.user_ns["asked"].modality("imc").tiles(size=32, mpp=1.0).count() == rows


def test_without_identity_columns_there_is_no_query_and_no_earlier_one(
    shell: InteractiveShell, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("spora_lake", str(lake))
    shell.run_cell_magic("spora", "cohort", TILES)
    shell.run_cell_magic("spora", "cohort", "SELECT dataset, count(*) AS n FROM tiles GROUP BY dataset")
    assert "cohort" not in shell.user_ns
    assert len(shell.user_ns["cohort_df"]) == 1
    assert "needs the column tissue_id" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("magic", "line", "cell", "message"),
    [
        ("spora", "", "SELECT * FROM tils", "Did you mean 'tiles'"),
        ("spora", "", "SELEC 1", "SELEC"),
        ("spora", "", "DROP TABLE tiles", "SELECT"),
        ("spora", "two words", "SELECT 1", "expected the name of a variable"),
        ("spora_lake", "no/such/folder", None, "no/such/folder"),
    ],
)
def test_errors_are_messages(
    shell: InteractiveShell, lake: Path, magic: str, line: str, cell: str | None, message: str
):
    shell.run_line_magic("spora_lake", str(lake))
    with pytest.raises(UsageError, match=message):
        shell.run_line_magic(magic, line) if cell is None else shell.run_cell_magic(magic, line, cell)


def test_the_caret_stands_under_its_place(shell: InteractiveShell, lake: Path) -> None:
    shell.run_line_magic("spora_lake", str(lake))
    with pytest.raises(UsageError) as caught:
        shell.run_cell_magic("spora", "", "SELECT dataset,\n  nope(age) FROM tissues")
    _, shown, caret, _ = str(caught.value).split("\n")
    assert shown[caret.index("^") :].startswith("nope")


def test_without_a_lake_both_ways_to_name_one_are_said(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="%spora_lake PATH, or set SPORA_DATASETS_DIR"):
        shell.run_line_magic("spora", "SELECT 1")
