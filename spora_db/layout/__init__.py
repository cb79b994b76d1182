"""The only code that knows the tree: names of folders and files (``names``), and what a lake holds (``tree``)."""

from spora_db.layout.names import (
    IMAGE_SUFFIXES,
    MULTIPLEX_MODALITIES,
    STATISTICS,
    check_name,
    image_folder,
    mask_folder,
    modality_folder,
    mpp_folder,
    parse_mpp,
    spec_folder,
    tile_file,
)
from spora_db.layout.tree import (
    Dataset,
    ImageFolder,
    Lake,
    MaskFolder,
    TableFile,
    TableKind,
    list_images,
    list_masks,
    scan,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "MULTIPLEX_MODALITIES",
    "STATISTICS",
    "Dataset",
    "ImageFolder",
    "Lake",
    "MaskFolder",
    "TableFile",
    "TableKind",
    "check_name",
    "image_folder",
    "list_images",
    "list_masks",
    "mask_folder",
    "modality_folder",
    "mpp_folder",
    "parse_mpp",
    "scan",
    "spec_folder",
    "tile_file",
]
