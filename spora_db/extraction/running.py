"""Runs a model over parts, in this process: claim a part, read its batches, run, check, write, let go."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import ArgumentError
from spora_db.extraction.job import DatasetSet, Extraction
from spora_db.extraction.models import made_ready
from spora_db.extraction.outputs import Outputs, in_words
from spora_db.extraction.parts import SetPart, key_columns_of
from spora_db.extraction.reading import ReadBatch
from spora_db.feature_sets import FeatureSet
from spora_db.feature_sets.writing import Failed
from spora_db.files.locks import HeldElsewhereError


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMade:
    """A part that was written: how many of its rows have features, and how many failed."""

    part: SetPart
    rows: int
    failed: int


@dataclass(slots=True, kw_only=True)
class _OpenPart:
    """A part that this process holds, and what it has of it so far."""

    part: SetPart
    own: DatasetSet
    held: ExitStack
    batches: list[dict[str, AnyArray]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    seen: int = 0

    @property
    def rows(self) -> Int64:
        return self.own.rows[self.part.first : self.part.last + 1]

    @property
    def done(self) -> bool:
        return self.seen == self.part.last - self.part.first + 1


def run_parts(job: Extraction, model: Callable[[Any], object], parts: Iterable[SetPart]) -> Iterator[PartMade]:
    """Make parts and yield each as it is written; those that another process makes, or has made, are passed over.

    Raises
    ------
    ArgumentError
        What the model returns is not as expected.
    WriteError
        A part cannot be written. Those that are there stay.
    Exception
        Whatever the model raises, with a note that names the rows.
    """
    outputs = Outputs(dtype=job.dtype, grain=job.plan.unit, allow_nan=job.allow_nan, columns=job.columns)
    opened: deque[_OpenPart] = deque()
    with ExitStack() as every, made_ready(model, device=job.device) as ready:
        every.callback(_let_go, opened)
        for read in job.reading.batches(job.dataset(), _wanted(job, parts, opened)):
            current = opened[0]
            _take(current, read, run=ready, outputs=outputs, job=job)
            if current.done:
                _write(current, outputs, job)
                current.held.close()
                opened.popleft()
                yield PartMade(part=current.part, rows=current.seen - len(current.failed), failed=len(current.failed))


def _let_go(opened: Iterable[_OpenPart]) -> None:
    """Let others make the parts that were begun."""
    for part in opened:
        part.held.close()


def _wanted(job: Extraction, parts: Iterable[SetPart], opened: deque[_OpenPart]) -> Iterator[Int64]:
    """Claim part after part, as far ahead as batches are read, and yield the rows of its batches."""
    for part in parts:
        own = job.sets[part.dataset]
        held = ExitStack()
        try:
            held.enter_context(own.folder.claim(part.first, part.last))
        except HeldElsewhereError:
            continue
        if own.folder.has(part.first, part.last):
            held.close()
            continue
        current = _OpenPart(part=part, own=own, held=held)
        opened.append(current)
        for first in range(0, len(current.rows), job.batch_size):
            yield current.rows[first : first + job.batch_size]


def _take(
    current: _OpenPart, read: ReadBatch, *, run: Callable[[Any], object], outputs: Outputs, job: Extraction
) -> None:
    """Run the model on a batch, and keep what it returns."""
    first = current.part.first + current.seen
    where = f"rows {first} to {first + len(read.rows) + len(read.failed) - 1} of {current.part.dataset}"
    if read.rows:
        try:
            returned = run(read.batch)
        except Exception as error:
            error.add_note(
                f"Raised by the model for {where}. Parts that were written stay; a run goes on from them. It is called "
                "with the whole batch: of a network of images, hand over a function, after network.eval(), such as "
                "lambda batch: network(batch['image'])."
            )
            raise
        current.batches.append(outputs.checked(returned, rows=len(read.rows), where=where))
    places = {int(row): place for place, row in enumerate(current.rows, current.part.first)}
    current.failed += [(places[row], why) for row, why in read.failed]
    current.seen += len(read.rows) + len(read.failed)


def _write(current: _OpenPart, outputs: Outputs, job: Extraction) -> None:
    columns = outputs.columns
    if columns is None:
        raise ArgumentError(
            f"None of the first {current.seen:,} rows of {current.part.dataset} can be read, so the model was never "
            f"asked. The first: {current.failed[0][1]}"
        )
    features = described_with(current.own, outputs)
    vectors = {
        column.name: np.concatenate([batch[column.name] for batch in current.batches])
        if current.batches
        else np.zeros((0, column.dimension) if column.dimension else 0, column.dtype)
        for column in columns
    }
    current.own.folder.write_part(
        features, current.part.first, current.part.last, vectors=vectors, failed=current.failed,
        keys=key_columns_of(job.plan, current.rows, strategy=features.strategy),
    )  # fmt: skip


def described_with(own: DatasetSet, outputs: Outputs) -> FeatureSet:
    """Return a set with its columns, and see that its folder says the same of it."""
    assert outputs.columns is not None
    features = replace(own.features, columns=outputs.columns)
    there = own.folder.described()
    if there is None:
        own.folder.describe(features)
    elif there.columns != outputs.columns:
        raise ArgumentError(
            f"The model returned {in_words(outputs.columns)}, but {own.folder.path} has {in_words(there.columns)}. "
            "Make it anew with overwrite=True (--overwrite), or give another name."
        )
    return features
