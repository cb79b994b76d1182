"""Freezes a query into a `Plan`: rows, images, channels and statistics, each fetched once, as arrays."""

from dataclasses import replace

from spora_db.catalog import Catalog, lent_catalog
from spora_db.files.arrow_arrays import arrow_array
from spora_db.files.garbage import collected_later
from spora_db.layout import LakePath
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.cells import choose_cells
from spora_db.plan.channels import choose_channels
from spora_db.plan.compared_cells import compare_cells
from spora_db.plan.features import choose_features
from spora_db.plan.labels import choose_labels
from spora_db.plan.masks import choose_masks
from spora_db.plan.plan import Plan
from spora_db.plan.resolution import resolve
from spora_db.plan.rows import fetch_rows
from spora_db.selection import Selection
from spora_db.selection.empty import warn_of_nothing
from spora_db.selection.resolved import Resolved


def freeze(resolved: Resolved, catalog: Catalog) -> Plan:
    """Run a query and return its plan.

    Raises
    ------
    TableError
        If a selected tissue has no channels, a row names an image that is not there, a cell is repeated or is not
        where its instance mask has it, or a row has no label, or one that is no class.
    MaskNotFoundError
        If a selected tissue has no mask of a kind asked for.
    StatisticsNotFoundError
        If the spec's tables are absent or do not know a selected tissue or channel.
    """
    selection = resolved.selection
    rows = fetch_rows(resolved, catalog)
    chosen = choose_channels(selection, rows.images, catalog)
    plan = Plan(
        lake=catalog._folders.name,
        unit=selection.unit,
        modalities=selection.modalities,
        tile_size=selection.tile_size or 0,
        images=rows.images.drop_columns(["image"])
        .append_column("measured_count", arrow_array(chosen.counts[:, 0]))
        .append_column("panel_count", arrow_array(chosen.counts[:, 1])),
        image=rows.image,
        tile_id=rows.tile_id,
        row=rows.row,
        col=rows.col,
        channels=chosen.channels,
        channel_names=chosen.names,
        uniprot_ids=chosen.accessions,
        standardization=selection.standardization,
        columns=rows.columns.select(selection.columns),
        masks=choose_masks(selection, rows.images, catalog),
        cells=choose_cells(selection, rows.images, catalog),
        windows=selection.windows,
    )
    labels = choose_labels(plan, rows.columns, resolved, catalog)
    plan = replace(plan, labels=labels, features=choose_features(plan, resolved, catalog)).hashed()
    compare_cells(plan, rows.images, resolved, catalog)
    return plan


def plan_of(lake: LakePath, selection: Selection) -> Plan:
    """Return the plan of a selection, on a catalog that is opened or lent."""
    with collected_later(), lent_catalog(lake) as catalog:
        resolved = complete_cells(resolve(selection, catalog), catalog)
        plan = freeze(resolved, catalog)
        if not len(plan):
            warn_of_nothing(resolved, catalog)
        return plan
