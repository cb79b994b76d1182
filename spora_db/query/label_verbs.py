"""The verb that chooses what a model learns of a row: its labels."""

from collections.abc import Sequence
from typing import Self

from spora_db.query.question import Question
from spora_db.selection import ClassName, LabelType, MissingLabel
from spora_db.selection.label_arguments import added, checked_labels


class LabelVerbs(Question):
    """What samples of a `SporaQuery` carry to be learnt; every verb returns a new query."""

    __slots__ = ()

    def label(
        self,
        *columns: str,
        classes: Sequence[ClassName] | None = None,
        missing: MissingLabel = "error",
        label_type: LabelType | None = None,
        name: str | None = None,
    ) -> Self:
        """Deliver columns as labels: tensors in every sample and batch, under the columns' names; several calls add up.

        Texts and truth values are classes: int64 codes by the sorted values that the whole lake has, so that train,
        validation and test agree on every machine, whatever is selected (of truth values, False is 0).
        ``dataset.classes`` tells them; a lock keeps them. Numbers are float32, whole numbers too, unless `label_type`
        or `classes` says otherwise. `df` and `sql` show the values, under the column's name.

        Parameters
        ----------
        *columns
            Columns that `where` and `select` may name. A column that is selected too comes as its label only.
        classes
            The classes of one column, in the order of their codes; a selected row with another value is an error. Rows
            of `from_sql` and `from_arrow` need them for columns that the lake does not have. Another lake, or one
            dataset's folder asked by itself, may have other classes: give it those of the training set.
        missing
            What becomes of rows without a label (NULL, NaN, and an empty text unless `classes` has it): an error that
            counts them, they are left out (``"drop"``), or they get code -1, of numbers NaN (``-1``, for
            ``CrossEntropyLoss(ignore_index=-1)``).
        label_type
            ``"classification"`` makes classes of whole numbers, ``"regression"`` 0.0 and 1.0 of truth values.
        name
            What samples call the one column, such as ``"labels"``; a label replaces an earlier one of its name.

        Raises
        ------
        ArgumentError
            If samples have a field of the name, such as ``"dataset"``, or arguments contradict each other.

        See Also
        --------
        SporaQuery.select, PlanDataset.class_weights

        Examples
        --------
        >>> import torch
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).label("cancer_type", missing="drop")
        >>> train, test = query.split("train").to_torch(), query.split("test").to_torch()
        >>> train.classes == test.classes, train[0]["cancer_type"]
        (True, tensor(1))
        >>> batch = next(iter(train.loader(4, balance_by="cancer_type")))
        >>> batch["cancer_type"]
        tensor([1, 1, 1, 1])
        """
        labels = checked_labels(columns, classes=classes, missing=missing, label_type=label_type, name=name)
        return self._with(labels=added(self.selection.labels, labels))
