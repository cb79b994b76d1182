"""What a new user meets in the first hour: names to complete, narrow and plain terminals, words for mistakes."""

import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import spora_db
from command_line import call
from hero import HERO, IDEAS, WIDTH, difference, figure
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.cli import main, reporting
from spora_db.errors import DatasetNotFoundError, did_you_mean
from spora_db.jobs.report import DatasetReport, Report
from spora_db.jobs.units import Outcome


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("first") / "lake", names=("alpha",), tissues=2)


def test_completion_offers_what_is_public_and_all_of_it() -> None:
    offered = [name for name in dir(spora_db) if not name.startswith("__")]
    assert set(spora_db.__all__) <= set(offered)
    modules = {name for name in offered if name.islower()} - set(spora_db.__all__)
    assert modules == {"datasets", "errors", "images", "magic", "plot", "transforms"}
    assert all(getattr(spora_db, name) is not None for name in offered)


def test_an_audit_is_printed_where_only_ascii_is_known(lake: Path) -> None:
    audit = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).audit()
    assert str(audit).encode("ascii").startswith(b"Audit of imc tiles")
    assert " - " in str(audit) or " ! " in str(audit)


def test_values_show_themselves_in_notebooks_without_reading_a_pixel(lake: Path) -> None:
    plan = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).select("age").plan()
    dataset = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).select("age").to_torch()
    loader = dataset.loader(batch_size=7)
    for value, name in ((plan, "Plan"), (dataset, "PlanDataset"), (loader, "TileLoader")):
        shown = value._repr_html_()
        assert f"<caption>{name}</caption>" in shown
        assert f"{len(plan)} tiles of 32 pixels" in shown
        assert '<td style="text-align:left">age</td>' in shown
    assert '<th style="text-align:left">batch_size</th><td style="text-align:left">7</td>' in loader._repr_html_()


def test_a_report_breaks_no_name_on_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/data/cohorts/of/the/institute/lung_imc/tiling/1_0mpp/default/224_tile_coordinates.parquet")
    part = DatasetReport(
        dataset="a_cohort_of_lung",
        state="written",
        files=(path,),
        tissues=712,
        outcomes=(Outcome(tissue_id="a_cohort_of_lung_l004_0005", pixels=1, seconds=2.5),),
        summary={"tiles": 350_000, "coverage_mean": 0.996, "coverage_sd": 0.001},
    )
    written = io.StringIO()
    console = Console(file=written, width=80, highlight=False, color_system=None)
    monkeypatch.setattr(reporting, "plain_console", lambda: console)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    reporting.show_report(Report(datasets=(part,)))
    lines = written.getvalue().splitlines()
    assert any(str(path) in line for line in lines), "a path stands on one line, to be copied"
    assert any("a_cohort_of_lung_l004_0005 (2.50 s)" in line for line in lines)
    assert sum("350000" in line and "0.996" in line for line in lines) == 1
    assert len(lines) == 7


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_characters_that_an_output_has_not_are_written_as_codes(monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), "ascii", errors=errors) for _ in range(2)]
    monkeypatch.setattr("spora_db.cli.application.app", lambda: print("\N{MICRO SIGN}m"))
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    main()
    streams[0].flush()
    assert streams[0].buffer.getvalue() == b"\\xb5m\n"  # type: ignore[attr-defined]


def test_a_command_without_a_lake_says_how_to_name_one() -> None:
    answer = call("info", code=2)
    assert "have SPORA_DATASETS_DIR name one" in " ".join(answer.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("option", "said"),
    [("cvs", "'cvs' is not one of 'table', 'csv', 'json', 'parquet'. Did you mean 'csv'?"), ("q", "")],
)
def test_a_choice_of_nearly_the_right_name_is_offered(lake: Path, option: str, said: str) -> None:
    told = " ".join(call("sql", lake, "SELECT 1", "--format", option, code=2).stderr.replace("│", " ").split())
    assert f"Invalid value for '--format': {said}" in told
    assert ("Did you mean" in told) == bool(said)


def test_a_lake_of_nearly_the_right_name_is_offered(lake: Path) -> None:
    (lake.parent / "notes").write_text("")
    for place, said in (
        (lake.with_name("laek"), "Did you mean 'lake'? Give a lake"),
        (lake.parent / "notes", "notes, a file). Give a lake"),
        (lake / "alpha/imc", f"It lies in the dataset {lake / 'alpha'}: give that."),
    ):
        with pytest.raises(DatasetNotFoundError, match=re.escape(said)):
            SporaQuery(place).modality("imc").count()


def test_a_warning_of_a_command_is_a_line_without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spora_db.cli.application.app", lambda: warnings.warn("nothing is selected", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert call("info").stderr == "spora-db: nothing is selected\n"


def test_the_picture_of_the_readme_has_all_its_colours() -> None:
    picture = Image.open(HERO).convert("RGB")
    assert picture.width == WIDTH
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50_000
    assert f"(notebooks/figures/{HERO.name})" in (HERO.parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", IDEAS)
def test_a_picture_of_an_idea_is_that_of_its_notebook(name: str) -> None:
    path = HERO.with_name(f"{name}.webp")
    assert difference(figure(name), Image.open(path)) < 3, "the notebook draws another: run tests/hero.py"
    assert f"(notebooks/figures/{path.name})" in (HERO.parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "said"), [("IMC", " Did you mean 'imc'?"), ("codxe", " Did you mean 'codex'?"), ("zzz", "")]
)
def test_a_near_name_is_offered(name: str, said: str) -> None:
    assert did_you_mean(name, ["imc", "codex"]) == said


def test_the_citation_is_of_this_version() -> None:
    lines = (HERO.parents[2] / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {spora_db.__version__}" in lines
    assert "cff-version: 1.2.0" in lines
