"""What was outlined in an image, as files of annotations have it: one polygon, or several, with a class."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spora_db.arrays import Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One outlined region.

    Attributes
    ----------
    shape
        Its polygons as shapely's MultiPolygon, in pixels of the file's image, x the column and y the row.
    region_id
        What the file calls it; None where it says nothing that tells its regions apart.
    name, region_class, color
        Its name, its class and the color of its class, as ``#rrggbb``, where the file has them.
    """

    shape: Any
    region_id: str | None = None
    name: str | None = None
    region_class: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlines:
    """What a file of annotations holds.

    Attributes
    ----------
    regions
        Its polygons.
    left_out
        What else it holds, such as ``"LineString"`` or ``"cell"``, and how many of each.
    says
        What was decided about all of its regions, as a sentence.
    """

    regions: tuple[Outline, ...]
    left_out: dict[str, int]
    says: str = ""


def polygon_of(rings: list[Float64]) -> Any:  # noqa: ANN401 - shapely's
    """Return the polygon of an outline and its holes, arrays of x and y; None where fewer than three points are left.

    Examples
    --------
    >>> polygon_of([np.array([[0.0, 0], [2, 0], [2, 2]])]).area, polygon_of([np.zeros((9, 2))])
    (2.0, None)
    """
    from spora_db.regions.polygons import geometry

    solid = [ring for ring in rings if len(np.unique(ring, axis=0)) > 2]
    if not solid or solid[0] is not rings[0]:
        return None
    return geometry().Polygon(solid[0], solid[1:])
