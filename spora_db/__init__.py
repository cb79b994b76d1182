"""Ask a folder of histopathology and spatial-proteomics images in SQL, train on the answer.

>>> from spora_db import SporaQuery
>>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).where("split = 'train'")

Names are imported when first used, so that ``import spora_db`` is quick and torch is loaded by those who train.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from spora_db.files.garbage import collected_later

__version__ = "0.2.0"

if TYPE_CHECKING:
    from spora_db import datasets as datasets
    from spora_db import errors as errors
    from spora_db import images as images
    from spora_db import magic as magic
    from spora_db import plot as plot
    from spora_db import transforms as transforms
    from spora_db.audit import Audit as Audit
    from spora_db.bags import collate_bags_packed as collate_bags_packed
    from spora_db.bags import collate_bags_padded as collate_bags_padded
    from spora_db.catalog import Catalog as Catalog
    from spora_db.datasets import BalancedSampler as BalancedSampler
    from spora_db.datasets import BaseImagingDataset as BaseImagingDataset
    from spora_db.datasets import CellMask as CellMask
    from spora_db.datasets import CODEXModality as CODEXModality
    from spora_db.datasets import ComposedImagingDataset as ComposedImagingDataset
    from spora_db.datasets import ComposedTissue as ComposedTissue
    from spora_db.datasets import CycIFModality as CycIFModality
    from spora_db.datasets import HEImagingDataset as HEImagingDataset
    from spora_db.datasets import HEModality as HEModality
    from spora_db.datasets import HETissue as HETissue
    from spora_db.datasets import IHCModality as IHCModality
    from spora_db.datasets import IHCTissue as IHCTissue
    from spora_db.datasets import IMCModality as IMCModality
    from spora_db.datasets import MIBIModality as MIBIModality
    from spora_db.datasets import MultiplexImagingDataset as MultiplexImagingDataset
    from spora_db.datasets import MultiplexTissue as MultiplexTissue
    from spora_db.datasets import SingleIHCImagingDataset as SingleIHCImagingDataset
    from spora_db.datasets import SporaDataset as SporaDataset
    from spora_db.datasets import TissueMask as TissueMask
    from spora_db.datasets import collate_tissues as collate_tissues
    from spora_db.datasets import get_modality_from_str as get_modality_from_str
    from spora_db.datasets import is_valid_modality_instance as is_valid_modality_instance
    from spora_db.errors import LockError as LockError
    from spora_db.errors import SporaError as SporaError
    from spora_db.errors import WorkerError as WorkerError
    from spora_db.images import open_image as open_image
    from spora_db.images import read_region as read_region
    from spora_db.importing import import_dataset as import_dataset
    from spora_db.jobs import standardize_lake as standardize_lake
    from spora_db.jobs import tile_lake as tile_lake
    from spora_db.loading.batch import Batch as Batch
    from spora_db.loading.batches import PanelBatchSampler as PanelBatchSampler
    from spora_db.loading.collates import collate_list as collate_list
    from spora_db.loading.collates import collate_packed as collate_packed
    from spora_db.loading.collates import collate_padded as collate_padded
    from spora_db.loading.collates import collate_panel as collate_panel
    from spora_db.loading.dataset import PlanDataset as PlanDataset
    from spora_db.loading.device import standardize_batch as standardize_batch
    from spora_db.loading.loader import TileLoader as TileLoader
    from spora_db.loading.sampler import TileSampler as TileSampler
    from spora_db.maps import CellVectors as CellVectors
    from spora_db.maps import assemble as assemble
    from spora_db.maps import cell_vectors as cell_vectors
    from spora_db.maps import write_masks as write_masks
    from spora_db.masks import load_label_mask as load_label_mask
    from spora_db.masks import load_mask as load_mask
    from spora_db.masks import load_tissue_mask as load_tissue_mask
    from spora_db.plan import Plan as Plan
    from spora_db.query import SporaQuery as SporaQuery
    from spora_db.standardization.filters import FilterFactory as FilterFactory
    from spora_db.standardization.methods import register_standardizer as register_standardizer
    from spora_db.standardization.standardizer import build_standardizer as build_standardizer
    from spora_db.tiling import tile_grid as tile_grid
    from spora_db.tiling import tile_mask as tile_mask
    from spora_db.tiling.published import Tile as Tile
    from spora_db.tiling.published import best_mask_tiling_try_to_stop as best_mask_tiling_try_to_stop
    from spora_db.tiling.published import get_grid_tile as get_grid_tile
    from spora_db.validation import validate as validate

_HOMES = {
    name: home
    for home, names in {
        "audit": "Audit",
        "bags": "collate_bags_packed collate_bags_padded",
        "catalog": "Catalog",
        "datasets":
            "BalancedSampler BaseImagingDataset CODEXModality CellMask ComposedImagingDataset ComposedTissue "
            "CycIFModality HEImagingDataset HEModality HETissue IHCModality IHCTissue IMCModality MIBIModality "
            "MultiplexImagingDataset MultiplexTissue SingleIHCImagingDataset SporaDataset TissueMask "
            "collate_tissues get_modality_from_str is_valid_modality_instance",
        "errors": "LockError SporaError WorkerError",
        "images": "open_image read_region",
        "importing": "import_dataset",
        "jobs": "standardize_lake tile_lake",
        "loading.batch": "Batch",
        "loading.collates": "collate_list collate_packed collate_padded collate_panel",
        "loading.dataset": "PlanDataset",
        "loading.device": "standardize_batch",
        "loading.loader": "TileLoader",
        "loading.batches": "PanelBatchSampler",
        "loading.sampler": "TileSampler",
        "maps": "CellVectors assemble cell_vectors write_masks",
        "masks": "load_label_mask load_mask load_tissue_mask",
        "plan": "Plan",
        "query": "SporaQuery",
        "standardization.filters": "FilterFactory",
        "standardization.methods": "register_standardizer",
        "standardization.standardizer": "build_standardizer",
        "tiling": "tile_grid tile_mask",
        "tiling.published": "Tile best_mask_tiling_try_to_stop get_grid_tile",
        "validation": "validate",
    }.items()
    for name in names.split()
}  # fmt: skip
"""Every public name and the module that holds it."""

_MODULES = ("datasets", "errors", "images", "magic", "plot", "transforms")
"""Modules with more that is public."""

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # or any name would be one, to those who check types

    def __getattr__(name: str) -> object:
        """Import a public name from its module when it is first used."""
        if name in _MODULES:
            return import_module(f"spora_db.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'spora_db' has no attribute {name!r}")
        with collected_later():
            value = getattr(import_module(f"spora_db.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List what is public, also what is not imported yet; other modules are not for use from outside."""
    return sorted({*__all__, *_MODULES, "__version__"})
