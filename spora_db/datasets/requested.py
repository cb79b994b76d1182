"""What is asked of each cohort of a `SporaDataset`: the modalities that it has, and the keywords of their classes."""

from collections.abc import Iterable

from spora_db.catalog import Catalog
from spora_db.datasets._types import ModKey, modality_name
from spora_db.datasets.composed import Options


def available(catalog: Catalog, modalities: ModKey | Iterable[ModKey] | None) -> list[str]:
    """Return the modalities asked for that a cohort has images of, in the order asked for."""
    existing = [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]
    if modalities is None:
        return existing
    several = isinstance(modalities, Iterable) and not isinstance(modalities, str)
    found: list[str] = []
    for name in map(modality_name, modalities if several else [modalities]):  # type: ignore[arg-type]
        found += [item for item in existing if item == name or (name == "ihc" and item.startswith("ihc_"))]
    return list(dict.fromkeys(found))


def merged(common: Options | None, own: Options | None) -> Options:
    """Return the keywords by modality, a cohort's own before the common ones."""
    keys = [*(common or {}), *(own or {})]
    return {key: {**(common or {}).get(key, {}), **(own or {}).get(key, {})} for key in keys}
