"""What decides a tiling besides the mask, checked once: sizes, shares and the name of the strategy."""

import math
import operator
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spora_db.errors import ArgumentError

MAX_LENGTH = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TilingParameters:
    """Everything that decides a tiling besides the mask; checked when made, picklable, recorded with the result.

    Attributes
    ----------
    tile_size
        Height and width of a tile in pixels.
    stride
        Distance of candidate starts in pixels; the tile size if None.
    tolerance
        Largest share of a tile that may be background, in [0, 1).
    coverage_goal
        Share of the tissue, in (0, 1], that must be covered before small gains end the tiling. 1.0 counts as always
        reached, unless ``strict_coverage_goal``.
    min_gain_ratio
        Share of a tile, in [0, 1): a tile that newly covers less ends the tiling once the goal is reached.
    max_tiles
        Largest number of tiles; None for no limit.
    allow_overlap
        Whether tiles may overlap.
    strategy
        The name of the tiling: ``"default"`` is greedy, every other name is a grid.
    strict_coverage_goal
        Make a ``coverage_goal`` of 1.0 a true floor: no ``adaptive_stop`` before every tissue pixel is covered.
    integer_thresholds
        Take tolerance, goal and gain as the decimals written and compare whole pixels, so that a tile whose valid share
        is exactly ``1 - tolerance`` is kept. By default they are compared in float64, where
        ``1.0 - 0.85 > 0.15`` drops it.
    """

    tile_size: int
    stride: int | None = None
    tolerance: float = 0.2
    coverage_goal: float = 0.99
    min_gain_ratio: float = 0.05
    max_tiles: int | None = None
    allow_overlap: bool = True
    strategy: str = "default"
    strict_coverage_goal: bool = False
    integer_thresholds: bool = False

    def __post_init__(self) -> None:
        """Check every value; turn numpy scalars into Python's, and a missing stride into the tile size."""
        put = object.__setattr__
        put(self, "tile_size", _whole("tile_size", self.tile_size))
        put(self, "stride", self.tile_size if self.stride is None else _whole("stride", self.stride))
        if self.max_tiles is not None:
            put(self, "max_tiles", _whole("max_tiles", self.max_tiles))
        put(self, "tolerance", _share("tolerance", self.tolerance, "[0, 1)"))
        put(self, "coverage_goal", _share("coverage_goal", self.coverage_goal, "(0, 1]"))
        put(self, "min_gain_ratio", _share("min_gain_ratio", self.min_gain_ratio, "[0, 1)"))
        check_strategy(self.strategy)

    @property
    def step(self) -> int:
        """The stride in pixels."""
        return self.tile_size if self.stride is None else self.stride


def check_strategy(strategy: str, *, grid: bool = False) -> Literal["greedy", "grid"]:
    """Return how a strategy tiles: ``"default"`` is greedy, every other name is a grid. `grid`: one was asked for.

    Raises
    ------
    ArgumentError
        A grid is asked for under the name ``default``, or the name cannot be a folder name.

    Examples
    --------
    >>> check_strategy("default"), check_strategy("grid_224", grid=True)
    ('greedy', 'grid')
    """
    if not _names_folder(strategy):
        raise ArgumentError(
            f"strategy is {strategy!r}, but names a folder: letters, digits, '_', '-', '+' and '.', starting with a "
            "letter, digit or '_', such as 'default' or 'grid_224'."
        )
    if grid and strategy == "default":
        raise ArgumentError(
            "A grid was asked for under the strategy name 'default', which always names a greedy tiling. "
            "Give the grid another name, such as 'grid_224'."
        )
    return "greedy" if strategy == "default" else "grid"


def _names_folder(name: object) -> bool:
    """Return whether ``name`` is a string that is a plain folder name on every system."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.+-]*", name, re.ASCII) is not None


def _whole(name: str, value: object) -> int:
    """Return ``value`` as an int of at least 1."""
    try:
        number = 0 if isinstance(value, bool | np.bool_) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= MAX_LENGTH:
        raise ArgumentError(f"{name} is {value!r}; expected a whole number of at least 1 and at most {MAX_LENGTH}.")
    return number


def _share(name: str, value: object, interval: Literal["[0, 1)", "(0, 1]"]) -> float:
    """Return ``value`` as a float inside ``interval``."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not (0 <= number < 1 if interval == "[0, 1)" else 0 < number <= 1):
        raise ArgumentError(f"{name} is {value!r}; expected a number in {interval}.")
    return number
