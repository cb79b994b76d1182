"""What a `SporaDataset` is of, as attributes that may be edited: its rows, their unit, and the groups drawn evenly."""

from collections.abc import Sequence
from typing import get_args

import pandas as pd

from spora_db.datasets.balance import group_rows
from spora_db.datasets.composed import ComposedImagingDataset
from spora_db.datasets.indexes import TILE_COLUMNS, TISSUE_COLUMNS, Rows, tile_rows, tissue_rows
from spora_db.datasets.random_samples import Unit
from spora_db.errors import ArgumentError, unknown


class EditableRows:
    """The attributes of the rows; part of :class:`SporaDataset`, which makes them."""

    datasets: dict[str, ComposedImagingDataset]
    tile_size: int | None
    _is_settled: bool
    _rows: dict[Unit, Rows]
    _unit: Unit
    _balance: tuple[str, ...]
    _given: bool

    @property
    def tissue_index(self) -> pd.DataFrame:
        """The tissues: dataset_name, tissue_id, modalities (those that its row delivers); rows are read from it."""
        return self._rows["tissues"].frame

    @tissue_index.setter
    def tissue_index(self, frame: pd.DataFrame) -> None:
        self._rows["tissues"] = Rows(frame, TISSUE_COLUMNS)

    @property
    def tile_index(self) -> pd.DataFrame | None:
        """The tiles: global_tile_id, dataset_name, tissue_id, tile_id, row, col; rows are read from it."""
        return self._rows["tiles"].frame if "tiles" in self._rows else None

    @tile_index.setter
    def tile_index(self, frame: pd.DataFrame) -> None:
        if self.tile_size is None:
            message = "tile_index needs a SporaDataset with tile_size=."
            raise ArgumentError(message)
        self._rows["tiles"] = Rows(frame, TILE_COLUMNS)

    @property
    def sampling_unit(self) -> Unit:
        """What a position stands for: ``"tiles"`` or ``"tissues"``."""
        return self._unit

    @sampling_unit.setter
    def sampling_unit(self, unit: Unit) -> None:
        if unit not in get_args(Unit):
            raise unknown("sampling_unit", unit, get_args(Unit))
        if self._is_settled and unit not in self._rows:
            message = "This SporaDataset has no tile_index. Make it with tile_size= and sampling_unit='tiles'."
            raise ArgumentError(message)
        self._unit = unit

    @property
    def balance(self) -> tuple[str, ...]:
        """The columns whose groups are drawn equally often."""
        return self._balance

    @balance.setter
    def balance(self, columns: str | Sequence[str] | None) -> None:
        chosen = (columns,) if isinstance(columns, str) else tuple(columns or ())
        for column in chosen:
            group_rows(self._rows["tissues"].frame, (column,), self.datasets)  # an unknown column is an error now
        self._balance = chosen

    def _restricted(self) -> bool:
        """Whether the rows are others than all of the cohorts."""
        if self._given:
            return True
        every = (tissue_rows if self.sampling_unit == "tissues" else tile_rows)(self.datasets, None)
        columns = list(every.columns)
        return not self._rows[self.sampling_unit].frame[columns].reset_index(drop=True).equals(every.frame[columns])
