"""One region of an image, standardized: a batch of one."""

from collections.abc import Sequence

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.images.base import ImageReader
from spora_db.images.pieces import Regions
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.regions import Formula, standardize_regions
from spora_db.standardization.standardize import placed
from spora_db.standardization.transform import Transform


def standardize_region(
    reader: ImageReader, pages: Sequence[int] | AnyArray, transform: Transform, *, out: AnyArray | None = None,
    filters: FilterFactory | None = None, halo: bool = False, **place: int,
) -> AnyArray:  # fmt: skip
    """Return the region at ``row, col, height, width``, in `out` where given."""
    if out is None:
        out = np.empty((len(pages), place["height"], place["width"]), np.float32)
    faults: dict[int, Exception] = {}
    region = Regions.of(reader, np.asarray(pages, np.int64), **place)
    standardize_regions(region, [Formula(transform, filters, halo)], placed([out]), dtype=out.dtype, faults=faults)
    for error in faults.values():
        raise error
    return out
