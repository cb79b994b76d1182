"""Tissues as a SpatialData: what `SporaQuery.to_spatialdata` returns."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spora_db.errors import ArgumentError, need
from spora_db.images.base import MissingChunks
from spora_db.interop.to_anndata import assemble, measurable_plan, measure
from spora_db.layout import LakePath
from spora_db.selection import Selection

if TYPE_CHECKING:
    import anndata as ad
    import spatialdata as sd


MICRONS = "microns"
TABLE = "cells"


def to_spatialdata(
    lake: LakePath, selection: Selection, *, modality: str | None = None, missing_chunks: MissingChunks = "error"
) -> "sd.SpatialData":
    """Return the tissues of a query as `SporaQuery.to_spatialdata` describes.

    Elements are named ``<dataset>_<tissue_id>_<modality>_image`` and ``..._cells``. All have the coordinate system
    ``"microns"``, in which every image starts at the origin, and that of their tissue, ``<dataset>_<tissue_id>``, which
    tells tissues apart (``sdata.filter_by_coordinate_system``). The table annotates the label masks; a cell's
    ``obsm["spatial"]`` is (x, y) in ``"microns"``, where the centre of the first pixel lies at half a pixel.
    """
    instead = "Without it, query.to_anndata() gives the cells, and query.to_torch() the images."
    modules = ("spatialdata", "spatialdata.models", "spatialdata.transformations", "anndata")
    spatialdata, models, transforms, anndata = (
        need(name, extra="spatialdata", what="to_spatialdata()", instead=instead) for name in modules
    )
    collect = spatialdata.SpatialData  # imported here by spatialdata, before pixels are read
    plan = measurable_plan(lake, selection, modality=modality)
    parts = list(measure(plan, modality=modality, missing_chunks=missing_chunks))
    records = [part.source.record for part in parts]
    names = element_names(f"{r['dataset']}_{r['tissue_id']}_{r['modality']}" for r in records)
    images: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    for part, record, name in zip(parts, records, names, strict=True):
        scale = transforms.Scale([record["mpp"], record["mpp"]], axes=("y", "x"))
        systems = {MICRONS: scale, f"{record['dataset']}_{record['tissue_id']}": scale}
        images[f"{name}_image"] = models.Image2DModel.parse(
            part.source.read_whole(),
            dims=("c", "y", "x"),
            c_coords=list(part.source.channel_names),
            transformations=dict(systems),
        )
        labels[f"{name}_cells"] = models.Labels2DModel.parse(part.mask, dims=("y", "x"), transformations=dict(systems))
    table = assemble(plan, parts, anndata)
    table.obsm["spatial"] += table.uns["spora_db"]["mpp"] / 2
    key = annotate(table, list(labels), [len(part.kept) for part in parts])
    if len(table):
        present = [name for name, part in zip(labels, parts, strict=True) if len(part.kept)]
        table = models.TableModel.parse(table, region=present, region_key=key, instance_key="cell_id")
    return cast("sd.SpatialData", collect(images=images, labels=labels, tables={TABLE: table}))


def annotate(table: "ad.AnnData", labels: list[str], counts: list[int]) -> str:
    """Add the column that names every cell's label mask, bring the others to names that SpatialData accepts."""
    import pandas as pd

    table.obs.columns = element_names(table.obs.columns)
    key, taken = "region", {name.casefold() for name in table.obs.columns}
    while key in taken:
        key = f"mask_{key}"
    codes = np.repeat(np.arange(len(labels)), counts)
    # Python's strings: anndata 0.12 cannot write the categories that pandas 3 makes of them
    table.obs[key] = pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object)).remove_unused_categories()
    return key


def element_names(texts: Iterable[str]) -> list[str]:
    """Return the names of `element_name`, all different.

    Raises
    ------
    ArgumentError
        If two differ by case or by replaced characters only, which SpatialData does not accept.
    """
    names: list[str] = []
    given: dict[str, str] = {}
    for text in texts:
        name = element_name(text)
        if name.lower() in given:
            raise ArgumentError(
                f"{given[name.lower()]!r} and {text!r} would have the same name in a SpatialData, which tells neither "
                f"case nor characters other than letters, digits, _, - and . apart ({name!r}). Select one of them at a "
                "time."
            )
        given[name.lower()] = text
        names.append(name)
    return names


def element_name(text: str) -> str:
    """Return a name that SpatialData accepts: letters, digits, ``_``, ``-`` and ``.``, not starting with ``__``.

    Examples
    --------
    >>> element_name("cohort_core 7/b")
    'cohort_core_7_b'
    >>> element_name("__core")
    '_core'
    """
    return re.sub(r"^_+", "_", re.sub(r"[^\w.-]", "_", text))
