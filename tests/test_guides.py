"""Every block of guides and of the reference runs, as for a newcomer; every public name has its place there."""

import importlib.util
import re
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

import spora_db
from documents import GUIDES, REFERENCE, ROOT, blocks, copied, run, settle

NOTEBOOKS = ROOT / "notebooks"


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(demo_folder, tmp_path_factory.mktemp("guides"))


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
    "add_a_cohort", "ask_in_sql", "copy_a_smaller_lake", "import_from_tools", "index_image_sizes",
    "move_to_and_from_shards", "my_own_table", "sparse_channels", "tile_and_standardize", "tile_on_a_cluster",
    "write_beside_a_lake",
)  # fmt: skip
"""Guides of several commands, each of which starts an interpreter."""
PAGES = [path for path in (*GUIDES, *REFERENCE) if blocks(path)]


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in COMMANDS else []) for path in PAGES],
    ids=lambda path: path.stem,
)
def test_page_runs(path, folder, monkeypatch):
    settle(folder, monkeypatch)
    namespace: dict[str, object] = {"__name__": "page"}
    for language, text in blocks(path):
        run(language, text, name=path.name, namespace=namespace)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_guide_is_one_page_of_what_runs(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.count("\n") <= 62
    assert blocks(path)


def test_the_shell_answers_what_the_guide_types(folder, monkeypatch):
    from rich.console import Console

    from spora_db import Catalog
    from spora_db.cli.shell import PROMPT, Shell

    typed = (NOTEBOOKS / "guides/ask_in_sql.md").read_text(encoding="utf-8")
    lines = iter(re.findall(f"^{re.escape(PROMPT)}(.*)$", typed, re.MULTILINE))
    settle(folder, monkeypatch)
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    answers = Console(file=StringIO(), force_terminal=True, width=200)
    with Catalog(folder / "demo") as catalog:
        Shell(catalog, answers).run()
    assert next(lines, None) is None
    assert "\x1b[31m" not in answers.file.getvalue()  # errors are red
    assert (folder / "splits.parquet").exists()


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
    assert "| `LockError` | `ValueError` | The lake does not give the plan of a lock" in pages["reference/errors.md"]
    assert "| Get back what the lock was made from, or make a new lock. |" in pages["reference/errors.md"]
    assert "|  |" not in pages["reference/errors.md"], "an error without a remedy"
    assert "```bash\nspora-db tile my-lake --tile-size 224 --mpp 1.0\n" in pages["reference/commands.md"]
    assert "| `tissues` |" in pages["reference/relations.md"]
    assert not any("<details>" in text for text in pages.values()), "what it holds would be no Markdown"
