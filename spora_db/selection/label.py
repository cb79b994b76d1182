"""A label of a query: a column whose values a model learns."""

from dataclasses import dataclass
from typing import Literal

from spora_db.selection.brief import Brief

MissingLabel = Literal["error", "drop", -1]
LabelType = Literal["classification", "regression"]
ClassName = str | int | bool
SAMPLE_FIELDS = frozenset((
    "image", "channel_names", "uniprot_ids", "marker_index", "dataset", "tissue_id", "modality", "mpp", "tile_id",
    "cell_id", "row", "col", "spec", "masks", "cells", "features", "statistics", "method", "dtype", "substituted_for",
    "presence", "cu_seqlens", "max_seqlen", "sample_index",
))  # fmt: skip
"""What samples and batches have of their own, by name: no label can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Label(Brief):
    """A column whose values samples carry as a number to learn.

    Attributes
    ----------
    column
        The column.
    name
        What samples call it; None for the column's name.
    label_type
        Whether values are classes or numbers; None decides by the type of the column.
    classes
        The classes in the order of their codes; None takes those of the whole lake, sorted.
    missing
        What becomes of rows without a value: an error, they are left out, or code -1 (NaN, of numbers).
    """

    column: str
    name: str | None = None
    label_type: LabelType | None = None
    classes: tuple[ClassName, ...] | None = None
    missing: MissingLabel = "error"

    @property
    def key(self) -> str:
        """What samples, batches and errors call it."""
        return self.name or self.column
