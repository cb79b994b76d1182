"""Many cohorts as one torch dataset: tissues or tiles, in order or drawn at random, balanced where asked."""

import copy
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
from torch.utils.data import Dataset

from spora_db.catalog import Catalog
from spora_db.datasets._types import Modality, ModKey
from spora_db.datasets.balance import Grouped
from spora_db.datasets.composed import ComposedImagingDataset, Options
from spora_db.datasets.draws import Draws
from spora_db.datasets.editable_rows import EditableRows
from spora_db.datasets.indexes import TILE_COLUMNS, TISSUE_COLUMNS, Rows, tile_rows, tissue_rows
from spora_db.datasets.places import datasets_root
from spora_db.datasets.queries import member, merged_selection
from spora_db.datasets.random_samples import Mode, RandomSamples, Sample, Unit
from spora_db.datasets.requested import available, merged
from spora_db.datasets.tiles import whole
from spora_db.errors import ArgumentError, DatasetNotFoundError, unknown
from spora_db.layout import mpp_folder, parse_mpp
from spora_db.query import SporaQuery
from spora_db.standardization.settled import FixedDict, Settled, fixed

logger = logging.getLogger(__name__)


_SETTLED = dict.fromkeys(
    ("dataset_names", "datasets_dir", "requested_modalities", "resolution", "resolution_dir", "mpp", "tile_size",
     "tile_strategy", "verbose", "load_cell_metadata", "split", "modality_kwargs", "dataset_modality_kwargs",
     "modalities_by_dataset"), "Make another SporaDataset with it.",
)  # fmt: skip
_SETTLED["tile_size"] = "Set it on each part, datasets[name].get_dataset(modality), or make another SporaDataset."
_SETTLED["modalities_by_dataset"] = "Edit its lists, or assign datasets[name].modalities."


class SporaDataset(Settled, RandomSamples, EditableRows, Dataset[Sample]):
    """Tissues or tiles of many cohorts, each with the images of all its modalities.

    Parameters
    ----------
    dataset_names
        One cohort, or several.
    datasets_dir
        The folder that holds them; by default the one that ``SPORA_DATASETS_DIR`` names.
    modalities
        Modalities to deliver where a cohort has them, ``"ihc"`` for all its stains; None for all it has. A cohort with
        none of them is left out, with a warning in the log.
    resolution, tile_size, tile_strategy, split, load_cell_metadata, verbose
        As :class:`BaseImagingDataset`.
    sampling_unit
        ``"tiles"`` or ``"tissues"``; by default tiles where a tile size is given.
    modality_kwargs
        As :class:`ComposedImagingDataset`, for every cohort.
    dataset_modality_kwargs
        The same by cohort; they win over `modality_kwargs`.
    seed
        For `sample_random` and its siblings: draws are a function of (seed, epoch, worker). None draws anew every run.
    balance
        Column or columns whose groups are drawn equally often by `sample_random`, its siblings and `sampler`:
        ``"dataset"``, or any column of the tissue metadata. Tissues without a value are a group of their own.
    kind, preprocess, image_mode
        What `dataset[i]` delivers; see :meth:`BaseImagingDataset.get_tissue`.
    rows
        DataFrame with dataset_name, tissue_id and, for tiles, tile_id, row, col: serve these instead of all.

    Attributes
    ----------
    datasets
        Cohort to its :class:`ComposedImagingDataset`.
    modalities_by_dataset
        Cohort to its modalities: the lists that its dataset reads.
    tissue_index
        DataFrame: dataset_name, tissue_id, modalities (tuple).
    tile_index
        DataFrame: global_tile_id, dataset_name, tissue_id, tile_id, row, col; None for tissues. Rows are read from
        these two, edited or replaced.
    resolution, resolution_dir, mpp
        The resolution as given, as the folder's name, and as a number.
    requested_modalities, modality_kwargs, dataset_modality_kwargs
        As given.
    rng
        The numpy generator that random samples are drawn from.

    Raises
    ------
    DatasetNotFoundError
        If a cohort has no folder, or none has one of the modalities.
    TilingNotFoundError
        If a cohort has no tile file of this size, resolution and strategy.
    UnknownNameError, ArgumentError, TableError
        As :class:`ComposedImagingDataset`.

    Examples
    --------
    >>> SporaDataset(["cohort"], datasets_dir="no/such/folder")
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder/cohort. ...
    """

    _settled = _SETTLED

    def __init__(
        self,
        dataset_names: str | Iterable[str],
        *,
        datasets_dir: str | os.PathLike[str] | None = None,
        modalities: ModKey | Iterable[ModKey] | None = None,
        resolution: float | str = 1.0,
        tile_size: int | None = None,
        tile_strategy: str = "default",
        sampling_unit: Unit | None = None,
        verbose: bool = True,
        load_cell_metadata: bool = False,
        split: str | None = None,
        modality_kwargs: Options | None = None,
        dataset_modality_kwargs: Mapping[str, Options] | None = None,
        seed: int | None = None,
        balance: str | Sequence[str] | None = None,
        kind: str = "uniprot_filtered",
        preprocess: bool = True,
        image_mode: str = "CHW",
        rows: pd.DataFrame | None = None,
    ) -> None:
        names = [dataset_names] if isinstance(dataset_names, str) else [str(name) for name in dataset_names]
        self.dataset_names = fixed(names)
        if not self.dataset_names:
            message = "SporaDataset needs at least one dataset name."
            raise ArgumentError(message)
        if sampling_unit is None:
            sampling_unit = "tissues" if tile_size is None else "tiles"
        if sampling_unit == "tiles" and tile_size is None:
            message = "sampling_unit='tiles' needs tile_size=."
            raise ArgumentError(message)
        self._rows: dict[Unit, Rows] = {}
        self.datasets: dict[str, ComposedImagingDataset] = {}
        self.sampling_unit = sampling_unit
        self.datasets_dir = datasets_root(datasets_dir)
        self.mpp = parse_mpp(resolution)
        self.resolution, self.resolution_dir = resolution, mpp_folder(self.mpp)
        self.tile_size, self.tile_strategy, self.split = tile_size, tile_strategy, split
        self.verbose, self.load_cell_metadata = verbose, load_cell_metadata
        asked = modalities if modalities is None or isinstance(modalities, str | Modality) else list(modalities)
        self.requested_modalities = fixed([asked] if isinstance(asked, str | Modality) else asked)
        self.modality_kwargs, self.dataset_modality_kwargs = (
            fixed(given or {}) for given in (modality_kwargs, dataset_modality_kwargs)
        )
        self.kind, self.preprocess, self.image_mode = kind, preprocess, image_mode
        self._draws = Draws(seed)
        self._groups: dict[Unit, Grouped] = {}
        for name in self.dataset_names:
            folder = self.datasets_dir / name
            if not folder.is_dir():
                message = f"Dataset {name!r}: no folder {folder}. Give datasets_dir=, the folder that holds it."
                raise DatasetNotFoundError(message)
            with Catalog(folder) as catalog:
                chosen = available(catalog, asked)
                if not chosen:
                    logger.warning("Dataset %r is left out: it has none of the modalities %s.", name, asked)
                    continue
                self.datasets[name] = ComposedImagingDataset(
                    name, path=folder, modalities=chosen, resolution=resolution, tile_size=tile_size,
                    tile_strategy=None if tile_size is None else tile_strategy, split=split, verbose=verbose,
                    load_cell_metadata=load_cell_metadata, seed=seed, catalog=catalog,
                    modality_kwargs=merged(modality_kwargs, (dataset_modality_kwargs or {}).get(name)),
                )  # fmt: skip
        if not self.datasets:
            message = f"None of {', '.join(self.dataset_names)} has images of {asked} in {self.datasets_dir}."
            raise DatasetNotFoundError(message)
        self._given = rows is not None
        self._rows["tissues"] = tissue_rows(self.datasets, rows)
        if sampling_unit == "tiles":
            self._rows["tiles"] = tile_rows(self.datasets, rows)
        self.balance = balance or ()
        self._settle()

    @property
    def modalities_by_dataset(self) -> dict[str, list[str]]:
        """Cohort to its modalities: the lists that its dataset reads."""
        return FixedDict({name: part.modalities for name, part in self.datasets.items()})

    def __getstate__(self) -> dict[str, Any]:
        """Hand over rows and draws of their own, to a copy too."""
        rows = {unit: copy.copy(own) for unit, own in self._rows.items()}
        return {**self.__dict__, "_rows": rows, "_draws": copy.copy(self._draws), "_groups": {}}

    def __len__(self) -> int:
        """Return the number of tiles, or of tissues."""
        return len(self._rows[self.sampling_unit])

    def __getitem__(self, index: int) -> Sample:
        """Return one tile or tissue.

        Parameters
        ----------
        index
            Position in `tile_index` or `tissue_index`; negative ones count from the end.

        Returns
        -------
        dict
            As `get_tile_sample` or `get_tissue_sample`.
        """
        return self._sample(self.sampling_unit, whole(index, "index"), self._mode(None, None, preprocess=None))

    def get_dataset(self, dataset_name: str) -> ComposedImagingDataset:
        """Return one cohort; an unknown name is an error that lists those there are."""
        if dataset_name not in self.datasets:
            raise unknown("dataset", dataset_name, self.datasets, where="this SporaDataset")
        return self.datasets[dataset_name]

    def get_tissue_ids(self, dataset_name: str | None = None) -> list[str]:
        """Return the tissues of one cohort, or of all."""
        if dataset_name is not None:
            return self.get_dataset(dataset_name).get_tissue_ids()
        return [str(tissue_id) for tissue_id in self.tissue_index["tissue_id"]]

    def get_tissue_sample(
        self,
        *,
        dataset_name: str,
        tissue_id: str,
        kind: str | None = None,
        preprocess: bool | None = None,
        image_mode: str | None = None,
    ) -> Sample:
        """Return a whole tissue.

        Returns
        -------
        dict
            ``dataset_name``, ``tissue_id`` and ``modalities``: modality to its tissue object.
        """
        tissue = self.get_dataset(dataset_name).get_composed_tissue(
            tissue_id, *self._mode(kind, image_mode, preprocess=preprocess)
        )
        return {"dataset_name": dataset_name, "tissue_id": tissue_id, "modalities": tissue.modalities}

    def get_tile_sample(
        self,
        *,
        dataset_name: str,
        tissue_id: str,
        tile_id: int,
        kind: str | None = None,
        preprocess: bool | None = None,
        image_mode: str | None = None,
    ) -> Sample:
        """Return a tile by its id in the tile file.

        Returns
        -------
        dict
            ``dataset_name``, ``tissue_id``, ``tile_id`` and ``modalities``: modality to its tile, all at one place.
        """
        mode = self._mode(kind, image_mode, preprocess=preprocess)
        tile_id = whole(tile_id, "tile_id")
        tile = self.get_dataset(dataset_name).get_composed_tile(tissue_id, tile_id, *mode)
        return {
            "dataset_name": dataset_name, "tissue_id": tissue_id, "tile_id": tile_id, "modalities": tile.modalities,
        }  # fmt: skip

    def query(self) -> SporaQuery:
        """Return the query that selects the same tiles (or tissues), each with all its modalities.

        Raises
        ------
        ArgumentError
            If options differ between cohorts or modalities that a query has only once.
        """
        parts = [part for dataset in self.datasets.values() for part in map(dataset.get_dataset, dataset.modalities)]
        selection = merged_selection([part.query(self.kind).selection for part in parts])
        if self.sampling_unit == "tissues":
            selection = replace(selection, unit="tissue", tile_size=None, mpp=self.mpp)
        if not self._restricted():
            conditions = (*selection.conditions, member("dataset", self.datasets))
            return SporaQuery(self.datasets_dir, replace(selection, conditions=conditions))
        frame = self._rows[self.sampling_unit].frame
        names = TISSUE_COLUMNS if self.sampling_unit == "tissues" else TILE_COLUMNS
        table = pa.Table.from_pandas(
            frame[list(names)].rename(columns={"dataset_name": "dataset"}), preserve_index=False
        )
        return SporaQuery(self.datasets_dir, replace(selection, rows_table=table, conditions=(), splits=()))

    def __repr__(self) -> str:
        """Tell what it is of, and how much there is."""
        counts = self._rows[self.sampling_unit].frame["dataset_name"].value_counts(sort=False)
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        size, split = f"tile_size={self.tile_size!r}", f"split={self.split!r}"
        return f"SporaDataset({len(self)} {self.sampling_unit} ({listed}), {size}, {split})"

    def _sample(self, unit: Unit, position: int, mode: Mode) -> Sample:
        """Return the tile or tissue of one row."""
        if unit not in self._rows:
            message = "This SporaDataset has no tile_index. Make it with tile_size= and sampling_unit='tiles'."
            raise ArgumentError(message)
        rows = self._rows[unit]
        if not -len(rows) <= position < len(rows):
            message = f"position {position} is out of range for {len(rows)} {unit}"
            raise IndexError(message)
        name, tissue_id = rows.names(position)
        if name not in self.datasets:
            raise unknown("dataset", name, self.datasets, where="this SporaDataset")
        if unit == "tissues":
            tissue = self.datasets[name]._compose(
                tissue_id, lambda dataset: dataset.get_tissue(tissue_id, *mode), rows.modalities(position)
            )
            return {"dataset_name": name, "tissue_id": tissue_id, "modalities": tissue.modalities}
        tile_id, row, col = rows.place(position)
        row, col = self.datasets[name]._place(tissue_id, tile_id, (row, col))
        tile = self.datasets[name].get_composed_tile_by_coordinates(tissue_id, row, col, *mode)
        return {"dataset_name": name, "tissue_id": tissue_id, "tile_id": tile_id, "modalities": tile.modalities}
