"""Tissues as a SpatialData: what `SporaQuery.to_spatialdata` returns."""

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spora_db.errors import ArgumentError
from spora_db.interop.frames import need
from spora_db.interop.to_anndata import assemble, measurable_plan, measure

if TYPE_CHECKING:
    import spatialdata as sd

    from spora_db.query import SporaQuery

MICRONS = "microns"


def to_spatialdata(query: "SporaQuery", *, modality: str | None = None) -> "sd.SpatialData":
    """Return the tissues of a query as `SporaQuery.to_spatialdata` describes.

    Parameters
    ----------
    query
        The query.
    modality
        Which of its modalities is measured.
    """
    instead = "Without it, query.to_anndata() gives the cells, and query.to_torch() the images."
    spatialdata = need("spatialdata", extra="spatialdata", what="to_spatialdata()", instead=instead)
    models = need("spatialdata.models", extra="spatialdata", what="to_spatialdata()", instead=instead)
    transforms = need("spatialdata.transformations", extra="spatialdata", what="to_spatialdata()", instead=instead)
    anndata = need("anndata", extra="spatialdata", what="to_spatialdata()", instead=instead)
    plan = measurable_plan(query, modality=modality)
    images: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    regions: list[str] = []
    parts = list(measure(plan, modality=modality))
    for part in parts:
        record = part.source.record
        name = element_name(f"{record['dataset']}_{record['tissue_id']}_{record['modality']}")
        if f"{name}_cells" in labels:
            raise ArgumentError(
                f"Two tissues would both be named {name!r} in a SpatialData; select one dataset at a time."
            )
        scale = transforms.Scale([record["mpp"], record["mpp"]], axes=("y", "x"))
        images[f"{name}_image"] = models.Image2DModel.parse(
            part.source.read_whole(),
            dims=("c", "y", "x"),
            c_coords=part.source.channel_names,
            transformations={MICRONS: scale},
        )
        labels[f"{name}_cells"] = models.Labels2DModel.parse(
            part.mask, dims=("y", "x"), transformations={MICRONS: scale}
        )
        regions += [f"{name}_cells"] * len(part.kept)
    table = assemble(plan, parts, anndata)
    table.obs["region"] = np.array(regions, dtype=object)
    table.obs["region"] = table.obs["region"].astype("category")
    parsed = models.TableModel.parse(table, region=sorted(set(regions)), region_key="region", instance_key="cell_id")
    return cast("sd.SpatialData", spatialdata.SpatialData(images=images, labels=labels, tables={"cells": parsed}))


def element_name(text: str) -> str:
    """Return a name that SpatialData accepts: letters, digits, ``_``, ``-`` and ``.``, other characters replaced.

    Examples
    --------
    >>> element_name("cohort_core 7/b")
    'cohort_core_7_b'
    """
    return re.sub(r"[^0-9A-Za-z_.-]", "_", text)
