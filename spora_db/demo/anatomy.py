"""Where everything lies in one synthetic tissue: outline, regions, fibres, cells; one pixel is one micron."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spora_db.arrays import Bools, Float32, Float64, Int64, UInt8, UInt16
from spora_db.demo import portable
from spora_db.demo.panels import (
    CELL_TYPES,
    COMPOSITION,
    DARK_ZONE,
    EMPTY,
    EPITHELIUM,
    LIGHT_ZONE,
    LUMEN,
    LYMPHOID,
    MANTLE,
    SPACING,
    STROMA,
    TUMOUR,
    TYPE_NAMES,
    VESSEL,
)
from spora_db.demo.portable import Rng

WINDOW = 13  # half the side, in pixels, of the square in which a cell may claim pixels
MIN_AREA = 8  # a cell left with fewer pixels by its neighbours is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One tissue before staining; arrays of shape (H, W) unless said otherwise.

    `cells` is 0 outside cells, else 1 + the position in the per-cell arrays `kinds`, `rows`, `cols`, `areas`.
    `nucleus` runs from 0 to 1 across the rim of a nucleus, `fibres` is the density of collagen fibres.
    """

    mask: Bools
    regions: UInt8
    fibres: Float32
    cells: UInt16
    nucleus: Float32
    kinds: Int64
    rows: Float64
    cols: Float64
    areas: Int64


def _spline(knots: Float32, size: int) -> Float32:
    """Evaluate uniform cubic B-splines, one per column of `knots`, at `size` even steps."""
    position = np.linspace(0, len(knots) - 3 - 1e-6, size)
    first = position.astype(np.int64)
    t = (position - first).astype(np.float32)[:, None]
    square, cube, left = t * t, t * t * t, 1 - t
    basis = (left * left * left, 3 * cube - 6 * square + 4, 3 * (square - cube + t) + 1, cube)
    values = np.zeros((size, knots.shape[1]), dtype=np.float32)
    for step, weight in enumerate(basis):
        values += knots[first + step] * (weight / 6)
    return values


def smooth_noise(rng: Rng, shape: tuple[int, int], *, scale: float) -> Float32:
    """Return a smooth random field, mean 0 and variance about 1, that varies over `scale` pixels."""
    knots = tuple(max(1, round(size / scale)) + 3 for size in shape)
    field = _spline(portable.normal(rng, knots), shape[0])
    field = np.ascontiguousarray(_spline(np.ascontiguousarray(field.T), shape[1]).T)
    field *= np.float32(2.1)  # a cubic B-spline averages white noise to a standard deviation of 0.48
    return field


def _outline(rng: Rng, shape: tuple[int, int], *, square: bool) -> Bools:
    """Return a round core, or a section with rounded corners, with an uneven rim."""
    height, width = shape
    row = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    col = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    radius = portable.hypot(row * row, col * col) if square else row * row + col * col
    radius = np.sqrt(radius)
    rim = 0.055 * smooth_noise(rng, shape, scale=110) + 0.012 * smooth_noise(rng, shape, scale=16)
    inside: Bools = radius + rim < 0.9
    return inside


def _above(field: Float32, *, among: Bools, share: float) -> Bools:
    """Return where the field is in its upper `share` of the pixels `among`."""
    if share <= 0 or not among.any():
        return np.zeros_like(among)
    return among & (field > np.quantile(field[among], 1 - share))


def _lung(rng: Rng, shape: tuple[int, int], *, tumour: float, glands: bool) -> UInt8:
    mask = _outline(rng, shape, square=False)
    mask &= smooth_noise(rng, shape, scale=75) + 0.15 * smooth_noise(rng, shape, scale=12) < 1.9  # air spaces, tears
    regions = np.where(mask, STROMA, EMPTY).astype(np.uint8)
    nests = smooth_noise(rng, shape, scale=85) + 0.7 * smooth_noise(rng, shape, scale=36)
    nests += 0.12 * smooth_noise(rng, shape, scale=12)
    regions[_above(nests, among=mask, share=tumour)] = TUMOUR
    aggregate = smooth_noise(rng, shape, scale=85) + 0.15 * smooth_noise(rng, shape, scale=15)
    stroma = regions == STROMA
    regions[_above(aggregate, among=stroma, share=0.22)] = LYMPHOID
    regions[_above(aggregate, among=stroma, share=0.055)] = MANTLE
    if glands:
        lumen = smooth_noise(rng, shape, scale=17)
        regions[_above(lumen, among=regions == TUMOUR, share=0.07)] = LUMEN
    return regions


def _tonsil(rng: Rng, shape: tuple[int, int], *, tumour: float) -> UInt8:
    height, width = shape
    mask = _outline(rng, shape, square=True)
    regions = np.where(mask, LYMPHOID, EMPTY).astype(np.uint8)
    septa = np.abs(smooth_noise(rng, shape, scale=150) + 0.1 * smooth_noise(rng, shape, scale=20))
    regions[mask & (septa < 0.07)] = STROMA
    wobble = 0.1 * smooth_noise(rng, shape, scale=38)
    for at_row, at_col in _jittered_grid(rng, shape, spacing=165.0, jitter=0.16):
        bounds = ((38, 62), (0, np.pi), (0, 2 * np.pi))
        radius, axis, light = (portable.uniform(rng, *between) for between in bounds)
        window, down, right = _window(shape, at_row, at_col, reach=110)
        along, across = _turned(down, right, axis)
        distance = portable.hypot(along / np.float32(1.2), across) / np.float32(radius) + wobble[window]
        side = _turned(down, right, light)[0] / np.float32(radius) + 2 * wobble[window]
        here, inside = regions[window], mask[window]
        here[inside & (distance < 1.38)] = MANTLE
        here[inside & (distance < 1)] = DARK_ZONE
        here[inside & (distance < 1) & (side > 0.05)] = LIGHT_ZONE
    nests = smooth_noise(rng, shape, scale=120) + 0.3 * smooth_noise(rng, shape, scale=35)
    regions[_above(nests, among=mask, share=tumour)] = TUMOUR
    if tumour:
        rim = _above(nests, among=mask, share=tumour * 1.45) & (regions != TUMOUR)
        regions[rim] = STROMA
    crypt = np.abs(smooth_noise(rng, shape, scale=max(height, width) / 2.2) + 0.12 * smooth_noise(rng, shape, scale=28))
    follicle = (regions == MANTLE) | (regions == DARK_ZONE) | (regions == LIGHT_ZONE)
    regions[mask & ~follicle & (crypt < 0.17)] = EPITHELIUM
    regions[mask & ~follicle & (crypt < 0.035)] = LUMEN
    return regions


def _add_vessels(rng: Rng, regions: UInt8, angle: Float32, *, count: int) -> None:
    """Draw vessels into the connective tissue, and turn the cells of their walls along the wall."""
    place = np.flatnonzero((regions == STROMA) | (regions == LYMPHOID))
    if place.size == 0:
        return
    for start in rng.choice(place, size=count):
        at_row, at_col = divmod(int(start), regions.shape[1])
        bounds = ((6, 15), (0, np.pi), (0.55, 1.0))
        radius, axis, flat = (portable.uniform(rng, *between) for between in bounds)
        window, down, right = _window(regions.shape, at_row, at_col, reach=30)
        along, across = _turned(down, right, axis)
        distance = portable.hypot(along, across / np.float32(flat))
        here = regions[window]
        wall = (here != EMPTY) & (distance < radius + 7)
        here[wall] = VESSEL
        angle[window][wall] = portable.arctan2(down + 0 * right, -right + 0 * down)[wall]
        here[wall & (distance < radius - 2)] = LUMEN


def _turned(down: Float32, right: Float32, angle: float) -> tuple[Float32, Float32]:
    """Return offsets along and across an axis that is turned by an angle."""
    turn = np.full((1, 1), angle, np.float32)
    cos, sin = portable.cos(turn), portable.sin(turn)
    return down * cos + right * sin, right * cos - down * sin


def _window(
    shape: tuple[int, ...], row: float, col: float, *, reach: int
) -> tuple[tuple[slice, slice], Float32, Float32]:
    """Return the part of the image within `reach` of a place, and its pixels' offsets as a column and a row."""
    top, left = max(0, int(row) - reach), max(0, int(col) - reach)
    bottom, right = min(shape[0], int(row) + reach), min(shape[1], int(col) + reach)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    across = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(col)
    return (slice(top, bottom), slice(left, right)), down, across


def _jittered_grid(rng: Rng, shape: tuple[int, int], *, spacing: float, jitter: float) -> Float64:
    """Return (n, 2) rows and cols of a hexagonal lattice whose points are displaced by `jitter` spacings."""
    height, width = shape
    rows = np.arange(spacing / 2, height, spacing * np.sqrt(0.75))
    cols = np.arange(spacing / 2, width + spacing, spacing)
    row, col = (grid.astype(np.float64) for grid in np.meshgrid(rows, cols, indexing="ij"))
    col[1::2] -= spacing / 2
    points = np.stack([row.ravel(), col.ravel()], axis=1)
    points += portable.normal(rng, points.shape) * (jitter * spacing)
    inside = (points >= 0).all(axis=1) & (points[:, 0] < height) & (points[:, 1] < width)
    return points[inside]


def _place_cells(rng: Rng, regions: UInt8) -> tuple[Float64, Int64]:
    """Return (n, 2) centres and (n,) positions in CELL_TYPES, each region with its own density and mixture."""
    centres, kinds = [], []
    for region, spacing in SPACING.items():
        points = _jittered_grid(rng, regions.shape, spacing=spacing, jitter=0.17)
        row, col = points.astype(np.int64).T
        points = points[regions[row, col] == region]
        shares = np.array([COMPOSITION[region].get(name, 0.0) for name in TYPE_NAMES])
        centres.append(points)
        kinds.append(np.searchsorted(np.cumsum(shares / shares.sum()), rng.random(len(points)), side="right"))
    return np.concatenate(centres), np.minimum(np.concatenate(kinds), len(TYPE_NAMES) - 1)


def _claim_pixels(
    shape: tuple[int, int], centres: Float64, kinds: Int64, angles: Float32, sizes: Float32
) -> tuple[Int64, Float32]:
    """Give each pixel to the cell whose ellipse is nearest: labels (0 = none), and distances in nuclear radii."""
    elongation = np.array([cell.elongation for cell in CELL_TYPES], dtype=np.float32)[kinds]
    reach = np.array([cell.reach for cell in CELL_TYPES], dtype=np.float32)[kinds]
    radius = np.array([cell.nucleus for cell in CELL_TYPES], dtype=np.float32)[kinds] * sizes
    long_axis, short_axis = radius * np.sqrt(elongation), radius / np.sqrt(elongation)
    offsets = np.arange(-WINDOW, WINDOW + 1)
    nearest = np.full(shape[0] * shape[1], np.iinfo(np.uint64).max, dtype=np.uint64)
    extent = np.minimum(np.ceil(long_axis * reach), WINDOW).astype(np.int64)
    for half in np.unique(extent):  # small cells look at small squares
        chosen = np.flatnonzero(extent == half)
        near = offsets[WINDOW - half : WINDOW + half + 1]
        row = centres[chosen, 0].astype(np.int64)[:, None, None] + near[None, :, None]
        col = centres[chosen, 1].astype(np.int64)[:, None, None] + near[None, None, :]
        down = (row - centres[chosen, 0][:, None, None]).astype(np.float32)
        right = (col - centres[chosen, 1][:, None, None]).astype(np.float32)
        cos, sin = (fn(angles[chosen])[:, None, None] for fn in (portable.cos, portable.sin))
        along = (down * cos + right * sin) / long_axis[chosen][:, None, None]
        across = (right * cos - down * sin) / short_axis[chosen][:, None, None]
        distance = portable.hypot(along, across) / reach[chosen][:, None, None]
        row, col = np.broadcast_arrays(row, col)
        inside = (distance < 1) & (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
        owner = np.broadcast_to(chosen[:, None, None] + 1, distance.shape)[inside].astype(np.uint64)
        # The bits of a non-negative float sort like the float: one minimum finds the distance and its owner.
        key = distance[inside].view(np.uint32).astype(np.uint64) << np.uint64(32) | owner
        np.minimum.at(nearest, row[inside] * shape[1] + col[inside], key)
    taken = nearest != np.iinfo(np.uint64).max
    labels = np.where(taken, nearest & np.uint64(0xFFFFFFFF), 0).astype(np.int64)
    distances = (nearest >> np.uint64(32)).astype(np.uint32).view(np.float32)
    distances = np.where(taken, distances * np.concatenate([[0], reach]).astype(np.float32)[labels], np.inf)
    return labels.reshape(shape), distances.reshape(shape).astype(np.float32)


def simulate(
    rng: Rng, shape: tuple[int, int], *, organ: Literal["lung", "tonsil"], tumour: float, glands: bool
) -> Anatomy:
    """Build one tissue of the given organ; `tumour` is the share of its area, `glands` adds lumina to the nests."""
    lung = organ == "lung"
    regions = _lung(rng, shape, tumour=tumour, glands=glands) if lung else _tonsil(rng, shape, tumour=tumour)
    phase = 34 * smooth_noise(rng, shape, scale=125) + 5 * smooth_noise(rng, shape, scale=40)
    phase += np.indices(shape, dtype=np.float32)[0] * np.float32(portable.uniform(rng, -0.25, 0.25))
    slope_row, slope_col = np.gradient(phase)
    angle = portable.arctan2(slope_row, -slope_col)
    _add_vessels(rng, regions, angle, count=max(1, round(regions.size / 60_000)))
    mask = regions != EMPTY
    streaks = 0.6 + 0.4 * portable.sin(phase * np.float32(1.1)) + 0.25 * smooth_noise(rng, shape, scale=5)
    density = np.array([0, 1.0, 0.03, 0.03, 0.12, 0.04, 0.02, 0.02, 0.8, 0], dtype=np.float32)
    fibres = np.clip(streaks, 0.05, 1.3) * density[regions]

    centres, kinds = _place_cells(rng, regions)
    at_row, at_col = centres.astype(np.int64).T
    angles = angle[at_row, at_col] + np.float32(0.25) * portable.normal(rng, len(kinds))
    sizes = portable.varied(rng, 0.12, len(kinds))
    labels, distance = _claim_pixels(shape, centres, kinds, angles, sizes)
    labels[(regions == EMPTY) | (regions == LUMEN)] = 0

    areas = np.bincount(labels.ravel(), minlength=len(kinds) + 1)
    areas[0] = 0
    kept = np.flatnonzero(areas >= MIN_AREA)
    number = np.zeros(len(areas), dtype=np.uint16)
    number[kept] = np.arange(1, len(kept) + 1)
    cells = number[labels]
    row, col = np.indices(shape, dtype=np.float64)
    total = np.maximum(areas[kept], 1)
    weights = [np.bincount(cells.ravel(), weights=grid.ravel(), minlength=len(kept) + 1)[1:] for grid in (row, col)]
    nucleus = np.clip((1.22 - distance) / 0.44, 0, 1) * (cells > 0)
    return Anatomy(
        mask=mask,
        regions=regions,
        fibres=fibres.astype(np.float32),
        cells=cells,
        nucleus=nucleus.astype(np.float32),
        kinds=kinds[kept - 1],
        rows=weights[0] / total,
        cols=weights[1] / total,
        areas=areas[kept],
    )
