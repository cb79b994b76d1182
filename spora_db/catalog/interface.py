"""The catalog: a lake's files as SQL relations, read-only. What users and queries see of the database."""

from sqlglot import exp

from spora_db.catalog.connection import Parameters
from spora_db.catalog.describe import CHECKS, raise_contradiction, schema_table
from spora_db.catalog.explain import explain
from spora_db.catalog.explanation import Explanation
from spora_db.catalog.html import catalog_html
from spora_db.catalog.names_in import names_in
from spora_db.catalog.result import Result
from spora_db.catalog.scripts import Scripts
from spora_db.errors import QueryError
from spora_db.guard import Statement, check_statement
from spora_db.remembered.quarantine import read_quarantine
from spora_db.sources import verify_pages
from spora_db.sources.given_tables import GivenTable, read_given
from spora_db.sqltext.binding import Compiled
from spora_db.sqltext.dialect import DIALECT


class Catalog(Scripts):
    """A lake as a read-only database.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder; or several, the layers of one lake: of two files with one path the later
        layer's is seen.
    memory_limit
        The most memory DuckDB may take, such as ``"4GB"``; None leaves DuckDB's own limit (80 % of the machine).
    threads
        Number of threads; None takes one per core.
    aliases
        Further names for markers, for the macros: a mapping from alias to channel name or accession, or to several in
        order of preference; or an Arrow table, a DataFrame, or a parquet or CSV file with the columns ``alias`` and
        ``marker``.
    tables
        Further relations, by name: an Arrow table, a DataFrame of pandas or polars, or a parquet or CSV file; see
        `register`.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, or no dataset in it.
    ArgumentError
        If DuckDB refuses a limit, or the aliases are none.

    See Also
    --------
    SporaQuery, Catalog.sql, Catalog.schema

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

        See Also
        --------
        Catalog.check, Catalog.schema, SporaQuery.from_sql

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.sql("SELECT dataset, modalities FROM datasets WHERE dataset = ?", ["lung_imc"]).fetchall()
        [('lung_imc', ['he', 'imc'])]
        """
        statement = check_statement(text, relations=self.relations)
        return self._answer(statement.text, params, asked=text, names=statement.names)

    def register(self, name: str, table: "GivenTable") -> None:
        """Take a table of your own as a relation, for as long as the catalog is open.

        It says by its columns what each row is about: ``dataset`` (may be left out of a lake of one) and ``tissue_id``,
        with ``tile_id`` a tile (and ``mpp``, ``strategy``, ``tile_size``, where it has them), with ``cell_id`` a cell;
        ``modality`` where rows are about one. Each is there once; ids become text, as everywhere. Tables in the lake
        itself, ``tables/<name>.parquet`` beside the datasets or in one, are relations without being registered.

        Parameters
        ----------
        name
            What SQL calls it: small letters, digits, underscores.
        table
            A pyarrow Table, a DataFrame of pandas or polars, or a parquet or CSV file. It is read now, and a later call
            replaces it.

        Raises
        ------
        ArgumentError
            If the lake has a relation of this name, or it is no table.
        TableError
            If it has no ``dataset`` where the lake has several; at its first use, if rows share a key. Rows about what
            the lake does not have are told by an `OrphanRowsWarning` then. A table without ``tissue_id`` is taken as it
            is: SQL joins it as it likes, `SporaQuery.join` does not.

        See Also
        --------
        SporaQuery.join, SporaQuery.from_arrow

        Examples
        --------
        >>> import pyarrow as pa
        >>> from spora_db import Catalog
        >>> labels = pa.table({"dataset": ["lung_imc"], "tissue_id": ["lung_imc_l001_0001"], "score": [2]})
        >>> with Catalog("lake") as catalog:
        ...     catalog.register("labels", labels)
        ...     catalog.sql("SELECT score, cancer_type FROM labels JOIN tissues USING (dataset, tissue_id)").fetchall()
        [(2, 'LUAD'), (2, 'LUAD')]
        """
        self._give(name, read_given(table, at="Catalog.register(name, "), at="Catalog.register(")

    def _select(self, what: exp.Select, statement: Statement) -> Result:
        """Select from the rows of a statement that the guard checked; it is no EXPLAIN."""
        text = f"{what.sql(DIALECT)} FROM (\n{statement.text}\n)"
        return self._answer(text, names=statement.names)

    def explain_sql(self, text: str, params: Parameters = None) -> Explanation:
        """Return what a query will read, without running it: files, DuckDB's plan and its estimate of the rows.

        Parameters
        ----------
        text, params
            As for `sql`.

        Raises
        ------
        QueryError
            If the text is refused, does not parse or does not run.

        See Also
        --------
        Catalog.check, SporaQuery.explain

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     explanation = catalog.explain_sql("SELECT * FROM tissues WHERE dataset = 'lung_imc'")
        >>> [file.path for file in explanation.files]
        ['lung_imc/metadata/tissues.parquet']
        """
        statement = check_statement(text, relations=self.relations)
        if statement.explains:
            raise QueryError("The query to explain starts with EXPLAIN itself. Leave this word out.")
        return explain(self, statement.text, params, shown=text, names=statement.names)

    def _explain(self, compiled: Compiled) -> Explanation:
        """Say what a compiled query will read, without running it: DuckDB's plan, files, row groups, estimate."""
        text, shown = compiled.text(), compiled.text(inline=True)
        return explain(self, text, compiled.parameters, shown=shown, names=names_in(compiled.tree))

    def schema(self) -> Result:
        """Describe every column of every relation.

        Returns
        -------
        Result
            ``relation, column, type, cohorts, problem, layers``: ``cohorts`` lists, where types were reconciled or a
            name had to change, what each dataset has; ``problem`` is the error of a relation that cannot be read;
            ``layers`` the folders of the lake with parquet files of the relation (NULL where it has none).

        See Also
        --------
        Catalog.columns, Catalog.column_types

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.schema().df().query("relation == 'tile_coordinates'")["column"].tolist()[-3:]
        ['tile_id', 'row', 'col']
        """
        table = schema_table(self.relations, describe=self.column_types, origins=self._origins, layers=self._layers_of)
        return self._show(table)

    def check(self, *relations: str) -> None:
        """Check the files that relations stand on, those of all relations where none is named.

        Every page of every file is read and compared with its checksum where it has one; rows that must be unique are;
        the panels and the measured channels name the same channels. `sql` does the cheap part of this at first use.

        Parameters
        ----------
        relations
            Their names.

        Raises
        ------
        FileFormatError
            At the first file that is broken.
        TableError
            At the first contradiction: a name in one table and not in the other, a row that must be unique repeated.

        See Also
        --------
        Catalog.sql, Catalog.explain_sql

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     catalog.check("tiles")
        """
        for path in self._files(relations or self.relations):
            verify_pages(path)
        for name in dict.fromkeys(check for relation in relations or CHECKS for check in CHECKS.get(relation, ())):
            raise_contradiction(self._contradicting(name))

    def quarantine(self) -> Result:
        """Return the rows that ``to_torch(on_error="replace")`` could not read, for `SporaQuery.exclude`.

        Returns
        -------
        Result
            ``dataset, tissue_id, modality, mpp, tile_size, tile_id, cell_id, row, col, error, time`` (UTC, of the first
            failure); a row each; none where nothing failed. They are kept in a file of the user, see
            `spora_db.remembered.quarantine`.

        See Also
        --------
        SporaQuery.exclude, SporaQuery.to_torch

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     len(catalog.quarantine())
        0
        """
        return self._show(read_quarantine(self.lake))

    def __repr__(self) -> str:
        """Return the lake and its datasets."""
        return f"Catalog({self._folders.name!r}: {', '.join(dataset.name for dataset in self._folders.datasets)})"

    def _repr_html_(self) -> str:
        return catalog_html(self)
