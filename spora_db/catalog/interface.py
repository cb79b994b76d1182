"""The catalog: a lake's files as SQL relations, read-only. What users and queries see of the database."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog.aliases import Naming, read_aliases
from spora_db.catalog.connecting import Parameters
from spora_db.catalog.database import MACROS, VIEWS, Database
from spora_db.catalog.describe import CHECKS, raise_contradiction, schema_table, script
from spora_db.catalog.explain import Explanation, explain
from spora_db.catalog.foreign import foreign_script
from spora_db.catalog.result import Result
from spora_db.catalog.sql_files import names_in_text
from spora_db.dialects import Dialect, check_dialect, translate
from spora_db.errors import QueryError, unknown
from spora_db.guard import Statement, check_statement
from spora_db.layout import TableFile, scan
from spora_db.remembered.quarantine import read_quarantine
from spora_db.sources import verify_pages
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    from spora_db.catalog.aliases import AliasTable


class Catalog:
    """A lake as a read-only database.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    memory_limit
        The most memory DuckDB may take, such as ``"4GB"``; None leaves DuckDB's own limit (80 % of the machine).
    threads
        Number of threads; None takes one per core.
    aliases
        Further names for markers, for the macros: a mapping from alias to channel name or accession, or to several in
        order of preference; or an Arrow table, a DataFrame, or a parquet or CSV file with the columns ``alias`` and
        ``marker``.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, or no dataset in it.
    ArgumentError
        If DuckDB refuses a limit, or the aliases are none.

    Notes
    -----
    The connection lives in memory and is closed to everything outside: DuckDB may open the parquet files that were
    listed at opening and nothing else, loads no extension, sees no Python variable, and its settings are locked.
    Folders are listed once; a parquet file that is written again is read again.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pathlib.Path(folder, "cohort", "imc", "1_0mpp", "images").mkdir(parents=True)
    ...     with Catalog(folder) as catalog:
    ...         catalog.sql("SELECT dataset, modalities, n_images FROM datasets").fetchall()
    [('cohort', ['imc'], 0)]
    """

    def __init__(
        self,
        lake: str | os.PathLike[str],
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        aliases: "AliasTable" = None,
    ) -> None:
        self._folders = scan(lake)
        self._limits = {"memory_limit": memory_limit, "threads": threads}
        self._database = Database(self._folders, limits=self._limits, naming=Naming(aliases=read_aliases(aliases)))

    @property
    def lake(self) -> Path:
        """The folder that ``path`` in ``images``, ``masks`` and ``datasets`` is relative to."""
        return self._folders.root

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations, in the order in which they build on each other."""
        return VIEWS

    def sql(self, text: str, params: Parameters = None) -> Result:
        """Answer one statement of a user over the relations.

        Parameters
        ----------
        text
            SQL that asks, as DuckDB reads it: SELECT, FROM, TABLE, VALUES, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW
            TABLES, EXPLAIN; ``?`` or ``$name`` stand for values.
        params
            The values, in order or by name.

        Returns
        -------
        Result
            Behaves like a DuckDB relation: ``.df()``, ``.arrow()``, ``.fetchall()``, ``.columns``, ``.show()``.

        Raises
        ------
        QueryError
            If the text is refused, does not parse or does not run.
        UnknownNameError
            For a relation or column that does not exist; the message lists near ones.
        FileFormatError
            If a file that the answer needs is broken.
        TableError
            If a table contradicts itself or another one.
        """
        statement = check_statement(text, relations=VIEWS)
        return self._database.run(statement.text, params, asked=text, names=statement.names)

    def _run(self, text: str, params: Parameters = None) -> Result:
        """Run SQL that spora-db wrote itself, without the guard, which alone keeps SQL from writing: never a user's."""
        return self._database.run(text, params)

    def _select(self, what: exp.Select, statement: Statement) -> Result:
        """Select from the rows of a statement that the guard checked; it is no EXPLAIN."""
        text = f"{what.sql(DIALECT)} FROM (\n{statement.text}\n)"
        return self._database.run(text, names=statement.names)

    def translate(self, text: str, *, dialect: Dialect) -> str:
        """Return a query over the relations in the SQL of another engine that has the same relations (see `ddl`).

        Raises
        ------
        QueryError
            If something in it has no translation; the message names it.
        """
        check_dialect(dialect)
        if dialect == "duckdb":
            return text
        named = names_in_text(text)
        columns = {name: self.column_types(name) for name in VIEWS if name in named}
        return translate(text, dialect=dialect, columns=columns)

    def explain_sql(self, text: str, params: Parameters = None) -> Explanation:
        """Say what a user's query (see `sql`) will read, without running it.

        Raises
        ------
        QueryError
            If the text is refused, does not parse or does not run.
        """
        statement = check_statement(text, relations=VIEWS)
        if statement.explains:
            raise QueryError("The query to explain starts with EXPLAIN itself. Leave this word out.")
        return self._explain(statement.text, params, shown=text, names=statement.names)

    def _explain(
        self, text: str, params: Parameters = None, *, shown: str | None = None, names: frozenset[str] | None = None
    ) -> Explanation:
        """Say what a statement of `_run` will read, without running it: DuckDB's plan, files, row groups, estimate.

        Parameters
        ----------
        text, params
            The statement.
        shown
            How it is shown; None shows it as it is.
        names
            The relations and functions that it names; None looks for them.
        """
        return explain(
            text,
            params,
            shown=text if shown is None else shown,
            names=names,
            folders=self._folders,
            registered=self._database.registered,
            limits=self._limits,
            naming=self._database.naming,
        )

    def columns(self, relation: str) -> tuple[str, ...]:
        """Return the names of a relation's columns, as `column_types` does."""
        return tuple(self.column_types(relation))

    def schema(self) -> Result:
        """Describe every column of every relation.

        Returns
        -------
        Result
            ``relation, column, type, cohorts, problem``: ``cohorts`` lists, where types were reconciled or a name had
            to change, what each dataset has; ``problem`` is the error of a relation that cannot be read.
        """
        table = schema_table(VIEWS, describe=self.column_types, origins=self._database.origins)
        return self._database.show(table)

    def column_types(self, relation: str) -> dict[str, str]:
        """Return the columns of a relation with their DuckDB types, in order.

        Raises
        ------
        UnknownNameError
            If there is no such relation.
        """
        if relation not in VIEWS:
            raise unknown("relation", relation, VIEWS, where=f"lake {str(self.lake)!r}")
        return dict(self._database.columns(relation))

    def ddl(self, *, dialect: Dialect = "duckdb", location: str | None = None) -> str:
        """Return the script that makes all relations in any DuckDB (paste it into its shell), or in another engine.

        Images and masks are listed in the script; parquet files are read from where they are, by whoever runs it.

        Parameters
        ----------
        dialect
            ``"spark"`` reads the parquet files as DuckDB does; ``"postgres"`` gets empty tables, to be loaded with
            ``SELECT * FROM <relation>``, and views for ``tissue_channels``, ``markers`` and ``tiles``; no macros.
        location
            Where Spark finds the lake, such as ``"s3a://bucket/lake"``; None for its own path.

        Raises
        ------
        QueryError
            If a column or a path has no translation.
        """
        if dialect == "duckdb" and location is None:
            return script(self._folders, views=VIEWS, macros=MACROS, naming=self._database.naming)
        return foreign_script(dialect, self._folders, relations=VIEWS, columns=self.column_types, location=location)

    def check(self, *relations: str) -> None:
        """Check the files that relations stand on, those of all relations where none is named.

        Every page of every file is read and compared with its checksum where it has one; rows that must be unique are;
        the panels and the measured channels name the same channels. `sql` does the cheap part of this at first use.

        Raises
        ------
        FileFormatError
            At the first file that is broken.
        TableError
            At the first contradiction: a name in one table and not in the other, a row that must be unique repeated.
        """
        for path in self._database.files(relations or VIEWS):
            verify_pages(path)
        for name in dict.fromkeys(check for relation in relations or CHECKS for check in CHECKS.get(relation, ())):
            raise_contradiction(self._database.check_rows(name))

    def check_channels(self, modality: str | None = None) -> None:
        """Check that the panels and the measured channels of a modality (of all) name the same channels.

        Raises
        ------
        TableError
            If a name is in one table and not in the other, or repeated.
        """
        for name in CHECKS["tissue_channels"]:
            raise_contradiction([row for row in self._database.check_rows(name) if modality in (None, row[1])])

    def check_cells(self) -> None:
        """Check that every row of the cells tables names one cell, by a label that a mask can have.

        Raises
        ------
        TableError
            If a cell is listed twice, or a row has no such id.
        """
        raise_contradiction(self._database.check_rows("cell_rows"))

    def files_used(self) -> tuple[TableFile, ...]:
        """Return the parquet files behind the relations that were asked so far, by path."""
        used = self._database.files_used()
        tables = (table for dataset in self._folders.datasets for table in dataset.tables if table.path in used)
        return tuple(sorted(tables, key=lambda table: table.path))

    def quarantine(self) -> Result:
        """Return the rows that ``to_torch(on_error="replace")`` could not read, for `SporaQuery.exclude`.

        Returns
        -------
        Result
            ``dataset, tissue_id, modality, mpp, tile_size, tile_id, cell_id, row, col, error, time`` (UTC, of the first
            failure); a row each; none where nothing failed. They are kept in a file of the user, see
            `spora_db.remembered.quarantine`.
        """
        return self._database.show(read_quarantine(self.lake))

    def _register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable as a relation of `_run`, without copying it."""
        self._database.register(name, table)

    @contextlib.contextmanager
    def _registered(self, name: str, table: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable as a relation of `_run` within a ``with`` block."""
        self._register(name, table)
        try:
            yield
        finally:
            self._database.unregister(name)

    def stands_for(self, lake: str | os.PathLike[str]) -> bool:
        """Tell whether a new catalog of `lake` would see the folders that this one saw when it was opened."""
        return self._database.stands_for(scan(lake))

    def use_naming(self, naming: Naming) -> None:
        """Let the macros know these further names for markers, and no others."""
        self._database.use_naming(naming)

    def forget_questions(self) -> None:
        """Forget which relations were asked for, and unregister all tables."""
        self._database.forget_questions()

    def interrupt(self) -> None:
        """End the query that another thread runs, with a KeyboardInterrupt there; without one, do nothing."""
        self._database.interrupt()

    def close(self) -> None:
        """Close the connection. Closing twice is no error."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the catalog itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def __repr__(self) -> str:
        """Return the lake and its datasets."""
        return f"Catalog({str(self.lake)!r}: {', '.join(dataset.name for dataset in self._folders.datasets)})"

    def _repr_html_(self) -> str:
        from spora_db.catalog.html import catalog_html

        return catalog_html(self)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: no database handle reaches a worker."""
        message = "A Catalog cannot be pickled: it owns a database connection. Hand over the path of the lake instead."
        raise TypeError(message)
