"""Every notebook runs from its first to its last cell on the demo lake; its committed outputs are those of today."""

import importlib.util
import io
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from refresh_notebooks import LARGEST, NOTEBOOKS, execute, figures, texts

NAMES = (
    "01_explore_a_lake",
    "02_select_a_cohort",
    "03_train",
    "04_cells_and_statistics",
    "05_your_own_data",
    "06_the_loop",
    "07_a_lake_elsewhere",
)
FIGURES = {
    "01_explore_a_lake": 5,
    "02_select_a_cohort": 2,
    "03_train": 4,
    "04_cells_and_statistics": 7,
    "05_your_own_data": 2,
    "06_the_loop": 4,
    "07_a_lake_elsewhere": 2,
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a demo lake that notebooks may write to."""
    return Path(shutil.copytree(demo_folder, tmp_path_factory.mktemp("notebooks") / "copy"))


def test_these_are_all_notebooks() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == list(NAMES)


SLOW = tuple(name for name in NAMES if name != "02_select_a_cohort")
"""Notebooks that draw much, train, measure, import and copy; the README's blocks do so too, on less."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NAMES])
def test_notebook_runs_and_its_committed_outputs_are_current(name: str, folder: Path) -> None:
    if name == "03_train" and importlib.util.find_spec("lightning") is None:
        pytest.skip("lightning is not installed, which this notebook trains with")
    path = NOTEBOOKS / f"{name}.ipynb"
    committed = nbformat.read(path, as_version=4)
    made = execute(path, folder=folder)
    for (source, now), (_, then) in zip(texts(made), texts(committed), strict=True):
        assert now == then, f"outputs of {path.name} are not current; run tests/refresh_notebooks.py {name}\n{source}"
    for notebook in (made, committed):
        drawn = figures(notebook)
        assert len(drawn) == FIGURES[name]
        assert all(np.asarray(Image.open(io.BytesIO(png)).convert("L")).std() > 10 for png in drawn)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_belongs_to_no_machine(name: str) -> None:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not [word for word in ("/tmp/", "/home/", "/root/", "/work/", "iopub", "site-packages") if word in text]
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert all(len(png) <= LARGEST for png in figures(notebook))
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert sum(cell.cell_type == "markdown" for cell in notebook.cells) >= 7
