"""The kept figures of benchmarks are well-formed, and the table of the page on performance is made of them."""

import ast
import datetime
import json
import re

import pytest

from benchmarks.asked import NONE, PAGE, ROWS, Row, generated, latest, read_history, table, told
from benchmarks.history import FIELDS, FOLDER, HISTORY, UNITS


def test_every_row_of_the_history_is_whole():
    rows = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    assert rows
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == FIELDS
        assert datetime.date.fromisoformat(row["date"])
        assert re.fullmatch(r"[0-9a-f]{7,}\+?", row["commit"])
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", row["version"])
        assert row["unit"] in UNITS
        assert row["value"] >= 0
        assert row["cores"] >= 1
        assert row["name"].strip()
        assert row["cpu"].strip()


def test_the_history_is_in_the_order_of_time():
    dates = [json.loads(line)["date"] for line in HISTORY.read_text().splitlines()]
    assert dates == sorted(dates)


def recorded(function: ast.AST) -> set[str]:
    """Return the names of figures that a test records, as far as they are written there: `*` for what is filled in."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == "record"]
    names = set()
    for node in (call.args[0] for call in calls):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        names.add("".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts))
    return names


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.figure)
def test_every_row_names_the_benchmark_that_records_it(row: Row):
    file, _, test = row.test.partition("::")
    functions = {node.name: node for node in ast.walk(ast.parse((FOLDER / file).read_text())) if hasattr(node, "name")}
    assert test in functions
    names = recorded(functions[test])
    assert any(all(part in row.figure for part in name.split("*")) for name in names), names


def test_the_table_of_the_page_is_that_of_the_history():
    text, made = PAGE.read_text(), table(read_history())
    assert generated(text, read_history()) == text, "make it anew: cd tests; python -m benchmarks.asked"
    assert made in text
    assert made.count("\n") == 2 + len(ROWS)


@pytest.mark.parametrize(
    ("asked", "value", "expected"),
    [("", 1.0, None), (">= 3", 3.0, True), (">= 3", 2.99, False), ("<= 1.2", 1.2, True), ("<= 1.2", 1.3, False)],
)
def test_what_is_asked(asked: str, value: float, expected: bool | None):
    assert Row("", "", asked, "").holds(value) is expected


def test_the_latest_figure_is_shown():
    figures = [("a", 1.0, "ratio"), ("a", 2.0, "s"), ("a, b", 3.0, "ratio")]
    rows = [dict(zip(("name", "value", "unit"), figure, strict=True)) for figure in figures]
    assert [told(latest(rows, figure)) for figure in ("a", "a, .*", "c")] == ["2 s", "3", NONE]
