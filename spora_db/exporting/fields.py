"""A sample as formats of files take it: arrays by name, and one JSON document of all else."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spora_db.arrays import AnyArray

LEFT_OUT = ("dtype",)
"""Fields that tell a loader what to do, not what a row is; those of a struct are all of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRow:
    """One row of an export.

    Attributes
    ----------
    position
        Its row of the plan.
    arrays
        Arrays by name, such as ``image`` or, of several modalities, ``he.image``.
    record
        What else the sample tells, as JSON values: names, ids, places, labels; of several modalities by modality.
    """

    position: int
    arrays: Mapping[str, AnyArray]
    record: Mapping[str, Any]

    def json(self) -> str:
        """Return the record as JSON, the same for the same row."""
        return json.dumps(self.record, sort_keys=True, ensure_ascii=False)


def exported_row(position: int, sample: Mapping[str, Any]) -> ExportedRow:
    """Return a sample as a row of an export.

    Examples
    --------
    >>> row = exported_row(7, {"image": torch.zeros(2, 3, 3), "tissue_id": "a", "row": 64})
    >>> row.arrays["image"].shape, row.json()
    ((2, 3, 3), '{"position": 7, "row": 64, "tissue_id": "a"}')
    """
    arrays = dict(_arrays(sample, ""))
    record = {"position": position, **_told(sample)}
    return ExportedRow(position=position, arrays=arrays, record=record)


def _arrays(fields: Mapping[str, Any], before: str) -> Iterator[tuple[str, AnyArray]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _arrays(value, f"{before}{name}.")
        elif _is_array(value):
            yield f"{before}{name}", np.ascontiguousarray(value)


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            if inner := _told(value) if _has_arrays(value) else _plain(value):
                told[name] = inner
        elif not _is_array(value) and name not in LEFT_OUT:
            told[name] = _plain(value)
    return told


def _has_arrays(fields: Mapping[str, Any]) -> bool:
    """Tell whether fields are those of a modality, or masks; the others are a struct in a column."""
    return any(_has_arrays(value) if isinstance(value, Mapping) else _is_array(value) for value in fields.values())


def _is_array(value: object) -> bool:
    return isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 0


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a field
    """Return a JSON value: numbers as Python's, NaN as null, what JSON has no word for, as infinity, as text."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return str(value)
