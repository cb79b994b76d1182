"""The database behind a catalog: one DuckDB connection, closed to everything but the lake's parquet files.

A relation is made the first time a statement names it: the footers of its files are read or its folders listed
(``sources``), then the file of the same name in ``sql/views`` is run. A broken file therefore spoils the relations that
need it, with an error that names it, and no other. Of the cohorts' own columns a relation has those that statements
named so far, all after ``SELECT *``: DuckDB binds every column of a view anew for every statement.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
from sqlglot import exp

from spora_db.catalog.aliases import Naming
from spora_db.catalog.connection import Connection, Parameters, ResourceLimits, checked
from spora_db.catalog.describe import CHECKED_AT_FIRST_USE, CHECKS, raise_contradiction
from spora_db.catalog.failures import failure
from spora_db.catalog.known_sources import KnownSources
from spora_db.catalog.made_sources import UNBOUND, create_source
from spora_db.catalog.names_in import named_by, names_in
from spora_db.catalog.own_relations import FEATURE, FEATURE_MACRO, OwnRelations
from spora_db.catalog.region_functions import REGION_FUNCTIONS, REGIONS, RegionFunctions
from spora_db.catalog.relations import MACROS, NAMING, VIEWS, kind, standing_on
from spora_db.catalog.result import Result
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import QueryInterruptedError, SporaError
from spora_db.layout import Lake, TableFile
from spora_db.sources import LISTINGS, Origin, SourceQuery, allowed_paths, listing_state, listing_table
from spora_db.sources.own_tables import RESERVED
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import identifier
from spora_db.sqltext.named import Named
from spora_db.sqltext.names import fold


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
        self._own = OwnRelations(folders)
        self._sources = KnownSources(folders, builders=self._own.builders, written=self._written)
        self._found: dict[str, list[tuple[Any, ...]]] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._described: dict[str, Mapping[str, str]] = {}
        self._listed = listing_state(folders)
        self._regions = RegionFunctions(self._regions_of) if folders.tables("regions") else None

    def _answer(self, text: str, params: Parameters = None, *, names: Named, asked: str = "") -> Result:
        """Make the relations that a statement names and return its rows; errors show places in the text `asked`."""
        values = checked(params)
        used = self._prepare(names)
        self._asked |= used
        with self._guarded(names.relations, used, asked, ran=text) as duck:
            self._connection.bound(text)
            relation = duck.sql(text, params=values)
        return Result(relation, guarded=lambda: self._guarded(names.relations, used))

    def _show(self, table: pa.Table) -> Result:
        """Return an Arrow table as a result."""
        with self._guarded() as duck:
            return Result(duck.from_arrow(table), guarded=self._guarded)

    def _register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable as a relation, without copying it; no table of a user's is called so."""
        assert name in RESERVED, name
        with self._guarded() as duck:
            duck.register(name, table)
            self._tables[name] = table

    def _unregister(self, name: str) -> None:
        """Forget a registered table."""
        with self._guarded() as duck:
            duck.unregister(name)
            self._tables.pop(name, None)

    def _written(self, name: str, query: SourceQuery) -> SourceQuery:
        return query

    def _list(self, duck: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        duck.register(name, table)  # it is read where it lies, as fast as a copy

    def _names_of(self, relation: str) -> tuple[str, ...]:
        """Return the columns of a relation, in order; looked up once, until a file changes."""
        self._asked |= self._prepare(Named(relations=frozenset({relation})))
        if relation not in self._named:
            own = self._sources.own(relation)
            self._named[relation] = (*self._bound(relation, own), *own.values())
        return self._named[relation]

    def _columns_of(self, relation: str) -> Mapping[str, str]:
        """Return the columns of a relation with their DuckDB types, in order; looked up once, until a file changes."""
        self._asked |= self._prepare(Named(relations=frozenset({relation})))
        if relation not in self._described:
            own, alike = self._sources.own(relation), self._sources.alike(relation)
            bound = self._bound(relation, own, also=alike.values())
            types = {own[key]: bound[own[first]] for key, first in alike.items()}
            self._described[relation] = {name: kind for name, kind in bound.items() if name not in types} | types
        return self._described[relation]

    def _bound(self, relation: str, own: Mapping[str, str], *, also: Iterable[str] = ()) -> Mapping[str, str]:
        """Return the columns, with their types, that a relation has in every lake, and these of the cohorts' own."""
        names = Named(relations=frozenset({relation}), columns=frozenset(also))
        bound = self._answer(f"SELECT * FROM {_quoted(relation)} LIMIT 0", names=names)
        columns = zip(bound.columns, bound.types, strict=True)
        return {name: kind for name, kind in columns if fold(name) not in own.keys() - names.among(own)}

    def _origins(self, relation: str) -> list[Origin]:
        """Return where the columns of a relation come from, file by file."""
        used = self._prepare(Named(relations=frozenset({relation})))
        return [origin for source in self._sources.among(used) for origin in source.origins]

    def _files(self, relations: Iterable[str]) -> list[Path]:
        """Return the parquet files that relations stand on."""
        return self._sources.files(self._prepare(Named(relations=frozenset(relations))))

    def files_used(self) -> tuple[TableFile, ...]:
        """Return the parquet files behind the relations that were asked so far, by path."""
        used = set(self._sources.files(self._asked))
        tables = (table for table in self._folders.table_files if table.path in used)
        return tuple(sorted(tables, key=lambda table: table.path))

    def _once(self, text: str, names: Named) -> list[tuple[Any, ...]]:
        """Return the rows of a constant statement; they are looked for once, until a file changes."""
        self._asked |= self._prepare(names)
        if text not in self._found:
            self._found[text] = self._answer(text, names=names).fetchall()
        return self._found[text]

    def _contradicting(self, check: str) -> list[tuple[str | None, ...]]:
        """Return the contradictions that a check finds; of large files, that there are none is kept."""
        text, names = sql_text("checks", check).rstrip().removesuffix(";"), named_by("checks", check)
        if text not in self._found and (lasting := self._sources.lasting(text, self._prepare(names))) is not None:
            self._found[text] = lasting.unless_nothing(lambda: self._once(text, names))
        return self._once(text, names)

    def close(self) -> None:
        """Close the connection. Closing twice is no error.

        See Also
        --------
        Catalog.interrupt

        Examples
        --------
        >>> from spora_db import Catalog
        >>> Catalog("lake").close()
        """
        self._connection.close()

    def _drop(self, name: str) -> None:
        """Drop a source and what stands on it."""
        made = [relation for relation in (name, *VIEWS, *MACROS) if relation in self._made]  # no other text is parsed
        for relation in reversed(made):
            if relation != name and name not in standing_on(frozenset({relation})):
                continue
            if relation in REGION_FUNCTIONS and self._regions is not None:
                self._connection.use().remove_function(relation)
            else:
                self._connection.use().execute(f"DROP {kind(relation)} {_quoted(relation)}")
            self._made.remove(relation)

    def _forget(self, name: str) -> None:
        """Forget a source, and all that was found in the lake."""
        for found in (self._checked, self._found, self._named, self._described):
            found.clear()
        self._sources.forget(name)
        if name == "source_regions":
            self._regions = RegionFunctions(self._regions_of)

    def _prepare(self, names: Named) -> frozenset[str]:
        """Make the named relations and macros and all they stand on, if not there yet; return all their names."""
        with self._connection.lock:
            used = (*standing_on(names.relations), *self._own.among(names.relations))
            sources = [name for name in used if name in self._own.builders]
            for name in sources:
                if self._sources.is_stale(name):
                    self._forget(name)
                if self._sources.name(name, names):
                    self._drop(name)
            listings = dict.fromkeys(listing for name in sources for listing in self._sources.query(name).listings)
            used = (*listings, *used)  # all sources are known now: what stands on old ones is dropped
            for step in (self._make, self._check, self._make):  # a check may name more columns
                for name in used:
                    step(name)
        return frozenset(used)

    def _make(self, name: str) -> None:
        if name in self._made:
            return
        with self._guarded(used=frozenset({name})) as duck:
            if name in LISTINGS:
                self._list(duck, name, listing_table(name, self._folders))
            elif name in NAMING:
                duck.execute(f"CREATE TABLE {name} AS {self._naming.relations()[name].sql(DIALECT)}")
            elif name in REGION_FUNCTIONS and self._regions is not None:
                self._regions.register(duck, name)
            elif name in self._own.builders:
                if (table := self._own.given(name)) is not None:
                    duck.register(f"source_own_{name}", table)
                create_source(duck, name, self._sources)
            elif name == FEATURE:
                duck.execute(FEATURE_MACRO)
            else:
                text = sql_text("views" if name in VIEWS else "macros", name)
                duck.execute(text.replace(f"CREATE VIEW {name} AS", f"CREATE VIEW {name} {UNBOUND} AS"))
        self._made.add(name)

    def _check(self, name: str) -> None:
        """Refuse a relation that contradicts itself, at its first use."""
        if name in CHECKED_AT_FIRST_USE and name not in self._checked:
            for check in CHECKS[name]:
                raise_contradiction(self._contradicting(check))
            self._checked.add(name)
        elif name in self._own.names and name not in self._checked:
            self._checked.add(name)
            try:
                self._own.check(name, self._rows_of)
            except SporaError:
                self._checked.discard(name)
                raise

    def _rows_of(self, query: exp.Select) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT of our own."""
        return self._answer(query.sql(DIALECT), names=names_in(query)).fetchall()

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations, in the order in which they build on each other; those of one lake come last."""
        return (*VIEWS, *self._own.names, *self._own.features)

    def _regions_of(self, dataset: str) -> pa.Table:
        """Return the regions of a dataset, by another connection: this one is at work."""
        with contextlib.closing(Database(self._folders, limits=self._limits, naming=self._naming)) as other:
            raise_contradiction([row for row in other._contradicting("region_rows") if row[0] == dataset])
            return other._answer(REGIONS, [dataset], names=Named(relations=frozenset({"regions"}))).to_arrow_table()

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
                if threading.current_thread() is threading.main_thread():
                    raise KeyboardInterrupt from error
                raise QueryInterruptedError("The query was interrupted by another thread. Ask again.") from error
            except duckdb.Error as error:
                self._fail(error, names, used, asked, ran)

    def _fail(self, error: duckdb.Error, names: Iterable[str], used: frozenset[str], asked: str, ran: str) -> NoReturn:
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):  # it refuses all further work
            self._made.clear()
            self._connection.renew()
        if self._regions is not None and self._regions.failure is not None:
            failed, self._regions.failure = self._regions.failure, None
            raise failed from error
        sources = [name for name in self._own.builders if name in used]
        raise failure(
            error, connection=self._connection.use(), relations=self.relations, named=names, columns_of=self._names_of,
            branches=[branch for name in sources for branch in self._sources.query(name).branches],
            origins=[origin for source in self._sources.among(used) for origin in source.origins],
            lake=self._folders.path, ran=ran, text=asked,
        ) from error  # fmt: skip


def _quoted(relation: str) -> str:
    return identifier(relation).sql(DIALECT)
