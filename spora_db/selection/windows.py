"""Windows over whole tissues as rows: their places follow from the sizes of the images, no tile table is needed."""

import logging
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import statement
from spora_db.errors import QueryError, counted
from spora_db.files.arrow_arrays import arrow_table
from spora_db.files.processors import usable_cpus
from spora_db.images import image_header
from spora_db.selection.resolved import Resolved

logger = logging.getLogger(__name__)

SIZES = """
    SELECT dataset, modality, mpp, tissue_id, path, height, width
    FROM images
    WHERE mpp = $mpp AND list_contains($modalities, modality)
    ORDER BY ALL
"""
MEASURED = "query_image_sizes"
"""The name under which sizes that the index of the lake does not know are registered while a query runs."""
WORTH_TELLING = 1000
"""Headers that are read before a line says why it takes long: some ten seconds on a cold disk."""


def with_windows(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Fill in the windows of a query as its rows; sizes that no index knows are read from the headers of the images.

    Raises
    ------
    QueryError
        If the query has rows of its own too.
    ImageNotFoundError, FileFormatError
        If the header of an image cannot be read.
    """
    asked = resolved.selection
    if asked.windows is None:
        return resolved
    if resolved.source is not None:
        raise QueryError("windows() makes its own rows; leave out from_sql and from_arrow, or choose with .where().")
    assert asked.tile_size is not None
    place = {"mpp": asked.mpp, "modalities": list(asked.modality_names)}
    before, reach = asked.windows.geometry(asked.tile_size)
    values = {
        **place,
        "size": asked.tile_size,
        "stride": asked.windows.stride,
        "before": before,
        "reach": reach,
        "strategy": asked.windows.strategy,
    }
    tree = _with_values(statement("questions", "windows").copy(), values)
    sizes = catalog._run(SIZES, place).to_arrow_table()
    if sizes.column("height").null_count:
        catalog._register(MEASURED, _measured(sizes, catalog))
        for table in tree.find_all(exp.Table):
            if table.name == "images":
                table.replace(exp.to_table(MEASURED, alias="images"))
    assert isinstance(tree, exp.Query)
    described = catalog._run(exp.select("*").from_(tree.subquery("rows")).limit(0))
    types = dict(zip(described.columns, described.types, strict=True))
    return replace(resolved.asking(strategy=asked.windows.strategy), source=tree, source_types=types)


def _with_values(tree: exp.Expr, values: Mapping[str, object]) -> exp.Expr:
    """Write numbers, and texts as quoted constants, in the place of parameters: a source of rows has none."""
    return tree.transform(lambda node: exp.convert(values[node.name]) if isinstance(node, exp.Placeholder) else node)


def _measured(sizes: pa.Table, catalog: Catalog) -> pa.Table:
    """Return the sizes with those that were unknown read from the headers of the images."""
    records = sizes.to_pylist()
    unknown = [record for record in records if record["height"] is None]
    if len(unknown) >= WORTH_TELLING:
        logger.info(
            "Reading the sizes of %s; 'spora-db index %s' does it once for all queries.",
            counted(len(unknown), "image"), shlex.quote(str(catalog.lake)),
        )  # fmt: skip
    with ThreadPoolExecutor(max_workers=min(32, 4 * usable_cpus())) as pool:
        headers = pool.map(lambda record: image_header(catalog._folders.locate(record["path"])), unknown)
        for record, header in zip(unknown, headers, strict=True):
            record["height"], record["width"] = header.height, header.width
    return arrow_table(records, sizes.schema)
