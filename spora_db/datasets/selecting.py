"""From a dataset's choices to the SporaQuery that selects the same rows: conditions built as trees, never pasted."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlglot import exp

from spora_db.datasets.labels import LabelChoice
from spora_db.sqltext.dialect import DIALECT

LISTED = "(dataset, modality, tissue_id) IN (SELECT (dataset, modality, tissue_id) FROM tissues)"
"""The condition that the tissue metadata has a row for the image's tissue and modality."""


def column(name: str) -> exp.Column:
    """Return a quoted column."""
    return exp.column(name, quoted=True)


def member(name: str, values: Iterable[Any]) -> str:
    """Return the condition that a column has one of the values.

    Examples
    --------
    >>> print(member("cancer_type", ["LUAD", "it's"]))
    "cancer_type" IN ('LUAD', 'it''s')
    """
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    return exp.In(this=column(name), expressions=[exp.convert(value) for value in plain]).sql(DIALECT)


def labelled(choice: LabelChoice) -> str:
    """Return the condition that a row has a wanted label."""
    if choice.keep is None:
        return exp.not_(exp.Is(this=column(choice.column), expression=exp.Null())).sql(DIALECT)
    return member(choice.column, choice.keep)


def listed_in(relation: str, *, modality: str) -> str:
    """Return the condition that a tissue of one cohort is in a relation, under a modality.

    Examples
    --------
    >>> listed_in("tissues", modality="imc")
    "tissue_id IN (SELECT tissue_id FROM tissues WHERE modality = 'imc')"
    """
    inner = (
        exp.select("tissue_id")
        .from_(relation)
        .where(exp.EQ(this=exp.column("modality"), expression=exp.convert(modality)))
    )
    return exp.In(this=exp.column("tissue_id"), query=inner.subquery()).sql(DIALECT)
