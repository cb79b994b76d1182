"""Answers of a query that choose which of its rows to label next: every one is a query again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, get_args

from spora_db.errors import ArgumentError
from spora_db.layout import lake_path
from spora_db.query.question import Question
from spora_db.selection.arguments import checked_choice, checked_flag, checked_names, checked_text, checked_whole, wrong

if TYPE_CHECKING:
    from spora_db.choosing.uncertain import Uncertainty
    from spora_db.nearest.sets import MissingFeatures


class ChoiceAnswers(Question):
    """Which of the rows of `SporaQuery` are worth a label, by what a model says of them."""

    __slots__ = ()

    def most_uncertain(
        self,
        n: int,
        *,
        scores: str | Sequence[str],
        column: str | None = None,
        measure: "Uncertainty" = "entropy",
        balanced: bool = False,
        missing: "MissingFeatures" = "error",
    ) -> Self:
        """Return the query of the `n` rows of which a model is least certain, by the scores that it gives to classes.

        In SQL the same is ``ORDER BY score_entropy(vector) DESC LIMIT n`` over ``feature('<name>')``. To draw rows of
        known classes in equal numbers, `sample` them ``by`` the column.

        Parameters
        ----------
        n
            How many rows.
        scores
            The feature set that holds the probabilities, one vector a row (or one number for every class); or the
            columns, a class each, of tables of your own that the query joins.
        column
            Which vectors of the set; may be left out where it has one only.
        measure
            ``"entropy"`` of the probabilities, in nats; or ``"margin"``: 1 less the lead of the most probable class.
        balanced
            Whether the predicted classes take turns, each with its most uncertain rows; one that runs out leaves its
            share to the others.
        missing
            Whether rows without scores are an error, or left out.

        Returns
        -------
        SporaQuery
            Of these rows, with the further columns ``uncertainty`` (float64) and ``predicted`` (int: the most probable
            class, from 0), and the columns that this query selects. Of rows that are equally uncertain, those that come
            first in the order of `df` are taken.

        Raises
        ------
        UnknownNameError
            If there is no such feature set or column.
        QueryError
            If the set is of other rows than the query's, or there are fewer than `n`.
        TableError
            If rows have no scores, or scores that are no probabilities: NaN, negative, not 1 in all.

        See Also
        --------
        SporaQuery.most_different, SporaQuery.nearest, SporaQuery.extract

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> tiles = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0)
        >>> report = tiles.extract(lambda batch: batch["image"].mean(dim=(2, 3)).softmax(dim=1), name="p", into="mine")
        >>> query = SporaQuery(["lake", "mine"]).modality("he").tiles(size=128, mpp=1.0)
        >>> chosen = query.most_uncertain(3, scores="p")
        >>> len(chosen), chosen.columns[-2:]
        (3, ('uncertainty', 'predicted'))
        """
        from spora_db.choosing.uncertain import Uncertainty, uncertain_rows

        at = "most_uncertain(n, scores="
        rows = uncertain_rows(
            self.lake,
            self.selection,
            checked_whole(n, at="most_uncertain(", of="rows"),
            scores=scores if isinstance(scores, str) else _columns(scores, at=at),
            column=None if column is None else checked_text(column, at="most_uncertain(n, column=", example="vector"),
            measure=checked_choice(measure, options=get_args(Uncertainty), kind="choice of measure="),
            balanced=checked_flag(balanced, at="most_uncertain(n, balanced="),
            missing=_missing(missing),
        )
        return self._of_rows(rows, also=("uncertainty", "predicted"))

    def most_different(
        self, n: int, *, features: str, than: Question, column: str | None = None, missing: "MissingFeatures" = "error"
    ) -> Self:
        """Return the query of `n` rows that are least like those of another query, and least like each other.

        Greedy k-center: every time the row is taken whose most similar one, among those of the other query and those
        taken before, is the least similar to it, by the cosine of their vectors. It is exact, and holds the vectors of
        both queries in memory, 1.5 GB of a million rows of 384 numbers.

        Parameters
        ----------
        n
            How many rows.
        features, column
            The feature set, and which of its vectors; the column may be left out where it has one only.
        than
            The query of the rows that are labelled already, of the same lake. Rows of it are not chosen.
        missing
            Whether rows without features are an error, or left out.

        Returns
        -------
        SporaQuery
            Of these rows, with the further columns ``difference`` (float64: 1 less the cosine with the most similar of
            the rows before it) and ``turn`` (int, from 1: the order in which they were taken), and the columns that
            this query selects. Of rows that are equally different, the first in the order of `df` is taken.

        Raises
        ------
        UnknownNameError
            If there is no such feature set or column.
        QueryError
            If the set is of other rows than the queries', or not complete, there are fewer rows than `n`, or none in
            the other query.
        ArgumentError
            If the other is no query of this lake, and of such rows.
        TableError
            If rows have no features, or a vector that is zero or not finite.

        See Also
        --------
        SporaQuery.most_uncertain, SporaQuery.nearest, SporaQuery.extract

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> tiles = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0)
        >>> report = tiles.extract(lambda batch: batch["image"].mean(dim=(2, 3)), name="mean-colour", into="mine")
        >>> query = SporaQuery(["lake", "mine"]).modality("he").tiles(size=128, mpp=1.0)
        >>> chosen = query.most_different(3, features="mean-colour", than=query.limit(2))
        >>> sorted(chosen.df()["turn"])
        [1, 2, 3]
        """
        from spora_db.choosing.different import different_rows

        if not isinstance(than, Question):
            raise wrong(than, at="most_different(n, than=", expected="the query of the rows that are labelled already")
        if lake_path(than.lake) != lake_path(self.lake) or than.selection.unit != self.selection.unit:
            raise ArgumentError(
                f"most_different(n, than=): it asks for {than.selection.unit}s of {str(than.lake)!r}, this query for "
                f"{self.selection.unit}s of {str(self.lake)!r}. Ask for the same, of the same lake."
            )
        rows = different_rows(
            self.lake,
            self.selection,
            checked_whole(n, at="most_different(", of="rows"),
            features=checked_text(features, at="most_different(n, features=", example="virtues-tile"),
            column=None if column is None else checked_text(column, at="most_different(n, column=", example="vector"),
            than=than.selection,
            missing=_missing(missing),
        )
        return self._of_rows(rows, also=("difference", "turn"))


def _columns(scores: Sequence[str], *, at: str) -> tuple[str, ...]:
    names = checked_names(scores, at=at, example=("p_tumor", "p_stroma"))
    if len(names) < 2:
        raise ArgumentError(f"{at}{list(names)}): expected a column for every class, two at least.")
    return names


def _missing(value: object) -> "MissingFeatures":
    return checked_choice(value, options=("error", "drop"), kind="choice of missing=")
