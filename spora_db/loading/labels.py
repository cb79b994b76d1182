"""What a dataset tells of its plan without reading an image: labels as tensors, and what is counted of them."""

import numpy as np
import torch

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.loading.sharing import PlanHandle
from spora_db.plan import Plan
from spora_db.plan.html import html_table
from spora_db.selection import ClassName


class LabelledRows:
    """The plan of a dataset, and its labels: their classes, values and numbers; no image is read."""

    def __init__(self, plan: Plan) -> None:
        self._handle = PlanHandle(plan)

    @property
    def plan(self) -> Plan:
        """The plan; its arrays are shared with worker processes."""
        return self._handle.plan

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.plan)

    def __repr__(self) -> str:
        """Return the plan's own, in the dataset's name."""
        return f"{type(self).__name__}{str(self.plan).removeprefix('Plan')}"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self.plan.told())

    @property
    def classes(self) -> dict[str, tuple[ClassName, ...]]:
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

    def targets(self, label: str | None = None) -> torch.Tensor:
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

    def class_counts(self, label: str | None = None) -> dict[ClassName, int]:
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
        return _class_counts(self.plan, label, verb="class_counts")

    def class_weights(self, label: str | None = None) -> torch.Tensor:
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
        counts = np.array([*_class_counts(self.plan, label, verb="class_weights").values()], np.float64)
        there = counts > 0
        weights = np.zeros(len(counts))
        weights[there] = counts.sum() / (there.sum() * counts[there])
        return torch.from_numpy(weights.astype(np.float32))


def labels_of(plan: Plan, rows: Int64) -> dict[str, torch.Tensor]:
    """Return the labels of n rows: int64 (codes) or float32 tensors of shape (n,)."""
    names = () if plan.labels is None else plan.labels.names
    return {name: _values(plan, name, rows) for name in names}


def targets(plan: Plan, name: str | None) -> torch.Tensor:
    """Return a label of all rows: int64 (codes) or float32, of shape (rows,)."""
    names = () if plan.labels is None else plan.labels.names
    chosen = _named(name, names, verb="targets", remedy="Add it to the query with .label(...).")
    return _values(plan, chosen, slice(None))


def _values(plan: Plan, name: str, rows: "Int64 | slice") -> torch.Tensor:
    assert plan.labels is not None
    values = plan.labels.of(name)[rows]
    return torch.from_numpy(values.astype(np.int64 if name in plan.labels.classes_of else np.float32))


def _class_counts(plan: Plan, name: str | None, *, verb: str) -> dict[ClassName, int]:
    """Return the number of rows of every class, in the order of their codes; rows without a label count nowhere."""
    known = {} if plan.labels is None else plan.labels.classes_of
    remedy = "Numbers have classes with .label(..., label_type='classification')."
    chosen = _named(name, tuple(known), verb=verb, remedy=remedy)
    assert plan.labels is not None
    codes = plan.labels.of(chosen)
    counts = np.bincount(codes[codes >= 0], minlength=len(known[chosen]))
    return dict(zip(known[chosen], counts.tolist(), strict=True))


def _named(name: str | None, names: tuple[str, ...], *, verb: str, remedy: str) -> str:
    """Return the label of a name, or the only one."""
    if name is None and len(names) == 1:
        return names[0]
    kind = "label" if verb == "targets" else "label with classes"
    if name is None and names:
        raise ArgumentError(
            f"{verb}() is of one {kind}; the plan has {', '.join(names)}. Say which: {verb}({names[0]!r})."
        )
    if name is None:
        raise ArgumentError(f"{verb}(): the plan has no {kind}. {remedy}")
    if name not in names:
        raise unknown(kind, name, names, where="the plan", remedy=remedy)
    return name
