"""Whether cells fit the image that they are said to lie in and, where it comes along, its instance mask."""

from pathlib import Path

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import SporaError
from spora_db.plan import Plan
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.mask_parts import CELLS
from spora_db.samples.image_plan import ImagePlan


def misfit(plan: Plan, source: ImagePlan, image: int, cells: ListedCells) -> Exception | None:
    """Return why cells do not fit an image of a plan, None where they do.

    It is a TableError where a cell lies outside the image, is not in the mask, or elsewhere in it; or the error of a
    mask that cannot be read.
    """
    reader, masks = source.reader, plan.masks
    shape = reader.shape[1:]
    try:
        cells.check_image(shape, image=reader.path)
        if masks is not None and CELLS in masks.kinds:
            masks.check_cells(cells, image, lake=Path(plan.lake), shape=shape, image_path=reader.path)
    except (SporaError, OSError) as error:
        return error
    return None


def misplaced_cells(plan: Plan, source: ImagePlan, image: int, rows: Int64) -> dict[int, Exception]:
    """Return which of some cells, rows of a plan of one image, do not fit it; how all of its cells lie tells why."""

    def error_of(positions: Int64) -> Exception | None:
        return misfit(plan, source, image, plan.cells_at(positions, source.record))

    if error_of(rows) is None:
        return {}
    alone = {k: error_of(rows[k : k + 1]) for k in range(len(rows))}
    together = error_of(np.flatnonzero((plan.image == image).any(axis=1)))
    return {k: together or error for k, error in alone.items() if error is not None}
