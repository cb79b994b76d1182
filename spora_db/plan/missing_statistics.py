"""Which channels of which selected tissues cannot be standardized, told before training: what `coverage()` lists."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.plan.channels import ChosenChannels
from spora_db.plan.panels import PlanPanel
from spora_db.plan.resolution import resolve
from spora_db.plan.selected_images import delivered_channels
from spora_db.plan.statistics import statistics_of
from spora_db.selection import Selection
from spora_db.selection.resolved import Resolved
from spora_db.standardization.usable import REASONS, REMEDIES

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "dataset", "modality", "mpp", "tissue_id", "channel_name", "uniprot_id", "spec", "problem", "reason", "remedy",
)  # fmt: skip
MAKE = "make them with spora-db standardize, or choose standardize(missing=) what becomes of such channels"
PROBLEMS = ("", "no moments", "no quantiles", "no quantiles, no moments", "unusable values")


def missing_statistics(selection: Selection, catalog: Catalog) -> "pd.DataFrame":
    """Return what `SporaQuery.coverage` returns: all that is missing, whatever was chosen for missing statistics."""
    resolved = replace(resolve(_without_choice(selection), catalog), undelivered=())  # what they drop is listed
    return missing_statistics_table(resolved, *delivered_channels(resolved, catalog), catalog)


def missing_statistics_table(
    resolved: Resolved, images: pa.Table, delivered: ChosenChannels, catalog: Catalog
) -> "pd.DataFrame":
    """List image by image the delivered channels that no table has statistics for, or none that can be used."""
    import pandas as pd

    standardization = _without_choice(resolved.selection).standardization
    listed: list[dict[str, Any]] = []
    names, accessions = np.array(delivered.names, np.object_), np.array([*delivered.accessions, None], np.object_)
    panels: dict[str, list[PlanPanel]] = {name: [] for name in resolved.selection.modality_names}
    for panel in delivered.channels.panels:
        panels[images["modality"][panel.first].as_py()].append(panel)
    with catalog._registered("plan_images", images):
        for modality, panel, found in statistics_of(panels, images, standardization, catalog):
            problem = 2 * ~found.known[0] + ~found.known[1]
            problem[found.complete & ~found.usable] = 4
            rows, channels = np.nonzero(np.where(panel.delivered, problem, 0))
            problem = problem[rows, channels]
            reasons = [REASONS[number] for number in np.where(problem == 4, found.reasons[rows, channels], 0)]
            listed.append(
                {
                    **images.take(pa.array(panel.first + rows)).select(COLUMNS[:4]).to_pydict(),
                    "channel_name": names[panel.name[channels]],
                    "uniprot_id": accessions[panel.uniprot[channels]],
                    "spec": str(standardization.parsed(modality)),
                    "problem": [PROBLEMS[number] for number in problem],
                    "reason": reasons,
                    "remedy": [REMEDIES.get(reason, MAKE) for reason in reasons],
                }
            )
    frames = [pd.DataFrame(columns) for columns in listed if len(columns["problem"])]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _without_choice(selection: Selection) -> Selection:
    standardization = replace(selection.standardization, missing_statistics="error")
    return replace(selection, standardization=standardization)
