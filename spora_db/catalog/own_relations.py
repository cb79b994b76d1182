"""Relations that one lake has and others have not: users' tables that lie in it or were given, and feature sets."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog.relations import MACROS, VIEWS
from spora_db.errors import ArgumentError, OrphanRowsWarning, TableError, counted, level_of_the_user
from spora_db.layout import Lake
from spora_db.sources import SOURCES, SourceFiles
from spora_db.sources.features import PREFIX, feature_source, relation_of
from spora_db.sources.own_tables import OwnTable, check_own_name, own_of_arrow, own_of_files
from spora_db.sqltext.dialect import DIALECT

logger = logging.getLogger(__name__)

Build = Callable[[Lake], SourceFiles]
ColumnsOf = Callable[[str], Mapping[str, str]]
"""What returns the columns of a relation, with their types."""
Ask = Callable[[exp.Select], list[tuple[object, ...]]]
"""What answers a SELECT."""
SHOWN = 3
MASKED = """
    NOT EXISTS (
        SELECT 1 FROM masks AS home
        WHERE home.dataset = {table}.dataset AND home.tissue_id = {table}.tissue_id AND home.kind = 'instances'
            AND home.dataset NOT IN (SELECT dataset FROM cells)
    )
"""
"""Of a dataset without a table of cells, masks know which there are, and they are not read for this."""
FEATURE = "feature"
"""The function that has the features of a set, by its name."""
FEATURE_MACRO = f"CREATE MACRO {FEATURE}(name) AS TABLE FROM query_table('{PREFIX}' || name)"


class OwnRelations:
    """What a lake has of its users, by the name of the relation.

    Parameters
    ----------
    folders
        The lake.
    """

    def __init__(self, folders: Lake) -> None:
        self._folders = folders
        self.builders: dict[str, Build] = dict(SOURCES)
        self._files: list[str] = []
        self._given: dict[str, pa.Table] = {}
        self._lent: list[str] = []
        self._tables: dict[str, OwnTable] = {}
        self.features: tuple[str, ...] = tuple(
            dict.fromkeys(relation_of(folder.name) for item in folders.datasets for folder in item.feature_folders)
        )
        for relation in self.features:
            self.builders[relation] = partial(feature_source, relation.removeprefix(PREFIX))
        for name in dict.fromkeys(str(table.name) for table in folders.tables("own")):
            try:
                self._files.append(check_own_name(name, relations=(*VIEWS, *MACROS), at=f"tables/{name}.parquet ("))
            except ArgumentError as error:
                logger.warning("Ignored %s", error)
                continue
            self.builders[name] = self._of_files(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the users' tables, those in the lake first."""
        return (*self._files, *self._given)

    def among(self, names: Collection[str]) -> Iterator[str]:
        """Yield the relations among names; the function of features may name any set."""
        yield from (name for name in self.names if name in names)
        of_function = FEATURE in names
        yield from (name for name in self.features if of_function or name in names)
        if of_function:
            yield FEATURE

    def give(self, name: str, table: pa.Table, *, at: str, lent: bool = False, instead: bool = False) -> None:
        """Take a table as a relation: one that is `lent` until `forget_lent`, `instead` of one of its name in the lake.

        Raises
        ------
        ArgumentError
            If the lake has something of this name; `at` is the call that gives it.
        TableError
            If it does not say what its rows are about.
        """
        if instead and name in self._files:
            self._files.remove(name)
        check_own_name(name, relations=(*VIEWS, *MACROS, *self._files), at=at)
        self._tables[name] = own_of_arrow(name, table, self._folders)
        self._given[name] = table
        self.builders[name] = lambda _: self._tables[name]
        if lent:
            self._lent.append(name)

    def take_back(self, name: str) -> None:
        """Forget a table that was given."""
        for known in (self._given, self._tables, self.builders):
            known.pop(name, None)

    def forget_lent(self) -> list[str]:
        """Forget the tables that were lent, and return their names."""
        lent, self._lent = self._lent, []
        for name in lent:
            self.take_back(name)
        return lent

    def given(self, name: str) -> pa.Table | None:
        """Return a table that was given, None for one that lies in the lake."""
        return self._given.get(name)

    def table(self, name: str) -> OwnTable:
        """Return a table that was prepared: what its rows are about."""
        return self._tables[name]

    def _of_files(self, name: str) -> Build:
        def build(folders: Lake) -> OwnTable:
            self._tables[name] = own_of_files(name, folders)
            return self._tables[name]

        return build

    def check(self, name: str, ask: Ask) -> None:
        """Refuse a table that says a thing twice or of nothing; warn of rows about what the lake does not have.

        Raises
        ------
        TableError
            If rows have no key, or share one.
        """
        table = self._tables[name]
        if table.grain is None:
            return
        for fault in faults(table, ask):
            raise TableError(f"{fault} Correct the table.")
        if table.of_one is not None:
            message = f"The table {name!r} has no column 'dataset': its rows are taken to be of {table.of_one!r}."
            warnings.warn(message, OrphanRowsWarning, stacklevel=level_of_the_user())
        if (said := orphans(table, ask)) is not None:
            warnings.warn(said, OrphanRowsWarning, stacklevel=level_of_the_user())


def own_statements(own: OwnRelations, folders: Lake, *, columns: ColumnsOf) -> Iterator[str]:
    """Yield what makes these relations in any DuckDB: views over files, and empty tables of what has none."""
    for name in (*own.names, *own.features):
        if own.given(name) is None:
            yield f"CREATE VIEW {_column(name).sql(DIALECT)} AS\n{own.builders[name](folders).query().sql()};"
        else:
            types = ", ".join(f"{_column(column).sql(DIALECT)} {kind}" for column, kind in columns(name).items())
            yield f"CREATE TABLE {name} ({types});"
    if own.features:
        yield f"{FEATURE_MACRO};"


def faults(table: OwnTable, ask: Ask) -> Iterator[str]:
    """Yield what is wrong with the keys of a table: rows without one, and rows that share one."""
    name, keys = table.name, [_column(key) for key in table.keys]
    known = [key for key in keys if key.name not in ("modality", "mpp", "strategy", "tile_size")]
    absent = exp.or_(*(exp.Is(this=key, expression=exp.Null()) for key in known))
    rows = int(str(ask(exp.select("count(*)").from_(name).where(absent))[0][0]))
    if rows:
        yield f"{counted(rows, 'row')} of the table {name!r} have no {' or no '.join(key.name for key in known)}."
    shared = exp.select(*keys, exp.alias_(exp.Count(this=exp.Star()), "times")).from_(name)
    shared = shared.group_by(*keys).having("count(*) > 1")
    found = ask(exp.select("*", "count(*) OVER ()").from_(shared.subquery("shared")).order_by("1", "2").limit(1))
    if found:
        *key, times, others = found[0]
        yield (
            f"The table {name!r} has {times} rows of one {table.grain} ({_told(table.keys, key)}), and so for "
            f"{counted(int(str(others)), str(table.grain))}; expected one row each."
        )


def orphans(table: OwnTable, ask: Ask) -> str | None:
    """Return what is said of the rows of a table that are about nothing in the lake."""
    query = exp.select(*(_column(key) for key in table.keys), "count(*) OVER () AS orphans").from_(table.name)
    for relation, shared in _homes(table).items():
        same = " AND ".join(f"home.{key} = {table.name}.{key}" for key in shared)
        query = query.where(f"NOT EXISTS (SELECT 1 FROM {relation} AS home WHERE {same})", dialect=DIALECT)
    if table.grain == "cell":
        query = query.where(MASKED.format(table=table.name), dialect=DIALECT)
    found = ask(query.order_by(*map(str, range(1, len(table.keys) + 1))).limit(SHOWN))
    if not found:
        return None
    number = int(str(found[0][-1]))
    shown = "; ".join(_told(table.keys, row[:-1]) for row in found)
    return (
        f"{counted(number, 'row')} of the table {table.name!r} {'is' if number == 1 else 'are'} about a {table.grain} "
        f"that the lake does not have, and will join with nothing, such as {shown}."
    )


def _homes(table: OwnTable) -> dict[str, tuple[str, ...]]:
    """Return the relations of which one has what a row is about, each with the columns that tell."""
    place = ("dataset", "tissue_id")
    if table.grain == "tile":
        return {"tile_coordinates": tuple(key for key in table.keys if key != "modality")}
    return {"cells": (*place, "cell_id")} if table.grain == "cell" else {"tissues": place, "images": place}


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _told(keys: tuple[str, ...], values: "tuple[object, ...] | list[object]") -> str:
    return ", ".join(f"{key} {value!r}" for key, value in zip(keys, values, strict=True))
