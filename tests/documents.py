"""Documents whose blocks run, each in a fresh folder with a demo lake, as a newcomer would run them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "notebooks/guides").glob("*.md"))
REFERENCE = sorted((ROOT / "notebooks/reference").glob("*.md"))
RELATIONS = ROOT / "notebooks/reference/relations.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = ("python", "bash", "sql")
NOT_HERE = ("make ", "pip install", "spora-db demo ")
"""Beginnings of lines that do not run: whoever runs this did so."""


def blocks(path: Path) -> list[tuple[str, str]]:
    """Return the blocks of a document that run, each with its language."""
    return [found for found in BLOCK.findall(path.read_text(encoding="utf-8")) if found[0] in RUNNABLE]


def copied(demo_folder: Path, folder: Path) -> Path:
    """Return a folder with a demo lake that blocks may write to."""
    return Path(shutil.copytree(demo_folder, folder / "copy"))


def settle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder, with caches and state of its own and the commands on the path."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPORA_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("SPORA_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def run(language: str, text: str, *, name: str, namespace: dict[str, object]) -> None:
    """Run a block of a document in the working folder; Python shares the names of the document's blocks."""
    if language == "python":
        exec(compile(text, name, "exec"), namespace)
    elif language == "sql":
        from spora_db import Catalog

        with Catalog("demo") as catalog:
            assert catalog.sql(text).fetchall()
    else:
        lines = [line for line in text.splitlines() if not line.startswith(NOT_HERE)]
        done = subprocess.run(
            ["bash", "-ec", "\n".join(lines)], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
