"""Every block of the README runs, in order, as a newcomer would run it: on the demo lake, in a fresh folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = ("python", "bash", "sql")
NOT_HERE = ("make ", "pip install", "spora-db demo ")  # run by the fixture, or by whoever runs this


def blocks() -> list[tuple[str, str]]:
    return [(language, text) for language, text in BLOCK.findall(README.read_text()) if language in RUNNABLE]


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a demo lake that the README's commands may write to."""
    return Path(shutil.copytree(demo_folder, tmp_path_factory.mktemp("readme") / "copy"))


@pytest.fixture(scope="module")
def namespace() -> dict[str, object]:
    """Return the names that the README's Python blocks share, one after the other."""
    return {"__name__": "readme"}


def relations_table() -> str:
    """Return the README's table of relations, from the headers of the files that make them."""
    from spora_db.catalog import VIEWS

    rows = ["| relation | one row per | what it is |", "|---|---|---|"]
    for name in VIEWS:
        text = (README.parent / f"sql/views/{name}.sql").read_text()
        header = dict(re.findall(r"^-- (purpose|grain):\s+(.*)$", text, re.MULTILINE))
        rows.append(f"| `{name}` | {header['grain']} | {header['purpose']} |")
    return "\n".join(rows)


def test_the_relations_are_those_of_the_views():
    table = re.search(r"<!-- relations -->\n(.*)\n<!-- /relations -->", README.read_text(), re.DOTALL)
    assert table is not None
    assert table[1] == relations_table()


def test_the_readme_has_blocks_of_every_kind():
    assert {language for language, _ in blocks()} == set(RUNNABLE)


@pytest.mark.parametrize(("language", "text"), blocks(), ids=lambda value: value.splitlines()[0][:60])
def test_block_runs(language, text, folder, namespace, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if language == "python":
        exec(compile(text, "README.md", "exec"), namespace)
    elif language == "sql":
        from spora_db import Catalog

        with Catalog(folder / "demo") as catalog:
            assert catalog.sql(text).fetchall()
    else:
        commands = [line for line in text.splitlines() if line.strip() and not line.startswith(("#", *NOT_HERE))]
        for command in commands:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
