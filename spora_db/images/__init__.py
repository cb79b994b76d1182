"""Reading regions of OME-Zarr and OME-TIFF images, and writing them."""

from spora_db.images.base import ChunkGrid, ImageHeader, ImageReader
from spora_db.images.cache import CacheInfo, cache_info, clear_cache, set_cache, set_cache_bytes
from spora_db.images.chunk_codecs import register_codec
from spora_db.images.formats import register_image_format
from spora_db.images.opening import close_images, image_header, open_image, open_levels
from spora_db.images.regions import read_region
from spora_db.images.write import write_ometiff
from spora_db.images.write_zarr import write_omezarr

__all__ = [
    "CacheInfo",
    "ChunkGrid",
    "ImageHeader",
    "ImageReader",
    "cache_info",
    "clear_cache",
    "close_images",
    "image_header",
    "open_image",
    "open_levels",
    "read_region",
    "register_codec",
    "register_image_format",
    "set_cache",
    "set_cache_bytes",
    "write_ometiff",
    "write_omezarr",
]
