"""Answers of a query that say how it is asked: its SQL, and what DuckDB will read for it."""

from spora_db.catalog import Explanation
from spora_db.dialects import Dialect
from spora_db.errors import QueryError
from spora_db.query.question import Question

NOT_THERE = """\
-- {name} is a table that was given to join(). Make it there with
-- Catalog(lake, tables={{"{name}": table}}).ddl(dialect="{dialect}"), and load its rows: SELECT * FROM {name}
"""


class SqlAnswers(Question):
    """What a `SporaQuery` is in SQL."""

    __slots__ = ()

    def sql(self, *, dialect: Dialect = "duckdb") -> str:
        """Return the one SELECT that answers the query, ready to paste into `spora-db sql` or the DuckDB shell.

        Macros in its conditions know the `aliases` of `channels` there only if the catalog is opened with them. A table
        that was given to `join` is nowhere but here: a comment before the SELECT says how it gets there.

        Parameters
        ----------
        dialect
            Another engine that has the same relations (``Catalog.ddl(dialect=...)`` makes them there): ``"postgres"``
            or ``"spark"``. It selects the same rows there, samples included; they come back with `from_arrow`.

        Raises
        ------
        QueryError
            If the query has no translation, such as one over rows of an Arrow table.

        See Also
        --------
        SporaQuery.explain, Catalog.ddl

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> print(SporaQuery("lake").modality("imc").tissues(mpp=1.0).sql(dialect="postgres"))
        SELECT
          "base"."dataset" AS "dataset",
          ...
        """
        with self._compiled() as (resolved, compiled, catalog):
            asked = resolved.selection
            if dialect != "duckdb" and (asked.rows_table is not None or any(join.only for join in asked.joins)):
                raise QueryError("Rows from an Arrow table are in no other engine: this query has no translation.")
            text = catalog.translate(compiled.text(inline=True), dialect=dialect)
        given = [join.name for join in asked.joins if join.table is not None]
        return "".join(NOT_THERE.format(name=name, dialect=dialect) for name in given) + text

    def explain(self) -> Explanation:
        """Return the SQL, DuckDB's plan, the files and row groups that it touches, and its estimate of the rows.

        Printed, it is a text; nothing is run.

        See Also
        --------
        SporaQuery.sql, SporaQuery.count

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> print(query.explain())
        SELECT
          "base"."dataset",
          ...
        """
        with self._compiled() as (_, compiled, catalog):
            return catalog._explain(compiled)
