"""Verbs that bring what users know of tissues, tiles and cells: their own tables, and features."""

from typing import Self, get_args

from spora_db.errors import ArgumentError
from spora_db.query.question import Question
from spora_db.selection.arguments import checked_choice, checked_each, checked_text
from spora_db.selection.feature_choice import WithoutFeatures, added
from spora_db.selection.joined_table import JoinedTable
from spora_db.sources.given_tables import GivenTable, read_given


class TableVerbs(Question):
    """What `SporaQuery` puts beside its rows; every verb returns a new query."""

    __slots__ = ()

    def with_features(self, *names: str, missing: WithoutFeatures = "error") -> Self:
        """Deliver features of the lake with every sample: tensors in ``sample["features"]``, by the name of their set.

        A set of one column is a tensor of shape (D,), or () of numbers, float16 or float32 as it was extracted; of one
        with several columns each is called ``<set>.<column>``. In batches they are (B, D). Sets of tissues come with
        every row of the tissue, those of tiles and cells with the same tiles and cells. A plan holds the features of
        all its rows: 384 numbers of 16 bits are 0.8 KB each.

        Parameters
        ----------
        *names
            Names of feature sets; what there is: ``SELECT * FROM features``.
        missing
            What becomes of rows without features: an error that counts them, they are left out (``"drop"``), or they
            get NaN (``"nan"``).

        Raises
        ------
        UnknownNameError, ArgumentError
            If the lake has no such set, or it is of other tiles; when an answer is asked.
        TableError
            If rows have no features, when the plan is made.

        See Also
        --------
        SporaQuery.features, SporaQuery.extract

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).with_features("virtues")
        >>> query.plan()
        Traceback (most recent call last):
        ...
        spora_db.errors.UnknownNameError: Unknown feature set 'virtues' in lake ...
        """
        if not names:
            raise ArgumentError("with_features() needs at least one name, such as .with_features('virtues-tile').")
        given = checked_each(names, verb="with_features", example=("virtues-tile",))
        chosen = checked_choice(missing, options=get_args(WithoutFeatures), kind="choice of missing=")
        return self._with(features=added(self.selection.features, given, missing=chosen))

    def features(self, name: str) -> Self:
        """Ask for the rows that have features, with these: the tiles, cells or tissues that a set was extracted of.

        Modality, resolution and tiling are those of the set, unless chosen before.

        Parameters
        ----------
        name
            The feature set.

        Raises
        ------
        ArgumentError
            No name; a feature set that is absent is told when an answer is asked for.

        See Also
        --------
        SporaQuery.with_features, SporaQuery.extract

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").features("virtues").count()
        Traceback (most recent call last):
        ...
        spora_db.errors.UnknownNameError: Unknown feature set 'virtues' in lake ...
        """
        name = checked_text(name, at="features(", example="virtues-tile")
        return self._with(features=added(self.selection.features, (name,), missing="drop", rows=True))

    def join(self, name: str, table: "GivenTable | None" = None) -> Self:
        """Put a table of your own beside the rows: conditions, `select`, `label` and `sample` know its columns.

        A row that the table says nothing of has NULL there, as in a LEFT JOIN; several tables add up. A column of a
        name that rows have already is called ``<name>_<column>``; in conditions ``labels.score`` means the table's.

        Parameters
        ----------
        name
            What it is called: small letters, digits, underscores.
        table
            A pyarrow Table, a DataFrame of pandas or polars, or a parquet or CSV file; see `Catalog.register` for its
            keys. A lock holds it. None takes the table of this name that lies in the lake (``spora-db add-table``), or
            else the feature set (`SporaQuery.extract`): what a model predicted is a column like all others.

        Raises
        ------
        ArgumentError, FileFormatError
            If it is no table, or cannot be read. That its keys fit, and the lake, is checked when an answer is asked.

        See Also
        --------
        SporaQuery.from_arrow, Catalog.register

        Examples
        --------
        >>> import pandas as pd
        >>> from spora_db import SporaQuery
        >>> scores = pd.DataFrame({"dataset": "lung_imc", "tissue_id": ["lung_imc_l001_0001"], "score": [2]})
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).join("scores", scores)
        >>> query.where("score > 1").select("score").df()[["tissue_id", "score"]].values.tolist()
        [['lung_imc_l001_0001', 2]]
        """
        name = checked_text(name, at="join(", example="labels")
        given = None if table is None else read_given(table, at=f"join({name!r}, ")
        others = (join for join in self.selection.joins if join.name != name)
        return self._with(joins=(*others, JoinedTable(name=name, table=given)))
