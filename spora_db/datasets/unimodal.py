"""The datasets of a cohort's modalities, which a composed one is made of."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from spora_db.catalog import Catalog
from spora_db.datasets._types import TissueMask
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.brightfield import HEImagingDataset, SingleIHCImagingDataset
from spora_db.datasets.frames import modalities_with_images, read_metadata, split_rows
from spora_db.datasets.modalities import ModKey, as_list, modality_name
from spora_db.datasets.multiplex import MultiplexImagingDataset
from spora_db.datasets.patients import PatientMap
from spora_db.datasets.places import dataset_catalog, dataset_folder
from spora_db.datasets.requested import ModalityOptions, expanded, keywords
from spora_db.errors import ArgumentError, unknown
from spora_db.layout import locate, parse_mpp
from spora_db.standardization.settled import Settled


class UnimodalParts(Settled):
    """What :class:`ComposedImagingDataset` is made of; its arguments and attributes are told there."""

    _settled: ClassVar = {
        **dict.fromkeys(
            ("path", "resolution", "mpp", "tile_strategy", "split", "verbose", "load_cell_metadata"),
            "Make another dataset with it.",
        ),
        "tile_size": "Set it on the dataset of each modality, get_dataset(modality).",
    }

    def __init__(
        self,
        name: str,
        modalities: ModKey | Iterable[ModKey],
        tile_size: int | None = None,
        resolution: float | str | None = None,
        path: str | os.PathLike[str] | None = None,
        verbose: bool = True,  # noqa: FBT001, FBT002 - the published order
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        modality_kwargs: ModalityOptions | None = None,
        seed: int | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        if resolution is None:
            message = f"ComposedImagingDataset({name!r}) needs resolution=, in microns per pixel."
            raise ArgumentError(message)
        self.name, self.path = name, dataset_folder(name, path)
        self.verbose, self.split, self.load_cell_metadata = verbose, split, load_cell_metadata
        self.tile_size, self.tile_strategy = tile_size, tile_strategy
        self.mpp = parse_mpp(resolution)
        self.resolution = resolution
        options = {modality_name(key): dict(given) for key, given in (modality_kwargs or {}).items()}
        common = {
            "path": self.path, "resolution": resolution, "tile_size": tile_size, "tile_strategy": tile_strategy,
            "split": split, "verbose": verbose, "seed": seed,
        }  # fmt: skip
        self._unimodal: dict[str, BaseImagingDataset] = {}
        with dataset_catalog(self.path, catalog) as opened:
            for key in _asked(modalities, opened, where=f"dataset {name!r} ({self.path})"):
                self._unimodal[key] = _class_of(key)(name, **common, **keywords(key, options), catalog=opened)
            tissues = read_metadata(opened, self.path, "tissues")
            tissues = split_rows(tissues, split, where=str(locate(self.path, "metadata")))
            self.cell_metadata = read_metadata(opened, self.path, "cells") if load_cell_metadata else None
        self.modalities = list(self._unimodal)
        self.all_tissue_ids = sorted({item for part in self._unimodal.values() for item in part.get_tissue_ids()})
        listed = tissues["modality"].isin(self.modalities) & tissues.index.isin(self.all_tissue_ids)
        self.all_tissue_metadata = tissues[listed]
        self.patient_tissue_map = PatientMap.of(self.all_tissue_metadata["patient_id"])
        self._settle()

    @property
    def modalities(self) -> list[str]:
        """The names of the modalities, in their order: tissues and tiles have the images of these."""
        return self._modalities

    @modalities.setter
    def modalities(self, modalities: ModKey | Iterable[ModKey]) -> None:
        self._modalities = [self._known(modality_name(item)) for item in as_list(modalities)]

    def get_dataset(self, modality: ModKey) -> Any:  # noqa: ANN401 - of the modality's class
        """Return the dataset of one `modality`, a name or a dataclass.

        Raises
        ------
        UnknownNameError
            If it is not part of this one; it is a KeyError and a ValueError.

        See Also
        --------
        ComposedImagingDataset.get_available_modalities

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_dataset("imc").mpp
        1.0
        """
        return self._unimodal[self._known(modality_name(modality))]

    def get_available_modalities(self) -> list[str]:
        """Return the names of the modalities.

        See Also
        --------
        ComposedImagingDataset.get_modalities_of_tissue, ComposedImagingDataset.get_dataset

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_available_modalities()
        ['he', 'imc']
        """
        return list(self.modalities)

    def get_tissue_ids(self, modality: ModKey | None = None) -> list[str]:
        """Return the tissues of one `modality`, a name or a dataclass, or of any.

        See Also
        --------
        ComposedImagingDataset.get_modalities_of_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_tissue_ids("imc")[:1]
        ['lung_imc_l001_0001']
        """
        return list(self.all_tissue_ids if modality is None else self.get_dataset(modality).get_tissue_ids())

    def get_modalities_of_tissue(self, tissue_id: str) -> list[str]:
        """Return the names of the modalities that a tissue, `tissue_id`, has.

        Raises
        ------
        UnknownNameError
            If there is no such tissue.

        See Also
        --------
        ComposedImagingDataset.get_available_modalities

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_modalities_of_tissue("lung_imc_l001_0001")
        ['he', 'imc']
        """
        text = str(tissue_id)
        has = [key for key, part in self._unimodal.items() if text in part.tissue_modality_metadata.index]
        if not has:
            raise unknown("tissue", tissue_id, self.all_tissue_ids, where=f"composed dataset {self.name!r}")
        return [key for key in map(self._known, self.modalities) if key in has]

    def get_unimodal_tissue(
        self, tissue_id: str, modality: ModKey, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - of the modality's class
        """Return a whole tissue of one modality.

        Parameters
        ----------
        tissue_id, kind, preprocess, image_mode
            As :meth:`BaseImagingDataset.get_tissue`.
        modality
            Its name, or its dataclass.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            As :meth:`BaseImagingDataset.get_tissue`, with the same errors.

        Raises
        ------
        UnknownNameError
            If the modality is not part of this dataset.

        See Also
        --------
        ComposedImagingDataset.get_composed_tissue, ComposedImagingDataset.get_unimodal_tile

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_unimodal_tissue("lung_imc_l001_0001", "he", preprocess=False).image.shape[0]
        3
        """
        return self.get_dataset(modality).get_tissue(tissue_id, kind, preprocess, image_mode)

    def get_unimodal_tissue_mask(self, tissue_id: str, modality: ModKey) -> TissueMask:
        """Return the mask of a tissue, `tissue_id`, checked against its image of one `modality`.

        See Also
        --------
        ComposedImagingDataset.get_unimodal_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_unimodal_tissue_mask("lung_imc_l001_0001", "he").mask.ndim
        2
        """
        mask: TissueMask = self.get_dataset(modality).get_tissue_mask(tissue_id)
        return mask

    def get_unimodal_tissue_size(self, tissue_id: str, modality: ModKey) -> tuple[int, int, int]:
        """Return (planes, height, width) of the image of a tissue, `tissue_id`, in one `modality`.

        See Also
        --------
        ComposedImagingDataset.get_unimodal_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> planes, height, width = both.get_unimodal_tissue_size("lung_imc_l001_0001", "imc")
        """
        planes, height, width = self.get_dataset(modality)._get_tissue_size(tissue_id)
        return planes, height, width

    def get_unimodal_tile(
        self, tissue_id: str, tile_id: int, modality: ModKey, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - of the modality's class
        """Return a tile of one modality.

        Parameters
        ----------
        tissue_id, modality, kind, preprocess, image_mode
            As `get_unimodal_tissue`.
        tile_id
            The id in the tile file, whatever its position there.

        Returns
        -------
        HETissue, IHCTissue or MultiplexTissue
            As :meth:`BaseImagingDataset.get_tile`, with the same errors.

        See Also
        --------
        ComposedImagingDataset.get_composed_tile, ComposedImagingDataset.get_unimodal_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.get_unimodal_tile("lung_imc_l001_0001", 0, "imc", preprocess=False).image.shape
        torch.Size([17, 128, 128])
        """
        return self.get_dataset(modality).get_tile(tissue_id, tile_id, kind, image_mode, preprocess)

    def _known(self, modality: str) -> str:
        """Return a modality that this dataset has."""
        if modality not in self._unimodal:
            raise unknown("modality", modality, self._unimodal, where=f"composed dataset {self.name!r}")
        return modality


def _class_of(modality: str) -> Callable[..., BaseImagingDataset]:
    """Return what makes the dataset of one modality, from a name and keywords."""
    if modality == "he":
        return HEImagingDataset
    if modality.startswith("ihc_"):
        return partial(SingleIHCImagingDataset, marker_name=modality)
    return partial(MultiplexImagingDataset, modality=modality)


def _asked(modalities: ModKey | Iterable[ModKey], catalog: Catalog, *, where: str) -> list[str]:
    """Return the names asked for; none, or ``ihc`` without any stain, is an error."""
    existing = modalities_with_images(catalog)
    names = expanded(modalities, existing)
    if not names or "ihc" in names:
        raise unknown("modality", "ihc" if names else "(none)", existing, where=where)
    return names
