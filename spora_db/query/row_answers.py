"""Answers of a query that are its rows: SQL, counts, tables, the frozen plan and tensors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Explanation
from spora_db.dialects import Dialect
from spora_db.errors import QueryError, need
from spora_db.files.whole_numbers import as_frame
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.query.question import Question
from spora_db.selection.empty import warn_of_nothing

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from spora_db.images.base import MissingChunks
    from spora_db.loading.dataset import PlanDataset


class RowAnswers(Question):
    """The rows of a `SporaQuery`, named by what they are returned as."""

    __slots__ = ()

    def sql(self, *, dialect: Dialect = "duckdb") -> str:
        """Return the one SELECT that answers the query, ready to paste into `spora-db sql` or the DuckDB shell.

        Macros in its conditions know the `aliases` of `channels` there only if the catalog is opened with them.

        Parameters
        ----------
        dialect
            Another engine that has the same relations (``Catalog.ddl(dialect=...)`` makes them there): ``"postgres"``
            or ``"spark"``. It selects the same rows there, samples included; they come back with `from_arrow`.

        Raises
        ------
        QueryError
            If the query has no translation, such as one over rows of an Arrow table.
        """
        with self._compiled() as (resolved, compiled, catalog):
            if dialect != "duckdb" and resolved.selection.rows_table is not None:
                raise QueryError("Rows from an Arrow table are in no other engine: this query has no translation.")
            return catalog.translate(compiled.text(inline=True), dialect=dialect)

    def count(self) -> int:
        """Return the number of rows.

        Of a query that selects nothing, a warning names what in it can match nothing: a condition on a value that no
        row has, with the near ones; images of several modalities that no tissue has together.
        """
        with self._compiled() as (resolved, compiled, catalog):
            counted = exp.select("count(*)").from_(compiled.rows().subquery("rows"))
            number = int(catalog._run(counted, compiled.parameters).fetchall()[0][0])
            if not number:
                warn_of_nothing(resolved, catalog)
            return number

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table: the identity columns, then those of `select`, in order of the identity."""
        with self._compiled() as (resolved, compiled, catalog):
            table = catalog._run(compiled).to_arrow_table()
            if not len(table):
                warn_of_nothing(resolved, catalog)
            return table

    def df(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame, with the columns of `to_arrow`."""
        return as_frame(self.to_arrow())

    def pl(self) -> "pl.DataFrame":
        """Return the rows as a polars DataFrame, with the columns of `to_arrow`.

        Raises
        ------
        MissingExtraError
            If polars is not installed.
        """
        polars = need("polars", extra=None, what="pl()", instead="Without it, use to_arrow() or df().")
        return cast("pl.DataFrame", polars.from_arrow(self.to_arrow()))

    def explain(self) -> Explanation:
        """Return the SQL, DuckDB's plan, the files and row groups that it touches, and its estimate of the rows.

        Printed, it is a text; nothing is run.
        """
        with self._compiled() as (_, compiled, catalog):
            return catalog._explain(compiled)

    def plan(self) -> Plan:
        """Return the frozen plan: what `to_torch` loads, without a connection or an open file."""
        return plan_of(self.lake, self.selection)

    def to_torch(
        self,
        *,
        missing_chunks: "MissingChunks" = "error",
        vocabulary: Sequence[str] | None = None,
        standardize_on: Literal["cpu", "device"] = "cpu",
        on_error: Literal["raise", "replace"] = "raise",
    ) -> "PlanDataset":
        """Return a map-style torch dataset of the rows; no database handle goes with it.

        Parameters
        ----------
        missing_chunks
            Whether absent chunks of an image (a partial download) are errors, or read as zeros or (brightfield) white.
        vocabulary
            UniProt accessions in the order that ``marker_index`` counts; by default all of the selection, sorted.
        standardize_on
            ``"cpu"`` standardizes pixels as they are decoded; ``"device"`` delivers them raw, for `standardize_batch`.
        on_error
            What becomes of a row that cannot be read: an error; or another row replaces it, the same on every rank, and
            it is recorded for `Catalog.quarantine` and `exclude` (see `PlanDataset`).

        Raises
        ------
        QueryError
            If the query selects no rows.
        WriteError
            If the quarantine cannot be written.
        """
        from spora_db.loading.dataset import PlanDataset

        return PlanDataset(
            self.plan(), missing_chunks=missing_chunks, vocabulary=vocabulary, standardize_on=standardize_on,
            on_error=on_error,
        )  # fmt: skip
