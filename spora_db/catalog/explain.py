"""What a statement will read: DuckDB's plan with the files' own column names, and the files and row groups it touches.

Plans of DuckDB name no file. Those of a `LabellingDatabase` tell which files are left after the conditions were pushed
down; each condition on a column is then compared with the least and the greatest value that the file's footer gives for
its row groups, as DuckDB does.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pyarrow.parquet as pq

from spora_db.catalog.connection import Parameters
from spora_db.catalog.database import Database
from spora_db.catalog.explanation import Explanation, TouchedFile
from spora_db.catalog.labelled import LabelledFile, LabellingDatabase
from spora_db.layout import Lake
from spora_db.sqltext.named import Named

_ESTIMATE = "Estimated Cardinality"
_LEFT_OUT = (_ESTIMATE, "Function", "Type")
_LABEL = re.compile(r"\[([0-9]+)\]")
_CONDITION = re.compile(r"\(\[([0-9]+)\] ([^()]+?) (=|<=|>=|<|>|IN) ((?:\([^()]*\)|[^()])+)\)")
_NOT_ALL_HOLD = re.compile(r"\b(OR|NOT)\b")
_VALUE = re.compile(r"'((?:[^']|'')*)'|(-?[0-9][0-9.eE+-]*)")


def explain(database: Database, text: str, params: Parameters, *, shown: str, names: Named) -> Explanation:
    """Explain a statement that spora-db wrote, or that the guard has checked.

    Parameters
    ----------
    database
        Where it would run.
    text, params, names
        The statement, its values, and what it names.
    shown
        How it is shown to the user.
    """
    folders = database._folders
    with closing(LabellingDatabase(folders, limits=database._limits, naming=database._naming)) as labelling:
        for name, table in database._tables.items():
            labelling._register(name, table)
        for name in database._own.names:
            if (given := database._own.given(name)) is not None:
                labelling._own.give(name, given, at="explain(")
        tree = json.loads(labelling._answer(f"EXPLAIN (FORMAT JSON) {text}", params, names=names).fetchall()[0][-1])
    nodes = [node for root in tree for node in _nodes(root)]
    numbers = _touched_numbers(nodes, labelling)
    conditions = [condition for node in nodes for condition in _conditions(node)]
    files = [
        _touched(labelled, folders, _columns(nodes, labelled), [c for c in conditions if c[0] == labelled.number])
        for number in sorted(numbers)
        for labelled in labelling.labelled[number]
    ]
    read = {file.path for file in files}
    others = (items for number, items in labelling.labelled.items() if number not in numbers)
    paths = (folders.relative(labelled.path) for items in others for labelled in items)
    estimates = [text for node in nodes for text in _texts(node, _ESTIMATE)]
    return Explanation(
        sql=shown,
        plan="\n".join(line for root in tree for line in _drawn(root, 0)),
        files=tuple(files),
        untouched=tuple(path for path in dict.fromkeys(paths) if path not in read),
        estimated_rows=int(estimates[0]) if estimates else 0,
    )


def _drawn(node: dict[str, Any], depth: int) -> Iterator[str]:
    """Yield a line per step of a plan, each below the step that takes its rows; mere projections are left out."""
    name = str(node["name"]).strip()
    if name != "PROJECTION":
        words = [f"{key}: {', '.join(_texts(node, key))}" for key in node["extra_info"] if key not in _LEFT_OUT]
        estimate = "".join(f"  ~{text} rows" for text in _texts(node, _ESTIMATE))
        yield f"{'  ' * depth}{name.replace('_', ' ').capitalize()}  {'; '.join(words)}".rstrip() + estimate
        depth += 1
    for child in node["children"]:
        yield from _drawn(child, depth)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children"]:
        yield from _nodes(child)


def _texts(node: Mapping[str, Any], key: str) -> list[str]:
    value = node["extra_info"].get(key, [])
    return [value] if isinstance(value, str) else list(value)


def _touched_numbers(nodes: Iterable[Mapping[str, Any]], database: LabellingDatabase) -> set[int]:
    """Return the numbers of the files that scans of a plan read; a scan without columns may be of any file."""
    numbers: set[int] = set()
    for node in nodes:
        table = "".join(_texts(node, "Table")).rpartition(".")[2]
        found = [
            int(label)
            for text in _texts(node, "Projections") + _texts(node, "Filters")
            for label in _LABEL.findall(text)
        ]
        if table in database.sources_of:
            numbers.update(database.sources_of[table])
        elif node["name"].strip() == "READ_PARQUET":
            numbers.update(found or database.labelled)
    return numbers


def _columns(nodes: Iterable[Mapping[str, Any]], labelled: LabelledFile) -> tuple[str, ...]:
    """Return the columns of a file that a plan names; a name may begin as another one does: the longest is meant."""
    longest_first = sorted(labelled.names, key=len, reverse=True)
    texts = "\n".join(text for node in nodes for key in ("Projections", "Filters") for text in _texts(node, key))
    _, *named = texts.split(f"[{labelled.number}] ")
    read = {next((name for name in longest_first if text.startswith(name)), None) for text in named}
    return tuple(name for name in labelled.names if name in read)


def _conditions(node: Mapping[str, Any]) -> Iterator[tuple[int, str, str, list[str | float]]]:
    """Yield the pushed-down conditions on single columns: file number, column, operator, values."""
    for text in _texts(node, "Filters"):
        for match in () if _NOT_ALL_HOLD.search(text) else _CONDITION.finditer(text):
            values: list[str | float] = [
                float(number) if number else word.replace("''", "'") for word, number in _VALUE.findall(match[4])
            ]
            yield int(match[1]), match[2].strip('"'), match[3], values


_HOLDS: Mapping[str, Callable[[Any, Any, list[Any]], bool]] = {
    "=": lambda low, high, values: low <= values[0] <= high,
    "<": lambda low, _, values: low < values[0],
    "<=": lambda low, _, values: low <= values[0],
    ">": lambda _, high, values: high > values[0],
    ">=": lambda _, high, values: high >= values[0],
    "IN": lambda low, high, values: any(low <= value <= high for value in values),
}


def _touched(
    labelled: LabelledFile,
    folders: Lake,
    columns: tuple[str, ...],
    conditions: Iterable[tuple[int, str, str, list[str | float]]],
) -> TouchedFile:
    metadata = pq.read_metadata(labelled.path)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    asked = [(name, operator, values) for _, name, operator, values in conditions if values]
    kept = [group for group in groups if all(_may_hold(group, *condition) for condition in asked)]
    return TouchedFile(
        number=labelled.number,
        path=folders.relative(labelled.path),
        columns=columns,
        row_groups=len(groups),
        touched=len(kept),
        rows=sum(group.num_rows for group in kept),
    )


def _may_hold(group: pq.RowGroupMetaData, name: str, operator: str, values: list[str | float]) -> bool:
    """Tell whether a row group may hold a row for which a condition is true."""
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == name:
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                return True
            try:
                return _HOLDS[operator](statistics.min, statistics.max, values)
            except TypeError:  # dates and other types that the plan's text does not spell as Python does
                return True
    return True
