"""The masks of a plan: the files of every image, looked up once, so that no worker asks the lake."""

import pyarrow as pa
import pyarrow.compute as pc

from spora_db.catalog import Catalog
from spora_db.errors import MaskNotFoundError, TableError
from spora_db.plan.mask_parts import PlanMasks
from spora_db.selection import Selection

PATHS = """
    SELECT p.image, m.path
    FROM plan_images AS p
    LEFT JOIN masks AS m
        ON m.dataset = p.dataset AND m.mpp = p.mpp AND m.tissue_id = p.tissue_id AND m.kind = $kind
    ORDER BY p.image
"""


def choose_masks(selection: Selection, images: pa.Table, catalog: Catalog) -> PlanMasks | None:
    """Return the mask files of every image of a plan; nothing where none were asked for.

    Raises
    ------
    MaskNotFoundError
        If a selected tissue has no mask of a kind asked for.
    TableError
        If it has several.
    """
    if not selection.masks:
        return None
    columns = {}
    with catalog._registered("plan_images", images):
        for kind in selection.masks:
            found = catalog._run(PATHS, {"kind": kind}).to_arrow_table()
            _check_one_each(found.column("image"), images, kind)
            paths = found.column("path").combine_chunks()
            if paths.null_count:
                absent = paths.is_null().to_pylist()
                first = images.slice(absent.index(True), 1).to_pylist()[0]
                raise MaskNotFoundError(
                    f"Tissue {first['tissue_id']!r} of dataset {first['dataset']!r} has a {first['modality']} image "
                    f"but no {kind} mask at {first['mpp']} mpp ({sum(absent)} such images); see SELECT * FROM masks. "
                    'Add the files, or leave these tissues out with .where("tissue_id IN (SELECT tissue_id FROM masks '
                    f"WHERE kind = '{kind}')\")."
                )
            columns[kind] = paths
    return PlanMasks(kinds=selection.masks, paths=pa.table(columns))


def _check_one_each(found: pa.ChunkedArray, images: pa.Table, kind: str) -> None:
    """Refuse masks that are not one per image, in the order of the images: they are joined by position from here on."""
    if found.equals(images.column("image")):
        return
    counts = pc.value_counts(found)
    most = pc.max(counts.field("counts"))
    image = counts.field("values").filter(pc.equal(counts.field("counts"), most))[0].as_py()
    record = images.slice(image, 1).to_pylist()[0]
    raise TableError(
        f"Tissue {record['tissue_id']!r} of dataset {record['dataset']!r} has {most} {kind} masks at {record['mpp']} "
        "mpp where one is expected; see SELECT * FROM masks. Keep one."
    )
