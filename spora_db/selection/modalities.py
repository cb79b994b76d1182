"""The modalities of a query, as the lake spells them."""

from collections.abc import Sequence

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, DatasetNotFoundError, QueryError, unknown
from spora_db.selection.own_rows import distinct
from spora_db.selection.resolved import Resolved


def with_modalities(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Spell the modalities as the lake does, and fill in the one that there is.

    Raises
    ------
    DatasetNotFoundError
        If the lake has no image.
    UnknownNameError
        For a modality that it does not have, also among the user's own rows.
    QueryError
        If there are several to choose from.
    ArgumentError
        If one is named twice.
    """
    existing = existing_modalities(catalog)
    if not existing:
        raise DatasetNotFoundError(
            f"{catalog.lake}: no dataset here has an image. "
            "Expected files <dataset>/<modality>/<mpp>/images/<tissue_id>.ome.zarr or .ome.tiff."
        )
    given = existing
    if resolved.source is not None and "modality" in resolved.source_types:
        given = distinct(resolved.source, "modality", catalog)
        for name in given:
            if name not in existing:
                raise unknown("modality", name, existing, where="the column modality of the rows")
    if not resolved.selection.modalities:
        return resolved.asking(modalities=((_only(given),),))
    where = f"lake {str(catalog.lake)!r}"
    found = tuple(tuple(spelled(name, existing, where) for name in names) for names in resolved.selection.modalities)
    flat = [name for names in found for name in names]
    if len(set(flat)) != len(flat):
        raise ArgumentError(f"modality() names a modality twice: {', '.join(flat)}.")
    return resolved.asking(modalities=found)


def existing_modalities(catalog: Catalog) -> list[str]:
    """Return the modalities that have images, sorted."""
    return [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]


def _only(existing: Sequence[str]) -> str:
    if not existing:
        raise QueryError(
            "The rows are empty, so they do not say their modality. Name it with .modality(...), or look why the "
            "SELECT or table has no rows."
        )
    if len(existing) > 1:
        either = ", ".join(map(repr, existing))
        raise QueryError(
            f"Which modality? There are: {', '.join(existing)}. Choose one with .modality({existing[0]!r}), rows "
            f"of either with a tuple, .modality(({either})), or an image of each at the same place with "
            f".modality({either})."
        )
    return existing[0]


def spelled(name: str, existing: Sequence[str], where: str) -> str:
    """Return a modality as the lake spells it: exactly so, or in another letter case if only one is spelled like it."""
    alike = [other for other in existing if other.casefold() == name.casefold()]
    if name in alike:
        return name
    if not alike:
        raise unknown("modality", name, existing, where=where)
    if len(alike) > 1:
        raise QueryError(f"Which modality is {name!r} in {where}? There are: {', '.join(alike)}. Spell it as one is.")
    return alike[0]
