"""Patients and their tissues, found by an id that is a number in one table and a text in another."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def patient_key(patient_id: object) -> str:
    """Return the text that stands for a patient id: 170, 170.0 and "170" are one patient.

    Examples
    --------
    >>> patient_key(170), patient_key(170.0), patient_key("P1")
    ('170', '170', 'P1')
    """
    if isinstance(patient_id, float | np.floating) and float(patient_id).is_integer():
        return str(int(patient_id))
    return str(patient_id)


class PatientMap(dict[str, list[str]]):
    """Patient id to tissue ids; looked up by int or str, kept as str.

    Examples
    --------
    >>> patients = PatientMap.of([("170", "t0"), (None, "t1"), ("170", "t2")])
    >>> patients[170], patients.get("170"), 171 in patients, list(patients)
    (['t0', 't2'], ['t0', 't2'], False, ['170'])
    """

    @classmethod
    def of(cls, pairs: Iterable[tuple[str | None, str]]) -> "PatientMap":
        """Collect (patient id, tissue id) pairs in their order; tissues without a patient are left out."""
        found: dict[str, dict[str, None]] = {}
        for patient_id, tissue_id in pairs:
            if isinstance(patient_id, str):
                found.setdefault(patient_id, {})[tissue_id] = None
        return cls({patient_id: list(found[patient_id]) for patient_id in sorted(found)})

    def __missing__(self, key: object) -> list[str]:
        """Look a key up as text."""
        text = patient_key(key)
        if text == key:
            raise KeyError(key)
        return self[text]

    def __contains__(self, key: object) -> bool:
        """Tell whether there is such a patient."""
        return super().__contains__(patient_key(key))

    def get(self, key: object, default: Any = None) -> Any:  # noqa: ANN401 - as dict.get
        """Return the tissues of a patient, or `default`."""
        return super().get(patient_key(key), default)
