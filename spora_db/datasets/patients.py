"""Patients and their tissues, found by an id that is a number in one table and a text in another."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd


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


def tissues_of(patients: Mapping[Any, Iterable[str]], patient_id: object) -> list[str]:
    """Return the tissues of a patient from any mapping, by int or by str; none for an unknown patient.

    Examples
    --------
    >>> tissues_of({170: ["t0"]}, "170"), tissues_of({"170": ["t0"]}, 170), tissues_of({}, 170)
    (['t0'], ['t0'], [])
    """
    if isinstance(patients, PatientMap):
        return list(patients.get(patient_id, ()))
    key = patient_key(patient_id)
    return [tissue_id for known, ids in patients.items() if patient_key(known) == key for tissue_id in ids]


class PatientMap(dict[str, list[str]]):
    """Patient id to tissue ids; looked up by int or str, kept as str.

    Examples
    --------
    >>> patients = PatientMap.of(pd.Series({"t0": "170", "t1": None, "t2": "170"}))
    >>> patients[170], patients.get("170"), 171 in patients, list(patients)
    (['t0', 't2'], ['t0', 't2'], False, ['170'])
    """

    @classmethod
    def of(cls, patients: "pd.Series[Any]") -> "PatientMap":
        """Collect the tissues of patient ids by tissue, in their order; those without a patient are left out."""
        found: dict[str, dict[str, None]] = {}
        for tissue_id, patient_id in patients.items():
            if isinstance(patient_id, str):
                found.setdefault(patient_id, {})[str(tissue_id)] = None
        return cls({patient_id: list(found[patient_id]) for patient_id in sorted(found)})

    def __setitem__(self, key: object, tissue_ids: list[str]) -> None:
        """Set the tissues of a patient, an int or a str."""
        super().__setitem__(patient_key(key), tissue_ids)

    def __delitem__(self, key: object) -> None:
        """Remove a patient, an int or a str."""
        super().__delitem__(patient_key(key))

    def update(self, *others: Any, **named: list[str]) -> None:  # noqa: ANN401 - as dict's
        """Set the tissues of several patients."""
        for key, tissue_ids in dict(*others, **named).items():
            self[key] = tissue_ids

    def __ior__(self, other: Any) -> "PatientMap":  # type: ignore[override, misc]  # noqa: ANN401 - as dict's
        """Set the tissues of several patients."""
        self.update(other)
        return self

    def setdefault(self, key: object, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        """Return the tissues of a patient, who gets `default` where unknown."""
        return super().setdefault(patient_key(key), default)

    def pop(self, key: object, *default: Any) -> Any:  # noqa: ANN401 - as dict's
        """Remove a patient, and return the tissues."""
        return super().pop(patient_key(key), *default)

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
