"""The values of the published classes: tissues and masks as they are delivered, beside the modalities."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch

from spora_db.arrays import Bools, Objects
from spora_db.datasets.modalities import (
    MULTIPLEX_MODALITIES,
    CODEXModality,
    CycIFModality,
    HEModality,
    IHCModality,
    IMCModality,
    MIBIModality,
    Modality,
    ModKey,
    MultiplexModality,
    get_modality_from_str,
    is_valid_modality_instance,
    modality_name,
)
from spora_db.selection.arguments import checked_choice

__all__ = [
    "MULTIPLEX_MODALITIES",
    "AnyTissue",
    "BrightfieldTissue",
    "CODEXModality",
    "CellMask",
    "ComposedTissue",
    "CycIFModality",
    "Extent",
    "HEModality",
    "HETissue",
    "IHCModality",
    "IHCTissue",
    "IMCModality",
    "ImageMode",
    "MIBIModality",
    "ModKey",
    "Modality",
    "MultiplexModality",
    "MultiplexTissue",
    "TissueMask",
    "get_modality_from_str",
    "is_valid_modality_instance",
    "modality_name",
    "texts",
    "to_mode",
]  # fmt: skip

ImageMode: TypeAlias = Literal["CHW", "HWC"]
Extent: TypeAlias = Literal["tissue", "tile"]

IMAGE_MODES: tuple[ImageMode, ...] = get_args(ImageMode)


@dataclass(kw_only=True)
class BrightfieldTissue:
    """A whole image of three colours or a tile of it.

    Attributes
    ----------
    image
        float32 CPU tensor of shape (3, H, W), or (H, W, 3) for ``image_mode="HWC"``.
    tissue_id
        The tissue.
    channels
        The colours, in order.
    kind
        ``"tissue"`` or ``"tile"``.
    """

    image: torch.Tensor
    tissue_id: str
    channels: str = "RGB"
    kind: Extent = "tissue"


@dataclass(kw_only=True)
class HETissue(BrightfieldTissue):
    """A whole H&E image or a tile of it.

    Attributes
    ----------
    image, tissue_id, channels, kind
        As :class:`BrightfieldTissue`.

    See Also
    --------
    HEImagingDataset, MultiplexTissue

    Examples
    --------
    >>> HETissue(image=torch.zeros(3, 8, 8), tissue_id="t").kind
    'tissue'
    """


@dataclass(kw_only=True)
class IHCTissue(BrightfieldTissue):
    """A whole IHC image or a tile of it.

    Attributes
    ----------
    image, tissue_id, channels, kind
        As :class:`BrightfieldTissue`.
    marker
        The stained marker, such as ``"Ki67"``.

    See Also
    --------
    SingleIHCImagingDataset, HETissue

    Examples
    --------
    >>> IHCTissue(image=torch.zeros(3, 8, 8), tissue_id="t", marker="Ki67").marker
    'Ki67'
    """

    marker: str = ""


@dataclass(kw_only=True)
class MultiplexTissue:
    """A whole multiplex image or a tile of it. Its arrays are its own: changing them changes nothing else.

    Attributes
    ----------
    image
        float32 CPU tensor of shape (C, H, W), or (H, W, C) for ``image_mode="HWC"``.
    tissue_id
        The tissue.
    kind
        ``"tissue"`` or ``"tile"``.
    measured_mask
        bool array of shape (panel,): the channels of the panel that were measured in this tissue.
    image_loading_mask
        bool array of shape (measured,) with C true entries: the measured channels that `image` holds.
    channel_names
        object array of shape (C,): their names.
    uniprot_ids
        object array of shape (C,): their UniProt accessions, None where a channel has none; None if not wanted.

    See Also
    --------
    MultiplexImagingDataset.get_tile, HETissue

    Examples
    --------
    >>> there, names = np.ones(2, bool), np.array(["CD3e", "CD20"], object)
    >>> masks = {"measured_mask": there, "image_loading_mask": there}
    >>> MultiplexTissue(image=torch.zeros(2, 8, 8), tissue_id="t", channel_names=names, **masks).channel_names
    array(['CD3e', 'CD20'], dtype=object)
    """

    image: torch.Tensor
    tissue_id: str
    kind: Extent = "tissue"
    measured_mask: Bools | None
    image_loading_mask: Bools | None
    channel_names: Objects | None = None
    uniprot_ids: Objects | None = None


AnyTissue: TypeAlias = BrightfieldTissue | MultiplexTissue


@dataclass(kw_only=True)
class ComposedTissue:
    """The images of all modalities of a tissue, or a tile of each at the same place.

    Attributes
    ----------
    tissue_id
        The tissue.
    modalities
        Modality to its tissue or tile.

    See Also
    --------
    ComposedImagingDataset.get_composed_tissue, MultiplexTissue

    Examples
    --------
    >>> tissue = HETissue(image=torch.zeros(3, 8, 8), tissue_id="t")
    >>> list(ComposedTissue(tissue_id="t", modalities={"he": tissue}).modalities)
    ['he']
    """

    tissue_id: str
    modalities: dict[str, AnyTissue]


@dataclass(kw_only=True)
class TissueMask:
    """Where the tissue is.

    Attributes
    ----------
    mask
        bool array of shape (H, W).
    tissue_id
        The tissue.

    See Also
    --------
    CellMask, load_tissue_mask

    Examples
    --------
    >>> int(TissueMask(mask=np.ones((4, 4), bool), tissue_id="t").mask.sum())
    16
    """

    mask: Bools
    tissue_id: str


@dataclass(kw_only=True)
class CellMask:
    """The cells of a tissue, by instance or by class.

    Attributes
    ----------
    mask
        int32 tensor of shape (H, W), 0 for background.
    tissue_id
        The tissue.
    mapping
        Class id to name, for cell tasks.

    See Also
    --------
    TissueMask, MultiplexImagingDataset.get_cell_instance_mask

    Examples
    --------
    >>> CellMask(mask=torch.zeros(4, 4, dtype=torch.int32), tissue_id="t", mapping={1: "B cell"}).mapping
    {1: 'B cell'}
    """

    mask: torch.Tensor
    tissue_id: str
    mapping: dict[int, str] | None = None


def to_mode(image: torch.Tensor, image_mode: str) -> torch.Tensor:
    """Return an image of shape (C, H, W) as it is, or for ``"HWC"`` a view of shape (H, W, C).

    Raises
    ------
    UnknownNameError
        For any other mode.
    """
    mode = checked_choice(image_mode, options=IMAGE_MODES, kind="image_mode")
    return image if mode == "CHW" else image.permute(1, 2, 0)


def texts(items: list[Any]) -> Objects:
    """Return texts and Nones as an object array, made anew.

    Examples
    --------
    >>> texts(["CD3e", None])
    array(['CD3e', None], dtype=object)
    """
    array: Objects = np.empty(len(items), np.object_)
    array[:] = items
    return array
