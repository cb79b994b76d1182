"""Two columns of an answer as points, a third as their colour; and the rows inside a line drawn around points."""

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.errors import ArgumentError
from spora_db.explore.limits import POINTS
from spora_db.explore.results import KeptAnswer, texts
from spora_db.files.arrow_arrays import is_number
from spora_db.regions.edges import PolygonEdges

TOLD_APART: Final = 10
"""Values of a column that have a colour of their own: the commonest."""
STEPS: Final = 254
"""Steps of a scale of numbers; OTHER is none of them."""
OTHER: Final = 255
"""The colour of all other values, and of NULL."""


def points(answer: KeptAnswer, x: int, y: int, *, by: int | None) -> bytes:
    """Return points: four bytes with the length of a head in JSON, the head, and then array after array.

    The arrays have an element per point: uint32 the number of the row, float32 x and y as shares from the least value
    to the greatest (of float64, so that none is lost), uint8 the colour: the place of its value among those that the
    head lists, or the step on a scale of numbers. Rows without finite numbers are no points.

    Parameters
    ----------
    answer
        The rows.
    x, y
        Which columns of numbers.
    by
        Which column of any kind, or None.

    Raises
    ------
    ArgumentError
        A column that is not there, or is no numbers.
    """
    places = [answer.values(column) for column in (x, y)]
    finite = np.flatnonzero(np.isfinite(places[0]) & np.isfinite(places[1]))
    numbers = finite[:: max(1, -(-len(finite) // POINTS))]
    ends = [_ends(values[finite]) for values in places]
    shares = [_shares(values[numbers], own).astype("<f4") for values, own in zip(places, ends, strict=True)]
    colours, legend = (np.zeros(len(numbers), np.uint8), None) if by is None else _colours(answer, by, numbers)
    head = {"count": len(numbers), "of": len(finite), "rows": answer.rows, "x": ends[0], "y": ends[1], "by": legend}
    text = json.dumps(head).encode()
    text += b" " * (-(len(text) + 4) % 8)
    parts = (numbers.astype("<u4"), *shares, colours)
    return len(text).to_bytes(4, "little") + text + b"".join(part.tobytes() for part in parts)


def surrounded(answer: KeptAnswer, x: int, y: int, *, polygon: object) -> Int64:
    """Return the rows of an answer of which the point lies inside a polygon, whether it was given or not.

    Parameters
    ----------
    answer, x, y
        As `points`.
    polygon
        Corners, each the values of both columns.

    Raises
    ------
    ArgumentError
        As `points`, or it is no polygon.
    """
    across, down = (answer.values(column) for column in (x, y))
    numbers = np.flatnonzero(np.isfinite(across) & np.isfinite(down)).astype(np.int64)
    return numbers[inside(across[numbers], down[numbers], polygon=polygon)]


def inside(first: Float64, second: Float64, *, polygon: object) -> AnyArray:
    """Return which places lie inside a polygon, bools of shape (places,).

    Raises
    ------
    ArgumentError
        It is no polygon.
    """
    try:
        corners = np.asarray(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError("A lasso is a list of corners, two numbers each.") from error
    if corners.ndim != 2 or corners.shape[1:] != (2,) or len(corners) < 3 or not np.isfinite(corners).all():
        raise ArgumentError("A lasso is a list of at least three corners, two numbers each.")
    closed = np.concatenate([corners, corners[:1]])
    edges = PolygonEdges.of_rings(closed, np.array([0, len(closed)]))
    return edges.hold(np.ascontiguousarray(first), np.ascontiguousarray(second))


def _ends(values: Float64) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _shares(values: Float64, ends: tuple[float, float]) -> Float64:
    """Return where values lie between two ends, 0 to 1."""
    return (values - ends[0]) / ((ends[1] - ends[0]) or 1)


def _colours(answer: KeptAnswer, by: int, numbers: Int64) -> tuple[AnyArray, dict[str, Any]]:
    """Return the colour of some rows, and what the colours mean: the commonest values, or the ends of a scale."""
    column = answer.column(by)
    if is_number(column.type):
        values = answer.values(by)
        if len(np.unique(values[:10_000])) > TOLD_APART:
            ends = _ends(values[np.isfinite(values)])
            step = _shares(values[numbers], ends) * STEPS
            return np.where(np.isfinite(step), np.clip(step, 0, STEPS), OTHER).astype(np.uint8), {"ends": ends}
    if pa.types.is_nested(column.type) or pa.types.is_interval(column.type):
        raise ArgumentError(f"Points have no colours by {answer.table.column_names[by]}, of type {column.type}.")
    known, _, _ = answer.commonest(by, most=TOLD_APART)
    places = pc.index_in(column.take(numbers), known).fill_null(OTHER)
    return places.to_numpy().astype(np.uint8), {"values": texts(known)}
