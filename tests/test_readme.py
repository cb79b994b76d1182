"""Every block of the README runs, in order, as a newcomer would run it: on the demo lake, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spora_db.demo import write_demo_lake

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = ("python", "bash", "sql")
NOT_HERE = ("make ", "pip install", "git clone")


def blocks() -> list[tuple[str, str]]:
    return [(language, text) for language, text in BLOCK.findall(README.read_text()) if language in RUNNABLE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the demo lake, tiled and with statistics, as `make demo` leaves it."""
    folder = tmp_path_factory.mktemp("readme")
    write_demo_lake(folder / "demo", tissues=5, size=420)
    return folder


@pytest.fixture(scope="module")
def namespace() -> dict[str, object]:
    """Return the names that the README's Python blocks share, one after the other."""
    return {"__name__": "readme"}


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
