"""Cells of a table beside the labels of masks: a table of another segmentation is found before anything is written."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import TableError, counted
from spora_db.images.base import MissingChunks
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.mask_files import MaskSource
from spora_db.importing.masks import read_mask

if TYPE_CHECKING:
    import pyarrow as pa

DENSE = 2**26
"""Up to which label masks are counted with a table of labels; larger ones are sorted."""


def labels_of(mask: AnyArray) -> Int64:
    """Return the labels of a mask, ascending, without the background.

    Examples
    --------
    >>> labels_of(np.array([[0, 7], [2, 7]])).tolist()
    [2, 7]
    """
    if mask.dtype.kind == "b":
        return np.flatnonzero([False, bool(mask.any())]).astype(np.int64)
    least, most = int(mask.min(initial=0)), int(mask.max(initial=0))
    if least < 0 or most >= DENSE:
        return np.setdiff1d(mask, [0]).astype(np.int64)
    there = np.zeros(most + 1, bool)
    there[mask.ravel()] = True
    there[0] = False
    return np.flatnonzero(there)


def cell_decisions(
    cells: "pa.Table",
    fields: Sequence[Field],
    masks: Mapping[str, MaskSource],
    *,
    table: Path,
    missing_chunks: MissingChunks,
    threads: int,
) -> list[Decision]:
    """Compare the cells of a table with the instance masks of the tissues.

    Raises
    ------
    TableError
        Cells of the table are in no mask.
    """
    rows = _ids_by_tissue(cells)

    def compare(field: Field) -> tuple[Int64, Int64]:
        labels = labels_of(read_mask(masks[field.tissue_id], field, missing_chunks=missing_chunks))
        ids = rows.get(field.tissue_id, np.empty(0, np.int64))
        return np.setdiff1d(ids, labels), np.setdiff1d(labels, ids)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        found = dict(zip((field.tissue_id for field in fields), pool.map(compare, fields), strict=True))
    absent = {tissue: ids for tissue, (ids, _) in found.items() if len(ids)}
    if absent:
        number = sum(map(len, absent.values()))
        raise TableError(
            f"{counted(number, 'cell')} of {len(cells):,} in {table} {'is' if number == 1 else 'are'} in no cell mask: "
            f"{_examples(absent)}. Expected the labels of the masks as cell ids. Give the masks of the segmentation "
            "that the table was measured with, or take these rows out of the table."
        )
    unlisted = {tissue: labels for tissue, (_, labels) in found.items() if len(labels)}
    if not unlisted:
        return [Decision(about="cells", says=f"Every cell of {table.name} is in its mask, and every label has a row.")]
    number = sum(map(len, unlisted.values()))
    says = (
        f"{counted(number, 'label')} of the cell masks {'has' if number == 1 else 'have'} no row in {table.name}: "
        f"{_examples(unlisted)}. That is as it should be where cells were filtered; else give the table of this "
        "segmentation."
    )
    return [Decision(about="cells", says=says, warning=True)]


def _ids_by_tissue(cells: "pa.Table") -> dict[str, Int64]:
    """Return the cell ids of each tissue."""
    tissues = np.asarray(cells["tissue_id"].to_pylist(), dtype=object)
    ids = cells["cell_id"].to_numpy()
    names, group = np.unique(tissues.astype(str), return_inverse=True)
    return {str(name): ids[group == at] for at, name in enumerate(names)}


def _examples(found: Mapping[str, Int64]) -> str:
    """Name the first ids of some tissues."""
    parts = [f"{tissue!r}: {listed(ids.tolist(), most=6)}" for tissue, ids in list(found.items())[:3]]
    return "; ".join(parts) + (f"; and of {len(found) - 3} more tissues" if len(found) > 3 else "")
