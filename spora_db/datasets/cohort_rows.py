"""Many cohorts and the rows to serve of them: as attributes that may be edited."""

import copy
import logging
import os
from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import pandas as pd
from torch.utils.data import Dataset

from spora_db.catalog import Catalog
from spora_db.datasets.composed import ComposedImagingDataset
from spora_db.datasets.draws import Draws
from spora_db.datasets.frames import modalities_with_images
from spora_db.datasets.groups import RowGroups, group_rows
from spora_db.datasets.indexes import COLUMNS, UNITS, IndexUnit, Rows, all_rows, tile_rows, tissue_rows
from spora_db.datasets.modalities import Modality, ModKey, as_list
from spora_db.datasets.places import dataset_folder, datasets_root
from spora_db.datasets.requested import ModalityOptions, expanded, merged
from spora_db.errors import ArgumentError, DatasetNotFoundError, unknown
from spora_db.layout import mpp_folder, parse_mpp
from spora_db.selection.arguments import checked_choice
from spora_db.standardization.settled import FixedDict, Settled, fixed

logger = logging.getLogger(__name__)

RowSample: TypeAlias = dict[str, Any]


class CohortRows(Settled, Dataset[RowSample], ABC):
    """What :class:`SporaDataset` is made of; its arguments and attributes are told there."""

    _settled: ClassVar = {
        **dict.fromkeys(
            ("dataset_names", "datasets_dir", "requested_modalities", "resolution", "resolution_dir", "mpp",
             "tile_strategy", "verbose", "load_cell_metadata", "split", "modality_kwargs", "dataset_modality_kwargs"),
            "Make another SporaDataset with it.",
        ),
        "tile_size": "Set it on each part, datasets[name].get_dataset(modality), or make another SporaDataset.",
        "modalities_by_dataset": "Edit its lists, or assign datasets[name].modalities.",
    }  # fmt: skip

    def __init__(
        self,
        dataset_names: str | Iterable[str],
        *,
        datasets_dir: str | os.PathLike[str] | None = None,
        modalities: ModKey | Iterable[ModKey] | None = None,
        resolution: float | str = 1.0,
        tile_size: int | None = None,
        tile_strategy: str = "default",
        sampling_unit: IndexUnit | None = None,
        verbose: bool = True,
        load_cell_metadata: bool = False,
        split: str | None = None,
        modality_kwargs: ModalityOptions | None = None,
        dataset_modality_kwargs: Mapping[str, ModalityOptions] | None = None,
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
        self._unit: IndexUnit = checked_choice(sampling_unit, options=UNITS, kind="sampling_unit")
        self.datasets_dir = datasets_root(datasets_dir)
        self.mpp = parse_mpp(resolution)
        self.resolution, self.resolution_dir = resolution, mpp_folder(self.mpp)
        self.tile_size, self.tile_strategy, self.split = tile_size, tile_strategy, split
        self.verbose, self.load_cell_metadata = verbose, load_cell_metadata
        asked = modalities if modalities is None or isinstance(modalities, str | Modality) else list(modalities)
        self.requested_modalities = fixed(None if asked is None else as_list(asked))
        self.modality_kwargs, self.dataset_modality_kwargs = (
            fixed(given or {}) for given in (modality_kwargs, dataset_modality_kwargs)
        )
        self.kind, self.preprocess, self.image_mode = kind, preprocess, image_mode
        self._draws = Draws(seed)
        self._groups: dict[IndexUnit, RowGroups] = {}
        self.datasets: dict[str, ComposedImagingDataset] = {}
        for name in self.dataset_names:
            remedy = "Give datasets_dir=, the folder that holds it."
            folder = dataset_folder(name, root=self.datasets_dir, remedy=remedy)
            with Catalog(folder) as catalog:
                existing = modalities_with_images(catalog)
                chosen = existing if asked is None else [item for item in expanded(asked, existing) if item in existing]
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
        self._rows: dict[IndexUnit, Rows] = {"tissues": tissue_rows(self.datasets, rows)}
        if sampling_unit == "tiles":
            self._rows["tiles"] = tile_rows(self.datasets, rows)
        self.balance = balance or ()
        self._settle()

    @property
    def modalities_by_dataset(self) -> dict[str, list[str]]:
        """Cohort to its modalities: the lists that its dataset reads."""
        return FixedDict({name: part.modalities for name, part in self.datasets.items()})

    @property
    def tissue_index(self) -> pd.DataFrame:
        """The tissues: dataset_name, tissue_id, modalities (those that its row delivers); rows are read from it."""
        return self._rows["tissues"].frame

    @tissue_index.setter
    def tissue_index(self, frame: pd.DataFrame) -> None:
        self._rows["tissues"] = Rows(frame, COLUMNS["tissues"])

    @property
    def tile_index(self) -> pd.DataFrame | None:
        """The tiles: global_tile_id, dataset_name, tissue_id, tile_id, row, col; rows are read from it."""
        return self._rows["tiles"].frame if "tiles" in self._rows else None

    @tile_index.setter
    def tile_index(self, frame: pd.DataFrame) -> None:
        if self.tile_size is None:
            message = "tile_index needs a SporaDataset with tile_size=."
            raise ArgumentError(message)
        self._rows["tiles"] = Rows(frame, COLUMNS["tiles"])

    @property
    def sampling_unit(self) -> IndexUnit:
        """What a position stands for: ``"tiles"`` or ``"tissues"``."""
        return self._unit

    @sampling_unit.setter
    def sampling_unit(self, unit: IndexUnit) -> None:
        chosen = checked_choice(unit, options=UNITS, kind="sampling_unit")
        if chosen not in self._rows:
            message = "This SporaDataset has no tile_index. Make it with tile_size= and sampling_unit='tiles'."
            raise ArgumentError(message)
        self._unit = chosen

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

    def __getstate__(self) -> dict[str, Any]:
        """Hand over rows and draws of their own, to a copy too."""
        rows = {unit: copy.copy(own) for unit, own in self._rows.items()}
        return {**self.__dict__, "_rows": rows, "_draws": copy.copy(self._draws), "_groups": {}}

    def __len__(self) -> int:
        """Return the number of tiles, or of tissues."""
        return len(self._rows[self.sampling_unit])

    def get_dataset(self, dataset_name: str) -> ComposedImagingDataset:
        """Return the cohort `dataset_name`.

        Raises
        ------
        UnknownNameError
            There is no such dataset.

        See Also
        --------
        SporaDataset.get_tissue_ids

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> dataset.get_dataset("lung_imc").modalities
        ['he', 'imc']
        """
        if dataset_name not in self.datasets:
            raise unknown("dataset", dataset_name, self.datasets, where="this SporaDataset")
        return self.datasets[dataset_name]

    def _chosen(self) -> pd.DataFrame | None:
        """Return the rows to serve, by the columns that identify them; None where they are all of the cohorts."""
        unit = self.sampling_unit
        own = self._rows[unit].frame[list(COLUMNS[unit])].reset_index(drop=True)
        return own if self._given or not own.equals(all_rows(unit, self.datasets)) else None
