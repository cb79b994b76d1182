"""Every block of the README runs, in order; tables of the reference are those of the code, and links lead to files."""

import re
from pathlib import Path

import pytest

from documents import GUIDES, README, REFERENCE, RELATIONS, ROOT, RUNNABLE, blocks, copied, run, settle
from spora_db.catalog.sql_files import header
from test_order import ORDER


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(demo_folder, tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="module")
def namespace() -> dict[str, object]:
    """Return the names that the README's Python blocks share, one after the other."""
    return {"__name__": "readme"}


def columns(name: str) -> list[tuple[str, str]]:
    """Return the columns of a view and what the comments of its last SELECT say about them; ``*`` for further ones."""
    text = (ROOT / f"sql/views/{name}.sql").read_text()
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
    """Return the reference's table of relations, from the headers of the files that make them."""
    from spora_db.catalog import VIEWS

    rows = ["| relation | one row per | what it is |", "|---|---|---|"]
    for name in VIEWS:
        told = header("views", name)
        rows.append(f"| `{name}` | {cell(told['grain'])} | {cell(told['purpose'])} |")
    return "\n".join(rows)


def macros_table() -> str:
    """Return the reference's table of the macros that users call, from the headers of the files that make them."""
    from spora_db.guard.functions import FUNCTIONS

    rows = ["| macro | what it tells | grain |", "|---|---|---|"]
    for path in sorted((ROOT / "sql/macros").glob("*.sql")):
        signature = re.search(r"^CREATE MACRO (.*\)) AS", path.read_text(), re.MULTILINE)
        if path.stem not in FUNCTIONS:  # what the others stand on
            continue
        assert signature is not None
        told = header("macros", path.stem)
        rows.append(f"| `{signature[1]}` | {cell(told['purpose'])} | {cell(told['grain'])} |")
    return "\n".join(rows)


def columns_tables() -> str:
    """Return the reference's tables of columns, a relation each, from the comments of the files that make them."""
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
    """Return the page of relations with its generated parts made anew."""
    for name, make in GENERATED.items():
        edges = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        text, count = re.subn(edges, lambda edge, make=make: f"{edge[1]}{make()}{edge[2]}", text, flags=re.DOTALL)
        assert count == 1, name
    return text


def test_relations_columns_and_macros_are_those_of_the_sql_files():
    text = RELATIONS.read_text()
    assert generated(text) == text, "run: python tests/test_readme.py"


DOCUMENTS = (
    README,
    *GUIDES,
    *REFERENCE,
    *sorted((ROOT / "spora_db").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
)


def anchors(path: Path) -> set[str]:
    """Return what a link to a heading of a document may name, as GitHub and the site spell it."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_to_files_and_their_headings(path):
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    near = [(path.parent / link if link else path, anchor) for link, anchor in links if "://" not in link]
    assert [target for target, _ in near if not target.exists()] == []
    assert [(target, anchor) for target, anchor in near if anchor and anchor not in anchors(target)] == []


def test_the_readme_is_short_and_names_every_page_of_the_reference():
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 160
    assert [path.name for path in REFERENCE if f"(notebooks/reference/{path.name})" not in text] == []


def test_the_architecture_has_the_rooms_in_their_order():
    text = (ROOT / "spora_db/ARCHITECTURE.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ORDER


def test_every_decision_record_is_named_by_the_architecture():
    root = ROOT / "spora_db"
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


def test_the_readme_has_blocks_of_python_and_bash():
    assert {language for language, _ in blocks(README)} == {"python", "bash"} < set(RUNNABLE)


@pytest.mark.parametrize(("language", "text"), blocks(README), ids=lambda value: value.splitlines()[0][:60])
def test_block_runs(language, text, folder, namespace, monkeypatch):
    settle(folder, monkeypatch)
    run(language, text, name="README.md", namespace=namespace)


if __name__ == "__main__":
    RELATIONS.write_text(generated(RELATIONS.read_text()))
