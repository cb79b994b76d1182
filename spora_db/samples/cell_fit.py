"""Whether cells fit the image that they are said to lie in and, where it comes along, its instance mask."""

from pathlib import Path

import numpy as np

from spora_db.errors import TableError
from spora_db.plan import Plan
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.mask_parts import CELLS
from spora_db.samples.image_plan import ImagePlan


def check_fit(plan: Plan, source: ImagePlan, image: int, cells: ListedCells) -> None:
    """Refuse cells that do not fit an image of a plan.

    Raises
    ------
    TableError
        If a cell lies outside the image, is not in the mask, or elsewhere in it.
    """
    reader, masks = source.reader, plan.masks
    shape = reader.shape[1:]
    cells.check_image(shape, image=reader.path)
    if masks is not None and CELLS in masks.kinds:
        masks.check_cells(cells, image, lake=Path(plan.lake), shape=shape, image_path=reader.path)


def check_cell_of_row(plan: Plan, source: ImagePlan, image: int, position: int) -> None:
    """Refuse the cell that is a row of a plan where it does not fit; how all cells of its image lie tells why.

    Raises
    ------
    TableError
        As `check_fit` does.
    """
    if _surely_fits(plan, source, position):
        return
    try:
        check_fit(plan, source, image, plan.cells_at(np.array([position]), source.record))
    except TableError:
        rows = np.flatnonzero((plan.image == image).any(axis=1))
        check_fit(plan, source, image, plan.cells_at(rows, source.record))
        raise


def _surely_fits(plan: Plan, source: ImagePlan, position: int) -> bool:
    """Tell at once, as for every sample, that the cell of a row lies in the image and no mask is to be asked."""
    half, (_, height, width) = plan.tile_size // 2, source.reader.shape
    row, col = int(plan.row[position]) + half, int(plan.col[position]) + half
    alone = plan.masks is None or CELLS not in plan.masks.kinds
    return alone and 0 <= row < height and 0 <= col < width
