"""Every block of the guides runs, as a newcomer would run it; every public name has its place in the reference."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import spora_db
from test_readme import BLOCK

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
GUIDES = sorted((NOTEBOOKS / "guides").glob("*.md"))


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a demo lake that guides may write to."""
    return Path(shutil.copytree(demo_folder, tmp_path_factory.mktemp("guides") / "copy"))


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """Return what puts the pages of the site together."""
    spec = importlib.util.spec_from_file_location("site_build", NOTEBOOKS / "site/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMANDS = (
    "add_a_cohort", "copy_a_smaller_lake", "move_to_and_from_shards", "my_own_table", "sparse_channels",
    "tile_on_a_cluster",
)  # fmt: skip
"""Guides of several commands, each of which starts an interpreter."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in COMMANDS else []) for path in GUIDES],
    ids=lambda path: path.stem,
)
def test_guide_runs(path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPORA_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("SPORA_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    namespace: dict[str, object] = {"__name__": "guide"}
    ran = 0
    for language, text in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, path.name, "exec"), namespace)
        elif language == "bash":
            done = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        ran += language in ("python", "bash")
    assert ran


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_guide_is_one_page_whose_links_lead_to_pages(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.count("\n") <= 60
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_every_public_name_stands_once_in_the_reference(site):
    named = [name for names in site.API.values() for name in names.split()]
    errors = {name for name in spora_db.__all__ if getattr(spora_db, name).__module__ == "spora_db.errors"}
    assert sorted(named) == sorted(set(spora_db.__all__) - errors)


def test_pages_are_of_all_notebooks_guides_and_commands(site):
    pages = {name: text for _, name, text in site.pages()}
    assert {Path(name).stem for name in pages if name.startswith("guides/")} == {path.stem for path in GUIDES}
    assert {Path(name).stem for name in pages if name.startswith("tutorials/")} == {
        path.stem for path in NOTEBOOKS.glob("*.ipynb")
    }
    assert "## spora-db standardize" in pages["reference/commands.md"]
    assert "`--on-zero-quantile`" in pages["reference/commands.md"]
    assert "| `tissues` |" in pages["reference/relations_and_macros.md"]
