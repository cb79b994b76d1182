"""The regions of one tissue: which share of a rectangle each class covers, and which classes lie at a point.

Regions of one class are one area, whether they overlap or not. Where regions of several classes overlap, all of them
are there; of these, a point is first of all that of the smallest region: of the necrosis within the tumor.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike

from spora_db.arrays import AnyArray, Bools, Float64, Objects
from spora_db.regions.edges import PolygonEdges
from spora_db.regions.polygons import edges_of, geometry, shapes_of

DIGITS: Final = 9
"""Of a fraction: what the rounding of sums leaves is behind them, so that a tile within a region is covered by 1."""
CENTRE: Final = 0.5
"""Where the centre of a pixel lies in it: the pixel (0, 0) spans 0 to 1, and a centroid counts centres, from 0."""
ROWS: Final = 1024
"""How many rows of a mask are filled at a time."""


@dataclass(frozen=True, kw_only=True)
class TissueRegions:
    """The regions of a tissue that have a class.

    Attributes
    ----------
    shapes
        Their polygons, as shapely has them, in pixels at ``mpp``, the smallest first.
    classes
        The class of each.
    mpp
        Microns per pixel.
    """

    shapes: Objects
    classes: tuple[str, ...]
    mpp: float

    @classmethod
    def of_rows(cls, rows: pa.Table) -> "TissueRegions":
        """Return those of some rows of the relation `regions`, of one tissue."""
        shapely = geometry()
        rows = rows.filter(pc.is_valid(rows.column("class")))
        shapes = shapes_of(rows.column("polygon").combine_chunks())
        mpps = np.asarray(rows.column("mpp"), np.float64)
        mpp = float(mpps[0]) if len(mpps) else 1.0
        for at in np.flatnonzero(mpps != mpp):
            shapes[at] = shapely.transform(shapes[at], lambda points, factor=mpps[at] / mpp: points * factor)
        ids = rows.column("region_id").to_pylist()
        order = sorted(range(len(shapes)), key=lambda at: (float(shapely.area(shapes[at])), ids[at]))
        classes = rows.column("class").to_pylist()
        return cls(shapes=shapes[order], classes=tuple(classes[at] for at in order), mpp=mpp)

    @cached_property
    def areas(self) -> dict[str, PolygonEdges]:
        """What each class covers, by name."""
        names = np.array(self.classes, np.object_)
        return {name: edges_of(self.shapes[names == name]) for name in sorted(set(self.classes))}

    @cached_property
    def edges(self) -> tuple[PolygonEdges, ...]:
        """The edges of each region."""
        return tuple(edges_of(self.shapes[at : at + 1]) for at in range(len(self.shapes)))

    @cached_property
    def bounds(self) -> Float64:
        """Where each region lies: float64 array of shape (n, 4), first column and row, last column and row."""
        found: Float64 = geometry().bounds(self.shapes)
        return found

    def fractions(self, boxes: Float64, *, mpp: float) -> Float64:
        """Return which share of each rectangle lies in each class, of shape (rectangles, classes), as in `areas`.

        Parameters
        ----------
        boxes
            float64 array of shape (n, 4): row, column, end row, end column, in pixels.
        mpp
            Of these pixels.
        """
        scaled = boxes * (mpp / self.mpp)
        sizes = (scaled[:, 2] - scaled[:, 0]) * (scaled[:, 3] - scaled[:, 1])
        shares = [np.round(edges.areas(scaled) / sizes, DIGITS) for edges in self.areas.values()]
        return np.stack(shares, axis=1) if shares else np.empty((len(boxes), 0))

    def held(self, rows: Float64, cols: Float64, *, mpp: float) -> Bools:
        """Return which regions hold the centres of which pixels, of shape (regions, points).

        Parameters
        ----------
        rows, cols
            Pixels, such as centroids: whole numbers are their centres.
        mpp
            Of these pixels.
        """
        down, right = ((axis + CENTRE) * (mpp / self.mpp) for axis in (rows, cols))
        out = np.zeros((len(self.edges), len(rows)), np.bool_)
        for at, (edges, (left, top, end, bottom)) in enumerate(zip(self.edges, self.bounds, strict=True)):
            near = np.flatnonzero((down >= top) & (down <= bottom) & (right >= left) & (right <= end))
            if len(near):
                out[at, near] = edges.hold(down[near], right[near])
        return out

    def bands(
        self, height: int, width: int, *, mpp: float, numbers: Mapping[str, int], dtype: DTypeLike
    ) -> Iterator[AnyArray]:
        """Yield a mask, some rows at a time: at the centre of each pixel the number of the class, 0 for none.

        Parameters
        ----------
        height, width, mpp
            Of the image.
        numbers
            That of each class.
        dtype
            Of the mask.
        """
        scale = mpp / self.mpp
        outlines = list(zip(self.edges, self.classes, self.bounds / scale, strict=True))
        for start in range(0, height, ROWS):
            band = np.zeros((min(ROWS, height - start), width), dtype)
            for edges, name, (left, top, end, bottom) in reversed(outlines):
                first, last = max(int(top) - start, 0), min(int(bottom) + 1 - start, len(band))
                begin, stop = max(int(left), 0), min(int(end) + 1, width)
                if first < last and begin < stop:
                    places = np.mgrid[start + first : start + last, begin:stop]
                    rows, cols = ((axis.ravel() + CENTRE) * scale for axis in places)
                    inside = edges.hold(rows, cols).reshape(places[0].shape)
                    band[first:last, begin:stop][inside] = numbers[name]
            yield band
