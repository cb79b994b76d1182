"""The built wheel, installed alone into an empty environment in another folder, has its SQL and runs the demo."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from hero import HERO, difference, smaller

ROOT = Path(__file__).resolve().parents[1]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(item) for item in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel that is built of the sdist, as whoever installs the sdist builds it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_a_wheel_has_its_sql_and_its_commands(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    views = {f"spora_db/sql/views/{path.name}" for path in (ROOT / "sql/views").glob("*.sql")}
    assert views <= names
    page = {f"spora_db/explore/static/{path.name}" for path in (ROOT / "spora_db/explore/static").iterdir()}
    assert page <= names
    assert {"spora_db/py.typed", "spora_db/cli/__init__.py"} <= names
    assert not [name for name in names if name.startswith("tests") or "/tests/" in name]


def test_a_wheel_is_code_and_no_data(wheel):
    held = {".py", ".sql", ".js", ".css", ".html", ".svg", ".md", ".typed", ".csv"}
    files = [entry for entry in zipfile.ZipFile(wheel).infolist() if ".dist-info/" not in entry.filename]
    assert {Path(entry.filename).suffix or Path(entry.filename).name[-6:] for entry in files} - {".typed"} <= held
    # what one reads at a sitting; the largest is the list of spellings of markers
    assert max(entry.compress_size for entry in files) < 12_000


@pytest.mark.slow
def test_wheel_runs_the_demo_in_an_empty_environment(wheel, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=elsewhere)
    pip = [sys.executable, "-m", "pip", "--python", elsewhere / "venv/bin/python", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-compile"]  # to compile all of torch takes half a minute
    run(*install, "torch==2.13.0", wheel, "-c", ROOT / "constraints.txt", cwd=elsewhere)
    told = run(elsewhere / "venv/bin/spora-db", "demo", "lake", cwd=elsewhere)
    assert "lung_imc" in told
    drawn = smaller(elsewhere / "lake/cohort.png")
    assert difference(drawn, Image.open(HERO)) < 3, "README's picture is another; run tests/hero.py"
    asked = ["sql", "lake", "SELECT count(*) AS n FROM datasets", "--format", "csv"]
    counted = run(elsewhere / "venv/bin/spora-db", *asked, cwd=elsewhere)
    assert counted.splitlines()[-1] == "2"
