"""The rows of many cohorts: tissues or tiles, as a DataFrame for users and as arrays for quick access by position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spora_db.datasets.composed import ComposedImagingDataset
from spora_db.errors import ArgumentError, TableError, TilingNotFoundError
from spora_db.layout import tile_file

Composed = Mapping[str, ComposedImagingDataset]
TILE_COLUMNS = ("dataset_name", "tissue_id", "tile_id", "row", "col")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows by position.

    Attributes
    ----------
    frame
        The rows, as users see them.
    datasets, tissues
        The distinct names.
    dataset, tissue
        int32 arrays of shape (rows,): positions in these.
    place
        int32 array of shape (rows, 3): tile_id, row, col; of shape (rows, 0) for tissues.
    """

    frame: pd.DataFrame
    datasets: tuple[str, ...]
    tissues: tuple[str, ...]
    dataset: npt.NDArray[np.int32]
    tissue: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.dataset)

    def names(self, position: int) -> tuple[str, str]:
        """Return dataset and tissue of a row."""
        return self.datasets[self.dataset[position]], self.tissues[self.tissue[position]]


def tissue_rows(datasets: Composed, chosen: pd.DataFrame | None) -> Rows:
    """Return all tissues of the cohorts, or the chosen ones: dataset_name, tissue_id, modalities."""
    if chosen is None:
        pairs = [(name, tissue) for name, dataset in datasets.items() for tissue in dataset.get_tissue_ids()]
    else:
        _check_columns(chosen, ("dataset_name", "tissue_id"))
        pairs = list(dict.fromkeys(zip(chosen["dataset_name"], chosen["tissue_id"], strict=True)))
    frame = pd.DataFrame(
        {
            "dataset_name": [name for name, _ in pairs],
            "tissue_id": [tissue for _, tissue in pairs],
            "modalities": [tuple(datasets[name].get_modalities_of_tissue(tissue)) for name, tissue in pairs],
        }
    )
    return _rows(frame, np.empty((len(frame), 0), np.int32))


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
        _check_columns(chosen, TILE_COLUMNS)
        frame = chosen[list(TILE_COLUMNS)].reset_index(drop=True)
    if frame.empty:
        message = f"The tile files of {', '.join(datasets)} have no tile of a tissue that is selected."
        raise TilingNotFoundError(message)
    frame.insert(0, "global_tile_id", np.arange(len(frame), dtype=np.int64))
    return _rows(frame, frame[["tile_id", "row", "col"]].to_numpy(np.int32))


def _tiles(name: str, dataset: ComposedImagingDataset) -> pd.DataFrame:
    """Return the tiles of one cohort's tissues."""
    table = dataset.get_dataset(dataset.modalities[0])._tiles
    if table is None:
        strategy, size = dataset.tile_strategy or "default", int(dataset.tile_size or 0)
        path = tile_file(dataset.path, "tile_coordinates", mpp=dataset.mpp, strategy=strategy, tile_size=size)
        message = (
            f"Dataset {name!r} has no tile file {path}. Make it with: spora-db tile {dataset.path} "
            f"--tile-size {size} --mpp {dataset.mpp} --strategy {strategy}, or leave the dataset out."
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


def _rows(frame: pd.DataFrame, place: npt.NDArray[np.int32]) -> Rows:
    dataset, datasets = _coded(frame["dataset_name"])
    tissue, tissues = _coded(frame["tissue_id"])
    return Rows(frame=frame, datasets=datasets, tissues=tissues, dataset=dataset, tissue=tissue, place=place)


def _coded(column: Any) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:  # noqa: ANN401 - a pandas Series
    codes, names = pd.factorize(column)
    if (codes < 0).any():
        message = f"{column.name} is missing in {int((codes < 0).sum())} rows."
        raise TableError(message)
    return codes.astype(np.int32), tuple(str(name) for name in names)


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        message = f"rows must have columns {', '.join(wanted)}; it lacks {', '.join(missing)}."
        raise ArgumentError(message)
