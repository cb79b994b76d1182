"""Tissue masks made from the pixels, by a stated method, where an import is given none."""

from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64
from spora_db.importing.options import TissueMaskChoice

SMOOTHING_MICRONS: Final = 5.0
BINS: Final = 256


def tissue_mask(pixels: AnyArray, *, method: TissueMaskChoice, mpp: float, is_rgb: bool) -> Bools:
    """Make a tissue mask from an image of shape (C, H, W).

    ``full`` is all of it. ``otsu``: every channel is clipped at its 99 % quantile and scaled to 1 and the channels are
    summed (of RGB: the mean optical density), the sum is smoothed over about 5 microns by three box blurs, and pixels
    above the threshold of Otsu (1979) on 256 bins are tissue.

    Examples
    --------
    >>> image = np.zeros((2, 40, 40), np.float32)
    >>> image[:, 10:30, 10:30] = 7
    >>> made = tissue_mask(image, method="otsu", mpp=5.0, is_rgb=False)
    >>> bool(made[20, 20]), bool(made[2, 2])
    (True, False)
    """
    if method == "full":
        return np.ones(pixels.shape[1:], bool)
    signal = np.zeros(pixels.shape[1:], np.float64)
    if is_rgb:
        white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else max(float(pixels.max()), 1.0)
        for plane in pixels[:3]:
            signal -= np.log10((plane.astype(np.float64) + 1) / (white + 1))
    else:
        for plane in pixels:
            top = float(np.quantile(plane, 0.99)) or float(plane.max())
            if top > 0:
                signal += np.clip(plane.astype(np.float64), 0, top) / top
    return threshold(smooth(signal, radius=smoothing_radius(mpp)))


def smoothing_radius(mpp: float) -> int:
    """Return the radius of the box blurs in pixels."""
    return max(1, round(SMOOTHING_MICRONS / mpp / 2))


def describe(method: TissueMaskChoice, *, mpp: float, is_rgb: bool) -> str:
    """Say in a sentence how tissue masks were made, for the record."""
    if method == "full":
        return "full: every pixel is tissue"
    signal = "mean optical density" if is_rgb else "sum of channels, each clipped at its 99 % quantile and scaled to 1"
    width = 2 * smoothing_radius(mpp) + 1
    return f"otsu: {signal}, three box blurs of {width} x {width} pixels, Otsu threshold on {BINS} bins"


def smooth(signal: Float64, *, radius: int) -> Float64:
    """Blur three times with a box of ``2 * radius + 1`` pixels, mirrored at the edge: nearly a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            signal = _box(signal, min(radius, signal.shape[axis] - 1), axis)
    return signal


def _box(signal: Float64, radius: int, axis: int) -> Float64:
    if radius < 1:
        return signal
    moved = np.moveaxis(signal, axis, 0)
    padded = np.pad(moved, ((radius + 1, radius), (0, 0)), mode="symmetric")
    padded[0] = 0
    total = np.cumsum(padded, axis=0)
    width = 2 * radius + 1
    return np.moveaxis((total[width:] - total[:-width]) / width, 0, axis)


def threshold(signal: Float64) -> Bools:
    """Return the pixels above the threshold that separates two classes best (Otsu 1979); none of a constant image."""
    low, high = float(signal.min()), float(signal.max())
    if not high > low:
        return np.zeros(signal.shape, bool)
    counts, edges = np.histogram(signal, bins=BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = np.nan_to_num(between[:-1], nan=-1.0)
    return np.asarray(signal > edges[1 + int(np.argmax(best))])
