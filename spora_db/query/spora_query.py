"""`SporaQuery`: ask a lake for tiles or tissues, see the SQL, count, and train on the answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from spora_db.layout import LakePath
from spora_db.query.amount_verbs import AmountVerbs
from spora_db.query.answers import Answers
from spora_db.query.carried_away import CarriedAway
from spora_db.query.choice_answers import ChoiceAnswers
from spora_db.query.content_verbs import ContentVerbs
from spora_db.query.feature_answers import FeatureAnswers
from spora_db.query.html import query_html
from spora_db.query.label_verbs import LabelVerbs
from spora_db.query.looks import Looks
from spora_db.query.map_answers import MapAnswers
from spora_db.query.row_verbs import RowVerbs
from spora_db.query.sql_answers import SqlAnswers
from spora_db.query.table_verbs import TableVerbs
from spora_db.query.window_verbs import WindowVerbs
from spora_db.selection import Selection
from spora_db.selection.arguments import check_path, checked_table, checked_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SporaQuery(
    RowVerbs, WindowVerbs, AmountVerbs, ContentVerbs, LabelVerbs, TableVerbs, SqlAnswers, MapAnswers,
    FeatureAnswers, ChoiceAnswers, Answers, CarriedAway, Looks,
):  # fmt: skip
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

    See Also
    --------
    Catalog, Plan, PlanDataset, SporaDataset

    Examples
    --------
    This lake, and those of the other examples, are such as ``spora-db demo lake`` makes.

    >>> query = (
    ...     SporaQuery("lake")
    ...     .modality("imc")
    ...     .tiles(size=128, mpp=1.0)
    ...     .where("cancer_type = 'LUAD'")
    ...     .channels(kind="uniprot_filtered", require=["CD3e", "P01732"])
    ...     .standardize("quantile_clipping_log1p/uq_0.99_image")
    ...     .sample(10_000, by="dataset", seed=0)
    ... )
    >>> len(query) > 0, query.head(1)["dataset"].tolist()
    (True, ['lung_imc'])
    >>> SporaQuery("lake").modality("he").tissues(mpp=0.5)
    SporaQuery(lake='lake', selection=Selection(modalities=(('he',),), unit='tissue', mpp=0.5))
    """

    __slots__ = ()

    @classmethod
    def from_lock(cls, path: str | Path, lake: LakePath | None = None) -> Self:
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

        See Also
        --------
        SporaQuery.lock, SporaQuery.plan

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> path = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).lock("cohort.lock.json")
        >>> SporaQuery.from_lock("cohort.lock.json").selection.tile_size
        128
        """
        from spora_db.lock.locking import query_of_lock

        check_path(path, at="SporaQuery.from_lock(", example="cohort.lock.json")
        if lake is not None:
            check_path(lake, at="SporaQuery.from_lock(path, lake=", example="lake")
        return cls(*query_of_lock(path, lake=lake))

    @classmethod
    def from_sql(cls, lake: LakePath, text: str) -> Self:
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

        Raises
        ------
        ArgumentError
            No text; what is wrong in its SQL is told when an answer is asked for, by a `QueryError`.

        See Also
        --------
        SporaQuery.from_arrow, SporaQuery.where, Catalog.sql

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> text = "SELECT dataset, tissue_id, tile_id, row, col FROM tiles WHERE modality = 'imc' AND row = 64"
        >>> query = SporaQuery.from_sql("lake", text).modality("imc").tiles(size=128, mpp=1.0)
        >>> set(query.df()["row"])
        {64}
        """
        select = checked_text(text, at="SporaQuery.from_sql(lake, ", example="SELECT dataset, tissue_id FROM tissues")
        return cls(lake, Selection(rows_sql=select))

    @classmethod
    def from_arrow(cls, lake: LakePath, table: "pa.Table | pd.DataFrame") -> Self:
        """Ask for rows that another engine selected: a table with the identity columns, as in `from_sql`.

        Cells need neither ``row`` nor ``col``. Where a table of cells has none, its rows are the lake's cells of these
        ids, which has their places and further columns; those of the table stand beside them as of one that is joined
        under the name ``given``: a ``cell_type`` that the lake's cells have too is called ``given_cell_type``, unlike
        the lake's. Each cell is named once; cells that the lake does not have are told by an `OrphanRowsWarning`.

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

        See Also
        --------
        SporaQuery.from_sql, SporaQuery.to_arrow, SporaQuery.join

        Examples
        --------
        >>> import pandas as pd
        >>> from spora_db import SporaQuery
        >>> rows = pd.DataFrame({"dataset": ["lung_imc"], "tissue_id": ["lung_imc_l001_0001"]})
        >>> len(SporaQuery.from_arrow("lake", rows).modality("imc").tissues(mpp=1.0))
        1
        """
        expected = "an Arrow table or a DataFrame with the columns dataset and tissue_id"
        rows = checked_table(table, at="SporaQuery.from_arrow(lake, ", expected=expected)
        return cls(lake, Selection(rows_table=rows))

    def _repr_html_(self) -> str:
        return query_html(self)
