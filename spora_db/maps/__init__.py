"""Maps: what a model says of windows, stitched over whole tissues, and shared out to cells."""

from spora_db.maps.assembling import assemble
from spora_db.maps.masks import write_masks
from spora_db.maps.shares import CellVectors, cell_vectors

__all__ = ["CellVectors", "assemble", "cell_vectors", "write_masks"]
