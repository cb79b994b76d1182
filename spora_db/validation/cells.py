"""Rules about the cells of a dataset: their centroids, and whether its images and instance masks have them."""

from collections.abc import Iterator, Mapping, Sequence

from spora_db.catalog import Catalog
from spora_db.errors import SporaError, TableError
from spora_db.layout import Dataset
from spora_db.plan.cell_centroids import cells_by_tissue
from spora_db.plan.cell_checks import ListedCells
from spora_db.selection.cells import cell_table
from spora_db.selection.centroid_columns import contradictions
from spora_db.validation.findings import Finding, Severity
from spora_db.validation.headers import Image
from spora_db.validation.relations import MOST_CELLS, cell_count
from spora_db.validation.rules import broken


def listed_cells(dataset: Dataset, *, deep: bool) -> tuple[Mapping[str, ListedCells], list[Finding]]:
    """Return the cells of a dataset's table by tissue, NaN where it does not place them, and what contradicts in it.

    Tables that other rules find wrong give no cells; nor do very long ones, unless `deep`.
    """
    file = f"{dataset.name}/metadata/cells.parquet"
    if not any(table.kind == "cells" for table in dataset.tables):
        return {}, []
    findings: list[Finding] = []
    try:
        with Catalog(dataset.paths) as catalog:
            try:
                catalog._run("SELECT max(cell_id) FROM cells").fetchall()
            except TableError as error:
                return {}, [broken("column_types", str(error), dataset=dataset.name, file=file)]
            if not deep and cell_count(dataset) > MOST_CELLS:
                return {}, []
            for is_grid, found in contradictions(catalog):
                severity: Severity | None = "warning" if is_grid else None
                findings.append(broken("cell_places", str(found), dataset=dataset.name, file=file, severity=severity))
            table = cell_table("table", catalog)
            return {key[1]: cells for key, cells in cells_by_tissue(table, catalog).items()}, findings
    except SporaError:  # found by cell_rows, column_types, parquet or above
        return {}, findings


def check_cells(cells: Mapping[str, ListedCells], images: Sequence[Image]) -> Iterator[Finding]:
    """Yield cells that lie outside their images, one finding per tissue and resolution."""
    seen: set[tuple[float, str]] = set()
    for image in images:
        own = cells.get(image.tissue_id)
        if own is None or (image.mpp, image.tissue_id) in seen:
            continue
        seen.add((image.mpp, image.tissue_id))
        try:
            own.at(image.mpp).check_image((image.height, image.width), image=image.path)
        except TableError as error:
            file = f"{image.dataset}/metadata/cells.parquet"
            yield broken("cells_outside_images", str(error), dataset=image.dataset, file=file)
