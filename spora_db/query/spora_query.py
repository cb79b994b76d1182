"""`SporaQuery`: ask a lake for tiles or tissues, see the SQL, count, and train on the answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog, Explanation, lent_catalog
from spora_db.dialects import Dialect
from spora_db.errors import QueryError
from spora_db.files.whole_numbers import as_frame
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.plan.resolution import resolve
from spora_db.query.answers import Answers
from spora_db.query.content_verbs import ContentVerbs
from spora_db.query.row_verbs import RowVerbs
from spora_db.selection import Selection
from spora_db.selection.arguments import check_path, checked_table, checked_text, wrong
from spora_db.selection.compilation import Resolved, compile_rows
from spora_db.selection.empty import warn_of_nothing
from spora_db.sqltext.binding import Compiled
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from spora_db.images.base import MissingChunks
    from spora_db.loading.dataset import PlanDataset


@dataclass(frozen=True, slots=True)
class SporaQuery(RowVerbs, ContentVerbs, Answers):
    """A question to a lake: which tiles (or tissues), which channels, standardized how.

    A query is a value: every verb returns a new one, and nothing is read before an answer is asked for. It goes

    1. verbs build a `Selection` (plain values),
    2. `resolve` checks it against the lake (`Catalog`) and fills in what only the lake knows,
    3. `compile_rows` makes one SELECT with bound parameters (`sql` shows it),
    4. `freeze` runs it and returns a `Plan` (arrays),
    5. `to_torch` hands the plan to a torch dataset, which knows no database.

    The database of the last answer is kept for the next one, if the lake is still the same; a fork closes it.

    Parameters
    ----------
    lake
        A lake's folder, or one dataset's.
    selection
        What to ask for; built by the verbs.

    Examples
    --------
    >>> query = (
    ...     SporaQuery("lake")
    ...     .modality("imc")
    ...     .tiles(size=224, mpp=1.0)
    ...     .where("cancer_type = 'LUAD'")
    ...     .channels(kind="uniprot_filtered", require=["CD3e", "P01732"])
    ...     .standardize("quantile_clipping/uq_0.99_image")
    ...     .sample(10_000, by="dataset", seed=0)
    ... )
    >>> query.selection.tile_size
    224
    >>> SporaQuery("lake").modality("he").tissues(mpp=0.5)
    SporaQuery(lake='lake', selection=Selection(modalities=(('he',),), unit='tissue', mpp=0.5))
    """

    lake: str | Path
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        """Refuse what is no folder's path."""
        check_path(self.lake, at="SporaQuery(", example="lake")
        if not isinstance(self.selection, Selection):
            raise wrong(self.selection, at="SporaQuery(lake, ", expected="a Selection; the verbs build one")

    # ---- answers, named by what they return ----

    def sql(self, *, dialect: Dialect = "duckdb") -> str:
        """Return the one SELECT that answers the query, ready to paste into `spora-db sql` or the DuckDB shell.

        Macros in its conditions know the `aliases` of `channels` there only if the catalog is opened with them.

        Parameters
        ----------
        dialect
            Another engine that has the same relations (``Catalog.ddl(dialect=...)`` makes them there): ``"postgres"``,
            ``"spark"``, ``"databricks"``, ``"bigquery"`` or ``"snowflake"``. It selects the same rows there, samples
            included; they come back with `from_arrow`.

        Raises
        ------
        QueryError
            If the query has no translation, such as one over rows of an Arrow table.
        """
        with self._compiled() as (selection, compiled, catalog):
            if dialect != "duckdb" and selection.rows_table is not None:
                raise QueryError("Rows from an Arrow table are in no other engine: this query has no translation.")
            return catalog.translate(compiled.text(inline=True), dialect=dialect)

    def count(self) -> int:
        """Return the number of rows.

        Of a query that selects nothing, a warning names what in it can match nothing: a condition on a value that no
        row has, with the near ones; images of several modalities that no tissue has together.
        """
        with self._resolved() as (resolved, catalog):
            compiled = compile_rows(resolved)
            counted = exp.select("count(*)").from_(compiled.rows().subquery("rows"))
            number = int(catalog._run(counted.sql(DIALECT), compiled.parameters).fetchall()[0][0])
            if not number:
                warn_of_nothing(resolved, catalog)
            return number

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table: the identity columns, then those of `select`, in order of the identity."""
        with self._resolved() as (resolved, catalog):
            compiled = compile_rows(resolved)
            table = catalog._run(compiled.text(), compiled.parameters).to_arrow_table()
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
        from spora_db.interop.frames import to_polars

        return to_polars(self.to_arrow())

    def explain(self) -> Explanation:
        """Return the SQL, DuckDB's plan, the files and row groups that it touches, and its estimate of the rows.

        Printed, it is a text; nothing is run.
        """
        with self._compiled() as (_, compiled, catalog):
            return catalog._explain(compiled.text(), compiled.parameters, shown=compiled.text(inline=True))

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

    # ---- other sources of rows ----

    @classmethod
    def from_lock(cls, path: str | Path, lake: str | Path | None = None) -> "SporaQuery":
        """Return the query of a lock, whose plan is the same as then.

        Parameters
        ----------
        path
            The lock, as `lock` wrote it.
        lake
            Where the lake is now, if it was moved or renamed.

        Raises
        ------
        LockError
            If anything differs: files changed, added or missing, rows gained and lost, channels, statistics. Times of
            files are no difference. ``spora-db diff`` tells the same without an error.
        FileFormatError
            If the file is no lock.
        """
        from spora_db.lock.lockfile import query_of_lock

        check_path(path, at="SporaQuery.from_lock(", example="cohort.lock.json")
        if lake is not None:
            check_path(lake, at="SporaQuery.from_lock(path, lake=", example="lake")
        return cls(*query_of_lock(path, lake=lake))

    @classmethod
    def from_sql(cls, lake: str | Path, text: str) -> "SporaQuery":
        """Ask with a SELECT of your own that yields the identity columns.

        Parameters
        ----------
        lake
            A lake's folder, or one dataset's.
        text
            One SELECT over the catalog's relations, with ``dataset`` and ``tissue_id``, for tiles also ``tile_id``,
            ``row`` and ``col``, for cells ``cell_id``, ``row`` and ``col`` (corners of tiles). Columns ``modality``,
            ``mpp``, ``strategy`` and ``tile_size`` may be left out where
            `modality` and `tiles` say them, or the lake leaves no choice.
        """
        select = checked_text(text, at="SporaQuery.from_sql(lake, ", example="SELECT dataset, tissue_id FROM tissues")
        return cls(lake, Selection(rows_sql=select))

    @classmethod
    def from_arrow(cls, lake: str | Path, table: "pa.Table | pd.DataFrame") -> "SporaQuery":
        """Ask for rows that another engine selected: a table with the identity columns, as in `from_sql`.

        Parameters
        ----------
        lake
            A lake's folder, or one dataset's.
        table
            A pyarrow Table, or a pandas or polars DataFrame.

        Raises
        ------
        ArgumentError
            If it is no table, or an identity column is in it twice.
        """
        expected = "an Arrow table or a DataFrame with the columns dataset and tissue_id"
        rows = checked_table(table, at="SporaQuery.from_arrow(lake, ", expected=expected)
        return cls(lake, Selection(rows_table=rows))

    def _repr_html_(self) -> str:
        from spora_db.query.html import query_html

        return query_html(self)

    def _with(self, **changes: object) -> "SporaQuery":
        return replace(self, selection=replace(self.selection, **changes))  # type: ignore[arg-type]

    @contextmanager
    def _resolved(self) -> Iterator[tuple[Resolved, Catalog]]:
        with lent_catalog(self.lake) as catalog:
            yield resolve(self.selection, catalog), catalog

    @contextmanager
    def _compiled(self) -> Iterator[tuple[Selection, Compiled, Catalog]]:
        with self._resolved() as (resolved, catalog):
            yield resolved.selection, compile_rows(resolved), catalog
