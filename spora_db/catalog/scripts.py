"""The relations of a lake, and queries over them, as SQL for other engines."""

from spora_db.catalog.describe import script
from spora_db.catalog.open_lake import OpenLake
from spora_db.catalog.own_relations import own_statements
from spora_db.catalog.relations import MACROS, VIEWS
from spora_db.dialects import Dialect, check_dialect


class Scripts(OpenLake):
    """What a lake's relations and queries are elsewhere."""

    def translate(self, text: str, *, dialect: Dialect) -> str:
        """Return a query over the relations in the SQL of another engine that has the same relations (see `ddl`).

        Parameters
        ----------
        text
            One SELECT.
        dialect
            ``"postgres"``, ``"spark"`` or ``"duckdb"``.

        Raises
        ------
        QueryError
            If something in it has no translation; the message names it.

        See Also
        --------
        Catalog.ddl, SporaQuery.sql

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     print(catalog.translate("SELECT count(*) AS n FROM tiles WHERE tile_size = 128", dialect="spark"))
        SELECT
          COUNT(*) AS `n`
        FROM `tiles` AS `tiles`
        WHERE
          `tiles`.`tile_size` = 128
        """
        check_dialect(dialect)
        if dialect == "duckdb":
            return text
        from spora_db.catalog.foreign import foreign_select  # 0.06 of importing the package

        return foreign_select(text, dialect, relations=self.relations, columns=self.column_types)

    def ddl(self, *, dialect: Dialect = "duckdb", location: str | None = None) -> str:
        """Return the script that makes all relations in any DuckDB (paste it into its shell), or in another engine.

        Images and masks are listed in the script; parquet files are read from where they are, by whoever runs it. A
        table of your own that was given lies in no file: it is made empty, to be loaded with ``SELECT * FROM <name>``.

        Parameters
        ----------
        dialect
            ``"spark"`` reads the parquet files as DuckDB does; ``"postgres"`` gets empty tables, to be loaded with
            ``SELECT * FROM <relation>``, and views for ``tissue_channels``, ``markers`` and ``tiles``; no macros, no
            features, and your own tables without columns that are structs, maps or unions. Of ``regions`` neither has
            ``polygon`` (load it with ``SELECT * EXCLUDE (polygon)``), Spark no area and box.
        location
            Where Spark finds the lake, such as ``"s3a://bucket/lake"``; None for its own path or address (``s3a``).

        Raises
        ------
        QueryError
            If a column or a path has no translation.

        See Also
        --------
        SporaQuery.sql, Catalog.translate

        Examples
        --------
        >>> from spora_db import Catalog
        >>> with Catalog("lake") as catalog:
        ...     script = catalog.ddl(dialect="spark", location="s3a://bucket/lake")
        >>> "s3a://bucket/lake/lung_imc/metadata/tissues.parquet" in script
        True
        """
        if dialect == "duckdb" and location is None:
            own = own_statements(self._own, self._folders, columns=self.column_types)
            return script(self._folders, views=VIEWS, macros=MACROS, naming=self._naming, own=own)
        from spora_db.catalog.foreign import foreign_script

        return foreign_script(dialect, self._folders, own=self._own, columns=self.column_types, location=location)
