"""The features that come with every row of a query, as plain values."""

from dataclasses import dataclass
from typing import Literal

from spora_db.feature_sets import Grain
from spora_db.selection.brief import Brief

WithoutFeatures = Literal["error", "drop", "nan"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FeatureChoice(Brief):
    """A feature set that comes along.

    Attributes
    ----------
    name
        The set's.
    missing
        What becomes of rows without features: an error, they are left out, or they get NaN.
    rows
        Whether its rows are those of the query: modality and tiling are the set's, unless chosen.
    grain
        What its vectors are of; only the lake knows.
    """

    name: str
    missing: WithoutFeatures = "error"
    rows: bool = False
    grain: Grain | None = None


def added(
    before: tuple[FeatureChoice, ...], names: tuple[str, ...], *, missing: WithoutFeatures, rows: bool = False
) -> tuple[FeatureChoice, ...]:
    """Return choices with those of more sets, which replace earlier ones of their names."""
    new = {name: FeatureChoice(name=name, missing=missing, rows=rows) for name in names}
    return (*(choice for choice in before if choice.name not in new), *new.values())
