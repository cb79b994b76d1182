"""Greedy and grid tilings of a mask: which tiles, in which order, and how much of the tissue they cover."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spora_db.arrays import Float64, Int64
from spora_db.kernels import tiling as kernels
from spora_db.kernels import tiling_greedy
from spora_db.tiling.lattice import build_lattice, decimal, greedy_starts, least_count, mask_pixels, padded_length
from spora_db.tiling.parameters import TilingParameters, check_strategy

STOP_REASONS = {
    tiling_greedy.EXHAUSTED: "candidates_exhausted",
    tiling_greedy.NO_GAIN: "no_gain",
    tiling_greedy.ADAPTIVE: "adaptive_stop",
    tiling_greedy.CAPPED: "max_tiles",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """The tiles of one mask, in the order in which they were picked: a tile's index is its ``tile_id``.

    Attributes
    ----------
    tiles
        int64 array of shape (n, 2): row and col of the upper left corner in pixels.
    gains
        int64 array of shape (n,): mask pixels newly covered by each tile (a grid: all mask pixels in it).
    valid_ratios
        float64 array of shape (n,): share of each tile that is mask.
    stats
        One row of the tile_stats file, without its ``tissue_id``.
    """

    tiles: Int64 = field(repr=False)
    gains: Int64 = field(repr=False)
    valid_ratios: Float64 = field(repr=False)
    stats: dict[str, Any]


def tile_mask(
    mask: ArrayLike,
    *,
    tile_size: int,
    stride: int | None = None,
    tolerance: float = 0.2,
    coverage_goal: float = 0.99,
    min_gain_ratio: float = 0.05,
    max_tiles: int | None = None,
    allow_overlap: bool = True,
    strict_coverage_goal: bool = False,
    integer_thresholds: bool = False,
) -> Tiling:
    """Choose tiles greedily: each is the one that newly covers the most tissue, ties to the smallest (row, col).

    Candidates start at multiples of ``stride`` and flush with the lower and right edge; a mask smaller than a tile is
    padded with background. The parameters are those of :class:`TilingParameters`.

    Parameters
    ----------
    mask
        Array of shape (H, W); pixels > 0 are tissue.
    tile_size, stride, tolerance, coverage_goal, min_gain_ratio, max_tiles, allow_overlap
        See :class:`TilingParameters`.
    strict_coverage_goal, integer_thresholds
        See :class:`TilingParameters`; off by default, as in published tilings.

    Returns
    -------
    Tiling
        The tiles in the order picked. ``stats["stop_reason"]`` is ``no_gain``, ``adaptive_stop``, ``max_tiles``,
        ``candidates_exhausted`` or ``empty_mask``.

    Raises
    ------
    ArgumentError
        A parameter is out of range, or the mask is not 2-D, is empty of pixels or holds NaN.

    See Also
    --------
    tile_grid, tile_lake, load_tissue_mask

    Examples
    --------
    >>> tiling = tile_mask(np.ones((100, 160), bool), tile_size=64, stride=32)
    >>> tiling.tiles.tolist()
    [[0, 0], [0, 64], [36, 96], [36, 0], [0, 96], [36, 32]]
    >>> tiling.stats["stop_reason"], tiling.stats["coverage_ratio"]
    ('no_gain', 1.0)
    """
    parameters = TilingParameters(
        tile_size=tile_size,
        stride=stride,
        tolerance=tolerance,
        coverage_goal=coverage_goal,
        min_gain_ratio=min_gain_ratio,
        max_tiles=max_tiles,
        allow_overlap=allow_overlap,
        strict_coverage_goal=strict_coverage_goal,
        integer_thresholds=integer_thresholds,
    )
    return tile_with(mask, parameters)


def tile_grid(
    mask: ArrayLike, *, tile_size: int, stride: int | None = None, tolerance: float = 0.2, strategy: str = "grid"
) -> Tiling:
    """Choose every window of a regular grid that holds enough tissue, row by row.

    The grid spans the mask's extent padded with background to a whole number of strides, so windows may cross the lower
    and right edge; whoever reads them pads them with zeros.

    Parameters
    ----------
    mask
        Array of shape (H, W); pixels > 0 are tissue.
    tile_size, stride, tolerance, strategy
        See :class:`TilingParameters`.

    Returns
    -------
    Tiling
        ``stats`` also holds ``grid_candidate_count``, ``padded_height`` and ``padded_width``; ``stop_reason`` is
        ``fixed_grid_complete`` or ``empty_mask``.

    Raises
    ------
    ArgumentError
        As :func:`tile_mask`, or the strategy is ``"default"``.

    See Also
    --------
    tile_mask, tile_lake

    Examples
    --------
    >>> tile_grid(np.ones((64, 100), bool), tile_size=64, tolerance=0.5).tiles.tolist()
    [[0, 0], [0, 64]]
    """
    check_strategy(strategy, grid=True)
    return tile_with(mask, TilingParameters(tile_size=tile_size, stride=stride, tolerance=tolerance, strategy=strategy))


def tile_with(mask: ArrayLike, parameters: TilingParameters) -> Tiling:
    """Tile a mask as :func:`tile_mask` or :func:`tile_grid`, whichever the parameters' strategy names."""
    if check_strategy(parameters.strategy) == "greedy":
        return _tile_greedily(mask, parameters)
    return _tile_grid(mask, parameters)


def _tile_greedily(mask: ArrayLike, parameters: TilingParameters) -> Tiling:
    pixels = mask_pixels(mask)
    size, exact = {"tile_size": parameters.tile_size}, parameters.integer_thresholds
    starts = [greedy_starts(length, stride=parameters.step, **size) for length in pixels.shape]
    lattice = build_lattice(pixels, row_starts=starts[0], col_starts=starts[1], **size)
    total = lattice.total
    goal = 0 if total == 0 else least_count(parameters.coverage_goal, total, exact=exact)
    if parameters.coverage_goal >= 1.0 and not parameters.strict_coverage_goal:
        goal = 0
    ratio = decimal(parameters.min_gain_ratio) if exact else parameters.min_gain_ratio
    least_gain = math.ceil(ratio * lattice.area)
    gains, candidates = lattice.valid.copy(), lattice.candidates(least_valid(parameters))
    heap = gains.ravel()[candidates] * np.int64(gains.size) + (gains.size - 1 - candidates)
    largest = [int(np.diff(spans).max()) + 1 for spans in (lattice.row_spans, lattice.col_spans)]
    count, covered, reason = tiling_greedy.greedy(
        heap,
        gains,
        lattice.cells,
        lattice.row_spans,
        lattice.col_spans,
        np.zeros(largest, np.int64),
        goal,
        least_gain,
        parameters.max_tiles or 0,
        int(parameters.allow_overlap),
    )
    gained, tie = np.divmod(heap[::-1][:count], gains.size)
    picks = gains.size - 1 - tie
    return Tiling(
        tiles=lattice.tiles(picks),
        gains=gained,
        valid_ratios=lattice.valid.ravel()[picks] / lattice.area,
        stats=_stats(pixels.shape, parameters, count, covered, total, candidates.size, STOP_REASONS[reason]),
    )


def _tile_grid(mask: ArrayLike, parameters: TilingParameters) -> Tiling:
    pixels = mask_pixels(mask)
    size, stride = parameters.tile_size, parameters.step
    padded = [padded_length(length, tile_size=size, stride=stride) for length in pixels.shape]
    starts = [np.arange(0, length - size + 1, stride, dtype=np.int64) for length in padded]
    lattice = build_lattice(pixels, tile_size=size, row_starts=starts[0], col_starts=starts[1])
    total = lattice.total
    picks = lattice.candidates(least_valid(parameters))
    gains = lattice.valid.ravel()[picks].astype(np.int64)
    depth = np.empty((lattice.cells.shape[0] + 1, lattice.cells.shape[1] + 1), np.int64)
    covered = kernels.union_sum(picks, lattice.cells, lattice.row_spans, lattice.col_spans, depth)
    stats = _stats(pixels.shape, parameters, picks.size, covered, total, picks.size, "fixed_grid_complete")
    stats |= {"grid_candidate_count": lattice.valid.size, "padded_height": padded[0], "padded_width": padded[1]}
    return Tiling(tiles=lattice.tiles(picks), gains=gains, valid_ratios=gains / lattice.area, stats=stats)


def least_valid(parameters: TilingParameters) -> int:
    """Return the fewest mask pixels of a candidate; at least 1.

    Examples
    --------
    >>> least_valid(TilingParameters(tile_size=10, tolerance=0.75))
    25
    """
    area, exact = parameters.tile_size**2, parameters.integer_thresholds
    if exact:
        return max(math.ceil((1 - decimal(parameters.tolerance)) * area), 1)
    return max(least_count(1.0 - parameters.tolerance, area, exact=False), 1)


def _stats(
    shape: tuple[int, ...],
    parameters: TilingParameters,
    tiles: int,
    covered: int,
    total: int,
    candidates: int,
    reason: str,
) -> dict[str, Any]:
    """Return the row of the tile_stats file, its columns in the published order."""
    return {
        "mask_height": shape[0],
        "mask_width": shape[1],
        "tissue_mask_frac": total / (shape[0] * shape[1]),
        "num_tiles": int(tiles),
        "coverage_ratio": covered / total if total else 1.0,
        "covered_valid_pixels": int(covered),
        "total_valid_pixels": total,
        "candidate_count": int(candidates),
        "stop_reason": reason if total else "empty_mask",
        "tile_size": parameters.tile_size,
        "stride": parameters.stride,
        "tolerance": parameters.tolerance,
        "coverage_goal": parameters.coverage_goal,
        "min_gain_ratio": parameters.min_gain_ratio,
        "tiling_method": parameters.strategy,
    }
