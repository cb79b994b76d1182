"""Answers of a query that are its rows: counts, tables, the frozen plan and tensors."""

import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

import pyarrow as pa
from sqlglot import exp

from spora_db.errors import ArgumentError, need
from spora_db.files.whole_numbers import as_frame
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.query.question import Question
from spora_db.selection.empty import warn_of_nothing
from spora_db.selection.resolved import identity_columns

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import torch

    from spora_db.images.base import MissingChunks
    from spora_db.loading.dataset import PlanDataset
    from spora_db.standardization.precision import Precision


BATCH = 4096
"""Rows that are Python objects at the same time while a query is iterated over: some 4 MB."""


class RowAnswers(Question):
    """The rows of a `SporaQuery`, named by what they are returned as.

    A query is a collection of rows: `len`, `bool` and ``for`` ask the lake. It has no ``query[0]``: numpy would take it
    for a sequence, and an array of two queries for one of their rows.
    """

    __slots__ = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its rows' columns: those that identify a row, those of `select`, of `label`; nothing is read.

        What `select` and `where` may name is more: the columns of the relation that rows are selected from, such as
        ``Catalog(lake).columns("tiles")``.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").tissues(mpp=1.0).select("cancer_type").columns
        ('dataset', 'modality', 'mpp', 'tissue_id', 'cancer_type')
        """
        return tuple(dict.fromkeys((*identity_columns(self.selection), *self.selection.carried)))

    def __len__(self) -> int:
        """Return the number of rows, as `count` does."""
        return self.count()

    def __bool__(self) -> bool:
        """Tell whether there is a row; the lake is read until one is found, and nothing is counted."""
        with self._compiled() as (_, compiled, catalog):
            return bool(catalog._run(compiled.select("1").limit(1), compiled.parameters).fetchall())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `df`, each as a dict of plain values by column.

        The lake is asked once, when iteration begins; no database stays open meanwhile. Rows wait as Arrow columns,
        some 100 bytes each, and become dicts in batches.
        """
        table = self.to_arrow()
        return (row for batch in table.to_batches(max_chunksize=BATCH) for row in batch.to_pylist())

    def __contains__(self, item: object) -> NoReturn:
        """Refuse ``item in query``, which would fetch all rows and compare each with the item."""
        raise ArgumentError(
            f"{reprlib.repr(item)} in query: expected a condition, which finds rows without fetching all of them, such "
            """as bool(query.where("tissue_id = 't1'"))."""
        )

    def count(self) -> int:
        """Return the number of rows.

        Of a query that selects nothing, a warning names what in it can match nothing: a condition on a value that no
        row has, with the near ones; images of several modalities that no tissue has together.

        See Also
        --------
        SporaQuery.head, SporaQuery.explain

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.count() == len(query) == len(query.df())
        True
        """
        with self._compiled() as (resolved, compiled, catalog):
            counted = exp.select("count(*)").from_(compiled.rows().subquery("rows"))
            number = int(catalog._run(counted, compiled.parameters).fetchall()[0][0])
            if not number:
                warn_of_nothing(resolved, catalog)
            return number

    def head(self, n: int = 5) -> "pd.DataFrame":
        """Return the first `n` rows of `df`; no others are fetched.

        Raises
        ------
        ArgumentError
            If `n` is negative, or no whole number.

        See Also
        --------
        SporaQuery.df, SporaQuery.limit

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").modality("imc").tissues(mpp=1.0).head(2)[["dataset", "tissue_id"]]
            dataset           tissue_id
        0  lung_imc  lung_imc_l001_0001
        1  lung_imc  lung_imc_l001_0002
        """
        return self._first(n, at="head(").df()

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table, in order of the identity: its columns, those of `select`, of `label`.

        See Also
        --------
        SporaQuery.from_arrow, SporaQuery.df

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.select("age").to_arrow().schema.field("age").type
        DataType(int64)
        """
        with self._compiled() as (resolved, compiled, catalog):
            table = catalog._run(compiled).to_arrow_table()
            if not len(table):
                warn_of_nothing(resolved, catalog)
            return table

    def df(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame, with the columns of `to_arrow`.

        Raises
        ------
        QueryError
            If a column has dates or times of day that Python has not, such as infinity.

        See Also
        --------
        SporaQuery.pl, SporaQuery.to_arrow, SporaQuery.head

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.df()["tissue_id"].iloc[0]
        'lung_imc_l001_0001'
        """
        return as_frame(self.to_arrow())

    def pl(self) -> "pl.DataFrame":
        """Return the rows as a polars DataFrame, with the columns of `to_arrow`.

        Raises
        ------
        MissingExtraError
            If polars is not installed.

        See Also
        --------
        SporaQuery.df, SporaQuery.to_arrow

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.pl().columns[:2]  # needs polars
        ['dataset', 'modality']
        """
        polars = need("polars", extra=None, what="pl()", instead="Without it, use to_arrow() or df().")
        return cast("pl.DataFrame", polars.from_arrow(self.to_arrow()))

    def plan(self) -> Plan:
        """Return the frozen plan: what `to_torch` loads, without a connection or an open file.

        See Also
        --------
        Plan, SporaQuery.to_torch, SporaQuery.lock

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> plan = query.plan()
        >>> len(plan) == len(query), plan.hash == query.plan().hash
        (True, True)
        """
        return plan_of(self.lake, self.selection)

    def to_torch(
        self,
        *,
        missing_chunks: "MissingChunks" = "error",
        vocabulary: Sequence[str] | None = None,
        standardize_on: Literal["cpu", "device"] = "cpu",
        on_error: Literal["raise", "replace"] = "raise",
        transform: Callable[..., Any] | None = None,
        dtype: "Precision | torch.dtype" = "float32",
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
        transform
            ``f(sample)`` or ``f(sample, rng)``, called in the worker with every sample, such as those of
            `spora_db.transforms`; `rng` follows from the seed, the epoch and the place in its order (see
            `PlanDataset`).
        dtype
            The type of the images, ``"float32"``, ``"float16"`` or ``"bfloat16"``, also as ``torch.float16``; with
            ``standardize_on="device"`` that which `standardize_batch` gives. Statistics and formulas stay float32, and
            the result is rounded to nearest, ties to even. A pixel that would become infinite (float16 ends at
            65,504) is an error, at the first sample where the type of the file tells: raw 16-bit pixels fit into
            bfloat16, with 8 bits, or have to be standardized.

        Raises
        ------
        QueryError
            If the query selects no rows.
        UnknownNameError
            For a dtype that is none of these, and other choices that do not exist.
        ArgumentError
            If an argument is out of range, or the signature of `transform` does not tell whether it takes an rng.
        WriteError
            If the quarantine cannot be written.

        See Also
        --------
        PlanDataset, PlanDataset.loader, SporaQuery.plan

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> dataset = query.to_torch()
        >>> dataset[0]["image"].shape
        torch.Size([20, 128, 128])
        """
        from spora_db.loading.dataset import PlanDataset

        return PlanDataset(
            self.plan(), missing_chunks=missing_chunks, vocabulary=vocabulary, standardize_on=standardize_on,
            on_error=on_error, transform=transform, dtype=dtype,
        )  # fmt: skip
