"""The kept figures of benchmarks are well-formed, and every row of the README's "Speed" names what prints it."""

import ast
import datetime
import json
import re
from pathlib import Path

from benchmarks.history import FIELDS, FOLDER, HISTORY, UNITS

README = Path(__file__).resolve().parents[1] / "README.md"


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


def test_every_figure_of_the_readme_names_the_benchmark_that_prints_it():
    speed = README.read_text().partition("## Speed\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in speed.splitlines() if row.startswith("|")]
    assert rows[0][-1] == "printed by"
    for *_, printed in rows[2:]:
        name = printed.strip("`")
        file, _, test = name.partition("::")
        tests = {node.name for node in ast.walk(ast.parse((FOLDER / file).read_text())) if hasattr(node, "name")}
        assert test in tests, name
