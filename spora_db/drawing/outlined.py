"""Regions in a picture: their outlines in the colours of their classes, which are no channel's."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from spora_db.arrays import Float64

NO_CLASS: Final = "#9aa0a6"
"""The colour of regions without a class."""
COLOURS: Final = ("#ff4b3e", "#7bd34f", "#b58cff", "#4cc9f0", "#c08a3e", "#ffffff")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRegion:
    """One outlined region.

    Attributes
    ----------
    name
        Its class, None where it has none.
    colour
        That of its class.
    rings
        Its outlines and holes: float64 arrays of shape (n, 2), row and column, in pixels of the image.
    """

    name: str | None
    colour: str
    rings: tuple[Float64, ...]


def class_colours(classes: Iterable[str]) -> dict[str | None, str]:
    """Return a colour for each class, by its place among all classes of a lake.

    Examples
    --------
    >>> class_colours(["tumor", "stroma"])["stroma"]
    '#ff4b3e'
    """
    return {None: NO_CLASS, **dict(zip(sorted(classes), itertools.cycle(COLOURS), strict=False))}


def region_legend(regions: Sequence[DrawnRegion]) -> list[tuple[str, str]]:
    """Return one (label, colour) entry per class."""
    return list(dict.fromkeys((region.name or "no class", region.colour) for region in regions))


def draw_regions(axes: Axes, regions: Sequence[DrawnRegion], *, edge: str) -> None:
    """Draw regions over broader lines of another colour, which part them from the pixels."""
    for region in regions:
        lines = [ring[:, ::-1] for ring in region.rings]
        for colour, width in ((edge, 2.6), (region.colour, 1.4)):
            axes.add_collection(LineCollection(lines, colors=[colour], linewidths=width, zorder=4), autolim=False)
