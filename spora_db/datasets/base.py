"""What all datasets of one modality share: metadata, labels, patients, tiles; no database is left open."""

import copy
import logging
import os
import pickle
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from spora_db.catalog import Catalog
from spora_db.datasets._types import ModKey, get_modality_from_str, modality_name
from spora_db.datasets.access import TissueAccess, checked_size
from spora_db.datasets.annotations import MaskAccess
from spora_db.datasets.draws import Draws
from spora_db.datasets.frames import check_modality, read_cells, read_tissues, split_rows
from spora_db.datasets.labels import Labels, apply_labels, label_choice
from spora_db.datasets.mask_files import MaskFiles
from spora_db.datasets.patients import PatientMap
from spora_db.datasets.places import dataset_catalog, dataset_folder, dataset_name
from spora_db.datasets.queries import LISTED, labelled
from spora_db.datasets.reading import freeze_images
from spora_db.datasets.tiles import Places, TileTable, read_tiles
from spora_db.errors import ArgumentError
from spora_db.images.base import MissingChunks
from spora_db.layout import image_folder, mpp_folder, parse_mpp, tile_file
from spora_db.query import SporaQuery
from spora_db.selection import ChannelKind, Selection
from spora_db.standardization.settled import Settled, fixed

logger = logging.getLogger(__name__)


_ANEW = "Make another dataset with it."
_SETTLED = dict.fromkeys(
    ("path", "modality", "resolution", "mpp", "tile_strategy", "split", "label", "labels_to_keep", "label_modifying_fn",
     "label_type", "verbose", "img_folder", "tissue_masks_dir"), _ANEW,
)  # fmt: skip


def _portable(function: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """Return a function that other processes can import, None for others: it was applied when the labels were read."""
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return function


class BaseImagingDataset(Settled, TissueAccess, MaskAccess):
    """One modality of one cohort: tissues and tiles as tensors, with metadata, labels, masks and patients.

    It goes

    1. tables of the cohort (`Catalog`, closed before the constructor returns) -> DataFrames,
    2. all images of the modality -> one frozen plan (arrays),
    3. tissue id, row, col -> pages and transform -> float32 tensor, by the same code as `SporaQuery.to_torch`.

    Objects pickle, and work in DataLoader workers however these are started. What is assigned to an attribute, or
    edited in its tables, lists and masks, is what is delivered from then on, in copies and workers too; attributes that
    say how the dataset was made cannot be assigned.

    Parameters
    ----------
    name
        The cohort; its folder unless `path` is given.
    modality
        Such as ``"imc"``, or a modality dataclass.
    resolution
        Microns per pixel: 1, 1.0, ``"1.0"`` or ``"1_0mpp"``.
    path
        The cohort's folder, of any name; by default `name` in the folder that ``SPORA_DATASETS_DIR`` names.
    tile_size
        Height and width of tiles in pixels; None for whole tissues only.
    load_cell_metadata
        Whether `cell_metadata` is read.
    verbose
        Whether what was found is logged at level INFO.
    label
        Column of the tissue metadata with the labels; tissues without a label are left out of the metadata.
    labels_to_keep
        Keep the tissues with these labels; None keeps every label.
    label_modifying_fn
        Applied to every kept label.
    label_type
        ``"classification"`` or ``"regression"``.
    tile_strategy
        Name of the tiling, ``"default"`` unless given.
    split
        Keep the tissues of this split in the metadata.
    seed
        For the random tiles that `get_tile` gives where the cohort has no tile file; without it they follow numpy's
        global generator (``np.random.seed``).
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    catalog
        The open catalog of `path`, if there is one; it is not kept.

    Attributes
    ----------
    name, path, modality, resolution, mpp, tile_size, tile_strategy, split, label
        As given; `path` a Path, `modality` a dataclass, `resolution` the folder's name, `mpp` a float.
    tissue_metadata
        DataFrame by tissue_id: a row per tissue and modality, after split and labels.
    tissue_modality_metadata
        The rows of this modality.
    cell_metadata
        DataFrame by tissue_id, a row per cell; None unless asked for.
    patient_tissue_map
        Patient id to tissue ids of this modality; found by int and by str.
    unique_labels, label_encoder
        The classes in ascending order, and the number of each; the same for every split. None without classes.
    tile_coordinates
        Tissue id to list of (row, col), Python ints in the order of tile ids; None where there is no tile file. Tiles
        are read from it.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder.
    UnknownNameError
        For a modality, resolution, split, label or column that the cohort does not have.
    TableError
        If a table contradicts itself or another one, or ``metadata/tissues.parquet`` is absent.
    """

    _settled = _SETTLED

    def __init__(
        self,
        name: str,
        modality: ModKey,
        resolution: float | str,
        path: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002 - the published order
        verbose: bool = True,  # noqa: FBT001, FBT002
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        if tile_size is None and tile_strategy is not None:
            message = f"tile_strategy={tile_strategy!r} without tile_size: give tile_size= too."
            raise ArgumentError(message)
        self.tile_size = checked_size(tile_size)
        self.name = name
        self.path = dataset_folder(name, path)
        self.modality = get_modality_from_str(modality_name(modality))
        if not isinstance(modality, str) and modality.canonical_dir != self.modality.canonical_dir:
            message = (
                f"canonical_dir={modality.canonical_dir!r}: the images of {self.modality.name} are found in "
                f"{self.modality.canonical_dir!r}. Give the modality by its name."
            )
            raise ArgumentError(message)
        self.mpp = parse_mpp(resolution)
        self.resolution = mpp_folder(self.mpp)
        self.tile_strategy = tile_strategy or "default"
        self.split = split
        self.label, self.label_type = label, label_type
        self.labels_to_keep, self.label_modifying_fn = fixed(labels_to_keep), label_modifying_fn
        self.verbose = verbose
        self.img_folder = image_folder(self.path, modality_name(self.modality), mpp=self.mpp)
        self._dataset = dataset_name(self.path)
        self._label = label_choice(label, labels_to_keep, label_type)
        self._masks = MaskFiles(dataset=self.path, mpp=self.mpp)
        self._draws = Draws(seed)
        with dataset_catalog(self.path, catalog) as opened:
            check_modality(opened, self.modality.name, where=f"dataset {name!r} ({self.path})")
            self._set_metadata(read_tissues(opened, self.path))
            self.cell_metadata = read_cells(opened, self.path) if load_cell_metadata else None
            self._tiles = Places(self._read_tiles(opened))
            self._read_panel(opened)
            self._images = freeze_images(self._whole_images(), opened, missing_chunks=missing_chunks)
        folder = self._masks.folder("tissue")
        self.tissue_masks_dir: Path | None = folder if folder.is_dir() else None
        self._tissues_read, self._size_read = self._listed(), self.tile_size
        self._settle()
        if verbose:
            logger.info("%r", self)

    def query(self, kind: str | None = None) -> SporaQuery:
        """Return the query that selects the same tiles (tissues, without a tile size) with the same pixels.

        Parameters
        ----------
        kind
            As `get_tissue`.

        Raises
        ------
        ArgumentError
            If attributes were edited that a query reads from the files of the lake.
        """
        if edited := self._edited():
            message = (
                f"{', '.join(edited)} of dataset {self.name!r} were edited; a query reads the files of the lake. "
                "Write the change into the files, or select with SporaQuery."
            )
            raise ArgumentError(message)
        labels = () if self._label is None else (labelled(self._label),)
        selection = replace(
            self._whole_images(),
            unit="tissue" if self.tile_size is None else "tile",
            tile_size=self.tile_size,
            strategy=None if self.tile_size is None else self.tile_strategy,
            conditions=(LISTED, *labels),
            splits=() if self.split is None else (self.split,),
        )
        return SporaQuery(self.path, self._standardized(selection, self._kind(kind)))

    def __repr__(self) -> str:
        """Tell what it is of, and how much there is."""
        counts = f"n_tissues={len(self.tissue_modality_metadata)}, n_tiles={len(self._tiles)}"
        return (
            f"{type(self).__name__}(name={self.name!r}, modality={self.modality.name!r}, "
            f"resolution={self.resolution!r}, tile_size={self.tile_size!r}, tile_strategy={self.tile_strategy!r}, "
            f"split={self.split!r}, {counts})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Hand over tables, plan and paths, to a copy too; images are opened by whoever reads them."""
        own = {"_tiles": copy.copy(self._tiles), "_draws": copy.copy(self._draws)}
        return {**self.__dict__, **own, "label_modifying_fn": _portable(self.label_modifying_fn)}

    def _listed(self) -> tuple[list[str], list[str]]:
        """Return the tissues of both tables of metadata."""
        return self.tissue_metadata.index.tolist(), self.tissue_modality_metadata.index.tolist()

    def _edited(self) -> list[str]:
        """Return the attributes that differ from the files, so that no query says the same."""
        found = {
            "tissue_metadata or tissue_modality_metadata": self._listed() != self._tissues_read,
            "tile_coordinates": self._tiles.edited,
            "tile_size": self.tile_size != self._size_read,
        }
        return [name for name, differs in found.items() if differs]

    def _set_metadata(self, tissues: pd.DataFrame) -> None:
        """Apply labels and split, and find the tissues of this modality and of each patient."""
        file = str(self.path / "metadata" / "tissues.parquet")
        labels = Labels()
        if self._label is not None:
            labelled, labels = apply_labels(tissues, self._label, self.label_modifying_fn, where=file)
            split_rows(tissues, self.split, where=file)
            split = None if labelled.empty or self.split is None else self.split
            tissues = labelled if split is None else labelled[labelled["split"] == split]
        else:
            tissues = split_rows(tissues, self.split, where=file)
        self.unique_labels, self.label_encoder = labels.unique, labels.encoder
        self.tissue_metadata = tissues
        self.tissue_modality_metadata = tissues[tissues["modality"] == self.modality.name]
        patients = self.tissue_modality_metadata["patient_id"]
        self.patient_tissue_map = PatientMap.of(zip(patients.tolist(), patients.index.tolist(), strict=True))

    def _read_tiles(self, catalog: Catalog) -> TileTable | None:
        """Read the tile file; None, with a warning in the log, where there is none."""
        if self.tile_size is None:
            return None
        size, strategy = self.tile_size, self.tile_strategy
        path = tile_file(self.path, "tile_coordinates", mpp=self.mpp, strategy=strategy, tile_size=size)
        if not path.is_file():
            logger.warning("There is no %s: get_tile returns random tiles. Make it with `spora-db tile`.", path)
            return None
        return read_tiles(catalog, path, dataset=self._dataset, mpp=self.mpp, strategy=strategy, tile_size=size)

    # ---- for the subclasses ----

    @abstractmethod
    def _read_panel(self, catalog: Catalog) -> None:
        """Read what the modality has beside images."""

    @abstractmethod
    def _standardized(self, selection: Selection, kind: ChannelKind) -> Selection:
        """Return a selection with the channels and the standardization of this dataset."""

    def _whole_images(self) -> Selection:
        """Return the selection of all images that can be read."""
        return Selection(modalities=((self.modality.name,),), unit="tissue", mpp=self.mpp)
