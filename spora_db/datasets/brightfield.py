"""H&E and IHC: brightfield images of three colours, one implementation."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch

from spora_db.catalog import Catalog
from spora_db.datasets._types import BrightfieldTissue, Extent, HETissue, IHCTissue, to_mode
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.modalities import HEModality, IHCModality
from spora_db.datasets.tissue_access import Region
from spora_db.errors import ArgumentError, unknown
from spora_db.images.base import MissingChunks
from spora_db.samples.image_plan import ImagePlan
from spora_db.selection import ChannelKind, Selection, StandardizationChoice
from spora_db.standardization.methods import RGB_PRESETS


class BrightfieldImagingDataset(BaseImagingDataset):
    """What H&E and IHC datasets share; see :class:`HEImagingDataset`."""

    modality: HEModality | IHCModality
    mean: torch.Tensor
    std: torch.Tensor
    _preset: str

    @property
    def mean_std_type(self) -> str:
        """The preset that `mean` and `std` were taken from; another one sets both."""
        return self._preset

    @mean_std_type.setter
    def mean_std_type(self, mean_std_type: str) -> None:
        self._preset = mean_std_type
        self.mean, self.std = _preset(mean_std_type)

    def _read_panel(self, catalog: Catalog) -> None:
        """Read nothing: brightfield images have no panel."""

    def _standardized(self, selection: Selection, kind: ChannelKind) -> Selection:
        return replace(selection, standardization=StandardizationChoice(specs=((None, self.mean_std_type),)))

    def _facts(self) -> dict[str, object]:
        given, preset = (self.mean, self.std), _preset(self.mean_std_type)
        same = all(torch.equal(_flat(own), _flat(other)) for own, other in zip(given, preset, strict=True))
        return {**super()._facts(), "mean or std": same}

    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, region: Region | None = None
    ) -> BrightfieldTissue:
        self._kind(kind)
        source = self._images.image(self._number(tissue_id))
        source = self._with_mean_and_std(source) if preprocess else source.raw()
        image = to_mode(self._read(source, region), image_mode)
        extent: Extent = "tissue" if region is None else "tile"
        if isinstance(self.modality, IHCModality):
            return IHCTissue(image=image, tissue_id=tissue_id, kind=extent, marker=self.modality.marker)
        return HETissue(image=image, tissue_id=tissue_id, kind=extent)

    def _with_mean_and_std(self, source: ImagePlan) -> ImagePlan:
        """Return the plan of an image with the mean and deviation as they are now."""
        transform = replace(source.transform, mean=_flat(self.mean).numpy(), std=_flat(self.std).numpy())
        return replace(source, transform=transform)


def _preset(name: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation of a preset, float32 of shape (3, 1, 1)."""
    if not isinstance(name, str) or name not in RGB_PRESETS:
        raise unknown("mean_std_type", name, RGB_PRESETS)
    mean, std = RGB_PRESETS[name]
    return torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]


def _flat(values: Any) -> torch.Tensor:  # noqa: ANN401 - what a client assigned
    """Return a mean or deviation as float32 of shape (3,): of a tensor, an array, a sequence, or one number for all.

    Raises
    ------
    ArgumentError
        If it is neither one number nor three.
    """
    try:
        found = torch.as_tensor(values, dtype=torch.float32).detach().cpu().flatten()
    except (TypeError, ValueError, RuntimeError) as error:  # whatever torch says of what is no number
        message = f"mean and std of an RGB image must be one number or three; got {values!r}."
        raise ArgumentError(message) from error
    if found.numel() not in (1, 3):
        message = f"mean and std of an RGB image must be one number or three; got {tuple(found.shape)}."
        raise ArgumentError(message)
    return found.expand(3)


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
        float32 tensors of shape (3, 1, 1): those of `mean_std_type`, unless edited or assigned.

    Raises
    ------
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.

    See Also
    --------
    SingleIHCImagingDataset, MultiplexImagingDataset, SporaQuery

    Examples
    --------
    >>> HEImagingDataset("cohort", path="no/such/folder", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    def __init__(
        self,
        name: str,
        resolution: float | str,
        path: str | os.PathLike[str] | None = None,
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002 - the published order
        verbose: bool = True,  # noqa: FBT001, FBT002
        mean_std_type: str = "imagenet",
        tile_size: int | None = None,
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        self.mean_std_type = mean_std_type
        super().__init__(
            name, HEModality(), resolution, path=path, tile_size=tile_size, tile_strategy=tile_strategy, split=split,
            load_cell_metadata=load_cell_metadata, verbose=verbose, label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, seed=seed, missing_chunks=missing_chunks,
            catalog=catalog,
        )  # fmt: skip


class SingleIHCImagingDataset(BrightfieldImagingDataset):
    """The images of one IHC stain of a cohort.

    Parameters
    ----------
    marker_name
        The stained marker, ``"Ki67"`` or ``"ihc_Ki67"``.
    mean_std_type, name, path, resolution, tile_size, tile_strategy, split, label, labels_to_keep, \
label_modifying_fn, label_type, load_cell_metadata, verbose, seed, missing_chunks, catalog
        As :class:`HEImagingDataset`, whose attributes and errors this class has too.

    Attributes
    ----------
    marker_name
        ``ihc_<marker>``.

    See Also
    --------
    HEImagingDataset, MultiplexImagingDataset, SporaQuery

    Examples
    --------
    >>> SingleIHCImagingDataset("cohort", path="no/such/folder", marker_name="Ki67", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    _settled: ClassVar = {**BrightfieldImagingDataset._settled, "marker_name": "Make another dataset with it."}

    def __init__(
        self,
        name: str,
        marker_name: str,
        resolution: float | str,
        tile_size: int | None = None,
        path: str | os.PathLike[str] | None = None,
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002 - the published order
        verbose: bool = True,  # noqa: FBT001, FBT002
        mean_std_type: str = "imagenet",
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        self.mean_std_type = mean_std_type
        self.marker_name = f"ihc_{marker_name.removeprefix('ihc_')}"
        super().__init__(
            name, IHCModality(name=self.marker_name), resolution, path=path, tile_size=tile_size,
            tile_strategy=tile_strategy, split=split, load_cell_metadata=load_cell_metadata, verbose=verbose,
            label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, seed=seed, missing_chunks=missing_chunks,
            catalog=catalog,
        )  # fmt: skip
