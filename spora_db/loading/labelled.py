"""What a dataset tells of its labels."""

from typing import Protocol

import torch

from spora_db.loading.labels import class_counts, class_weights, targets
from spora_db.plan import Plan
from spora_db.selection import ClassName


class _WithPlan(Protocol):
    """What the methods read."""

    @property
    def plan(self) -> Plan:
        """The plan."""


class LabelledRows:
    """The labels of a dataset: their classes, values and numbers; no image is read."""

    @property
    def classes(self: _WithPlan) -> dict[str, tuple[ClassName, ...]]:
        """The classes of every label that has some, by the label's name; a code is a position in them.

        They are the same for every selection of the lake: ``dataset.classes["cancer_type"][code]`` is the value.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> query.to_torch().classes
        {'cancer_type': ('HPV+ OPSCC', 'LUAD', 'LUSC', 'Tonsillitis')}
        """
        return {} if self.plan.labels is None else dict(self.plan.labels.classes_of)

    def targets(self: _WithPlan, label: str | None = None) -> torch.Tensor:
        """Return a label of all rows, without reading an image: tensor of shape (rows,), as samples have it.

        Parameters
        ----------
        label
            Its name; may be left out where there is one label only.

        Raises
        ------
        ArgumentError, UnknownNameError
            If there is no such label, or several and none is named.

        See Also
        --------
        SporaQuery.label, PlanDataset.class_counts

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> dataset = query.to_torch()
        >>> dataset.targets().shape == (len(dataset),)
        True
        """
        return targets(self.plan, label)

    def class_counts(self: _WithPlan, label: str | None = None) -> dict[ClassName, int]:
        """Return the number of rows of every class, in the order of codes; 0 where this selection has none.

        Parameters
        ----------
        label
            Its name; may be left out where one label only has classes.

        Raises
        ------
        ArgumentError, UnknownNameError
            If no such label has classes, or several have and none is named.

        See Also
        --------
        PlanDataset.class_weights, SporaQuery.label

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> dataset = query.to_torch()
        >>> dataset.class_counts()
        {'HPV+ OPSCC': 0, 'LUAD': 25, 'LUSC': 10, 'Tonsillitis': 0}
        """
        return class_counts(self.plan, label)

    def class_weights(self: _WithPlan, label: str | None = None) -> torch.Tensor:
        """Return balanced weights of classes, for ``CrossEntropyLoss(weight=...)``: float32 tensor of shape (classes,).

        As scikit-learn's "balanced": n / (k * count), of n rows with a label and the k classes that any of them has, so
        that the mean over rows is 1. A class that no row has weighs 0.

        Parameters
        ----------
        label
            As for `class_counts`, which errors are as well.

        See Also
        --------
        PlanDataset.class_counts, SporaQuery.label

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> dataset = query.to_torch()
        >>> dataset.class_weights()
        tensor([0.0000, 0.7000, 1.7500, 0.0000])
        """
        return class_weights(self.plan, label)
