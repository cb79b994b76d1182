"""What is asked of a cohort: modalities, where ``ihc`` stands for all stains, and the keywords of their classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spora_db.datasets.modalities import ModKey, as_list, modality_name

ModalityOptions = Mapping[str, Mapping[str, Any]]


def expanded(modalities: ModKey | Iterable[ModKey], existing: Sequence[str]) -> list[str]:
    """Return the names asked for, each once; ``ihc`` becomes all stains that have images, where there are any.

    Examples
    --------
    >>> expanded(["ihc", "imc", "IMC"], ["ihc_CD3", "ihc_Ki67"]), expanded("ihc", ["he"])
    (['ihc_CD3', 'ihc_Ki67', 'imc'], ['ihc'])
    """
    stains = [name for name in existing if name.startswith("ihc_")]
    names: list[str] = []
    for name in map(modality_name, as_list(modalities)):
        names += stains if name == "ihc" and stains else [name]
    return list(dict.fromkeys(names))


def keywords(modality: str, options: ModalityOptions) -> dict[str, Any]:
    """Return the keywords of a modality's class: its own before those of all stains."""
    return {**(options.get("ihc", {}) if modality.startswith("ihc_") else {}), **options.get(modality, {})}


def merged(common: ModalityOptions | None, own: ModalityOptions | None) -> ModalityOptions:
    """Return the keywords by modality, a cohort's own before the common ones."""
    keys = [*(common or {}), *(own or {})]
    return {key: {**(common or {}).get(key, {}), **(own or {}).get(key, {})} for key in keys}
