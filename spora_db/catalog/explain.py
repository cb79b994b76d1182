"""What a statement will read: DuckDB's plan with the files' own column names, and the files and row groups it touches.

Plans of DuckDB name no file. Here every column of a source carries its file's number (``[3] split``), in a database of
its own, so that the plan tells which files are left after the conditions were pushed down; each condition on a column
is then compared with the least and the greatest value that the file's footer gives for its row groups, as DuckDB does.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from spora_db.catalog.aliases import Naming
from spora_db.catalog.connecting import Parameters
from spora_db.catalog.database import Database
from spora_db.layout import Lake
from spora_db.sources import Branch, SourceQuery
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

_ESTIMATE = "Estimated Cardinality"
_LEFT_OUT = (_ESTIMATE, "Function", "Type")
_POSITION = re.compile(r"c[0-9]+")
_LABEL = re.compile(r"\[([0-9]+)\]")
_CONDITION = re.compile(r"\(\[([0-9]+)\] ([^()]+?) (=|<=|>=|<|>|IN) ((?:\([^()]*\)|[^()])+)\)")
_NOT_ALL_HOLD = re.compile(r"\b(OR|NOT)\b")
_VALUE = re.compile(r"'((?:[^']|'')*)'|(-?[0-9][0-9.eE+-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedFile:
    """One parquet file that a statement reads.

    Attributes
    ----------
    number
        Its number in the plan's text.
    path
        Relative to the lake.
    columns
        Columns that are read.
    row_groups, touched
        Row groups of the file, and those that the conditions on single columns leave; joins may leave fewer.
    rows
        Rows of the touched row groups.
    """

    number: int
    path: str
    columns: tuple[str, ...]
    row_groups: int
    touched: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a statement does before it is run; as text, all of it.

    Attributes
    ----------
    sql
        The statement.
    plan
        DuckDB's plan; a column ``[3] split`` is that of the file of this number.
    files
        The files that are read.
    untouched
        Files of the same relations that the conditions rule out.
    estimated_rows
        DuckDB's estimate of the rows of the answer.
    """

    sql: str
    plan: str
    files: tuple[TouchedFile, ...]
    untouched: tuple[str, ...]
    estimated_rows: int

    def __repr__(self) -> str:
        """Return the text: what a shell and a notebook show."""
        return str(self)

    def __str__(self) -> str:
        """Return the statement, the plan, the files and the estimate as text."""
        last = {file.path: file for file in sorted(self.files, key=lambda file: file.touched)}  # some are read twice
        groups, touched = (sum(getattr(file, name) for file in last.values()) for name in ("row_groups", "touched"))
        lines = [
            self.sql,
            "",
            self.plan.rstrip(),
            "",
            f"Files: {len(last)} read, {len(self.untouched)} ruled out.",
        ]
        lines += [
            f"  [{file.number}] {file.path}: {file.touched} of {file.row_groups} row groups, {file.rows:,} rows, "
            f"columns {', '.join(file.columns) or 'none (counted only)'}"
            for file in self.files
        ]
        lines += [f"Row groups: {touched} of {groups}.", f"Estimated rows: {self.estimated_rows:,}."]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labelled:
    number: int
    path: Path
    names: tuple[str, ...]


class _LabellingDatabase(Database):
    """A database whose sources name every column by its file's number and its name there."""

    def __init__(self, folders: Lake, *, limits: Mapping[str, str | int | None], naming: Naming) -> None:
        self.labelled: dict[int, list[_Labelled]] = {}
        self.sources_of: dict[str, list[int]] = {}
        super().__init__(folders, limits=limits, naming=naming)

    def _build(self, name: str) -> SourceQuery:
        source = super()._build(name)
        branches = [self._label(branch) for branch in source.branches]
        self.sources_of[name] = list(range(len(self.labelled) - len(branches) + 1, len(self.labelled) + 1))
        return replace(source, branches=tuple(branches))

    def _label(self, branch: Branch) -> Branch:
        number = len(self.labelled) + 1
        names = _distinct(pq.read_schema(branch.files[0]).names)
        self.labelled[number] = [_Labelled(number=number, path=path, names=names) for path in branch.files]

        def label(position: str) -> exp.Identifier:
            at = int(position[1:])
            return exp.to_identifier(f"[{number}] {names[at] if at < len(names) else position}", quoted=True)

        def labelled(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Identifier) and _POSITION.fullmatch(node.name):
                return label(node.name)
            if isinstance(node, exp.Var) and _POSITION.match(node.name):  # what `read_parquet` calls its columns
                return exp.Var(this=", ".join(label(position).sql(DIALECT) for position in node.name.split(", ")))
            return node

        return replace(branch, select=cast(exp.Select, branch.select.transform(labelled)))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns that no case tells apart: later ones of equal names end with their position."""
    seen: set[str] = set()
    found = []
    for at, name in enumerate(names):
        label = name
        while fold(label) in seen:
            label += f"_{at}"
        seen.add(fold(label))
        found.append(label)
    return tuple(found)


def explain(
    text: str,
    params: Parameters,
    *,
    shown: str,
    names: frozenset[str] | None,
    folders: Lake,
    registered: Mapping[str, pa.Table],
    limits: Mapping[str, str | int | None],
    naming: Naming,
) -> Explanation:
    """Explain a statement that spora-db wrote, or that the guard has checked.

    Parameters
    ----------
    text, params
        The statement.
    shown
        How it is shown to the user.
    names
        The relations and functions that it names; None looks for them.
    folders
        The lake.
    registered
        Tables that the statement may name besides the lake's relations.
    limits
        DuckDB's.
    naming
        What markers are called besides.
    """
    database = _LabellingDatabase(folders, limits=limits, naming=naming)
    try:
        for name, table in registered.items():
            database.register(name, table)
        tree = json.loads(database.run(f"EXPLAIN (FORMAT JSON) {text}", params, names=names).fetchall()[0][-1])
        nodes = [node for root in tree for node in _nodes(root)]
        numbers = _touched_numbers(nodes, database)
        conditions = [condition for node in nodes for condition in _conditions(node)]
        files = [
            _touched(labelled, folders, _columns(nodes, labelled), [c for c in conditions if c[0] == labelled.number])
            for number in sorted(numbers)
            for labelled in database.labelled[number]
        ]
        read = {file.path for file in files}
        others = (items for number, items in database.labelled.items() if number not in numbers)
        paths = (labelled.path.relative_to(folders.root).as_posix() for items in others for labelled in items)
        left_out = [path for path in dict.fromkeys(paths) if path not in read]
    finally:
        database.close()
    estimates = [text for node in nodes for text in _texts(node, _ESTIMATE)]
    return Explanation(
        sql=shown,
        plan="\n".join(line for root in tree for line in _drawn(root, 0)),
        files=tuple(files),
        untouched=tuple(left_out),
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


def _touched_numbers(nodes: Iterable[Mapping[str, Any]], database: _LabellingDatabase) -> set[int]:
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


def _columns(nodes: Iterable[Mapping[str, Any]], labelled: _Labelled) -> tuple[str, ...]:
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
    labelled: _Labelled,
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
        path=labelled.path.relative_to(folders.root).as_posix(),
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
