"""A database whose plans tell the files: every column of a source carries its file's number, ``[3] split``."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from spora_db.catalog.aliases import Naming
from spora_db.catalog.connection import ResourceLimits
from spora_db.catalog.database import Database
from spora_db.layout import Lake
from spora_db.sources import Branch, SourceQuery
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

_POSITION = re.compile(r"c[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFile:
    """A parquet file, its number in the plan, and the names of its columns there."""

    number: int
    path: Path
    names: tuple[str, ...]


class LabellingDatabase(Database):
    """A database whose sources name every column by its file's number and its name there."""

    def __init__(self, folders: Lake, *, limits: ResourceLimits, naming: Naming) -> None:
        self._numbers = itertools.count(1)
        self.labelled: dict[int, list[LabelledFile]] = {}
        self.sources_of: dict[str, list[int]] = {}
        super().__init__(folders, limits=limits, naming=naming)

    def _written(self, name: str, query: SourceQuery) -> SourceQuery:
        for number in self.sources_of.get(name, ()):  # with fewer columns
            del self.labelled[number]
        before = len(self.labelled)
        branches = [self._label(branch) if branch.files else branch for branch in query.branches]  # none: it was given
        self.sources_of[name] = list(self.labelled)[before:]
        return replace(query, branches=tuple(branches))

    def _list(self, duck: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        duck.from_arrow(table).create(name)  # plans name a table, and not what is read where it lies

    def _label(self, branch: Branch) -> Branch:
        number = next(self._numbers)
        names = _distinct(pq.read_schema(branch.files[0]).names)
        self.labelled[number] = [LabelledFile(number=number, path=path, names=names) for path in branch.files]

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
