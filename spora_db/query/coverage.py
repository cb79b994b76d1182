"""Statistics coverage: which channels of which selected tissues cannot be standardized, told before training."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.plan.selected_images import Delivered, delivered_channels, marker_overlap, selected_images
from spora_db.plan.statistics import find_statistics
from spora_db.query.compilation import Resolved, compile_rows
from spora_db.query.resolution import resolve
from spora_db.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("dataset", "modality", "mpp", "tissue_id", "channel_name", "uniprot_id", "spec", "problem")
PROBLEMS = ("", "no moments", "no quantiles", "no quantiles, no moments", "unusable values")


def coverage(selection: Selection, catalog: Catalog) -> "pd.DataFrame":
    """Return what `SporaQuery.coverage` returns.

    Parameters
    ----------
    selection
        What is asked for. Its choice for missing statistics is put aside: all that is missing is listed.
    catalog
        The lake.
    """
    resolved = resolve(_without_choice(selection), catalog)
    images = selected_images(resolved.selection, compile_rows(resolved), catalog)
    return missing_statistics_table(resolved, images, delivered_channels(resolved.selection, images, catalog), catalog)


def panel_overlap(selection: Selection, catalog: Catalog) -> "pd.DataFrame":
    """Return what `SporaQuery.panel_overlap` returns.

    Parameters
    ----------
    selection
        What is asked for.
    catalog
        The lake.
    """
    resolved = resolve(selection, catalog)
    images = selected_images(resolved.selection, compile_rows(resolved), catalog)
    return marker_overlap(images, delivered_channels(resolved.selection, images, catalog))


def missing_statistics_table(
    resolved: Resolved, images: pa.Table, delivered: Delivered, catalog: Catalog
) -> "pd.DataFrame":
    """List image by image the delivered channels that no table has statistics for, or none that can be used.

    Parameters
    ----------
    resolved
        The selection.
    images
        Its images, as `selected_images` gives them.
    delivered
        Their channels.
    catalog
        The lake.
    """
    import pandas as pd

    choice = _without_choice(resolved.selection).standardization
    modalities = np.array(images.column("modality").to_pylist(), np.str_)
    listed: list[dict[str, Any]] = []
    names, accessions = delivered.names(), delivered.accessions()
    with catalog.registered("plan_images", images):
        for modality in resolved.selection.modality_names:
            spec = choice.parsed(modality)
            own = np.flatnonzero(modalities[delivered.image] == modality)
            if not spec.needs_statistics or not len(own):
                continue
            found = find_statistics(
                delivered.image[own], delivered.index[own], modality=modality, choice=choice, catalog=catalog
            )
            problem = 2 * ~found.known[0] + ~found.known[1]
            problem[found.complete & ~found.usable] = 4
            at = np.flatnonzero(problem)
            places = images.take(pa.array(delivered.image[own[at]])).select(COLUMNS[:4]).to_pydict()
            columns = {**places, "channel_name": names[own[at]], "uniprot_id": accessions[own[at]]}
            columns |= {"spec": str(spec), "problem": [PROBLEMS[number] for number in problem[at]]}
            listed.append(columns)
    frames = [pd.DataFrame(columns) for columns in listed if len(columns["problem"])]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _without_choice(selection: Selection) -> Selection:
    standardization = replace(selection.standardization, missing_statistics="error")
    return replace(selection, standardization=standardization)
