"""Ask a folder of histopathology and spatial-proteomics images in SQL, train on the answer.

>>> from spora_db import SporaQuery
>>> query = SporaQuery("lake").modality("imc").tiles(size=224, mpp=1.0).where("split = 'train'")

Names are imported when first used, so that ``import spora_db`` is quick and torch is loaded by those who train.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from spora_db.audit import Audit
    from spora_db.catalog import Catalog
    from spora_db.datasets import (
        BalancedSampler,
        BaseImagingDataset,
        CellMask,
        CODEXModality,
        ComposedImagingDataset,
        ComposedTissue,
        CycIFModality,
        HEImagingDataset,
        HEModality,
        HETissue,
        IHCModality,
        IHCTissue,
        IMCModality,
        MIBIModality,
        MultiplexImagingDataset,
        MultiplexTissue,
        SingleIHCImagingDataset,
        SporaDataset,
        TissueMask,
        collate_tissues,
        get_modality_from_str,
        is_valid_modality_instance,
    )
    from spora_db.errors import LockError, SporaError
    from spora_db.images import open_image, read_region
    from spora_db.importing import import_dataset
    from spora_db.jobs import standardize_lake, tile_lake
    from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel
    from spora_db.loading.dataset import PlanDataset
    from spora_db.loading.device import standardize_batch
    from spora_db.loading.loader import TileLoader, WorkerError
    from spora_db.loading.panel_batches import PanelBatchSampler
    from spora_db.loading.sampler import TileSampler
    from spora_db.masks import load_label_mask, load_mask, load_tissue_mask
    from spora_db.plan import Plan
    from spora_db.query import SporaQuery
    from spora_db.standardization.filters import FilterFactory
    from spora_db.standardization.specs import register_standardizer
    from spora_db.standardization.standardizer import build_standardizer
    from spora_db.tiling import tile_grid, tile_mask
    from spora_db.tiling.published import Tile, best_mask_tiling_try_to_stop, get_grid_tile
    from spora_db.validation import validate

__all__ = [
    "Audit",
    "BalancedSampler",
    "BaseImagingDataset",
    "CODEXModality",
    "Catalog",
    "CellMask",
    "ComposedImagingDataset",
    "ComposedTissue",
    "CycIFModality",
    "FilterFactory",
    "HEImagingDataset",
    "HEModality",
    "HETissue",
    "IHCModality",
    "IHCTissue",
    "IMCModality",
    "LockError",
    "MIBIModality",
    "MultiplexImagingDataset",
    "MultiplexTissue",
    "PanelBatchSampler",
    "Plan",
    "PlanDataset",
    "SingleIHCImagingDataset",
    "SporaDataset",
    "SporaError",
    "SporaQuery",
    "Tile",
    "TileLoader",
    "TileSampler",
    "TissueMask",
    "WorkerError",
    "best_mask_tiling_try_to_stop",
    "build_standardizer",
    "collate_list",
    "collate_packed",
    "collate_padded",
    "collate_panel",
    "collate_tissues",
    "get_grid_tile",
    "get_modality_from_str",
    "import_dataset",
    "is_valid_modality_instance",
    "load_label_mask",
    "load_mask",
    "load_tissue_mask",
    "open_image",
    "read_region",
    "register_standardizer",
    "standardize_batch",
    "standardize_lake",
    "tile_grid",
    "tile_lake",
    "tile_mask",
    "validate",
]

_HOMES = {
    "Audit": "audit",
    "BalancedSampler": "datasets",
    "BaseImagingDataset": "datasets",
    "CODEXModality": "datasets",
    "Catalog": "catalog",
    "CellMask": "datasets",
    "ComposedImagingDataset": "datasets",
    "ComposedTissue": "datasets",
    "CycIFModality": "datasets",
    "FilterFactory": "standardization.filters",
    "HEImagingDataset": "datasets",
    "HEModality": "datasets",
    "HETissue": "datasets",
    "IHCModality": "datasets",
    "IHCTissue": "datasets",
    "IMCModality": "datasets",
    "LockError": "errors",
    "MIBIModality": "datasets",
    "MultiplexImagingDataset": "datasets",
    "MultiplexTissue": "datasets",
    "PanelBatchSampler": "loading.panel_batches",
    "Plan": "plan",
    "PlanDataset": "loading.dataset",
    "SingleIHCImagingDataset": "datasets",
    "SporaDataset": "datasets",
    "SporaError": "errors",
    "SporaQuery": "query",
    "Tile": "tiling.published",
    "TileLoader": "loading.loader",
    "TileSampler": "loading.sampler",
    "TissueMask": "datasets",
    "WorkerError": "loading.loader",
    "best_mask_tiling_try_to_stop": "tiling.published",
    "build_standardizer": "standardization.standardizer",
    "collate_list": "loading.collates",
    "collate_packed": "loading.collates",
    "collate_padded": "loading.collates",
    "collate_panel": "loading.collates",
    "collate_tissues": "datasets",
    "get_grid_tile": "tiling.published",
    "get_modality_from_str": "datasets",
    "import_dataset": "importing",
    "is_valid_modality_instance": "datasets",
    "load_label_mask": "masks",
    "load_mask": "masks",
    "load_tissue_mask": "masks",
    "open_image": "images",
    "read_region": "images",
    "register_standardizer": "standardization.specs",
    "standardize_batch": "loading.device",
    "standardize_lake": "jobs",
    "tile_grid": "tiling",
    "tile_lake": "jobs",
    "tile_mask": "tiling",
    "validate": "validation",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'spora_db' has no attribute {name!r}")
    value = getattr(import_module(f"spora_db.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
