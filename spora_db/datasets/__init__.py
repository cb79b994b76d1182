"""The classes published for this layout, on the same catalog, plan and reader as `SporaQuery`."""

from spora_db.datasets._types import (
    CellMask,
    CODEXModality,
    ComposedTissue,
    CycIFModality,
    HEModality,
    HETissue,
    IHCModality,
    IHCTissue,
    IMCModality,
    MIBIModality,
    MultiplexTissue,
    TissueMask,
    get_modality_from_str,
    is_valid_modality_instance,
)
from spora_db.datasets.balance import BalancedSampler
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.brightfield import HEImagingDataset, SingleIHCImagingDataset
from spora_db.datasets.collates import collate_tissues, plain_samples
from spora_db.datasets.composed import ComposedImagingDataset
from spora_db.datasets.multiplex import MultiplexImagingDataset
from spora_db.datasets.spora import SporaDataset

__all__ = [
    "BalancedSampler",
    "BaseImagingDataset",
    "CODEXModality",
    "CellMask",
    "ComposedImagingDataset",
    "ComposedTissue",
    "CycIFModality",
    "HEImagingDataset",
    "HEModality",
    "HETissue",
    "IHCModality",
    "IHCTissue",
    "IMCModality",
    "MIBIModality",
    "MultiplexImagingDataset",
    "MultiplexTissue",
    "SingleIHCImagingDataset",
    "SporaDataset",
    "TissueMask",
    "collate_tissues",
    "get_modality_from_str",
    "is_valid_modality_instance",
    "plain_samples",
]
