"""Labels as tensors, and what is counted of them."""

import numpy as np
import torch

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.plan import Plan
from spora_db.selection import ClassName


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


def class_counts(plan: Plan, name: str | None, *, verb: str = "class_counts") -> dict[ClassName, int]:
    """Return the number of rows of every class, in the order of their codes; rows without a label count nowhere."""
    known = {} if plan.labels is None else plan.labels.classes_of
    remedy = "Numbers have classes with .label(..., label_type='classification')."
    chosen = _named(name, tuple(known), verb=verb, remedy=remedy)
    assert plan.labels is not None
    codes = plan.labels.of(chosen)
    counts = np.bincount(codes[codes >= 0], minlength=len(known[chosen]))
    return dict(zip(known[chosen], counts.tolist(), strict=True))


def class_weights(plan: Plan, name: str | None) -> torch.Tensor:
    """Return n / (k * count) of every class as float32: of n rows with a label, and k classes that any row has."""
    counts = np.array([*class_counts(plan, name, verb="class_weights").values()], np.float64)
    there = counts > 0
    weights = np.zeros(len(counts))
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return torch.from_numpy(weights.astype(np.float32))


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
