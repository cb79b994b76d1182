"""What standardizes images, as a query says it and as keywords of the published classes: both ways in one place."""

from typing import Any, cast

from spora_db.layout.names import is_rgb
from spora_db.selection import Selection, StandardizationChoice, StatsLevel
from spora_db.standardization.filters import PARAMETERS
from spora_db.standardization.standardizer import Standardizer
from spora_db.standardization.tables import statistics_folder


def choice_of(standardizer: Standardizer, *, halo: bool) -> StandardizationChoice:
    """Return what a standardizer does, as a query says it."""
    spec, text = standardizer.spec, str(standardizer.spec)
    if spec.needs_statistics:
        place = statistics_folder(standardizer.folder, spec)
        text = f"{place.parent.name}/{place.name}"
    filters = () if standardizer.filter_factory is None else standardizer.filter_factory.filters
    return StandardizationChoice(
        specs=((None, text),),
        stats_level=cast("StatsLevel | None", standardizer.stats_level),
        use_mean_std=standardizer.use_mean_std,
        disable_quantile_mask=standardizer.disable_quantile_mask,
        filters=tuple(
            (item.name, tuple((key, getattr(item, key)) for key in PARAMETERS[item.name])) for item in filters
        ),
        halo=halo,
        quantile_level=spec.quantile_level,
    )


def class_keywords(selection: Selection, modality: str) -> dict[str, Any]:
    """Return the keywords of a modality's class that stand for the choices of a query."""
    choice = selection.standardization
    if is_rgb(modality):
        return {"mean_std_type": choice.spec(modality)}
    return {
        "standardization": choice.spec(modality),
        "stats_level": choice.stats_level,
        "use_mean_std": choice.use_mean_std,
        "disable_quantile_mask": choice.disable_quantile_mask,
        "quantile_level": choice.quantile_level,
        "filter_list": [name for name, _ in choice.filters],
        "filter_params": {name: dict(pairs) for name, pairs in choice.filters},
        "halo": choice.halo,
        "replace_nuclear_uniprot_ids": selection.channels.replace_nuclear,
    }
