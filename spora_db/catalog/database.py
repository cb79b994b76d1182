"""The database behind a catalog: one DuckDB connection, closed to everything but the lake's parquet files.

A relation is made the first time a statement names it: the footers of its files are read or its folders listed
(``sources``), then the file of the same name in ``sql/views`` is run. A broken file therefore spoils the relations that
need it, with an error that names it, and no other.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow as pa

from spora_db.catalog.aliases import Naming
from spora_db.catalog.connection import Connection, Parameters, ResourceLimits, checked
from spora_db.catalog.describe import CHECKED_AT_FIRST_USE, CHECKS, raise_contradiction
from spora_db.catalog.failures import failure
from spora_db.catalog.region_functions import REGION_FUNCTIONS, REGIONS, RegionFunctions
from spora_db.catalog.result import Result
from spora_db.catalog.sql_files import needs, sql_text
from spora_db.files.stamps import stamps
from spora_db.layout import Lake, LakePath, TableFile, scan
from spora_db.sources import (
    LISTINGS,
    SOURCES,
    Origin,
    SourceQuery,
    allowed_paths,
    listing_state,
    listing_table,
)
from spora_db.sqltext.dialect import DIALECT

VIEWS = (
    "datasets",
    "tissues",
    "cells",
    "regions",
    "images",
    "masks",
    "channels",
    "channels_per_tissue",
    "tissue_channels",
    "markers",
    "tile_coordinates",
    "tile_stats",
    "standardization_stats",
    "tiles",
)
MACROS = ("marker_channels", "n_markers", "has_all_markers", "has_any_marker", *REGION_FUNCTIONS)
NAMING = tuple(Naming().relations())
"""The tables of what users say of the names of markers, which the macros read."""

# 50,000 tissues x 150 channels are 1 MB of bits in memory and 5,550 columns on disk: 0.1 s or 1 s for each query.
_IN_MEMORY = frozenset({"source_channels", "source_panels", "source_panel_columns"})


def _kind(source: str) -> str:
    return "TABLE" if source in _IN_MEMORY else "VIEW"


@cache
def _with_needs(names: frozenset[str]) -> tuple[str, ...]:
    """Return the relations and macros among names and all they stand on, each after what it stands on."""
    found: dict[str, None] = {}
    for name in sorted(names):
        if name in REGION_FUNCTIONS:
            found["source_regions"] = None
        elif name in VIEWS or name in MACROS:
            found |= dict.fromkeys(_with_needs(needs("views" if name in VIEWS else "macros", name)))
        elif name not in SOURCES and name not in LISTINGS and name not in NAMING:
            continue
        found[name] = None
    return tuple(found)


class Database:
    """One in-memory DuckDB that may open a lake's files and nothing else.

    It does not keep `_answer` from writing: DuckDB lets COPY write over the files that it may read. Only the guard in
    front of `Catalog.sql` does; whoever calls it hands over no text of a user, and no public name leads here.

    Parameters
    ----------
    folders
        The lake.
    limits
        DuckDB's.
    naming
        What markers are called besides.
    """

    def __init__(self, folders: Lake, *, limits: ResourceLimits, naming: Naming) -> None:
        self._folders = folders
        self._limits = limits
        self._naming = naming
        self._tables: dict[str, pa.Table] = {}
        self._connection = Connection(folders.path, allowed_paths(folders), limits=limits)
        self._made: set[str] = set()
        self._checked: set[str] = set()
        self._asked: set[str] = set()
        self._sources: dict[str, SourceQuery] = {}
        self._stamps: dict[str, object] = {}
        self._contradictions: dict[str, list[tuple[str | None, ...]]] = {}
        self._described: dict[str, Mapping[str, str]] = {}
        self._listed = listing_state(folders)
        self._regions = RegionFunctions(self._regions_of) if folders.tables("regions") else None

    def _answer(self, text: str, params: Parameters = None, *, names: frozenset[str], asked: str = "") -> Result:
        """Make the relations that a statement names and return its rows; errors show places in the text `asked`."""
        values = checked(params)
        used = self._prepare(names)
        self._asked |= used
        with self._guarded(names, used, asked, ran=text) as duck:
            relation = duck.sql(text, params=values)
        return Result(relation, guarded=lambda: self._guarded(names, used))

    def _show(self, table: pa.Table) -> Result:
        """Return an Arrow table as a result."""
        with self._guarded() as duck:
            return Result(duck.from_arrow(table), guarded=self._guarded)

    def _register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable as a relation, without copying it."""
        with self._guarded() as duck:
            duck.register(name, table)
            self._tables[name] = table

    def _unregister(self, name: str) -> None:
        """Forget a registered table."""
        with self._guarded() as duck:
            duck.unregister(name)
            self._tables.pop(name, None)

    def use_naming(self, naming: Naming) -> None:
        """Let markers be called so from now on, and no longer as before."""
        with self._guarded() as duck:
            for name in NAMING if naming != self._naming else ():
                if name in self._made:
                    duck.execute(f"DROP TABLE {name}")
                    self._made.remove(name)
            self._naming = naming

    def _columns_of(self, relation: str) -> Mapping[str, str]:
        """Return the columns of a relation with their DuckDB types, in order; bound once, until a file changes."""
        self._asked |= self._prepare([relation])
        if relation not in self._described:
            described = self._answer(f"SELECT * FROM {relation} LIMIT 0", names=frozenset({relation}))
            self._described[relation] = dict(zip(described.columns, described.types, strict=True))
        return self._described[relation]

    def _origins(self, relation: str) -> list[Origin]:
        """Return where the columns of a relation come from, file by file."""
        used = self._prepare([relation])
        return [origin for name in SOURCES if name in used for origin in self._sources[name].origins]

    def _files(self, relations: Iterable[str]) -> list[Path]:
        """Return the parquet files that relations stand on."""
        used = self._prepare(relations)
        return [path for name in SOURCES if name in used for path in self._sources[name].files]

    def files_used(self) -> tuple[TableFile, ...]:
        """Return the parquet files behind the relations that were asked so far, by path."""
        used = {path for name in self._asked & self._sources.keys() for path in self._sources[name].files}
        tables = (table for dataset in self._folders.datasets for table in dataset.tables if table.path in used)
        return tuple(sorted(tables, key=lambda table: table.path))

    def _contradicting(self, check: str) -> list[tuple[str | None, ...]]:
        """Return the contradictions that a check finds; they are looked for once, until a file changes."""
        names = needs("checks", check)
        self._asked |= self._prepare(names)
        if check not in self._contradictions:
            text = sql_text("checks", check).rstrip().removesuffix(";")
            self._contradictions[check] = self._answer(text, names=names).fetchall()
        return self._contradictions[check]

    def stands_for(self, lake: LakePath) -> bool:
        """Tell whether a new catalog of `lake` would see the same: parquet files are compared when they are named."""
        folders = scan(lake)
        listed = listing_state(folders)
        same = self._folders == folders and listed is not None and listed == self._listed
        return same and not self._connection.closed and allowed_paths(folders) == self._connection.allowed

    def forget_questions(self) -> None:
        """Forget which relations were named, and all registered tables."""
        for name in list(self._tables):
            self._unregister(name)
        self._asked.clear()

    def close(self) -> None:
        """Close the connection. Closing twice is no error.

        Examples
        --------
        >>> from spora_db import Catalog
        >>> Catalog("lake").close()
        """
        self._connection.close()

    def _source(self, name: str) -> SourceQuery:
        """Return a source, built anew when one of its files was written since: its columns are known by position."""
        known = self._sources.get(name)
        if known is not None and self._stamps[name] == stamps(known.files):
            return known
        if known is not None:
            self._forget(name)
        built = self._build(name)
        self._sources[name], self._stamps[name] = built, stamps(built.files)
        return built

    def _build(self, name: str) -> SourceQuery:
        return SOURCES[name](self._folders)

    def _forget(self, name: str) -> None:
        """Drop a source and everything that may stand on it."""
        kinds = {name: _kind(name)}
        kinds |= dict.fromkeys(VIEWS, "VIEW") | dict.fromkeys(MACROS, "MACRO")
        for relation in reversed(kinds):
            if relation in REGION_FUNCTIONS and relation in self._made and self._regions is not None:
                self._connection.use().remove_function(relation)
            elif relation in self._made:
                self._connection.use().execute(f"DROP {kinds[relation]} {relation}")
        if name == "source_regions":
            self._regions = RegionFunctions(self._regions_of)
        self._made -= kinds.keys()
        self._checked.clear()
        self._contradictions.clear()
        self._described.clear()
        del self._sources[name]

    def _prepare(self, names: Iterable[str]) -> frozenset[str]:
        """Make the named relations and macros and all they stand on, if not there yet; return all their names."""
        with self._connection.lock:
            used = _with_needs(frozenset(names))
            listings = [listing for name in used if name in SOURCES for listing in self._source(name).listings]
            used = (*dict.fromkeys(listings), *used)  # all sources are known now: what stands on old ones is dropped
            for name in used:
                self._make(name)
        return frozenset(used)

    def _make(self, name: str) -> None:
        if name not in self._made:
            with self._guarded(used=frozenset({name})) as duck:
                if name in LISTINGS:
                    duck.from_arrow(listing_table(name, self._folders)).create(name)
                elif name in NAMING:
                    duck.execute(f"CREATE TABLE {name} AS {self._naming.relations()[name].sql(DIALECT)}")
                elif name in REGION_FUNCTIONS and self._regions is not None:
                    self._regions.register(duck, name)
                elif name in SOURCES:
                    duck.execute(f"CREATE {_kind(name)} {name} AS {self._sources[name].sql()}")
                else:
                    duck.execute(sql_text("views" if name in VIEWS else "macros", name))
            self._made.add(name)
        if name in CHECKED_AT_FIRST_USE and name not in self._checked:
            for check in CHECKS[name]:
                raise_contradiction(self._contradicting(check))
            self._checked.add(name)

    def _regions_of(self, dataset: str) -> pa.Table:
        """Return the regions of a dataset, by another connection: this one is at work."""
        with contextlib.closing(Database(self._folders, limits=self._limits, naming=self._naming)) as other:
            raise_contradiction([row for row in other._contradicting("region_rows") if row[0] == dataset])
            return other._answer(REGIONS, [dataset], names=frozenset({"regions"})).to_arrow_table()

    @contextlib.contextmanager
    def _guarded(
        self, names: Iterable[str] = (), used: frozenset[str] = frozenset(), asked: str = "", ran: str = ""
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend the connection for one thing at a time; an error of DuckDB becomes one of ours."""
        with self._connection.lock:
            try:
                yield self._connection.use()
            except (duckdb.InterruptException, RuntimeError) as error:  # what DuckDB makes of Ctrl-C while it works
                if "interrupt" not in str(error).lower():
                    raise
                raise KeyboardInterrupt from error
            except duckdb.Error as error:
                self._fail(error, names, used, asked, ran)

    def _fail(self, error: duckdb.Error, names: Iterable[str], used: frozenset[str], asked: str, ran: str) -> NoReturn:
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):  # it refuses all further work
            self._made.clear()
            self._connection.renew()
        if self._regions is not None and self._regions.failure is not None:
            failed, self._regions.failure = self._regions.failure, None
            raise failed from error
        sources = [self._sources[name] for name in SOURCES if name in used]
        raise failure(
            error, connection=self._connection.use(), relations=VIEWS, named=names, lake=self._folders.path, ran=ran,
            text=asked, branches=[branch for source in sources for branch in source.branches],
            origins=[origin for source in sources for origin in source.origins],
        ) from error  # fmt: skip
