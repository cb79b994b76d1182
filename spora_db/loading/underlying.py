"""`Underlying`: which rows of which plans the positions of a dataset stand for, whatever wraps them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import ConcatDataset, Dataset, Subset

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.files.arrow_arrays import arrow_array
from spora_db.loading.drawn import Drawn
from spora_db.loading.locality import ChunkGroups, group_rows
from spora_db.loading.row_numbers import panel_numbers, plan_column
from spora_db.loading.rows import PlanRows
from spora_db.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """The rows behind a dataset: position by position, rows of one or several plans.

    Attributes
    ----------
    plans
        The plans, whose rows are numbered through.
    rows
        int64 array: the row of each position, which may repeat; None for all, in order.
    """

    plans: tuple[Plan, ...]
    rows: Int64 | None = None

    def __len__(self) -> int:
        """Return the number of positions."""
        return int(self.firsts[-1]) if self.rows is None else len(self.rows)

    @property
    def firsts(self) -> Int64:
        """The number of each plan's first row, and of all rows: int64 array of shape (plans + 1,)."""
        return np.cumsum([0, *map(len, self.plans)])

    @property
    def rows_hash(self) -> str:
        """What orders are drawn from: `Plan.rows_hash`; of rows that are not just those of one plan, a digest."""
        if len(self.plans) == 1 and self.rows is None:
            return self.plans[0].rows_hash
        digest = hashlib.blake2b(digest_size=16)
        for plan in self.plans:
            digest.update(bytes.fromhex(plan.rows_hash))
        if self.rows is not None:
            digest.update(self.rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def groups(self, side: int) -> ChunkGroups:
        """Group the positions by shared chunks; see `group_rows`."""
        found = [group_rows(plan, side=side) for plan in self.plans]
        counts = np.cumsum([0, *(int(groups.group[-1]) + 1 for groups in found)])
        rows = _through([groups.rows for groups in found], self.firsts)
        group = _through([groups.group for groups in found], counts)
        if self.rows is None:
            return ChunkGroups(rows=rows, group=group)
        place = np.empty_like(rows)
        place[rows] = np.arange(len(rows))
        places = place[self.rows]
        order = np.argsort(places, kind="stable")
        return ChunkGroups(rows=order, group=group[places[order]])

    def panels(self) -> Int64:
        """Return a number per position, equal where rows of one plan have the same channels."""
        found = [panel_numbers(plan) for plan in self.plans]
        numbers = _through(found, np.cumsum([0, *(int(own.max()) + 1 for own in found)]))
        return numbers if self.rows is None else numbers[self.rows]

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column position by position; see `plan_column`.

        Raises
        ------
        UnknownNameError
            If a plan has no such column.
        ArgumentError
            If it has another type in another plan.
        """
        found = [plan_column(plan, name) for plan in self.plans]
        types = sorted({str(values.type) for values in found})
        if len(types) > 1:
            raise ArgumentError(f"Column {name!r} is of several types in the datasets that are joined: {types}.")
        values = pa.chunked_array([chunk for part in found for chunk in part.chunks], type=found[0].type)
        return values if self.rows is None else values.take(arrow_array(self.rows))

    def identity(self, position: int) -> Mapping[str, object]:
        """Return what names the row at a position; see `Plan.identity`."""
        row = position if self.rows is None else int(self.rows[position])
        number = int(np.searchsorted(self.firsts, row, side="right")) - 1
        return self.plans[number].identity(row - int(self.firsts[number]))

    def taken(self, rows: Int64) -> "Underlying":
        """Return some of the positions."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


def _through(parts: Sequence[Int64], firsts: Int64) -> Int64:
    """Return numbers of several plans, counted through."""
    return np.concatenate([part + first for part, first in zip(parts, firsts, strict=False)])


def _joined(parts: Sequence[Underlying]) -> Underlying:
    """Return positions one part after another; a plan that several have is one."""
    plans = list({id(plan): plan for part in parts for plan in part.plans}.values())
    firsts = dict(zip(map(id, plans), np.cumsum([0, *map(len, plans)]).tolist(), strict=False))
    rows = []
    for part in parts:
        own = np.arange(len(part)) if part.rows is None else part.rows
        number = np.searchsorted(part.firsts, own, side="right") - 1
        shift = np.array([firsts[id(plan)] for plan in part.plans]) - part.firsts[:-1]
        rows.append(own + shift[number])
    return Underlying(plans=tuple(plans), rows=np.concatenate(rows))


class _Indices(list[int]):
    """The rows of a Subset, which keep where they were drawn: a Subset only looks them up."""

    def __getitem__(self, position: Any) -> Any:  # noqa: ANN401 - an int, or a slice
        found = super().__getitem__(position)
        return position.at(found) if isinstance(position, Drawn) else found


def underlying(dataset: object) -> Underlying:
    """Return the rows behind a dataset: a `PlanDataset`, or what wraps one.

    ``Subset`` (so also ``random_split``) and ``ConcatDataset`` are looked through; so is a dataset of one's own that
    holds one of these in an attribute, and is as long as it.

    Parameters
    ----------
    dataset
        The dataset. The rows of a ``Subset`` are made to keep the place in the order at which they are drawn.

    Raises
    ------
    ArgumentError
        If there is no such dataset behind it, or one of another length.
    """
    if isinstance(dataset, PlanRows):
        return Underlying(plans=(dataset.plan,))
    if isinstance(dataset, Subset):
        whole, rows = underlying(dataset.dataset), np.asarray(dataset.indices)  # which may be beyond int64
        outside = rows[(rows < -len(whole)) | (rows >= len(whole))]
        if len(outside):
            raise ArgumentError(f"A Subset asks for row {outside[0]} of a dataset that has {len(whole)} rows.")
        rows = rows.astype(np.int64)
        dataset.indices = _Indices(rows.tolist())
        return whole.taken(rows % len(whole))
    if isinstance(dataset, ConcatDataset):
        return _joined([underlying(own) for own in dataset.datasets])
    return _wrapped(dataset)


def _wrapped(dataset: object) -> Underlying:
    """Return the rows behind a dataset that holds another one in an attribute."""
    name, held = type(dataset).__name__, list(_held(dataset, {id(dataset)}))
    if not held:
        raise ArgumentError(
            f"TileSampler({name}): there is no dataset of a query in it, whose order could be made. Pass "
            "query.to_torch(), a Subset or ConcatDataset of such, or a dataset that holds one in an attribute."
        )
    own = len(dataset) if isinstance(dataset, Sized) else None
    alike = [value for value in held if len(value) == own]
    if not alike:
        raise ArgumentError(
            f"TileSampler({name}): it has {own} rows and the dataset in it {len(held[0])}, so its positions are not "
            "that one's rows. Wrap torch.utils.data.Subset(dataset, rows) instead."
        )
    return underlying(alike[0])


def _held(dataset: object, seen: set[int]) -> Iterator[Any]:
    """Yield the datasets of queries, and what torch makes of such, that a dataset of one's own holds at any depth."""
    for value in getattr(dataset, "__dict__", {}).values():
        members: Iterable[Any] = (value,)
        if isinstance(value, (list, tuple, dict)):
            members = value.values() if isinstance(value, dict) else value
        for member in members:
            if isinstance(member, (PlanRows, Subset, ConcatDataset)):
                yield member
            elif isinstance(member, Dataset) and id(member) not in seen:
                seen.add(id(member))
                yield from _held(member, seen)
