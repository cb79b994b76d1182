"""Centroids of cells: those that the table lists, and those that are measured in instance masks."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import MaskNotFoundError, TableError
from spora_db.files.arrow_arrays import arrow_array, arrow_scalar, arrow_table, numpy_array
from spora_db.images import open_image
from spora_db.layout import locate
from spora_db.masks import load_label_mask
from spora_db.masks.centroids import Centroids, instance_centroids
from spora_db.plan.cell_checks import ListedCells
from spora_db.selection import Selection
from spora_db.selection.cells import CENTROIDS, CellTable, cell_id, centroid
from spora_db.selection.centroid_columns import AXES
from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT

logger = logging.getLogger(__name__)
READERS = 4
"""Masks read at the same time: decompression and the kernel let other threads run."""
REPORT_SECONDS = 10.0
COLUMNS = pa.schema(
    [
        ("dataset", pa.string()), ("tissue_id", pa.string()), ("cell_id", pa.int32()),
        ("centroid_row", pa.float64()), ("centroid_col", pa.float64()),
    ]
)  # fmt: skip
FILES = """
    SELECT p.dataset, p.tissue_id, any_value(m.path) AS mask,
        arg_min(i.path, list_position($modalities, i.modality)) AS image
    FROM measured_tissues AS p
    LEFT JOIN masks AS m
        ON m.dataset = p.dataset AND m.tissue_id = p.tissue_id AND m.mpp = $mpp AND m.kind = 'instances'
    LEFT JOIN images AS i
        ON i.dataset = p.dataset AND i.tissue_id = p.tissue_id AND i.mpp = $mpp
        AND list_contains($modalities, i.modality)
    GROUP BY p.dataset, p.tissue_id
    ORDER BY p.dataset, p.tissue_id
"""


def cells_by_tissue(
    table: CellTable, catalog: Catalog, *, placed_among: str | None = None
) -> dict[tuple[str, str], ListedCells]:
    """Return the cells of the table by dataset and tissue; their ``record`` has no resolution yet.

    Parameters
    ----------
    table
        What is known of the cells.
    placed_among
        A relation with ``dataset`` and ``tissue_id``: only cells of these tissues that the table places.
    """
    binder = Binder()
    query = exp.select("c.dataset", "c.tissue_id", exp.alias_(cell_id(table), "cell_id")).from_("cells AS c")
    for axis in AXES:
        query = query.select(exp.alias_(centroid(table, axis, binder), axis, quoted=True))
    if placed_among is not None:
        chosen = f"(c.dataset, c.tissue_id) IN (SELECT (dataset, tissue_id) FROM {placed_among})"
        query = exp.select("*").from_(query.where(chosen, dialect=DIALECT).subquery("listed"))
        query = query.where('"row" IS NOT NULL', dialect=DIALECT)
    found = catalog._run(query.order_by("dataset", "tissue_id", "cell_id"), binder.values or None)
    rows = found.to_arrow_table()
    keys = [rows.column(name).combine_chunks().dictionary_encode() for name in ("dataset", "tissue_id")]
    codes = [numpy_array(key.indices, absent=-2) for key in keys]
    starts = np.flatnonzero(np.any([np.diff(code, prepend=-1) != 0 for code in codes], axis=0)).tolist()
    arrays = [numpy_array(rows.column(name), absent=-1 if name == "cell_id" else None) for name in ("cell_id", *AXES)]
    listed = {}
    for start, stop in zip(starts, [*starts, len(rows)][1:], strict=True):
        dataset, tissue = (rows.column(name)[start].as_py() for name in ("dataset", "tissue_id"))
        labels, row, col = (array[start:stop] for array in arrays)
        record = {"dataset": dataset, "tissue_id": tissue}
        listed[dataset, tissue] = ListedCells(record=record, cell_id=labels, row=row, col=col)
    return listed


def register_centroids(
    tissues: pa.Table, selection: Selection, cells: CellTable, catalog: Catalog, *, need: str
) -> None:
    """Read the instance masks of some tissues and register their centroids as the relation `CENTROIDS`.

    Cells that the table places are compared with the masks on the way.

    Parameters
    ----------
    tissues
        Arrow table with ``dataset`` and ``tissue_id``.
    selection
        The resolved selection: its resolution is that of the masks, its images give the size they must have.
    cells
        What the table says of cells.
    need
        ``"every"``: a tissue without an instance mask is an error; ``"any"``: only if none has one.

    Raises
    ------
    MaskNotFoundError
        If a mask is absent.
    FileFormatError
        If a mask is broken, of another size than the image, or holds negative labels.
    TableError
        If a mask does not have a cell where the table places it.
    """
    with catalog._registered("measured_tissues", tissues.select(["dataset", "tissue_id"])):
        parameters = {"mpp": selection.mpp, "modalities": list(selection.modality_names)}
        files = catalog._run(FILES, parameters).to_arrow_table()
        listed = _placed_cells(cells, catalog)
    absent = files.filter(pc.is_null(files.column("mask")))
    present = files.filter(pc.is_valid(files.column("mask"))).to_pylist()
    if len(absent) and (need == "every" or not present):
        first = absent.slice(0, 1).to_pylist()[0]
        raise MaskNotFoundError(
            f"Tissue {first['tissue_id']!r} of dataset {first['dataset']!r} has no instance mask at "
            f"{selection.mpp} mpp ({len(absent)} such tissues), and metadata/cells.parquet does not place its cells. "
            f"Expected {first['dataset']}/segmentations/<mpp>/cell_masks/instances/{first['tissue_id']}.npz, or "
            "centroid columns in the table, such as centroid_row and centroid_col."
        )
    if len(absent):
        logger.info("%d of %d tissues have no instance mask, so no cells", len(absent), len(files))
    parts = []
    for record, found in _measured(present, catalog.lake):
        if own := listed.get((record["dataset"], record["tissue_id"])):
            own.at(selection.mpp or 0.0).check_mask(found, mask=locate(catalog.lake, record["mask"]))
        place = (pa.repeat(arrow_scalar(record[name], pa.string()), len(found)) for name in ("dataset", "tissue_id"))
        measured = (arrow_array(values) for values in (found.cell_id, found.row, found.col))
        parts.append(pa.table([*place, *measured], schema=COLUMNS))
    catalog._register(CENTROIDS, pa.concat_tables([arrow_table([], COLUMNS), *parts]))


def _placed_cells(cells: CellTable, catalog: Catalog) -> dict[tuple[str, str], ListedCells]:
    """Return the cells of the registered tissues that the table places, by dataset and tissue."""
    if cells.source == "masks" or not cells.centroids:
        return {}
    return cells_by_tissue(replace(cells, measured=False), catalog, placed_among="measured_tissues")


def _measured(files: Sequence[Mapping[str, Any]], lake: Path) -> Iterator[tuple[Mapping[str, Any], Centroids]]:
    """Yield the centroids of every mask in order; says every ten seconds how far it is."""
    logger.info("Measuring cells in %d instance masks of %s", len(files), lake)
    reported = time.monotonic()
    with ThreadPoolExecutor(READERS) as pool:
        for done, (record, found) in enumerate(
            zip(
                files,
                pool.map(lambda one: cells_in_mask(locate(lake, one["mask"]), locate(lake, one["image"])), files),
                strict=True,
            ),
            start=1,
        ):
            yield record, found
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                logger.info("Measured cells in %d of %d instance masks", done, len(files))


def cells_in_mask(mask: Path, image: Path) -> Centroids:
    """Read an instance mask, which must have the size of its image, and measure its cells."""
    labels = load_label_mask(mask, shape=open_image(image).shape[1:], image=f"its image {image}")
    return instance_centroids(labels, path=mask)


def repeated_cell(cell: Mapping[str, Any], count: int) -> TableError:
    """Build the error for a cell that the table lists twice."""
    return TableError(
        f"Cell {cell['cell_id']} of tissue {cell['tissue_id']!r} stands several times in "
        f"{cell['dataset']}/metadata/cells.parquet ({count} such rows). Keep one row per tissue_id and cell_id."
    )
