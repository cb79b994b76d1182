"""Greedy and grid tilings of a mask, and the tables they become."""

from spora_db.tiling.parameters import TilingParameters, check_strategy
from spora_db.tiling.tiling import STOP_REASONS, Tiling, tile_grid, tile_mask, tile_with

__all__ = [
    "STOP_REASONS",
    "Tiling",
    "TilingParameters",
    "check_strategy",
    "tile_grid",
    "tile_mask",
    "tile_with",
]
