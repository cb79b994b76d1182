"""`BagDataset`: groups of rows as samples of a torch dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from spora_db.arrays import AnyArray, Int64
from spora_db.bags.collates import collate_bags_padded
from spora_db.bags.grouping import Grouping
from spora_db.errors import ArgumentError
from spora_db.loading.batch import Batch
from spora_db.loading.collates import collate_padded
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.labels import labels_of, targets
from spora_db.loading.movable import Movable
from spora_db.loading.row_numbers import plan_column
from spora_db.nearest.matrix import FeatureMatrix
from spora_db.plan import Plan
from spora_db.selection import ClassName
from spora_db.selection.arguments import index_number


class Bag(Movable):
    """One bag: a dict in every respect, of which a ``DataLoader`` without ``collate_fn`` makes padded batches.

    Examples
    --------
    >>> Bag(features=torch.zeros(2, 3))["features"].shape
    torch.Size([2, 3])
    """


def _padded(bags: Sequence[Bag], *, collate_fn_map: object = None) -> Batch:
    return collate_bags_padded(bags)


default_collate_fn_map[Bag] = _padded


class RowSource(Protocol):
    """What a bag's features come from."""

    def fields(self, rows: Int64) -> dict[str, torch.Tensor]:
        """Return the features of some rows of the plan, and what belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorSource:
    """Vectors of a feature set.

    Attributes
    ----------
    matrices
        The vectors of every dataset.
    matrix, place
        In which of them a row of the plan is, and where: int64 arrays of shape (rows,), -1 where nowhere.
    """

    matrices: tuple[FeatureMatrix, ...]
    matrix: Int64
    place: Int64

    def fields(self, rows: Int64) -> dict[str, torch.Tensor]:
        """Return float32 features of shape (N, D)."""
        found = np.empty((len(rows), self.matrices[0].vectors.shape[1]), np.float32)
        for number, matrix in enumerate(self.matrices):
            own = self.matrix[rows] == number
            if own.any():
                found[own] = matrix.vectors[self.place[rows[own]]]
        return {"features": torch.from_numpy(found)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileSource:
    """The tiles themselves."""

    tiles: PlanDataset

    def fields(self, rows: Int64) -> dict[str, torch.Tensor]:
        """Return tiles of shape (N, C, H, W), with the presence and number of their channels."""
        batch = collate_padded(self.tiles.__getitems__(rows.tolist()))
        return {
            "features": batch["image"], "presence": batch["presence"], "marker_index": batch["marker_index"],
        }  # fmt: skip


class BagDataset(Dataset[Bag]):
    """Groups of rows as samples; made by `SporaQuery.bags`.

    Parameters
    ----------
    plan
        The rows.
    grouping
        Which of them are in which bag.
    by
        What they were grouped by.
    source
        What their features come from.

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> query = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0)
    >>> bags = query.bags(by="patient_id", features="tiles")
    >>> len(bags) > 0, bags[0]["features"].shape[1:]
    (True, torch.Size([3, 128, 128]))
    """

    def __init__(self, plan: Plan, grouping: Grouping, *, by: str, source: RowSource) -> None:
        self._plan, self.grouping, self.by, self.source = plan, grouping, by, source

    @property
    def plan(self) -> Plan:
        """The rows, each of which is in one bag at most."""
        return self._plan

    @property
    def counts(self) -> Int64:
        """How many rows each bag has: int64 array of shape (bags,)."""
        counts: Int64 = np.diff(self.grouping.offsets)
        return counts

    @property
    def classes(self) -> dict[str, tuple[ClassName, ...]]:
        """The classes of every label that has some, by the label's name; see `PlanDataset.classes`.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> query.bags(by="tissue_id", features="tiles").classes
        {'cancer_type': ('HPV+ OPSCC', 'LUAD', 'LUSC', 'Tonsillitis')}
        """
        return {} if self.plan.labels is None else dict(self.plan.labels.classes_of)

    def targets(self, label: str | None = None) -> torch.Tensor:
        """Return a label of all bags, without reading any: tensor of shape (bags,).

        Parameters
        ----------
        label
            Its name; may be left out where there is one label only.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> bags = query.bags(by="patient_id", features="tiles")
        >>> bags.targets().shape == (len(bags),)
        True
        """
        return targets(self.plan, label)[torch.from_numpy(self.grouping.rows[self.grouping.offsets[:-1]])]

    def __len__(self) -> int:
        """Return the number of bags."""
        return len(self.grouping.offsets) - 1

    def __repr__(self) -> str:
        """Say how many bags of how many rows there are."""
        counts = self.counts
        return f"BagDataset({len(self):,} bags by {self.by} of {counts.min():,} to {counts.max():,} {self.plan.unit}s)"

    def __getitem__(self, bag: int) -> Bag:
        """Return one bag.

        Returns
        -------
        Bag
            ``features`` (float32 tensor of shape (N, D); of tiles (N, C, H, W), with ``presence`` and ``marker_index``
            of shape (N, C)), ``dataset`` and ``bag`` (the value that it was grouped by), labels (tensors of shape ()),
            and of its rows ``tissue_id`` (list of N), ``tile_id`` or ``cell_id``, ``row`` and ``col`` (int64 tensors of
            shape (N,)), and the further columns of the query (lists of N).

        Raises
        ------
        IndexError
            If there is no such bag.
        """
        number = index_number(bag)
        if number is None:
            raise ArgumentError(f"bags[{bag!r}]: expected the number of one bag.")
        if not -len(self) <= number < len(self):
            raise IndexError(f"There is no bag {number}; there are {len(self):,}.")
        rows = self.grouping.of(number % len(self))
        first = self.plan.identity(int(rows[0]))
        sample = Bag(self.source.fields(rows), dataset=first["dataset"], bag=self._value(rows[0], self.by))
        sample |= {name: value[0] for name, value in labels_of(self.plan, rows[:1]).items()}
        sample["tissue_id"] = self._values(rows, "tissue_id")
        places: dict[str, AnyArray] = {"row": self.plan.row, "col": self.plan.col}
        if self.plan.unit != "tissue":
            places[f"{self.plan.unit}_id"] = self.plan.tile_id
        sample |= {name: torch.from_numpy(values[rows].astype(np.int64)) for name, values in places.items()}
        return sample | {
            name: self._values(rows, name) for name in self.plan.columns.column_names if name not in sample
        }

    def _value(self, row: Any, name: str) -> object:  # noqa: ANN401 - a number of numpy
        return self._values(np.array([row]), name)[0]

    def _values(self, rows: Int64, name: str) -> list[Any]:
        values: list[Any] = plan_column(self.plan, name).take(rows).to_pylist()
        return values
