"""Labels as tensors, and what is counted of them."""

import numpy as np
import torch

from spora_db.errors import ArgumentError, unknown
from spora_db.plan import Plan
from spora_db.selection import ClassName


def label_fields(plan: Plan, position: int) -> dict[str, torch.Tensor]:
    """Return the labels of a row: int64 (codes) or float32 tensors of shape ()."""
    if plan.labels is None:
        return {}
    found = zip(plan.labels.names, plan.labels.values, plan.labels.classes, strict=True)
    return {
        name: torch.tensor(values[position].item(), dtype=torch.float32 if classes is None else torch.int64)
        for name, values, classes in found
    }


def targets(plan: Plan, name: str | None) -> torch.Tensor:
    """Return a label of all rows: int64 (codes) or float32, of shape (rows,)."""
    names = () if plan.labels is None else plan.labels.names
    chosen = _named(name, names, verb="targets", remedy="Add it to the query with .label(...).")
    assert plan.labels is not None
    values = plan.labels.of(chosen)
    return torch.from_numpy(values.astype(np.int64 if chosen in plan.labels.classes_of else np.float32))


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
