"""Tissue masks made from the pixels, by a stated method, where an import is given none."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.options import TissueMaskChoice
from spora_db.kernels.islands import island_sizes

OTSU_MICRONS: Final = 5.0
SIGMA_MICRONS: Final = 10.0
LEAST_ISLAND: Final = 5_000.0
LEAST_HOLE: Final = 10_000.0
"""Square microns: an island of 80 and a hole of 113 microns across."""
LEAST_FRACTION: Final = 0.02
"""Of a small field: an island or a hole of more than this counts, however small."""
CONTRAST: Final = 5.0
"""How much brighter tissue is than what lies around it; where nothing is, all of a field is tissue."""
EDGE: Final = 0.25
"""Where between the level around the tissue and that of the tissue its edge is: half would be unbiased and lose what is
faint, less makes tissue wider."""
HOT: Final = 0.999
FAINT: Final = 0.02
"""What is added before a logarithm, of the mean of a field: signal below it is none."""
COLOUR: Final = 0.02
DENSE: Final = 0.3
BINS: Final = 256
COARSE: Final = {True: 8.0, False: 4.0}
"""Microns per pixel at which tissue is looked for, where an image has more: of brightfield, and of channels."""


def tissue_mask(planes: Iterable[AnyArray], *, method: TissueMaskChoice, mpp: float, is_rgb: bool) -> Bools:
    """Make a tissue mask from the planes of an image, arrays of shape (H, W), or from an array (C, H, W).

    ``full`` is all of it.

    ``tissue``, of an image of channels: every channel is smoothed by a Gaussian of 10 microns, its lowest value taken
    away, and divided by its mean, so that all channels count alike; pixels above their 99.9 % quantile count as that.
    The sum of the channels is split in two where the classes of its logarithm differ most (Otsu 1979). Where the
    brighter class is less than 5 times as bright as the darker one, the split went through tissue, and the field is
    tissue as a whole; else tissue is above a quarter of the way between the medians of the classes.

    ``tissue``, of a brightfield image: a pixel is tissue where light is absorbed unequally by wavelength, however pale,
    which glass, dust and shadows are not: the chromatic part of its optical density, smoothed, is above 0.02; or where
    it is dense, above 0.3. Optical density and its chromatic part are those of the HSD model (van der Laak et al. 2000,
    Cytometry 39, 275-284), white being the largest value of the type.

    Of both, holes below 10,000 square microns are closed, and then islands below 5,000 dropped; in a small field, below
    2 % of it.

    ``otsu``, for comparison with what version 0.1 made: every channel is clipped at its 99 % quantile and scaled to 1
    and the channels are summed (of RGB: the mean optical density), the sum is smoothed over about 5 microns by three
    box blurs, and pixels above the threshold of Otsu (1979) on 256 bins are tissue.

    Examples
    --------
    >>> image = np.zeros((2, 60, 60), np.float32)
    >>> image[:, 15:45, 15:45] = 7
    >>> made = tissue_mask(image, method="tissue", mpp=5.0, is_rgb=False)
    >>> bool(made[30, 30]), bool(made[2, 2])
    (True, False)
    """
    if method == "full":
        return np.ones(next(iter(planes)).shape, bool)
    if method == "otsu":
        return threshold(smooth(_otsu_signal(np.stack(list(planes)), is_rgb=is_rgb), radius=smoothing_radius(mpp)))
    found = _stained(np.stack(list(planes)[:3]), mpp=mpp) if is_rgb else _brighter(planes, mpp=mpp)
    share = LEAST_FRACTION * found.size
    closed = ~drop_islands(~found, least=min(LEAST_HOLE / mpp**2, share))
    return drop_islands(closed, least=min(LEAST_ISLAND / mpp**2, share))


def describe(method: TissueMaskChoice, *, mpp: float, is_rgb: bool) -> str:
    """Say in a sentence how tissue masks were made, for the record."""
    if method == "full":
        return "full: every pixel is tissue"
    if method == "otsu":
        signal = "mean optical density" if is_rgb else "sum of channels, each clipped at its 99 % quantile, scaled to 1"
        width = 2 * smoothing_radius(mpp) + 1
        return f"otsu: {signal}, three box blurs of {width} x {width} pixels, Otsu threshold on {BINS} bins"
    signal = (
        f"chromatic optical density above {COLOUR} or density above {DENSE}"
        if is_rgb
        else "sum of channels by their means, a quarter between the two Otsu classes where they differ "
        f"{CONTRAST:g} times"
    )
    return (
        f"tissue: {signal}, smoothed by {SIGMA_MICRONS:g} microns at {max(mpp, COARSE[is_rgb]):g} microns per pixel, "
        f"holes below {LEAST_HOLE:,.0f} and islands below {LEAST_ISLAND:,.0f} square microns left out"
    )


def tissue_decisions(shares: Mapping[str, float | None], *, method: TissueMaskChoice) -> list[Decision]:
    """Say how much of images is tissue by masks that were made, and warn of those that have none.

    Examples
    --------
    >>> [print(row) for row in tissue_decisions({"a": 0.4, "b": 0.0}, method="tissue")]
    warning: masks: Tissue is 0 % to 40 % of the images. No pixel is tissue of 'b'. Leave out, or give masks (masks).
    [None]
    """
    made = {name: share for name, share in shares.items() if share is not None}
    if not made or method == "full":
        return []
    low, high = min(made.values()), max(made.values())
    ends = dict.fromkeys(f"{100 * share:.0f} %" for share in (low, high))
    says = f"Tissue is {' to '.join(ends)} of the images."
    none = [name for name, share in made.items() if not share]
    if none:
        says += f" No pixel is tissue of {listed(none)}. Leave out, or give masks (masks)."
    return [Decision(about="masks", says=says, warning=bool(none), details={"tissue_fraction": made})]


def _brighter(planes: Iterable[AnyArray], *, mpp: float) -> Bools:
    """Return where channels are brighter than around the tissue, all where there is nothing around it."""
    signal = np.zeros((1, 1), np.float64)
    for plane in planes:
        values = np.nan_to_num(plane.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        even = smooth(np.minimum(values, np.quantile(values, HOT)), radius=_radius(SIGMA_MICRONS / mpp))
        even -= even.min()
        if even.max() > 0:
            even /= even.mean()
        signal = signal + even
    if not signal.max() > 0:
        return np.ones(signal.shape, bool)
    found = threshold(np.log(signal / signal.mean() + FAINT))
    if signal[found].mean() < CONTRAST * signal[~found].mean():
        return np.ones(signal.shape, bool)
    tissue, around = np.median(signal[found]), np.median(signal[~found])
    return np.asarray(signal > around + EDGE * (tissue - around))


def _stained(pixels: AnyArray, *, mpp: float) -> Bools:
    """Return where a stain absorbs light."""
    white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else max(float(pixels.max()), 1.0)
    red, green, blue = -np.log10((pixels.astype(np.float32) + 1) / np.float32(white + 1))
    density = (red + green + blue) / 3
    chroma = np.sqrt((red - density) ** 2 + (green - blue) ** 2 / 3)
    radius = _radius(SIGMA_MICRONS / mpp)
    return np.asarray((smooth(chroma, radius=radius) > COLOUR) | (smooth(density, radius=radius) > DENSE))


def drop_islands(mask: Bools, *, least: float) -> Bools:
    """Return a mask without its islands of fewer than ``least`` pixels; pixels touch along an edge.

    Examples
    --------
    >>> drop_islands(np.array([[1, 0, 1], [1, 0, 0]], bool), least=2).astype(int).tolist()
    [[1, 0, 0], [1, 0, 0]]
    """
    parent, size = np.empty(mask.size, np.int32), np.zeros(mask.size, np.int32)
    island_sizes(mask, parent, size)
    return mask & (size.reshape(mask.shape) >= least)


def _otsu_signal(pixels: AnyArray, *, is_rgb: bool) -> Float64:
    signal = np.zeros(pixels.shape[1:], np.float64)
    if is_rgb:
        white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else max(float(pixels.max()), 1.0)
        for plane in pixels[:3]:
            signal -= np.log10((plane.astype(np.float64) + 1) / (white + 1))
        return signal
    for plane in pixels:
        top = float(np.quantile(plane, 0.99)) or float(plane.max())
        if top > 0:
            signal += np.clip(plane.astype(np.float64), 0, top) / top
    return signal


def smoothing_radius(mpp: float) -> int:
    """Return the radius of the box blurs in pixels."""
    return max(1, round(OTSU_MICRONS / mpp / 2))


def _radius(sigma: float) -> int:
    """Return the radius of three box blurs that are about a Gaussian of ``sigma`` pixels."""
    return max(1, round((math.sqrt(4 * sigma**2 + 1) - 1) / 2))


def smooth(signal: AnyArray, *, radius: int) -> Float64:
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
