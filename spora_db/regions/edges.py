"""Polygons as edges in bands of rows, for the kernels: areas of rectangles in them, and points in them."""

from dataclasses import dataclass

import numpy as np

from spora_db.arrays import Bools, Float64, Int64

MOST_LISTED = 8
"""How often an edge is listed on average, at most: long edges lie in many bands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonEdges:
    """The edges of polygons that do not overlap.

    Attributes
    ----------
    edges
        float64 array of shape (n, 4): row, column, end row, end column, the first row above the last.
    turns
        float64 array of shape (n,): 1 where the ring runs down along the edge, -1 where up.
    first, members
        For each band, where its edges begin in the list of all bands' edges.
    top, height
        The first row of the first band, and how many rows a band has.
    """

    edges: Float64
    turns: Float64
    first: Int64
    members: Int64
    top: float
    height: float

    @classmethod
    def of_rings(cls, points: Float64, offsets: Int64) -> "PolygonEdges":
        """Return the edges of closed rings.

        Parameters
        ----------
        points
            float64 array of shape (n, 2), row and column; holes run the other way than outlines.
        offsets
            Where each ring begins, and the end of the last.

        Examples
        --------
        >>> square = np.array([[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]], np.float64)
        >>> PolygonEdges.of_rings(square, np.array([0, 5])).areas(np.array([[2.0, 3, 6, 7]])).tolist()
        [2.0]
        """
        ends = np.ones(len(points), np.bool_)
        ends[np.asarray(offsets[:-1])] = False
        edges = np.hstack([points[:-1], points[1:]])[ends[1:]]
        edges = edges[edges[:, 0] != edges[:, 2]]
        down = edges[:, 0] < edges[:, 2]
        edges = np.ascontiguousarray(np.where(down[:, None], edges, edges[:, [2, 3, 0, 1]]))
        top, bottom = (float(edges[:, 0].min()), float(edges[:, 2].max())) if len(edges) else (0.0, 1.0)
        bands = max(len(edges), 1)
        while True:
            height = (bottom - top) / bands
            begin, end = (np.floor((edges[:, axis] - top) / height).astype(np.int64) for axis in (0, 2))
            end = np.minimum(end, bands - 1)
            begin = np.minimum(begin, end)
            listed = end - begin + 1
            if bands == 1 or listed.sum() <= MOST_LISTED * len(edges):
                break
            bands //= 2
        members = np.repeat(np.arange(len(edges)), listed)
        band = np.arange(len(members)) - np.repeat(np.cumsum(listed) - listed, listed) + np.repeat(begin, listed)
        return cls(
            edges=edges,
            turns=np.where(down, 1.0, -1.0),
            first=np.concatenate([[0], np.cumsum(np.bincount(band, minlength=bands))]).astype(np.int64),
            members=members[np.argsort(band, kind="stable")].astype(np.int64),
            top=top,
            height=height,
        )

    def areas(self, boxes: Float64) -> Float64:
        """Return how much of each rectangle the polygons cover, in square pixels.

        Parameters
        ----------
        boxes
            float64 array of shape (n, 4): row, column, end row, end column.
        """
        from spora_db.kernels.polygons import shared_areas

        out = np.empty(len(boxes), np.float64)
        shared_areas(self.edges, self.turns, self.first, self.members, self.top, self.height, boxes, out)
        return out

    def hold(self, rows: Float64, cols: Float64) -> Bools:
        """Return whether the polygons hold each of some points, by an even-odd count of the edges beside it.

        Examples
        --------
        >>> square = np.array([[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]], np.float64)
        >>> edges = PolygonEdges.of_rings(square, np.array([0, 5]))
        >>> edges.hold(np.array([1.0, 0.0, 4.0]), np.array([1.0, 0.0, 1.0])).tolist()
        [True, True, False]
        """
        from spora_db.kernels.polygons import holds

        out = np.empty(len(rows), np.bool_)
        holds(self.edges, self.first, self.members, self.top, self.height, rows, cols, out)
        return out
