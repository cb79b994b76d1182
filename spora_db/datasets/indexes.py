"""The rows of many cohorts: tissues or tiles by position, in a DataFrame that users see and may edit."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd

from spora_db.datasets.composed import ComposedImagingDataset
from spora_db.datasets.numbers import whole
from spora_db.errors import ArgumentError, TableError, TilingNotFoundError
from spora_db.layout import locate, tile_file

Composed: TypeAlias = Mapping[str, ComposedImagingDataset]
IndexUnit: TypeAlias = Literal["tissues", "tiles"]
UNITS: tuple[IndexUnit, ...] = get_args(IndexUnit)
COLUMNS: dict[IndexUnit, tuple[str, ...]] = {
    "tissues": ("dataset_name", "tissue_id"),
    "tiles": ("dataset_name", "tissue_id", "tile_id", "row", "col"),
}
"""What identifies a row."""


class Rows:
    """Rows by position, read from a frame that users see and may edit.

    Parameters
    ----------
    frame
        dataset_name, tissue_id and, for tiles, tile_id, row, col; other columns stay what they are.
    columns
        Which of these there must be.

    Raises
    ------
    ArgumentError
        If the frame lacks a column.
    TableError
        If a row has no dataset_name or tissue_id.
    """

    def __init__(self, frame: pd.DataFrame, columns: Sequence[str]) -> None:
        if not isinstance(frame, pd.DataFrame):
            message = f"An index must be a DataFrame with columns {', '.join(columns)}; got {frame!r}."
            raise ArgumentError(message)
        _check_columns(frame, columns)
        for name in columns[:2]:
            if missing := int(frame[name].isna().sum()):
                message = f"{name} is missing in {missing} rows."
                raise TableError(message)
        self.frame = frame

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    def names(self, position: int) -> tuple[str, str]:
        """Return dataset and tissue of a row."""
        return str(self._value("dataset_name", position)), str(self._value("tissue_id", position))

    def place(self, position: int) -> tuple[int, int, int]:
        """Return tile_id, row and col of a tile."""
        tile_id, row, col = (
            whole(self._value(name, position), f"Row {position} of the tile index: {name}")
            for name in COLUMNS["tiles"][2:]
        )
        return tile_id, row, col

    def modalities(self, position: int) -> tuple[str, ...] | None:
        """Return the modalities that a row lists; None where it lists none."""
        if "modalities" not in self.frame.columns:
            return None
        listed = self.frame["modalities"].iat[position]
        if isinstance(listed, str):
            return (listed,)
        return tuple(map(str, listed)) if isinstance(listed, Iterable) else None

    def _value(self, name: str, position: int) -> Any:  # noqa: ANN401 - of any column
        _check_columns(self.frame, (name,))
        return self.frame.iat[position, cast("int", self.frame.columns.get_loc(name))]


def all_rows(unit: IndexUnit, datasets: Composed) -> pd.DataFrame:
    """Return all tissues or tiles of the cohorts, by the columns that identify them."""
    rows = tissue_rows(datasets, None) if unit == "tissues" else tile_rows(datasets, None)
    return rows.frame[list(COLUMNS[unit])]


def tissue_rows(datasets: Composed, chosen: pd.DataFrame | None) -> Rows:
    """Return all tissues of the cohorts, or the chosen ones: dataset_name, tissue_id, modalities."""
    if chosen is None:
        pairs = [(name, tissue) for name, dataset in datasets.items() for tissue in dataset.get_tissue_ids()]
    else:
        _check_columns(chosen, COLUMNS["tissues"])
        pairs = list(dict.fromkeys(zip(chosen["dataset_name"], chosen["tissue_id"], strict=True)))
    frame = pd.DataFrame(
        {
            "dataset_name": [name for name, _ in pairs],
            "tissue_id": [tissue for _, tissue in pairs],
            "modalities": [tuple(datasets[name].get_modalities_of_tissue(tissue)) for name, tissue in pairs],
        }
    )
    return Rows(frame, COLUMNS["tissues"])


def tile_rows(datasets: Composed, chosen: pd.DataFrame | None) -> Rows:
    """Return all tiles of the cohorts' tissues, or the chosen ones.

    Raises
    ------
    TilingNotFoundError
        If a cohort has no tile file, or no tile is left.
    """
    if chosen is None:
        frame = pd.concat([_tiles(name, dataset) for name, dataset in datasets.items()], ignore_index=True)
    else:
        _check_columns(chosen, COLUMNS["tiles"])
        frame = chosen[list(COLUMNS["tiles"])].reset_index(drop=True)
    if frame.empty:
        message = f"The tile files of {', '.join(datasets)} have no tile of a tissue that is selected."
        raise TilingNotFoundError(message)
    frame.insert(0, "global_tile_id", np.arange(len(frame), dtype=np.int64))
    return Rows(frame, COLUMNS["tiles"])


def _tiles(name: str, dataset: ComposedImagingDataset) -> pd.DataFrame:
    """Return the tiles of one cohort's tissues."""
    table = dataset.get_dataset(dataset.modalities[0])._tiles.table
    if table is None:
        strategy, size = dataset.tile_strategy or "default", int(dataset.tile_size or 0)
        file = tile_file(Path(), "tile_coordinates", mpp=dataset.mpp, strategy=strategy, tile_size=size)
        message = (
            f"Dataset {name!r} has no tile file {locate(dataset.path, file)}. Make it with: spora-db tile "
            f"{shlex.quote(str(dataset.path))} --tile-size {size} --mpp {dataset.mpp} --strategy "
            f"{shlex.quote(strategy)}, or leave the dataset out."
        )
        raise TilingNotFoundError(message)
    wanted = set(dataset.get_tissue_ids())
    spans = [(tissue, span) for tissue, span in table.bounds.items() if tissue in wanted]
    positions = np.concatenate([np.arange(*span) for _, span in spans] or [np.empty(0, np.int64)])
    return pd.DataFrame(
        {
            "dataset_name": name,
            "tissue_id": np.repeat([tissue for tissue, _ in spans], [last - first for _, (first, last) in spans]),
            "tile_id": table.tile_id[positions],
            "row": table.row[positions],
            "col": table.col[positions],
        },
        index=np.arange(len(positions)),
    )


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        message = f"rows must have columns {', '.join(wanted)}; it lacks {', '.join(missing)}."
        raise ArgumentError(message)
