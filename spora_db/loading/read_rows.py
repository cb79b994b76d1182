"""`ReadRows`: the samples of a batch, as columns until someone asks for one."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np

from spora_db.arrays import Int64
from spora_db.loading.sample import Sample

FieldColumns: TypeAlias = dict[str, Any]
"""What n samples hold, by field: a tensor whose first dimension is n, an array of n numbers, or a list of n values."""


class ReadPart(NamedTuple):
    """The images of one modality in a batch: which rows have one, an int64 array, and what samples hold of them."""

    which: Int64
    columns: FieldColumns


class ReadRows(Sequence[Sample]):
    """The samples of rows that were read together: a sequence, each made when it is first asked for.

    Images are views of the batch's memory.

    Parameters
    ----------
    count
        The number of rows.
    parts
        What was read of each modality of the query.
    """

    def __init__(self, count: int, parts: Sequence[ReadPart]) -> None:
        self._count, self._parts, self.several = count, parts, len(parts) > 1
        self._made: dict[int, Sample] = {}

    def columns(self) -> list[ReadPart] | None:
        """Return what samples hold of each modality that some have, in the order of the rows.

        None where a sample was made, which may be another since, or where one of the modalities is one of several.
        """
        present = sorted((part for part in self._parts if len(part.which)), key=lambda part: int(part.which[0]))
        mixed = self.several and any(len(set(part.columns["modality"])) > 1 for part in present)
        return None if self._made or mixed else present

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._count

    @overload
    def __getitem__(self, position: int) -> Sample: ...
    @overload
    def __getitem__(self, position: slice) -> list[Sample]: ...
    def __getitem__(self, position: int | slice) -> Sample | list[Sample]:
        """Return a sample, or a list of some."""
        if isinstance(position, slice):
            return [self[i] for i in range(len(self))[position]]
        row = range(len(self))[position]
        if row not in self._made:
            places = [(part.columns, np.flatnonzero(part.which == row).tolist()) for part in self._parts]
            found = [_sample(columns, place) for columns, own in places for place in own]
            self._made[row] = Sample({own["modality"]: own for own in found}) if self.several else found[0]
        return self._made[row]

    def __eq__(self, other: object) -> bool:
        """Tell whether the samples are those of another such sequence, or of a list."""
        return list(self) == list(other) if isinstance(other, ReadRows | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as of a list

    def __reduce__(self) -> tuple[Any, ...]:
        """Reduce to a list of samples."""
        return list, (list(self),)


def _sample(columns: FieldColumns, place: int) -> Sample:
    """Return what one of the samples holds, numbers as Python's own."""
    values = {name: column[place] for name, column in columns.items()}
    return Sample({name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()})
