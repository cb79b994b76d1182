"""The one query that stands for several datasets of one modality each."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from spora_db.datasets.base import BaseImagingDataset
from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.query import SporaQuery
from spora_db.selection import ChannelChoice, StandardizationChoice

T = TypeVar("T", bound=Hashable)


def merged_query(lake: Path, datasets: Sequence[BaseImagingDataset], kind: str) -> SporaQuery:
    """Return the query for places that have any of several modalities, each place with all that it has.

    Parameters
    ----------
    lake
        The folder to ask.
    datasets
        Datasets of one modality each, of one or several cohorts.
    kind
        The kind of channels of the multiplex ones.

    Raises
    ------
    ArgumentError
        If the datasets differ in an option that a query has only once.
    """
    selections = {dataset: dataset.query(kind).selection for dataset in datasets}
    modalities = list(dict.fromkeys(dataset.modality.name for dataset in datasets))
    multiplex = [item for dataset, item in selections.items() if not is_rgb(dataset.modality.name)]
    specs = tuple(
        (
            name,
            _same(
                f"standardization of {name}",
                (item.standardization.spec(name) for item in of_modality),
                default="identity",
            ),
        )
        for name in modalities
        for of_modality in [[item for dataset, item in selections.items() if dataset.modality.name == name]]
    )
    options = _same(
        "options of standardization",
        (replace(item.standardization, specs=()) for item in multiplex),
        default=StandardizationChoice(),
    )
    first = next(iter(selections.values()))
    selection = replace(
        first,
        modalities=tuple((name,) for name in modalities),
        missing_modality="keep",
        conditions=_same("label", (item.conditions for item in selections.values()), default=()),
        channels=_same("choice of channels", (item.channels for item in multiplex), default=ChannelChoice()),
        standardization=replace(options, specs=specs),
    )
    return SporaQuery(lake, selection)


def _same(what: str, values: Iterable[T], *, default: T) -> T:
    """Return the one value that all agree on."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 1:
        message = (
            f"The modalities differ in their {what} ({'; '.join(map(str, distinct))}), which a query has only once. "
            "Ask each alone: get_dataset(...).query()."
        )
        raise ArgumentError(message)
    return distinct[0] if distinct else default
