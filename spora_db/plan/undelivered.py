"""Channels that tissues measured and a query asks for, but that statistics drop: their tissues do not offer them."""

from collections.abc import Container
from dataclasses import replace

import numpy as np
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.plan.offered import offered_channels
from spora_db.plan.statistics import statistics_of
from spora_db.selection.resolved import Resolved
from spora_db.selection.values import Selection

IMAGES = """
    SELECT row_number() OVER (ORDER BY i.dataset, i.modality, i.mpp, i.tissue_id) - 1 AS image,
        i.dataset, i.modality, i.mpp, i.tissue_id
    FROM images AS i
    SEMI JOIN source_panels AS p ON p.dataset = i.dataset AND p.modality = i.modality AND p.tissue_id = i.tissue_id
    WHERE list_contains($modalities, i.modality) AND i.mpp = $mpp
    ORDER BY image
"""


def with_undelivered(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Fill in the keys of channels that statistics drop, where tissues are chosen by their channels.

    Raises
    ------
    TableError
        If a tissue has no channels, or the tables that name channels contradict each other.
    """
    selection, markers = resolved.selection, resolved.markers
    asked, standardization = selection.channels, selection.standardization
    if (
        markers is None
        or not (asked.require or asked.any_of or asked.at_least)
        or standardization.missing_statistics == "defer"
    ):
        return resolved
    modalities = [name for name in selection.multiplex_names if standardization.parsed(name).needs_statistics]
    answers = any(standardization.parsed(name).on_zero_quantile for name in modalities)
    keeps_all = standardization.disable_quantile_mask and standardization.missing_statistics != "drop_channel"
    if not modalities or (keeps_all and not answers):
        return resolved
    wanted = None
    if asked.any_of or asked.at_least is None:
        chosen = markers.chosen((*asked.require, *asked.any_of))
        wanted = {(channel.dataset, channel.modality, channel.channel_name) for channel in chosen}
        selection = replace(selection, channels=replace(asked, names=(), exclude=()))
    images = catalog._run(IMAGES, {"modalities": modalities, "mpp": selection.mpp}).to_arrow_table()
    return replace(resolved, undelivered=tuple(_undelivered(selection, images, catalog, wanted=wanted)))


def _undelivered(
    selection: Selection, images: pa.Table, catalog: Catalog, *, wanted: Container[tuple[str, str, str]] | None
) -> list[str]:
    """Return ``dataset/modality/tissue_id/channel_name`` of channels (all, or those `wanted`) that statistics drop.

    Statistics that no table has are an error where a plan is made, or drop their tissue; they drop a channel only with
    ``missing="drop_channel"``.
    """
    standardization, keys = selection.standardization, list[str]()
    with catalog._registered("plan_images", images):
        offered = offered_channels(selection, images, catalog)
        for modality, panel, found in statistics_of(offered.panels, images, standardization, catalog):
            lost = panel.delivered & ~found.kept(panel, standardization)
            if standardization.missing_statistics != "drop_channel":
                lost &= found.complete
            rows, columns = np.nonzero(lost)
            places = images.slice(panel.first, len(panel)).select(["dataset", "modality", "tissue_id"]).to_pydict()
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                name = offered.names[panel.name[column]]
                dataset, tissue_id = places["dataset"][row], places["tissue_id"][row]
                if wanted is None or (dataset, modality, name) in wanted:
                    keys.append(f"{dataset}/{modality}/{tissue_id}/{name}")
    return keys
