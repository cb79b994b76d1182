"""What an extraction did, dataset by dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.errors import counted
from spora_db.layout import FAILED_FILE

SetState: TypeAlias = Literal["complete", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetExtraction:
    """One dataset's part of an extraction.

    Attributes
    ----------
    dataset
        Its name.
    folder
        Where its features are.
    state
        Whether all parts are there; else other shards or runs have still to make some.
    rows
        How many rows are to have features.
    made, before
        Rows that this run made, those that failed included, and rows that were there before or that others made.
    failed
        Rows that could not be read, of all that are there; counted once the set is complete.
    """

    dataset: str
    folder: Path
    state: SetState
    rows: int
    made: int
    before: int
    failed: int = 0

    @property
    def missing(self) -> int:
        """Rows that are still to come."""
        return self.rows - self.made - self.before

    def __str__(self) -> str:
        """Return it in a line."""
        rest = f", {self.missing:,} still to come" if self.missing else ""
        failed = f", {self.failed:,} could not be read ({self.folder / FAILED_FILE})" if self.failed else ""
        return (
            f"{self.dataset}: {counted(self.rows, 'row')}, {self.made:,} made now, {self.before:,} there before"
            f"{rest}{failed}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionReport:
    """What an extraction did.

    Attributes
    ----------
    name
        The feature set.
    lake
        The lake that has it, with the layer that was written to, as text.
    datasets
        One report each, sorted by name.
    """

    name: str
    lake: str
    datasets: tuple[DatasetExtraction, ...]

    @property
    def complete(self) -> bool:
        """Whether every row has features, or is listed as failed."""
        return all(own.state == "complete" for own in self.datasets)

    def failed(self) -> pa.Table:
        """Return the rows that could not be read: dataset, key and reason; of complete sets.

        Examples
        --------
        >>> ExtractionReport(name="own", lake="lake", datasets=()).failed().num_rows
        0
        """
        tables = [
            pq.read_table(path).append_column("dataset", pa.array([own.dataset] * own.failed, pa.string()))
            for own in self.datasets
            if own.failed and (path := own.folder / FAILED_FILE).is_file()
        ]
        return pa.concat_tables(tables) if tables else pa.table({"dataset": pa.array([], pa.string())})

    def __str__(self) -> str:
        """Return a line per dataset."""
        state = "complete" if self.complete else "not complete yet"
        return "\n".join([f"Features {self.name!r}: {state}.", *(f"  {own}" for own in self.datasets)])
