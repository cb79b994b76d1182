"""Tissues and tiles of a dataset of one modality, by id, by place, by patient."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import torch

from spora_db.arrays import Objects
from spora_db.datasets._types import Tissue, texts
from spora_db.datasets.draws import Draws
from spora_db.datasets.patients import PatientMap, tissues_of
from spora_db.datasets.reading import PlanImages
from spora_db.datasets.tiles import Lists, Places, whole, whole_or_none
from spora_db.errors import ArgumentError, ImageNotFoundError, TableError, unknown
from spora_db.images.base import ImageReader
from spora_db.layout import IMAGE_SUFFIXES
from spora_db.samples.materialize import ImagePlan
from spora_db.selection import CHANNEL_KINDS, ChannelKind

Place = tuple[int, int, int]
"""Row, col and size of a tile, in pixels."""


class TissueAccess(ABC):
    """The methods that give tissues and tiles; part of :class:`BaseImagingDataset`, which sets the attributes."""

    default_kind: ClassVar[ChannelKind] = "complete"
    """The channels that are delivered unless `kind` says otherwise."""

    name: str
    path: Path
    img_folder: Path
    tissue_metadata: pd.DataFrame
    tissue_modality_metadata: pd.DataFrame
    patient_tissue_map: PatientMap
    _images: PlanImages
    _tiles: Places
    _draws: Draws
    _tile_size: int | None

    def get_tissue_ids(self, kind: Literal["modality", "all"] = "modality") -> Objects:
        """Return the tissues of the metadata, after split and labels.

        Parameters
        ----------
        kind
            ``"modality"`` for those listed under this modality, ``"all"`` for those of any.

        Returns
        -------
        object array of shape (tissues,), sorted, each once
        """
        if kind not in ("modality", "all"):
            raise unknown("kind of tissue ids", kind, ("modality", "all"))
        frame = self.tissue_modality_metadata if kind == "modality" else self.tissue_metadata
        return texts(list(dict.fromkeys(frame.index.tolist())))

    def get_tissue(
        self,
        tissue_id: str,
        kind: str | None = None,
        preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
        image_mode: str = "CHW",
    ) -> Any:  # noqa: ANN401 - narrowed by the subclasses
        """Return a whole tissue.

        Parameters
        ----------
        tissue_id
            The tissue.
        kind
            Which channels: ``"complete"``, ``"qc_filtered"`` or ``"uniprot_filtered"``; by default `default_kind`.
            Brightfield images have the same three colours under each of these words.
        preprocess
            Whether values are standardized (and filtered), or delivered as stored, as float32.
        image_mode
            ``"CHW"`` or ``"HWC"``.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            Its ``image`` is a float32 CPU tensor of shape (C, H, W), or (H, W, C).

        Raises
        ------
        UnknownNameError
            For a tissue, kind or image_mode that does not exist.
        ImageNotFoundError
            If the tissue is in the metadata but its image, or a chunk of it, is not on disk.
        TableError
            If the image's channels fit neither the measured ones nor the panel.
        StatisticsNotFoundError
            If the spec's tables do not know the tissue or a channel.
        """
        return self._deliver(str(tissue_id), kind=kind, preprocess=preprocess, image_mode=image_mode)

    def get_tile(
        self,
        tissue_id: str,
        tile_id: int,
        kind: str | None = None,
        image_mode: str = "CHW",
        preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # noqa: ANN401 - narrowed by the subclasses
        """Return a tile by its id; where the cohort has no tile file, a random one (see `seed`).

        Parameters
        ----------
        tissue_id, kind, image_mode, preprocess
            As `get_tissue`.
        tile_id
            The id in the tile file, whatever its position there.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            Its ``image`` is exactly ``tile_size`` high and wide, its ``kind`` is ``"tile"``.

        Raises
        ------
        UnknownNameError
            If the tile file has no such tissue or tile.
        ArgumentError
            If the dataset was made without a tile size.
        """
        row, col = self.corner(tissue_id, tile_id)
        return self.get_tile_by_coordinates(tissue_id, row, col, kind, image_mode, preprocess)

    def get_tile_by_coordinates(
        self,
        tissue_id: str,
        row: int,
        col: int,
        kind: str | None = None,
        image_mode: str = "CHW",
        preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # noqa: ANN401 - narrowed by the subclasses
        """Return the tile whose top-left corner is at a place; it may cross the image's right and lower edge.

        Parameters
        ----------
        tissue_id, kind, image_mode, preprocess
            As `get_tissue`.
        row, col
            The corner in pixels.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            Its ``image`` is exactly ``tile_size`` high and wide; beyond the edge lie zeros, standardized as any.

        Raises
        ------
        TableError
            If the corner lies outside the image.
        ArgumentError
            If the dataset was made without a tile size.
        """
        place = (whole(row, "row"), whole(col, "col"), self._size())
        return self._deliver(str(tissue_id), kind=kind, preprocess=preprocess, image_mode=image_mode, place=place)

    def corner(self, tissue_id: str, tile_id: int) -> tuple[int, int]:
        """Return row and col of a tile; where the cohort has no tile file, those of a random one."""
        size = self._size()
        if self._tiles.known:
            return self._tiles.corner(str(tissue_id), whole(tile_id, "tile_id"))
        _, height, width = self._get_tissue_size(str(tissue_id))
        return self._draws.integer(max(height - size, 0) + 1), self._draws.integer(max(width - size, 0) + 1)

    def get_tissue_by_patient(
        self,
        patient_id: int | str,
        kind: str = "complete",
        preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
        image_mode: str = "CHW",
    ) -> list[Any]:
        """Return the tissues of a patient, an int or a str; an empty list for a patient without any."""
        return [
            self.get_tissue(tissue_id, kind, preprocess, image_mode)
            for tissue_id in tissues_of(self.patient_tissue_map, patient_id)
        ]

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

    # ---- inside ----

    @abstractmethod
    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, place: Place | None = None
    ) -> Tissue:
        """Return a whole tissue, or the tile at a place."""

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
        files = [self.img_folder / f"{tissue_id}{suffix}" for suffix in IMAGE_SUFFIXES]
        if any(file.exists() for file in files):
            return TableError(
                f"Tissue {tissue_id!r} has an image in {self.img_folder}, but no row in "
                f"{self.img_folder.parents[1] / 'channels_per_tissue.parquet'}. Add the row."
            )
        if tissue_id in self.tissue_modality_metadata.index:
            return ImageNotFoundError(
                f"Tissue {tissue_id!r} is in {self.path / 'metadata' / 'tissues.parquet'}, but has no image: expected "
                f"{files[0]} (or {', '.join(list(IMAGE_SUFFIXES)[1:])}). Download it."
            )
        return unknown("tissue", tissue_id, self._images.numbers, where=f"dataset {self.name!r} ({self.img_folder})")

    def _read(self, source: ImagePlan, place: Place | None) -> torch.Tensor:
        """Return a float32 tensor of shape (C, H, W): the whole image, or the tile at a place."""
        if place is None:
            return torch.from_numpy(source.read_whole())
        row, col, size = place
        return torch.from_numpy(source.read(row=row, col=col, height=size, width=size))

    def _kind(self, kind: str | None) -> ChannelKind:
        """Check a kind."""
        chosen = self.default_kind if kind is None else kind
        for known in CHANNEL_KINDS:
            if chosen == known:
                return known
        raise unknown("kind", chosen, CHANNEL_KINDS)

    def _size(self) -> int:
        """Return the tile size."""
        if self.tile_size is None:
            message = f"Dataset {self.name!r} was made without a tile size; tiles need tile_size=."
            raise ArgumentError(message)
        return self.tile_size

    def _get_tissue_size(self, tissue_id: str) -> tuple[int, int, int]:
        """Return (planes, height, width) of a tissue's image file."""
        return self._reader(str(tissue_id)).shape

    def _frame(self, tissue_id: str) -> tuple[tuple[int, int] | None, Path | None]:
        """Return height and width of a tissue's image and its path; None where it has none on disk."""
        if tissue_id not in self._images.numbers:
            error = self._absent(tissue_id)
            if isinstance(error, ImageNotFoundError):
                return None, None
            raise error
        reader = self._reader(tissue_id)
        return reader.shape[1:], reader.path


def checked_size(size: float | str | None) -> int | None:
    """Return a tile size as an int, None for none.

    Raises
    ------
    ArgumentError
        If it is no positive whole number.

    Examples
    --------
    >>> checked_size(32.0)
    32
    """
    if size is None:
        return None
    pixels = None if isinstance(size, str) else whole_or_none(size)
    if pixels is None or pixels < 1:
        message = f"tile_size={size!r}: expected a positive number of pixels, or None."
        raise ArgumentError(message)
    return pixels
