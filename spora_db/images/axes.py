"""Which axis of a stored array is the channel, the row and the col: decided once, when an image is opened."""

from collections.abc import Sequence
from typing import NamedTuple

from spora_db.errors import FileFormatError
from spora_db.images.base import ChannelAxis, stacked


class Axes(NamedTuple):
    """Positions of the axes that make an image (C, H, W); every other axis has one element."""

    channel: int | None
    row: int
    col: int


def place_axes(names: Sequence[str], shape: Sequence[int], path: object, *, channel_axis: ChannelAxis = "c") -> Axes:
    """Find channel, row and col among axes named c, y, x (and t, z, which must have one element).

    With another `channel_axis`, c is one of those that must have one element.

    Raises
    ------
    FileFormatError
        There is no y or no x, a name repeats, or another axis has more than one element.

    Examples
    --------
    >>> place_axes("tcyx", (1, 40, 500, 600), "a.ome.zarr")
    Axes(channel=1, row=2, col=3)
    """
    named = ", ".join(f"{name}={size}" for name, size in zip(names, shape, strict=False))
    wanted = "Expected the axes c, y, x in any order, or y, x; further axes such as t and z with one element each"
    if len(names) != len(shape):
        raise FileFormatError(
            f"The image {path} names the axes {''.join(names)!r} for an array of shape {tuple(shape)}. "
            f"{wanted}. Correct the axes in its metadata."
        )
    if "y" not in names or "x" not in names or any(names.count(name) > 1 for name in {*"cyx", channel_axis}):
        raise FileFormatError(f"The image {path} has the axes {named}. {wanted}.")
    extra = [
        name for name, size in zip(names, shape, strict=True) if name not in (channel_axis, "y", "x") and size != 1
    ]
    if extra:
        raise FileFormatError(
            f"The image {path} has the axes {named}: {' and '.join(extra)} with more than one element. {wanted}. "
            f"Write each time point or z plane as an image of its own.{stacked(extra)}"
        )
    channel = names.index(channel_axis) if channel_axis in names else None
    return Axes(channel=channel, row=names.index("y"), col=names.index("x"))


def default_names(dimensions: int, path: object) -> str:
    """Return the axes of an array whose metadata names none: y, x for two dimensions and c, y, x for three."""
    if dimensions not in (2, 3):
        raise FileFormatError(
            f"The image {path} is an array of {dimensions} dimensions whose metadata names no axes. "
            "Expected 2 (y, x) or 3 (c, y, x), or OME metadata that names the axes."
        )
    return "yx" if dimensions == 2 else "cyx"
