"""Writes the regions of a lake as GeoJSON, a file per tissue, as QuPath opens and import reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError
from spora_db.files.writing import atomic_path
from spora_db.layout import check_name, parse_mpp

ROWS = """
    SELECT dataset, tissue_id, region_id, name, class, color, mpp, polygon FROM regions
    ORDER BY dataset, tissue_id, region_id
"""


def write_region_geojson(lake: str | Path, folder: str | Path, *, mpp: float | str | None = None) -> tuple[Path, ...]:
    """Write ``<folder>/<dataset>/<tissue_id>.geojson`` of every tissue that has regions.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    folder
        Where to; files of these names are replaced.
    mpp
        Microns per pixel of the pixels that coordinates count, such as those of the scanner's file; by default those
        of the regions.

    Returns
    -------
    tuple of Path
        The files, sorted.

    Raises
    ------
    ArgumentError
        There are no regions.
    TableError
        The regions are broken.
    WriteError
        A file cannot be written.

    Examples
    --------
    >>> write_region_geojson("lake", "geojson")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: There are no regions in lake...
    """
    wanted = None if mpp is None else parse_mpp(mpp)
    features: dict[Path, list[dict[str, Any]]] = {}
    with Catalog(lake) as catalog:
        catalog.check("regions")
        for row in catalog._run(ROWS).to_arrow_table().to_pylist():
            place = (
                Path(folder) / check_name(row["dataset"], kind="dataset") / f"{check_name(row['tissue_id'])}.geojson"
            )
            features.setdefault(place, []).append(_feature(row, row["mpp"] / (wanted or row["mpp"])))
    if not features:
        raise ArgumentError(f"There are no regions in {lake}. They come with spora-db import --annotations.")
    for path, found in features.items():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"type": "FeatureCollection", "features": found}), encoding="utf-8")
    return tuple(features)


def _feature(row: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return a region as QuPath writes an annotation."""
    rings = [
        [[[point["col"] * factor, point["row"] * factor] for point in ring] for ring in polygon]
        for polygon in row["polygon"]
    ]
    properties: dict[str, Any] = {"objectType": "annotation"}
    if row["name"] is not None:
        properties["name"] = row["name"]
    if row["class"] is not None:
        properties["classification"] = {"name": row["class"]}
        if row["color"] is not None:
            properties["classification"]["color"] = list(bytes.fromhex(row["color"][1:]))
    return {
        "type": "Feature",
        "id": row["region_id"],
        "geometry": {"type": "MultiPolygon", "coordinates": rings},
        "properties": properties,
    }
