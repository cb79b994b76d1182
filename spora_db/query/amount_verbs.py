"""Verbs that choose how many of the rows are kept: a sample of them, or the first."""

from collections.abc import Mapping, Sequence
from typing import Self

from spora_db.query.question import Question
from spora_db.selection.sample_arguments import checked_sampling


class AmountVerbs(Question):
    """How many of its rows `SporaQuery` keeps; every verb returns a new query."""

    __slots__ = ()

    def sample(
        self,
        n: int | None = None,
        *,
        fraction: float | None = None,
        by: str | Sequence[str] = (),
        quota: Mapping[str, int] | None = None,
        per_tissue: int | None = None,
        per_patient: int | None = None,
        weights: str | None = None,
        seed: int = 0,
    ) -> Self:
        """Draw rows, the same on every machine: by a hash of the row's identity and the seed.

        A cohort's own draw does not change when other cohorts are added. Caps come first, then one of `n`, `fraction`
        and `quota`, or none. Rows are drawn from those that all conditions leave, wherever they stand: a `where` or
        `split` after `sample` still filters first. A second `sample` replaces the first.

        Parameters
        ----------
        n
            Rows to keep; all rows if there are fewer.
        fraction
            Share of the rows to keep, in (0, 1]; each row is decided by its own hash, so the number is near the share.
        by
            Columns whose groups share the `n` rows equally (a group that runs out leaves its share to the others).
        quota
            Rows to keep of each value of the one column in `by`, such as ``{"LUAD": 500}``; other values are left out.
            A value that no row of the modality and tiling has is an error; one that the conditions leave fewer rows of
            gives those.
        per_tissue, per_patient
            At most so many rows of each tissue, of each patient. Selected rows without a patient are an error, as
            nobody knows whose they are.
        weights
            SQL expression, neither negative nor infinite: rows are drawn in proportion to it, such as
            ``"1.0 / n_tiles"``, where ``n_tiles`` is the number of selected rows of the same tissue. Rows whose weight
            is 0 or NULL are never drawn, even if there are too few others.
        seed
            Another seed draws another sample.

        Raises
        ------
        ArgumentError
            If an argument is out of range or contradicts another one.

        See Also
        --------
        SporaQuery.limit, PlanDataset.loader

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality(("imc", "codex")).tiles(size=128, mpp=1.0)
        >>> query.sample(6, by="dataset", seed=0).df()["dataset"].value_counts().to_dict()
        {'lung_imc': 3, 'tonsil_codex': 3}
        """
        sampling = checked_sampling(
            n,
            fraction=fraction,
            by=by,
            quota=quota,
            per_tissue=per_tissue,
            per_patient=per_patient,
            weights=weights,
            seed=seed,
        )
        return self._with(sampling=sampling)

    def limit(self, n: int) -> Self:
        """Keep the first `n` rows, in the order of `df`: of the identity columns, one after the other.

        Which these are does not depend on the machine. They are the first of what all other verbs leave, wherever they
        stand: a `where`, `split` or `sample` after `limit` still comes before it, and a sample is drawn from all rows.
        Of several limits the least counts. Rows that come first are of few tissues; `sample` draws from all.

        Parameters
        ----------
        n
            Rows to keep; all rows if there are fewer.

        Raises
        ------
        ArgumentError
            If `n` is no whole number, or negative.

        See Also
        --------
        SporaQuery.sample, SporaQuery.head

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).limit(3)
        >>> len(query)
        3
        """
        return self._first(n, at="limit(")
