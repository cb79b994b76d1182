"""What an extraction is: which rows in which parts of which sets, and how they are read and run. It pickles."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from spora_db.arrays import Int64
from spora_db.extraction.parts import SetPart
from spora_db.extraction.reading import BatchReading, ToldRows
from spora_db.feature_sets import FeatureColumn, FeatureSet
from spora_db.feature_sets.description import FeatureType
from spora_db.feature_sets.writing import SetFolder
from spora_db.images.base import MissingChunks
from spora_db.plan import Plan

OnError: TypeAlias = Literal["raise", "list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSet:
    """One dataset's part of an extraction.

    Attributes
    ----------
    folder
        Where its features are written.
    features
        What they will say of themselves; the columns are known when the model has first answered.
    rows
        Its rows in the plan: int64 array of shape (rows,).
    parts
        All its parts, in order.
    """

    folder: SetFolder
    features: FeatureSet
    rows: Int64 = field(repr=False)
    parts: tuple[SetPart, ...] = field(repr=False)

    def missing(self) -> tuple[SetPart, ...]:
        """Return the parts that are not there yet."""
        return tuple(part for part in self.parts if not self.folder.has(part.first, part.last))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extraction:
    """All that a process needs to make parts, besides the model.

    Attributes
    ----------
    plan
        The rows.
    sets
        By dataset.
    batch_size
        Rows that the model is handed at a time.
    reading
        How batches are read.
    dtype, allow_nan
        As `Outputs` takes them.
    columns
        The columns of the sets, where one of them knows.
    device
        Where batches go.
    on_error
        What becomes of a row that cannot be read.
    missing_chunks, transform
        As `PlanDataset` takes them.
    """

    plan: Plan
    sets: dict[str, DatasetSet]
    batch_size: int
    reading: BatchReading
    dtype: FeatureType
    allow_nan: bool
    columns: tuple[FeatureColumn, ...] | None
    device: str | None
    on_error: OnError
    missing_chunks: MissingChunks
    transform: Callable[..., Any] | None

    def dataset(self) -> ToldRows:
        """Return the rows as samples, in whichever process this is."""
        rows = ToldRows(self.plan, missing_chunks=self.missing_chunks, transform=self.transform)
        rows.listed = self.on_error == "list"
        return rows


def expected_rows(parts: Iterable[SetPart]) -> int:
    """Return how many rows parts have together."""
    return sum(part.last - part.first + 1 for part in parts)
