"""The column ``polygon`` of regions: lists of rings of points, and the same as shapely's MultiPolygons."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from spora_db.arrays import Float64, Int64, Objects
from spora_db.errors import need
from spora_db.regions.edges import PolygonEdges

if TYPE_CHECKING:
    from types import ModuleType

_POINT: Final = [pa.field("row", pa.float64()), pa.field("col", pa.float64())]
POLYGON: Final = pa.list_(pa.list_(pa.list_(pa.struct(_POINT))))
"""Polygons, each of rings: its outline and its holes, each of points in pixels, the last point the first again."""


def geometry() -> "ModuleType":
    """Return shapely.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    return need("shapely", extra="annotations", what="Polygons of regions", instead="Leave columns of regions out.")


def shapes_of(polygons: pa.Array) -> Objects:
    """Return a column of polygons as an array of shapely's MultiPolygons, whose x is the column and y the row.

    Raises
    ------
    MissingExtraError
        shapely is not installed.
    """
    shapely = geometry()
    several = polygons.cast(POLYGON)
    rings = several.flatten()
    points = rings.flatten()
    corners = points.flatten()
    coordinates = np.stack([corners.field("col"), corners.field("row")], axis=1)
    offsets = tuple(_offsets(part) for part in (points, rings, several))
    found: Objects = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, coordinates, offsets)
    return found


def _offsets(lists: pa.Array) -> Int64:
    """Return where each list begins among the items of all; nothing for null."""
    lengths = np.asarray(lists.value_lengths().fill_null(0), np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def polygons_of(shapes: Objects) -> pa.Array:
    """Return shapely's polygons and MultiPolygons as a column of polygons.

    Examples
    --------
    >>> import shapely
    >>> polygons_of(np.array([shapely.box(0, 0, 2, 1)])).to_pylist()[0][0][0][0]
    {'row': 0.0, 'col': 2.0}
    """
    shapely = geometry()
    several = [shape if shape.geom_type == "MultiPolygon" else shapely.multipolygons([shape]) for shape in shapes]
    if not several:
        return pa.array([], POLYGON)
    _, points, (rings, polygons, shapes_at) = shapely.to_ragged_array(several)
    nested = pa.StructArray.from_arrays([points[:, 1].copy(), points[:, 0].copy()], fields=_POINT)
    for offsets in (rings, polygons, shapes_at):
        nested = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), nested)
    return nested.cast(POLYGON)


def valid(shapes: Objects) -> Objects:
    """Return shapes whose outlines do not cross themselves: one that does encloses all that it goes around.

    Examples
    --------
    >>> import shapely
    >>> bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    >>> valid(np.array([bow]))[0].area
    2.0
    """
    shapely = geometry()
    broken = ~shapely.is_valid(shapes)
    if not broken.any():
        return shapes
    mended = shapes.copy()
    mended[broken] = shapely.make_valid(shapes[broken], method="structure", keep_collapsed=False)
    return mended


def edges_of(shapes: Objects) -> PolygonEdges:
    """Return the edges of all that some shapes cover: where they overlap, once."""
    shapely = geometry()
    covered = shapely.normalize(shapely.union_all(valid(shapes)))
    _, points, (rings, *_) = shapely.to_ragged_array([polygonal(covered)])
    rows_and_cols: Float64 = np.ascontiguousarray(points[:, ::-1])
    return PolygonEdges.of_rings(rows_and_cols, np.asarray(rings, np.int64))


def polygonal(shape: Any) -> Any:  # noqa: ANN401 - shapely's
    """Return the polygons of a shape as one MultiPolygon: lines and points that remain of others are left out."""
    shapely = geometry()
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return shapely.multipolygons(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])
