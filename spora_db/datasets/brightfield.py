"""H&E and IHC: brightfield images of three colours, one implementation."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from spora_db.catalog import Catalog
from spora_db.datasets._types import BrightfieldTissue, HEModality, HETissue, IHCModality, IHCTissue, to_mode
from spora_db.datasets.access import Place
from spora_db.datasets.base import BaseImagingDataset
from spora_db.errors import unknown
from spora_db.images.base import MissingChunks
from spora_db.query import SporaQuery
from spora_db.samples.materialize import ImagePlan
from spora_db.selection import ChannelKind, StandardizationChoice
from spora_db.standardization.specs import RGB_PRESETS


class BrightfieldImagingDataset(BaseImagingDataset):
    """What H&E and IHC datasets share; see :class:`HEImagingDataset`."""

    modality: HEModality | IHCModality
    mean_std_type: str

    def _set_preset(self, mean_std_type: str) -> None:
        """Check the preset and keep it."""
        if mean_std_type not in RGB_PRESETS:
            raise unknown("mean_std_type", mean_std_type, RGB_PRESETS)
        self.mean_std_type = mean_std_type
        mean, std = RGB_PRESETS[mean_std_type]
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def _read_panel(self, catalog: Catalog) -> StandardizationChoice:
        return StandardizationChoice(specs=((None, self.mean_std_type),))

    def _standardized(self, query: SporaQuery, kind: ChannelKind) -> SporaQuery:
        return query.standardize(self.mean_std_type)

    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, place: Place | None = None
    ) -> BrightfieldTissue:
        self._kind(kind)
        number, source = self._image(tissue_id)
        image = to_mode(self._read(source if preprocess else self._raw(number, source), place), image_mode)
        extent: Literal["tissue", "tile"] = "tissue" if place is None else "tile"
        if isinstance(self.modality, IHCModality):
            return IHCTissue(image=image, tissue_id=tissue_id, kind=extent, marker=self.modality.marker)
        return HETissue(image=image, tissue_id=tissue_id, kind=extent)

    def _raw(self, number: int, source: ImagePlan) -> ImagePlan:
        """Return the plan of an image's stored values, made once per image and version of its file."""
        known = self._recipes.get(number)
        if known is None or known[0] is not source:
            known = self._remember(number, source, source.raw())
        raw: ImagePlan = known[1]
        return raw


class HEImagingDataset(BrightfieldImagingDataset):
    """The H&E images of a cohort.

    Parameters
    ----------
    mean_std_type
        ``"imagenet"``, ``"hibou"``, or ``"identity"`` for values scaled to 0..1 only.
    name, path, resolution, tile_size, tile_strategy, split, label, labels_to_keep, label_modifying_fn, label_type, \
load_cell_metadata, verbose, seed, missing_chunks, catalog
        As :class:`BaseImagingDataset`.

    Attributes
    ----------
    mean, std
        float32 tensors of shape (3, 1, 1): those of `mean_std_type`.

    Raises
    ------
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.

    Examples
    --------
    >>> HEImagingDataset("cohort", path="no/such/folder", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    def __init__(
        self,
        name: str,
        *,
        resolution: float | str,
        path: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        tile_strategy: str | None = None,
        mean_std_type: str = "imagenet",
        split: str | None = None,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        load_cell_metadata: bool = False,
        verbose: bool = True,
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        self._set_preset(mean_std_type)
        super().__init__(
            name, modality=HEModality(), resolution=resolution, path=path, tile_size=tile_size,
            tile_strategy=tile_strategy, split=split, label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, load_cell_metadata=load_cell_metadata,
            verbose=verbose, seed=seed, missing_chunks=missing_chunks, catalog=catalog,
        )  # fmt: skip


class SingleIHCImagingDataset(BrightfieldImagingDataset):
    """The images of one IHC stain of a cohort.

    Parameters
    ----------
    marker_name
        The stained marker, ``"Ki67"`` or ``"ihc_Ki67"``.
    mean_std_type
        As :class:`HEImagingDataset`.
    name, path, resolution, tile_size, tile_strategy, split, label, labels_to_keep, label_modifying_fn, label_type, \
load_cell_metadata, verbose, seed, missing_chunks, catalog
        As :class:`BaseImagingDataset`.

    Attributes
    ----------
    marker_name
        ``ihc_<marker>``.
    mean, std
        float32 tensors of shape (3, 1, 1): those of `mean_std_type`.

    Raises
    ------
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.

    Examples
    --------
    >>> SingleIHCImagingDataset("cohort", path="no/such/folder", marker_name="Ki67", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    def __init__(
        self,
        name: str,
        *,
        marker_name: str,
        resolution: float | str,
        path: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        tile_strategy: str | None = None,
        mean_std_type: str = "imagenet",
        split: str | None = None,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        load_cell_metadata: bool = False,
        verbose: bool = True,
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        self._set_preset(mean_std_type)
        self.marker_name = f"ihc_{marker_name.removeprefix('ihc_')}"
        super().__init__(
            name, modality=IHCModality(name=self.marker_name), resolution=resolution, path=path, tile_size=tile_size,
            tile_strategy=tile_strategy, split=split, label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, load_cell_metadata=load_cell_metadata,
            verbose=verbose, seed=seed, missing_chunks=missing_chunks, catalog=catalog,
        )  # fmt: skip
