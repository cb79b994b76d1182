"""From a dataset's choices to the selection of the same rows: conditions built as trees, never pasted."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from sqlglot import exp

from spora_db.datasets.labels import LabelChoice
from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.selection import ChannelChoice, Selection, StandardizationChoice
from spora_db.sqltext.dialect import DIALECT

T = TypeVar("T", bound=Hashable)

LISTED = "(dataset, modality, tissue_id) IN (SELECT (dataset, modality, tissue_id) FROM tissues)"
"""The condition that the tissue metadata has a row for the image's tissue and modality."""


def member(name: str, values: Iterable[Any]) -> str:
    """Return the condition that a column has one of the values.

    Examples
    --------
    >>> print(member("cancer_type", ["LUAD", "it's"]))
    "cancer_type" IN ('LUAD', 'it''s')
    """
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    return exp.column(name, quoted=True).isin(*plain).sql(DIALECT)


def labelled(choice: LabelChoice) -> str:
    """Return the condition that a row has a wanted label."""
    if choice.keep is None:
        return exp.not_(exp.column(choice.column, quoted=True).is_(exp.null())).sql(DIALECT)
    return member(choice.column, choice.keep)


def measured(modality: str) -> str:
    """Return the condition that it is known which channels of a tissue's image were measured.

    Examples
    --------
    >>> measured("imc")
    "tissue_id IN (SELECT tissue_id FROM channels_per_tissue WHERE modality = 'imc')"
    """
    known = exp.select("tissue_id").from_("channels_per_tissue").where(exp.column("modality").eq(modality))
    return exp.column("tissue_id").isin(query=known).sql(DIALECT)


def merged_selection(selections: Sequence[Selection]) -> Selection:
    """Return the selection of places that have any of several modalities, each place with all that it has.

    Parameters
    ----------
    selections
        Of one modality each, of one or several cohorts.

    Raises
    ------
    ArgumentError
        If they differ in an option that a query has only once.
    """
    of_modality: dict[str, list[Selection]] = {}
    for selection in selections:
        of_modality.setdefault(selection.modality_names[0], []).append(selection)
    specs = tuple(
        (name, _same(f"standardization of {name}", [item.standardization.spec(name) for item in same]))
        for name, same in of_modality.items()
    )
    multiplex = [item for name, same in of_modality.items() for item in same if not is_rgb(name)]
    options = [replace(item.standardization, specs=()) for item in multiplex] or [StandardizationChoice()]
    return replace(
        selections[0],
        modalities=tuple((name,) for name in of_modality),
        missing_modality="keep",
        conditions=_same("label", [item.conditions for item in selections]),
        channels=_same("choice of channels", [item.channels for item in multiplex] or [ChannelChoice()]),
        standardization=replace(_same("options of standardization", options), specs=specs),
    )


def _same(what: str, values: Iterable[T]) -> T:
    """Return the one value that all agree on."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 1:
        message = (
            f"The modalities differ in their {what} ({'; '.join(map(str, distinct))}), which a query has only once. "
            "Ask each alone: get_dataset(...).query()."
        )
        raise ArgumentError(message)
    return distinct[0]
