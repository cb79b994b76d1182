"""`ReadRows`: the samples of a batch, as columns until someone asks for one."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from spora_db.arrays import Int64
from spora_db.loading.joining import FieldColumns, JoinedRows
from spora_db.loading.parts import ReadPart
from spora_db.loading.sample import Sample


class ReadRows(JoinedRows):
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
        self._parts, self.several = parts, len(parts) > 1
        self._samples: list[Sample | None] = [None] * count
        self._places = np.full((count, len(parts)), -1)
        for number, part in enumerate(parts):
            self._places[part.which, number] = np.arange(len(part.which))

    def columns(self) -> Sequence[tuple[FieldColumns, Int64]] | None:
        """Return what samples hold of each modality, and which of them have it.

        None where a sample was made, which may be another since, or where one of the modalities is one of several.
        """
        present = sorted((part for part in self._parts if len(part.which)), key=lambda part: int(part.which[0]))
        made = any(sample is not None for sample in self._samples)
        mixed = self.several and any(len(set(part.columns["modality"])) > 1 for part in present)
        return None if made or mixed else [(part.columns, part.which) for part in present]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._samples)

    @overload
    def __getitem__(self, position: int) -> Sample: ...
    @overload
    def __getitem__(self, position: slice) -> list[Sample]: ...
    def __getitem__(self, position: int | slice) -> Sample | list[Sample]:
        """Return a sample, or a list of some."""
        if isinstance(position, slice):
            return [self[i] for i in range(len(self))[position]]
        found = self._samples[position]
        if found is None:
            found = self._samples[position] = self._made(range(len(self))[position])
        return found

    def __eq__(self, other: object) -> bool:
        """Tell whether the samples are those of another such sequence, or of a list."""
        return list(self) == list(other) if isinstance(other, ReadRows | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as of a list

    def __reduce__(self) -> tuple[Any, ...]:
        """Reduce to a list of samples."""
        return list, (list(self),)

    def _made(self, position: int) -> Sample:
        places = zip(self._parts, self._places[position].tolist(), strict=True)
        found = [
            Sample({name: _value(column, place) for name, column in part.columns.items()})
            for part, place in places
            if place >= 0
        ]
        return Sample({sample["modality"]: sample for sample in found}) if self.several else found[0]


def _value(column: Any, place: int) -> Any:  # noqa: ANN401 - whatever a sample holds
    value = column[place]
    return value.item() if isinstance(value, np.generic) else value
