"""An image that is looked at, and what its pixels of full size say of how it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.drawing.composite import contrast_limits
from spora_db.explore.limits import SAMPLED, TILE
from spora_db.images import read_region
from spora_db.images.overviews import OverviewChoice
from spora_db.layout.names import is_rgb

WINDOW: Final = 256
"""Pixels of a side of the places from which contrast is taken."""
BINS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage:
    """One image of the lake: what the catalog says of it, and the key by which the page names it."""

    key: str
    dataset: str
    modality: str
    tissue_id: str
    mpp: float
    path: str

    def told(self) -> dict[str, Any]:
        """Return what the page is told of it, the path left out."""
        names = ("key", "dataset", "modality", "tissue_id", "mpp")
        return {name: getattr(self, name) for name in names} | {"rgb": is_rgb(self.modality)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedImage:
    """An image that is looked at.

    Attributes
    ----------
    listed
        What the catalog says of it.
    signature
        What changes when its file does.
    levels
        The resolutions in which it can be had, the finest first.
    channels
        Of each its name, accession, page, whether it passed quality control.
    shown
        Pages that are shown at first, with their colours.
    """

    listed: ListedImage
    signature: str
    levels: tuple[OverviewChoice, ...]
    channels: tuple[Mapping[str, Any], ...]
    shown: tuple[tuple[int, str], ...]

    def told(self) -> dict[str, Any]:
        """Return what the page is told of it."""
        _, height, width = self.levels[0].shape
        levels = [
            {"height": level.shape[1], "width": level.shape[2], "factor": level.factor, "made": level.made > 1}
            for level in self.levels
        ]
        return self.listed.told() | {
            "height": height, "width": width, "levels": levels, "tile": TILE, "signature": self.signature,
            "dtype": str(self.levels[0].reader.dtype),
            "channels": self.channels, "shown": [{"page": page, "colour": colour} for page, colour in self.shown],
        }  # fmt: skip


def shown_as(image: OpenedImage, page: int) -> dict[str, Any]:
    """Return how a channel is shown at first, its least and its greatest pixel, and counts between them."""
    kind = image.levels[0].reader.dtype
    if is_rgb(image.listed.modality):
        most = float(np.iinfo(kind).max)
        return {"page": page, "low": 0.0, "high": most, "gamma": 1.0, "least": 0.0, "most": most, "counts": []}
    pixels = _sample(image, page)
    low, high, gamma = contrast_limits([pixels[None]])[0].tolist()
    finite = pixels[np.isfinite(pixels)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    counts, _ = np.histogram(finite, bins=BINS, range=(least, most if most > least else least + 1))
    if high <= low:  # most pixels are alike
        low, high, gamma = least, most, 1.0
    return {"page": page, "low": low, "high": high, "gamma": gamma, "least": least, "most": most} | {
        "counts": counts.tolist()
    }


def _sample(image: OpenedImage, page: int) -> AnyArray:
    """Return pixels of a channel at full size: all, or those of windows spread evenly; an array of shape (h, w)."""
    reader = image.levels[0].reader
    _, height, width = reader.shape
    if height * width <= SAMPLED:
        whole: AnyArray = read_region(reader, [page])[0]
        return whole
    side = max(1, int((SAMPLED // WINDOW**2) ** 0.5))
    parts = []
    rows, cols = (  # of an image of 100,000 x 200 pixels all begin in one column
        dict.fromkeys(np.linspace(0, max(0, size - WINDOW), side).astype(int).tolist()) for size in (height, width)
    )
    for row in rows:
        for col in cols:
            tall, wide = min(WINDOW, height - row), min(WINDOW, width - col)
            parts.append(read_region(reader, [page], row=row, col=col, height=tall, width=wide).reshape(1, -1))
    return np.concatenate(parts, axis=1)
