"""Whether the instance masks of a plan say what its cells table says, as far as a budget of pixels goes."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.errors import counted
from spora_db.images import open_image
from spora_db.layout import locate
from spora_db.masks import mask_size
from spora_db.plan.cell_centroids import READERS, cells_in_mask
from spora_db.plan.mask_parts import CELLS
from spora_db.plan.plan import Plan
from spora_db.selection.cells import cell_table
from spora_db.selection.resolved import Resolved

logger = logging.getLogger(__name__)

PIXELS = 2**26
"""Pixels of masks that are read for one plan, about a second."""

FILES = """
    SELECT min(p.image) AS image, any_value(m.path) AS mask
    FROM plan_images AS p
    INNER JOIN masks AS m
        ON m.dataset = p.dataset AND m.mpp = p.mpp AND m.tissue_id = p.tissue_id AND m.kind = $kind
    GROUP BY p.dataset, p.mpp, p.tissue_id
    ORDER BY row_number() OVER (PARTITION BY p.dataset ORDER BY p.mpp, p.tissue_id), p.dataset
"""
"""One image of every tissue that has a mask: the first tissue of every dataset, then the second of every one."""


def compare_cells(plan: Plan, images: pa.Table, resolved: Resolved, catalog: Catalog) -> None:
    """Refuse a plan whose cells, as the table places them, are not those of the instance masks.

    Nothing is read where cells come from masks, or where instance masks come along, for then each is compared when it
    is delivered. Otherwise masks are read until they have `PIXELS` pixels, dataset by dataset in turn; what is left
    is logged.

    Parameters
    ----------
    plan
        The plan.
    images
        Its images, with their number, ``image``.

    Raises
    ------
    TableError
        If a cell is not in the mask of its tissue, or elsewhere in it; what lies outside the image is told with a
        sample.
    FileFormatError
        If a mask is broken, of another size than the image, or holds negative labels.
    """
    if CELLS in resolved.selection.masks or not len(plan) or not _from_table(resolved, catalog):
        return
    with catalog._registered("plan_images", images):
        files = catalog._run(FILES, {"kind": CELLS}).fetchall()
    chosen = list(_within_budget([(int(image), locate(catalog.lake, path)) for image, path in files]))
    if len(chosen) < len(files):
        logger.info(
            "Compared the cells table with %d of %s; spora-db validate --deep compares all",
            len(chosen), counted(len(files), "instance mask"),
        )  # fmt: skip
    with ThreadPoolExecutor(READERS) as pool:
        for _ in pool.map(lambda file: _compare(plan, *file), chosen):
            pass


def _from_table(resolved: Resolved, catalog: Catalog) -> bool:
    """Tell whether a cells table places cells of a plan; rows that a user gives place themselves."""
    if resolved.cells is not None and resolved.cells.source == "table":
        return True
    choice = resolved.selection.cells
    return choice is not None and cell_table(choice.source, catalog).source == "table"


def _within_budget(files: Sequence[tuple[int, Path]]) -> Iterator[tuple[int, Path]]:
    """Yield files for as long as the pixels that their headers tell of fit."""
    pixels = 0
    for image, path in files:
        height, width = mask_size(path)
        pixels += height * width
        if pixels > PIXELS:
            return
        yield image, path


def _compare(plan: Plan, image: int, mask: Path) -> None:
    record, path = plan.images.slice(image, 1).to_pylist()[0], plan.image_path(image)
    _, height, width = open_image(path).shape
    found = cells_in_mask(mask, path)
    for cells in plan.cells_of(image, record):
        cells.within((height, width)).check_mask(found, mask=mask)
