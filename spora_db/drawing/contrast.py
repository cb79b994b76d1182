"""Contrast that the user sets: the levels shown black and in full colour, by channel name or accession."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spora_db.arrays import Float32
from spora_db.drawing.markers import PanelNames, Shown, find_channel
from spora_db.errors import ArgumentError, unknown

Limits = Mapping[str, tuple[float, float]]


def check_limits(limits: Limits | None, panels: Iterable[PanelNames]) -> None:
    """Refuse limits that are no pair of rising levels, or of channels that no panel drawn has.

    Raises
    ------
    ArgumentError
        For a pair that does not rise.
    UnknownNameError
        For a channel that does not exist; the message lists those that do.

    Examples
    --------
    >>> check_limits({"CD8a": (0, 5)}, [(["DNA1", "CD8a"], None)])
    """
    known = list(panels) if limits else []
    for name, pair in (limits or {}).items():
        levels = np.asarray(pair, dtype=np.float64)
        if levels.shape != (2,) or not levels[0] < levels[1]:
            raise ArgumentError(f"limits[{name!r}] is {pair}; expected two levels (black, full colour) that rise.")
        if all(find_channel([name], panel) is None for panel in known):
            every = [channel for names, _ in known for channel in names]
            raise unknown("channel", name, every, where="the panels drawn; limits= names it")


def set_limits(bounds: Float32, shown: Sequence[Shown], panel: PanelNames, limits: Limits | None) -> Float32:
    """Return contrast limits of the channels shown, (C, 3), with those that the user set, linear, in their place."""
    changed = np.array(bounds, dtype=np.float32).reshape(-1, 3)
    for name, (low, high) in (limits or {}).items():
        index = find_channel([name], panel)
        for position, channel in enumerate(shown):
            if channel.index == index:
                changed[position] = low, high, 1
    return changed
