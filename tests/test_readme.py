"""Every block of the README runs, in order, as a newcomer would run it: on the demo lake, in a fresh folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spora_db.catalog.sql_files import header
from test_order import ORDER

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


def columns(name: str) -> list[tuple[str, str]]:
    """Return the columns of a view and what the comments of its last SELECT say about them; ``*`` for further ones."""
    text = (README.parent / f"sql/views/{name}.sql").read_text()
    select = re.search(r"^SELECT\n(.*?)^FROM", text, re.MULTILINE | re.DOTALL)
    assert select is not None
    found = []
    for line in select[1].splitlines():
        expression, _, meaning = (part.strip() for part in line.partition("-- "))
        column = re.split(r" AS |\.(?=\w+$)", expression.rstrip(","))[-1].strip('"')
        if "*" in column:
            column, told = "*", re.sub(r"^(the cohorts' )?own columns", "", meaning)
            meaning = f"the cohorts' own columns{told}" if told != meaning else f"the cohorts' own columns ({told})"
        found.append((column, meaning))
    return found


def cell(text: str) -> str:
    """Return a text as a cell of a table: GitHub reads ``<...>`` as HTML and ``|`` as a border."""
    return text.replace("<", "&lt;").replace("|", "&#124;")


def relations_table() -> str:
    """Return the README's table of relations, from the headers of the files that make them."""
    from spora_db.catalog import VIEWS

    rows = ["| relation | one row per | what it is |", "|---|---|---|"]
    for name in VIEWS:
        told = header("views", name)
        rows.append(f"| `{name}` | {told['grain']} | {told['purpose']} |")
    return "\n".join(rows)


def macros_table() -> str:
    """Return the README's table of the macros that users call, from the headers of the files that make them."""
    from spora_db.guard.functions import FUNCTIONS

    rows = ["| macro | what it tells | grain |", "|---|---|---|"]
    for path in sorted((README.parent / "sql/macros").glob("*.sql")):
        signature = re.search(r"^CREATE MACRO (.*\)) AS", path.read_text(), re.MULTILINE)
        if path.stem not in FUNCTIONS:  # what the others stand on
            continue
        assert signature is not None
        told = header("macros", path.stem)
        rows.append(f"| `{signature[1]}` | {cell(told['purpose'])} | {cell(told['grain'])} |")
    return "\n".join(rows)


def columns_tables() -> str:
    """Return the README's tables of columns, a relation each, from the comments of the files that make them."""
    from spora_db.catalog import VIEWS

    parts = []
    for name in VIEWS:
        rows = [f"**`{name}`** from {cell(header('views', name)['source'])}", "", "| column | meaning |", "|---|---|"]
        for column, told in columns(name):
            rows.append(f"| {'…' if column == '*' else f'`{column}`'} | {cell(told)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


GENERATED = {"relations": relations_table, "macros": macros_table, "columns": columns_tables}
"""What stands between ``<!-- name -->`` and ``<!-- /name -->``; ``python tests/test_readme.py`` writes it anew."""


def generated(text: str) -> str:
    """Return the README with its generated parts made anew."""
    for name, make in GENERATED.items():
        edges = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        text, count = re.subn(edges, lambda edge, make=make: f"{edge[1]}{make()}{edge[2]}", text, flags=re.DOTALL)
        assert count == 1, name
    return text


def test_relations_columns_and_macros_are_those_of_the_sql_files():
    text = README.read_text()
    assert generated(text) == text, "run: python tests/test_readme.py"


DOCUMENTS = (
    README,
    *sorted((README.parent / "spora_db").rglob("*.md")),
    *sorted((README.parent / ".github").rglob("*.md")),
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(README.parent)))
def test_links_of_documents_lead_to_files(path):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_architecture_has_the_rooms_in_their_order():
    text = (README.parent / "spora_db/ARCHITECTURE.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ORDER


def test_every_decision_record_is_named_by_the_architecture():
    root = README.parent / "spora_db"
    text = (root / "ARCHITECTURE.md").read_text()
    assert set(re.findall(r"\((\w+/WHY\.md)\)", text)) == {
        str(path.relative_to(root)) for path in root.glob("*/WHY.md")
    }


def test_every_column_of_every_relation_has_a_meaning(demo_folder):
    from spora_db import Catalog

    with Catalog(demo_folder / "demo") as catalog:
        for relation in catalog.relations:
            told, has = columns(relation), list(catalog.columns(relation))
            names = [column for column, _ in told if column != "*"]
            assert has[: len(names)] == names
            assert len(names) < len(told) or len(has) == len(names), relation
            assert all(meaning for _, meaning in told), relation


def test_the_shell_answers_what_the_readme_types(folder, monkeypatch):
    from io import StringIO

    from rich.console import Console

    from spora_db import Catalog
    from spora_db.cli.shell import PROMPT, Shell

    lines = iter(re.findall(f"^{re.escape(PROMPT)}(.*)$", README.read_text(), re.MULTILINE))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    answers = Console(file=StringIO(), force_terminal=True, width=200)
    with Catalog(folder / "demo") as catalog:
        Shell(catalog, answers).run()
    assert next(lines, None) is None
    assert "\x1b[31m" not in answers.file.getvalue()  # errors are red
    assert (folder / "splits.parquet").exists()


def test_the_readme_has_blocks_of_every_kind():
    assert {language for language, _ in blocks()} == set(RUNNABLE)


@pytest.mark.parametrize(("language", "text"), blocks(), ids=lambda value: value.splitlines()[0][:60])
def test_block_runs(language, text, folder, namespace, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPORA_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
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


if __name__ == "__main__":
    README.write_text(generated(README.read_text()))
