"""An open lake as queries use it: SQL of spora-db's own, tables beside the relations, and an end."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog.aliases import Naming, read_aliases
from spora_db.catalog.connection import Parameters
from spora_db.catalog.database import Database
from spora_db.catalog.describe import CHECKS, raise_contradiction
from spora_db.catalog.names_in import names_in, names_in_text
from spora_db.catalog.relations import NAMING, VIEWS
from spora_db.catalog.result import Result
from spora_db.catalog.sql_files import header
from spora_db.errors import unknown
from spora_db.layout import LakePath, scan
from spora_db.sources import allowed_paths, listing_state
from spora_db.sources.given_tables import GivenTable, read_given
from spora_db.sqltext.binding import Compiled
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    from spora_db.catalog.aliases import AliasTable

_names = lru_cache(maxsize=256)(names_in_text)
"""Constant texts are parsed once."""


class OpenLake(Database):
    """What a `Catalog` is to the rest of spora-db: `_run` answers without the guard, which is for users.

    Parameters
    ----------
    lake, memory_limit, threads, aliases, tables
        As `Catalog` takes them.
    """

    def __init__(
        self,
        lake: LakePath,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        aliases: "AliasTable" = None,
        tables: "Mapping[str, GivenTable] | None" = None,
    ) -> None:
        limits = {"memory_limit": memory_limit, "threads": threads}
        super().__init__(scan(lake), limits=limits, naming=Naming(aliases=read_aliases(aliases)))
        for name, table in ({} if tables is None else tables).items():
            self._give(name, read_given(table, at=f"Catalog(tables={{{name!r}: "), at="Catalog(tables=")

    @property
    def lake(self) -> Path:
        """The lake as one path: its folder, or those of its layers, separated as ``PATH`` is."""
        return self._folders.path

    def _relative(self, path: Path) -> str:
        """Return the path of a file of the lake as ``path`` has it."""
        return self._folders.relative(path)

    def _run(self, what: str | exp.Expr | Compiled, params: Parameters = None) -> Result:
        """Run SQL that spora-db wrote itself, without the guard, which alone keeps SQL from writing: never a user's.

        Parameters
        ----------
        what
            A constant text, a tree, or a compiled query, which has its parameters.
        params
            The values.
        """
        if isinstance(what, Compiled):
            return self._answer(what.text(), what.parameters, names=names_in(what.tree))
        if isinstance(what, str):
            return self._answer(what, params, names=_names(what))
        return self._answer(what.sql(DIALECT), params, names=names_in(what))

    def columns(self, relation: str) -> tuple[str, ...]:
        """Return the names of the columns of a `relation`, as `column_types` does.

        See Also
        --------
        Catalog.column_types, Catalog.schema

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.columns("tile_coordinates")[-3:]
        ('tile_id', 'row', 'col')
        """
        return self._names_of(self._known(relation))

    def column_types(self, relation: str) -> dict[str, str]:
        """Return the columns of a `relation` with their DuckDB types, in order.

        Raises
        ------
        UnknownNameError
            If there is no such relation.

        See Also
        --------
        Catalog.columns, Catalog.schema

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.column_types("tile_coordinates")["row"]
        'BIGINT'
        """
        return dict(self._columns_of(self._known(relation)))

    def _purpose(self, relation: str) -> str:
        """Return what the rows of a relation are; of users' tables and of features also the layer that they lie in."""
        if relation in VIEWS:
            return header("views", relation)["purpose"]
        what = "the features of a set" if relation in self._own.features else "a table of your own"
        where = self._layers_of(relation)
        return what if where is None else f"{what}, in {where}"

    def _layers_of(self, relation: str) -> str | None:
        return self._folders.layers_of(self._files([relation]))

    def _types(self, relation: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the DuckDB types of some columns of a relation; those of all are dear where there are thousands."""
        query = exp.select(*(exp.column(name, quoted=True) for name in columns))
        query = query.from_(exp.table_(relation, quoted=True))
        return tuple(row[1] for row in self._once(f"DESCRIBE {query.sql(DIALECT)}", names_in(query)))

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        """Return the rows of a constant question to the lake, which is asked once, until a file changes."""
        return self._once(text, _names(text))

    def _known(self, relation: str) -> str:
        if relation not in self.relations:
            raise unknown("relation", relation, self.relations, where=f"lake {str(self.lake)!r}")
        return relation

    def _give(self, name: str, table: pa.Table, *, at: str, lent: bool = False, instead: bool = False) -> None:
        """Take a user's table as a relation, see `OwnRelations.give`."""
        with self._connection.lock:
            self._own.give(name, table, at=at, lent=lent, instead=instead)
            self._withdraw(name)

    def _withdraw(self, name: str) -> None:
        """Drop what was made of a table that was given."""
        self._drop(name)
        self._forget(name)

    def use_naming(self, naming: Naming) -> None:
        """Let markers be called so from now on, and no longer as before."""
        with self._guarded() as duck:
            for name in NAMING if naming != self._naming else ():
                if name in self._made:
                    duck.execute(f"DROP TABLE {name}")
                    self._made.remove(name)
            self._naming = naming

    def stands_for(self, lake: LakePath) -> bool:
        """Tell whether a new catalog of `lake` would see the same: parquet files are compared when they are named."""
        folders = scan(lake)
        listed = listing_state(folders)
        same = self._folders == folders and listed is not None and listed == self._listed
        return same and not self._connection.closed and allowed_paths(folders) == self._connection.allowed

    def forget_questions(self) -> None:
        """Forget which relations were named, and all tables that were registered or lent."""
        for name in self._own.forget_lent():
            self._withdraw(name)
        for name in list(self._tables):
            self._unregister(name)
        self._asked.clear()

    def check_channels(self, modality: str | None = None) -> None:
        """Check that the panels and the measured channels of a modality (of all) name the same channels.

        Raises
        ------
        TableError
            If a name is in one table and not in the other, or repeated.
        """
        for name in CHECKS["tissue_channels"]:
            raise_contradiction([row for row in self._contradicting(name) if modality in (None, row[1])])

    def check_cells(self) -> None:
        """Check that every row of the cells tables names one cell, by a label that a mask can have.

        Raises
        ------
        TableError
            If a cell is listed twice, or a row has no such id.
        """
        raise_contradiction(self._contradicting("cell_rows"))

    @contextlib.contextmanager
    def _registered(self, name: str, table: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable as a relation of `_run` within a ``with`` block."""
        self._register(name, table)
        try:
            yield
        finally:
            self._unregister(name)

    def interrupt(self) -> None:
        """End the query that another thread runs; without one, do nothing.

        That thread gets a `QueryInterruptedError`, the main one a KeyboardInterrupt, as of Ctrl-C.

        See Also
        --------
        Catalog.close, Catalog.sql

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.interrupt()
        """
        self._connection.interrupt()

    def __enter__(self) -> Self:
        """Return the catalog itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: no database handle reaches a worker."""
        message = "A Catalog cannot be pickled: it owns a database connection. Hand over the path of the lake instead."
        raise TypeError(message)
