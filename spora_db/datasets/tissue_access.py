"""Tissues and tiles of a dataset of one modality, by id, by place, by patient."""

from abc import abstractmethod
from typing import Any, Literal

import torch

from spora_db.arrays import Objects
from spora_db.datasets._types import AnyTissue, texts
from spora_db.datasets.cohort_images import CohortImages
from spora_db.datasets.numbers import whole
from spora_db.datasets.patients import tissues_of
from spora_db.errors import ArgumentError
from spora_db.samples.image_plan import ImagePlan
from spora_db.selection import PANEL_RULES, ChannelKind
from spora_db.selection.arguments import checked_choice

Region = tuple[int, int, int]
"""Row, col and size of a tile, in pixels."""


class TissueAccess(CohortImages):
    """The methods that give tissues and tiles; part of :class:`BaseImagingDataset`."""

    def get_tissue_ids(self, kind: Literal["modality", "all"] = "modality") -> Objects:
        """Return the tissues of the metadata, after split and labels.

        Parameters
        ----------
        kind
            ``"modality"`` for those listed under this modality, ``"all"`` for those of any.

        Returns
        -------
        object array of shape (tissues,), sorted, each once

        See Also
        --------
        MultiplexImagingDataset.get_tissue

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_tissue_ids()[:2].tolist()
        ['lung_imc_l001_0001', 'lung_imc_l001_0002']
        """
        chosen = checked_choice(kind, options=("modality", "all"), kind="kind of tissue ids")
        frame = self.tissue_modality_metadata if chosen == "modality" else self.tissue_metadata
        return texts(list(dict.fromkeys(frame.index.tolist())))

    def get_tissue(
        self, tissue_id: str, kind: str | None = None,
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - narrowed by the subclasses
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

        See Also
        --------
        MultiplexImagingDataset.get_tissue_by_patient, MultiplexImagingDataset.get_tile

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_tissue("lung_imc_l001_0001", kind="qc_filtered", preprocess=False).image.shape[0]
        19
        """
        return self._deliver(str(tissue_id), kind=kind, preprocess=preprocess, image_mode=image_mode)

    def get_tile(
        self, tissue_id: str, tile_id: int, kind: str | None = None,
        image_mode: str = "CHW", preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - narrowed by the subclasses
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

        See Also
        --------
        MultiplexImagingDataset.get_tile_by_coordinates, MultiplexImagingDataset.get_tissue

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_tile("lung_imc_l001_0001", 0, preprocess=False).image.shape
        torch.Size([17, 128, 128])
        """
        row, col = self.corner(tissue_id, tile_id)
        return self.get_tile_by_coordinates(tissue_id, row, col, kind, image_mode, preprocess)

    def get_tile_by_coordinates(
        self, tissue_id: str, row: int, col: int, kind: str | None = None,
        image_mode: str = "CHW", preprocess: bool = True,  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - narrowed by the subclasses
        """Return the tile whose top-left corner is at a place; it may cross the image's right and lower edge.

        Parameters
        ----------
        row, col
            The corner in pixels.
        tissue_id, kind, image_mode, preprocess
            As `get_tissue`.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            As `get_tile`; beyond the edge lie zeros, standardized as any.

        Raises
        ------
        TableError
            If the corner lies outside the image.
        ArgumentError
            If the dataset was made without a tile size.

        See Also
        --------
        MultiplexImagingDataset.get_tile

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_tile_by_coordinates("lung_imc_l001_0001", row=0, col=64, preprocess=False).image.shape
        torch.Size([17, 128, 128])
        """
        region = (whole(row, "row"), whole(col, "col"), self._size())
        return self._deliver(str(tissue_id), kind=kind, preprocess=preprocess, image_mode=image_mode, region=region)

    def corner(self, tissue_id: str, tile_id: int) -> tuple[int, int]:
        """Return row and col of a tile; where the cohort has no tile file, those of a random one.

        Parameters
        ----------
        tissue_id, tile_id
            As `get_tile`.

        Returns
        -------
        tuple of two int
            In pixels.

        Raises
        ------
        UnknownNameError
            If the tile file has no such tissue or tile.
        ArgumentError
            If the dataset was made without a tile size.

        See Also
        --------
        MultiplexImagingDataset.get_tile

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> row, col = imc.corner("lung_imc_l001_0001", 0)
        """
        size = self._size()
        if self._tiles.known:
            return self._tiles.corner(str(tissue_id), whole(tile_id, "tile_id"))
        _, height, width = self._get_tissue_size(str(tissue_id))
        return self._draws.integer(max(height - size, 0) + 1), self._draws.integer(max(width - size, 0) + 1)

    def get_tissue_by_patient(
        self, patient_id: int | str, kind: str = "complete",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> list[Any]:  # fmt: skip
        """Return the tissues of a patient.

        Parameters
        ----------
        patient_id
            As in the metadata, an int or a str.
        kind, preprocess, image_mode
            As `get_tissue`.

        Returns
        -------
        list of HETissue, IHCTissue or MultiplexTissue
            As `get_tissue`; empty for a patient without any.

        See Also
        --------
        MultiplexImagingDataset.get_tissue

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> [tissue.tissue_id for tissue in imc.get_tissue_by_patient("l001", preprocess=False)]
        ['lung_imc_l001_0001', 'lung_imc_l001_0002']
        """
        tissue_ids = tissues_of(self.patient_tissue_map, patient_id)
        return [self.get_tissue(tissue_id, kind, preprocess, image_mode) for tissue_id in tissue_ids]

    @abstractmethod
    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, region: Region | None = None
    ) -> AnyTissue:
        """Return a whole tissue, or a tile of it."""

    def _read(self, source: ImagePlan, region: Region | None) -> torch.Tensor:
        """Return a float32 tensor of shape (C, H, W): the whole image, or a tile of it."""
        if region is None:
            return torch.from_numpy(source.read_whole())
        row, col, size = region
        return torch.from_numpy(source.read(row=row, col=col, height=size, width=size))

    def _kind(self, kind: str | None) -> ChannelKind:
        """Check a kind."""
        return checked_choice(self.default_kind if kind is None else kind, options=tuple(PANEL_RULES), kind="kind")

    def _size(self) -> int:
        """Return the tile size."""
        if self.tile_size is None:
            message = f"Dataset {self.name!r} was made without a tile size; tiles need tile_size=."
            raise ArgumentError(message)
        return self.tile_size

    def _get_tissue_size(self, tissue_id: str) -> tuple[int, int, int]:
        """Return (planes, height, width) of a tissue's image file."""
        return self._reader(str(tissue_id)).shape
