"""The standardizations of a query: of which modalities, and whether images of these can have them."""

from dataclasses import replace

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.selection.modalities import existing_modalities, spelled
from spora_db.selection.resolved import Resolved
from spora_db.standardization.methods import RGB_PRESETS


def with_standardization(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Spell the modalities that are standardized as the query does; another one of the lake has no effect."""
    asked, pairs = resolved.selection, []
    for modality, text in asked.standardization.specs:
        name = modality
        if modality is not None and modality not in asked.modality_names:
            known = list(dict.fromkeys((*asked.modality_names, *existing_modalities(catalog))))
            name = spelled(modality, known, "standardize()")
        pairs.append((name, text))
    return resolved.asking(standardization=replace(asked.standardization, specs=tuple(pairs)))


def check_standardization(resolved: Resolved, _: Catalog) -> None:
    """Refuse statistics of a panel for brightfield images, and brightfield presets for a panel."""
    for modality in resolved.selection.modality_names:
        asked = resolved.selection.standardization.parsed(modality)
        text = str(asked)
        if is_rgb(modality) and asked.needs_statistics:
            raise ArgumentError(
                f"Standardization {text!r} needs channel statistics, which {modality} images have not. Use 'imagenet', "
                f"'hibou' or 'identity', or a mapping such as .standardize({{{modality!r}: 'imagenet', 'imc': "
                f"{text!r}}})."
            )
        if not is_rgb(modality) and asked.method in RGB_PRESETS and asked.method != "identity":
            raise ArgumentError(
                f"Standardization {text!r} is for brightfield images, not for {modality}. Use 'identity', "
                "'quantile_clipping/uq_0.99_image' or another spec in: SELECT DISTINCT spec FROM standardization_stats."
            )
