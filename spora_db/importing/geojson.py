"""Annotations in GeoJSON, as QuPath exports them: which features are regions, and what they are called."""

import gzip
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from spora_db.arrays import Float64
from spora_db.errors import FileFormatError
from spora_db.files.failures import FILE_FAILURES
from spora_db.importing.outlines import Outline, Outlines, polygon_of

MOST_BYTES: Final = 2**31
"""Of the text of a file: more is a broken or hostile archive, or cells by the million."""
MOST_PIXELS: Final = 2**40
"""Of a coordinate."""
REGIONS: Final = ("annotation", "tissue", "region")
"""What QuPath and others call objects that are regions, without case; a feature that says nothing is one too."""
_OLD_IDS: Final[Mapping[str, str]] = {
    "PathAnnotationObject": "annotation",
    "PathCellObject": "cell",
    "PathDetectionObject": "detection",
    "PathRootObject": "root",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
}
"""What QuPath up to 0.2 writes as the id of a feature: what kind of object it is."""


def read_geojson(path: Path) -> Outlines:
    """Read the regions of a file: a FeatureCollection, a list of features, or one feature; also with gzip.

    Raises
    ------
    FileFormatError
        It is no such file; the message names the feature.
    """
    regions, left_out = [], Counter[str]()
    for number, feature in enumerate(_features(path), start=1):
        where = f"Feature {number} of {path}"
        if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
            raise FileFormatError(f"{where} is no GeoJSON feature: {_shown(feature)}. Export the annotations again.")
        properties = feature.get("properties") or {}
        if not isinstance(properties, Mapping):
            raise FileFormatError(f"{where} has properties that are no object: {_shown(properties)}. Export again.")
        kind = properties.get("objectType") or _OLD_IDS.get(str(feature.get("id")), REGIONS[0])
        if str(kind).casefold() not in REGIONS:
            left_out[str(kind)] += 1
            continue
        shapes = _polygons(feature.get("geometry"), where)
        if isinstance(shapes, str):
            left_out[shapes] += 1
            continue
        region_class, color = _classification(properties.get("classification"), where)
        identity = feature.get("id")
        regions.append(
            Outline(
                shape=shapes,
                region_id=None if identity is None or str(identity) in _OLD_IDS else str(identity),
                name=_text(properties.get("name")),
                region_class=region_class,
                color=color or _color(properties.get("color")),
            )
        )
    return Outlines(regions=tuple(regions), left_out=dict(left_out))


def _features(path: Path) -> Sequence[object]:
    """Return the features of a file."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        found = json.loads(text) if len(text) <= MOST_BYTES else None
    except FILE_FAILURES as error:
        raise FileFormatError(f"{path} is no GeoJSON: {error}. Export the annotations again.") from error
    if len(text) > MOST_BYTES:
        raise FileFormatError(f"{path} holds more than {MOST_BYTES:,} bytes. Export annotations without cells.")
    if isinstance(found, Mapping):
        found = found.get("features") if found.get("type") == "FeatureCollection" else [found]
    if not isinstance(found, list):
        raise FileFormatError(f"{path} has no list of features. Export the annotations again, as GeoJSON.")
    return found


def _polygons(geometry: object, where: str) -> Any:  # noqa: ANN401 - shapely's
    """Return the polygons of a feature as a MultiPolygon, or what it is instead."""
    from spora_db.regions.polygons import geometry as shapely

    if geometry is None:
        return "feature without geometry"
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if not isinstance(kind, str) or not isinstance(geometry, Mapping):
        raise FileFormatError(f"{where} has a geometry without type: {_shown(geometry)}. Export the annotations again.")
    if kind not in ("Polygon", "MultiPolygon"):
        return kind
    given = geometry.get("coordinates")
    several = [given] if kind == "Polygon" else given
    if not isinstance(several, list) or not all(isinstance(rings, list) and rings for rings in several):
        raise FileFormatError(f"{where} is a {kind} without rings: {_shown(given)}. Export the annotations again.")
    polygons = [polygon_of([_ring(ring, where) for ring in rings]) for rings in several]
    kept = [polygon for polygon in polygons if polygon is not None]
    return shapely().multipolygons(kept) if kept else f"{kind} of fewer than three points"


def _ring(points: object, where: str) -> Float64:
    """Return the points of a ring, x and y; a third coordinate is left out."""
    pairs: list[Any] = points if isinstance(points, list) else [points]
    if not all(isinstance(pair, list) and len(pair) > 1 and all(map(_is_place, pair[:2])) for pair in pairs):
        raise FileFormatError(
            f"{where} has a ring that is no list of pairs of numbers: {_shown(points)}. Export the annotations again."
        )
    return np.array([pair[:2] for pair in pairs], np.float64).reshape(-1, 2)


def _is_place(value: object) -> bool:
    """Tell whether a value is a number that a coordinate may be: neither NaN nor endless."""
    return type(value) in (int, float) and -MOST_PIXELS < cast(float, value) < MOST_PIXELS


def _classification(given: object, where: str) -> tuple[str | None, str | None]:
    """Return the class and its color: of an object with name or names, of an older number, or of a text."""
    if given is None or isinstance(given, str):
        return _text(given), None
    if not isinstance(given, Mapping):
        raise FileFormatError(f"{where} has a classification that is no object: {_shown(given)}. Export it again.")
    names = given.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else given.get("name")
    return _text(name), _color(given.get("color", given.get("colorRGB")))


def _color(given: object) -> str | None:
    """Return a color as text: of a list of red, green and blue, or of the one number that Java makes of them.

    Examples
    --------
    >>> _color([200, 0, 0]), _color(-3670016), _color("red")
    ('#c80000', '#c80000', None)
    """
    if isinstance(given, list) and len(given) >= 3 and all(isinstance(part, int) and 0 <= part < 256 for part in given):
        return "#{:02x}{:02x}{:02x}".format(*given[:3])
    if isinstance(given, int) and not isinstance(given, bool):
        return f"#{given & 0xFFFFFF:06x}"
    return None


def _text(given: object) -> str | None:
    """Return a name, None for an empty one."""
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return None
    return str(given).strip() or None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
