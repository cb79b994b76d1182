"""The images of one modality of a cohort with the tables beside them: read once, then arrays, tables and paths."""

import copy
import logging
import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from spora_db.catalog import Catalog
from spora_db.datasets.draws import Draws
from spora_db.datasets.frames import modalities_with_images, read_metadata, split_rows
from spora_db.datasets.labels import apply_labels, label_choice
from spora_db.datasets.modalities import ModKey, modality_of
from spora_db.datasets.numbers import checked_size
from spora_db.datasets.patients import PatientMap
from spora_db.datasets.places import dataset_catalog, dataset_folder, dataset_name
from spora_db.datasets.reading import freeze_images
from spora_db.datasets.tile_corners import Lists, TileCorners
from spora_db.datasets.tile_table import TileTable, read_tiles
from spora_db.errors import ArgumentError, ImageNotFoundError, TableError, unknown
from spora_db.images.base import ImageReader, MissingChunks
from spora_db.layout import IMAGE_SUFFIXES, TISSUE, image_folder, locate, mask_folder, mpp_folder, parse_mpp, tile_file
from spora_db.selection import ChannelKind, Selection
from spora_db.standardization.settled import Settled, fixed

logger = logging.getLogger(__name__)


class CohortImages(Settled, ABC):
    """What :class:`BaseImagingDataset` is made of; its arguments and attributes are told there."""

    default_kind: ClassVar[ChannelKind] = "complete"
    """The channels that are delivered unless `kind` says otherwise."""

    _settled = dict.fromkeys(
        ("path", "modality", "resolution", "mpp", "tile_strategy", "split", "label", "labels_to_keep",
         "label_modifying_fn", "label_type", "verbose", "img_folder", "tissue_masks_dir"),
        "Make another dataset with it.",
    )  # fmt: skip

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
        self.tile_size = tile_size
        self.name, self.path = name, dataset_folder(name, path)
        self.modality = modality_of(modality)
        self.mpp = parse_mpp(resolution)
        self.resolution = mpp_folder(self.mpp)
        self.tile_strategy, self.split = tile_strategy or "default", split
        self.label, self.label_type = label, label_type
        self.labels_to_keep, self.label_modifying_fn = fixed(labels_to_keep), label_modifying_fn
        self.verbose = verbose
        self.img_folder = locate(self.path, image_folder(Path(), self.modality.name, mpp=self.mpp))
        self._label = label_choice(label, labels_to_keep, label_type)
        self._draws = Draws(seed)
        with dataset_catalog(self.path, catalog) as opened:
            if self.modality.name not in (existing := modalities_with_images(opened)):
                raise unknown("modality", self.modality.name, existing, where=f"dataset {name!r} ({self.path})")
            self._set_metadata(read_metadata(opened, self.path, "tissues"))
            self.cell_metadata = read_metadata(opened, self.path, "cells") if load_cell_metadata else None
            self._tiles = TileCorners(self._read_tiles(opened))
            self._read_panel(opened)
            self._images = freeze_images(self._whole_images(), opened, missing_chunks=missing_chunks)
        folder = self._mask_place(TISSUE)
        self.tissue_masks_dir: Path | None = folder if folder.is_dir() else None
        self._facts_read = self._facts()
        self._settle()
        if verbose:
            logger.info("%r", self)

    @property
    def tile_coordinates(self) -> Lists | None:
        """Tissue id to list of (row, col), in the order of tile ids; what `get_tile` reads, edits included.

        A dict of one's own has tile ids 0, 1, 2, ...; None stands for random tiles.
        """
        return self._tiles.lists

    @tile_coordinates.setter
    def tile_coordinates(self, lists: Lists | None) -> None:
        self._tiles.lists = lists

    @property
    def tile_size(self) -> int | None:
        """Height and width of tiles in pixels; `tile_coordinates` stay where they are if it is assigned."""
        return self._tile_size

    @tile_size.setter
    def tile_size(self, size: int | None) -> None:
        self._tile_size = checked_size(size)

    def __getstate__(self) -> dict[str, Any]:
        """Hand over tables, plan and paths, to a copy too; images are opened by whoever reads them."""
        own = {"_tiles": copy.copy(self._tiles), "_draws": copy.copy(self._draws)}
        return {**self.__dict__, **own, "label_modifying_fn": _portable(self.label_modifying_fn)}

    # ---- for the subclasses ----

    @abstractmethod
    def _read_panel(self, catalog: Catalog) -> None:
        """Read what the modality has beside images."""

    def _whole_images(self) -> Selection:
        """Return the selection of all images that can be read."""
        return Selection(modalities=((self.modality.name,),), unit="tissue", mpp=self.mpp)

    def _facts(self) -> dict[str, object]:
        """Return, by attribute, what changes when it is edited: a query takes it from the files."""
        return {
            "tissue_metadata or tissue_modality_metadata": (
                self.tissue_metadata.index.tolist(), self.tissue_modality_metadata.index.tolist(),
            ),
            "tile_coordinates": self._tiles.edited,
            "tile_size": self.tile_size,
        }  # fmt: skip

    # ---- the images ----

    def _number(self, tissue_id: str) -> int:
        """Return the number of a tissue's image in the plan."""
        number = self._images.numbers.get(tissue_id)
        if number is None:
            raise self._absent(tissue_id)
        return number

    def _reader(self, tissue_id: str) -> ImageReader:
        """Return a tissue's image, open."""
        return self._images.reader(self._number(tissue_id))

    def _absent(self, tissue_id: str) -> Exception:
        """Build the error for a tissue that cannot be read: not known, not on disk, or without measured channels."""
        folder = image_folder(Path(), self.modality.name, mpp=self.mpp)
        files = [locate(self.path, folder / f"{tissue_id}{suffix}") for suffix in IMAGE_SUFFIXES]
        if any(file.exists() for file in files):
            return TableError(
                f"Tissue {tissue_id!r} has an image in {self.img_folder}, but no row in "
                f"{locate(self.path, folder.parents[1] / 'channels_per_tissue.parquet')}. Add the row."
            )
        if tissue_id in self.tissue_modality_metadata.index:
            return ImageNotFoundError(
                f"Tissue {tissue_id!r} is in {self._tissues_file}, but has no image: expected "
                f"{files[0]} (or {', '.join(list(IMAGE_SUFFIXES)[1:])}). Download it."
            )
        return unknown("tissue", tissue_id, self._images.numbers, where=f"dataset {self.name!r} ({self.img_folder})")

    @property
    def _tissues_file(self) -> Path:
        return locate(self.path, "metadata/tissues.parquet")

    def _mask_place(self, kind: str, name: str = "") -> Path:
        """Return where the folder of masks of a kind lies, or a file in it: the last of each."""
        return locate(self.path, mask_folder(Path(), kind, mpp=self.mpp) / name)

    # ---- the tables ----

    def _set_metadata(self, tissues: pd.DataFrame) -> None:
        """Apply labels and split, and find the tissues of this modality and of each patient."""
        file = str(self._tissues_file)
        listed, classes = split_rows(tissues, self.split, where=file), None
        if self._label is not None:
            labelled, classes = apply_labels(tissues, self._label, self.label_modifying_fn, where=file)
            listed = labelled if self.split is None else labelled[labelled["split"] == self.split]
        self.unique_labels = classes
        self.label_encoder = None if classes is None else {label: number for number, label in enumerate(classes)}
        self.tissue_metadata = listed
        self.tissue_modality_metadata = listed[listed["modality"] == self.modality.name]
        self.patient_tissue_map = PatientMap.of(self.tissue_modality_metadata["patient_id"])

    def _read_tiles(self, catalog: Catalog) -> TileTable | None:
        """Read the tile file; None, with a warning in the log, where there is none."""
        if self.tile_size is None:
            return None
        size, strategy = self.tile_size, self.tile_strategy
        file = tile_file(Path(), "tile_coordinates", mpp=self.mpp, strategy=strategy, tile_size=size)
        path = locate(self.path, file)
        if not path.is_file():
            logger.warning("There is no %s: get_tile returns random tiles. Make it with `spora-db tile`.", path)
            return None
        dataset = dataset_name(self.path)
        return read_tiles(catalog, path, dataset=dataset, mpp=self.mpp, strategy=strategy, tile_size=size)


def _portable(function: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """Return a function that other processes can import, None for others: it was applied when the labels were read."""
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return function
