"""Feature sets of a query against the lake: whether it has them, for rows such as these, and rows without them."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, OtherPixelsWarning, level_of_the_user, unknown
from spora_db.feature_sets import FeatureSet, Grain
from spora_db.selection.feature_choice import FeatureChoice
from spora_db.selection.resolved import Resolved
from spora_db.selection.values import Selection
from spora_db.sources.features import FeatureParts, feature_sets, relation_of
from spora_db.sqltext.dialect import DIALECT

IDENTITY: dict[Grain, tuple[str, ...]] = {
    "tile": ("dataset", "tissue_id", "mpp", "strategy", "tile_size", "tile_id"),
    "cell": ("dataset", "tissue_id", "cell_id"),
    "tissue": ("dataset", "tissue_id"),
}
"""What rows of a query share with those of a feature set, by its grain."""


def sets_of(name: str, catalog: Catalog) -> list[FeatureParts]:
    """Return the features of a name, dataset by dataset.

    Raises
    ------
    UnknownNameError
        If the lake has none.
    """
    every = list(feature_sets(catalog._folders))
    found = [item for item in every if relation_of(item.features.name) == relation_of(name)]
    if not found:
        known = dict.fromkeys(item.features.name for item in every)
        where = f"lake {str(catalog.lake)!r}"
        raise unknown("feature set", name, known, where=where, remedy="Make one with query.extract().")
    return found


def with_feature_rows(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Take unit, modality, resolution and tiling from the feature set that the rows are those of, unless chosen."""
    asked = resolved.selection
    for choice in asked.features:
        if choice.rows:
            sets = [item.features for item in sets_of(choice.name, catalog)]
            asked = replace(
                asked,
                unit=sets[0].grain,
                modalities=asked.modalities or _modalities(choice, sets),
                mpp=asked.mpp if asked.mpp is not None else _one(choice, sets, "mpp"),
                strategy=asked.strategy or _one(choice, sets, "strategy"),
                tile_size=asked.tile_size or _one(choice, sets, "tile_size"),
            )
    return replace(resolved, selection=asked)


def check_features(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse feature sets that the lake does not have, or that are not of such rows.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    ArgumentError
        If it is of other things: cells for tiles, tiles of another size.
    """
    asked = resolved.selection
    for choice in asked.features:
        sets = [item.features for item in sets_of(choice.name, catalog)]
        catalog.columns(relation_of(choice.name))  # of all datasets alike; a lock holds its files
        grain = sets[0].grain
        if grain not in (asked.unit, "tissue"):
            raise ArgumentError(
                f"with_features({choice.name!r}): it is of {grain}s, the rows of the query are {asked.unit}s. "
                f"Ask for {grain}s, or extract features of {asked.unit}s."
            )
        for name in ("mpp", "strategy", "tile_size") if grain == "tile" else ():
            own = {getattr(item, name) for item in sets}
            if getattr(asked, name) not in own | {None} and None not in own:
                raise ArgumentError(
                    f"with_features({choice.name!r}): its tiles have {name} {', '.join(map(str, sorted(own)))}, those "
                    f"of the query {getattr(asked, name)}. Ask for the same tiles, or extract features of these."
                )
        tell_other_pixels(sets, asked)


def tell_other_pixels(sets: list[FeatureSet], selection: Selection) -> None:
    """Warn where features were made of other pixels than the query delivers: standardized or cut out otherwise.

    No error, as both may be meant: features of a model with a standardization of its own, beside images for another. A
    query that standardizes nothing says nothing of pixels.
    """
    told: dict[str, None] = {}
    for features in sets:
        for modality in features.modalities:
            made, asked = features.spec_of(modality), selection.standardization.spec(modality)
            if modality in selection.modality_names and asked != "identity" and made not in (None, asked):
                told[f"pixels of {modality} were standardized by {made!r}, those of the query are by {asked!r}"] = None
        for name in ("mpp", "tile_size") if features.grain == selection.unit != "tile" else ():
            made, asked = getattr(features, name), getattr(selection, name)
            if None not in (made, asked) and made != asked:
                told[f"it has {name} {made}, the query {asked}"] = None
    if told:
        name = sets[0].name
        warnings.warn(
            f"The features {name!r} were made of other pixels: {'; '.join(told)}. If that is not meant, ask for the "
            "pixels of the features, or extract features of these under another name.",
            OtherPixelsWarning,
            stacklevel=level_of_the_user(),
        )


def feature_conditions(selection: Selection) -> Iterator[exp.Expr]:
    """Yield the conditions that rows have the features of sets without which they are left out."""
    for choice in selection.features:
        if choice.missing == "drop":
            relation = exp.table_(relation_of(choice.name), quoted=True, alias="f").sql(DIALECT)
            same = " AND ".join(f'f."{key}" = base."{key}"' for key in IDENTITY[choice.grain or "tissue"])
            yield exp.condition(f"EXISTS (SELECT 1 FROM {relation} WHERE {same})", dialect=DIALECT)


def with_grains(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Note of every feature set what it is of."""
    choices = resolved.selection.features
    if not choices:
        return resolved
    known = (replace(choice, grain=sets_of(choice.name, catalog)[0].features.grain) for choice in choices)
    return resolved.asking(features=tuple(known))


def _modalities(choice: FeatureChoice, sets: list[FeatureSet]) -> tuple[tuple[str, ...], ...]:
    """Return the modalities of a set, as `SporaQuery.modality` takes them: of several cohorts one each, or the same."""
    found = list(dict.fromkeys(item.modalities for item in sets))
    if len(found) == 1:
        return tuple((name,) for name in found[0])
    if all(len(names) == 1 for names in found):
        return (tuple(names[0] for names in found),)
    raise ArgumentError(f"features({choice.name!r}): datasets have it of {found}. Choose with .modality(...).")


def _one(choice: FeatureChoice, sets: list[FeatureSet], name: str) -> Any:  # noqa: ANN401 - of a number or a text
    found = {getattr(item, name) for item in sets} - {None}
    if len(found) > 1:
        listed = ", ".join(map(str, sorted(found)))
        raise ArgumentError(f"features({choice.name!r}): it is of several values of {name} ({listed}). Choose one.")
    return next(iter(found), None)
