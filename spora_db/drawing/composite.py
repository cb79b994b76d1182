"""The pixels of a picture: marker composites with contrast limits, and H&E with its normalization undone."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float32
from spora_db.errors import ArgumentError, unknown
from spora_db.standardization import filters
from spora_db.standardization.methods import RGB_PRESETS

BRIGHTNESS = 0.10  # mean level of a channel; six of them make a picture that is neither dark nor washed out
GAMMAS = np.linspace(1, 4, 301)
TINY = np.finfo(np.float32).tiny


def contrast_limits(planes: Iterable[npt.ArrayLike], *, percentiles: tuple[float, float] = (5.0, 99.7)) -> Float32:
    """Return how to show every channel over several images of one panel.

    Parameters
    ----------
    planes
        Images of shape (C, H, W) with the same channels; the percentiles are those of all their finite pixels.
    percentiles
        Of the pixels, for black and for full colour.

    Returns
    -------
    float32 array of shape (C, 3)
        Low, high and gamma. Gamma, 1 to 4, brings the mean level of a channel down to 0.1, whether its pixels are
        counts, logarithms or z-scores. Low equals high for a channel without contrast, which is shown black.

    Examples
    --------
    >>> contrast_limits([np.arange(101).reshape(1, 1, 101)], percentiles=(5, 95))[:, :2]
    array([[ 5., 95.]], dtype=float32)
    """
    arrays = [as_planes(image) for image in planes]
    if not arrays:
        raise ArgumentError("No images to take contrast limits from.")
    step = max(1, round((sum(image[0].size for image in arrays) / 500_000) ** 0.5))  # half a million pixels are enough
    pixels = np.concatenate([image[:, ::step, ::step].reshape(len(image), -1) for image in arrays], axis=1)
    limits = np.zeros((len(pixels), 3), dtype=np.float32)
    limits[:, 2] = 1
    for channel, values in enumerate(pixels):
        finite = values[np.isfinite(values)]
        if not finite.size:
            continue
        low, high = np.percentile(finite, percentiles)
        limits[channel, :2] = low, high
        if high > low:
            limits[channel, 2] = _gamma(np.clip((finite - low) / (high - low), 0, 1))
    return limits


def _gamma(levels: AnyArray) -> float:
    """Return the least of `GAMMAS` that brings the mean of levels in 0 to 1 down to `BRIGHTNESS`, or the greatest."""
    counts, edges = np.histogram(levels, bins=256, range=(0, 1))
    means = (counts / counts.sum()) @ ((edges[:-1, None] + edges[1:, None]) / 2) ** GAMMAS  # they fall
    return float(GAMMAS[np.searchsorted(-means[:-1], -BRIGHTNESS)])


def composite(
    image: npt.ArrayLike,
    colours: Sequence[str | tuple[float, float, float]],
    *,
    limits: npt.ArrayLike | None = None,
    percentiles: tuple[float, float] = (5.0, 99.7),
) -> Float32:
    """Mix channels, each in its colour, to an RGB picture on black.

    A pixel is as bright as its strongest channel, and its colour is the mean of the colours of its channels, weighted
    by the squares of their levels: one channel alone has the colour of the legend, and a mixture one between those it
    is of. A sum has colours that are in no legend (nuclei and CD20 were cyan), and saturates where channels are many.

    Parameters
    ----------
    image
        Planes of shape (C, H, W), raw or standardized; not-a-number is black.
    colours
        A matplotlib colour for each plane.
    limits
        Array of shape (C, 2), the level shown black and the level shown in full colour, or (C, 3) with an exponent
        (gamma) as well; default: :func:`contrast_limits` of the image itself.
    percentiles
        For the default limits.

    Returns
    -------
    float32 array of shape (H, W, 3)
        RGB in 0 to 1.

    Raises
    ------
    ArgumentError
        The image is not (C, H, W), or colours or limits do not match its channels.

    Examples
    --------
    >>> picture = composite(np.eye(4)[None], ["red"], limits=[[0, 1]])
    >>> picture.shape, float(picture[0, 0, 0]), float(picture[0, 1, 0])
    ((4, 4, 3), 1.0, 0.0)
    """
    from matplotlib.colors import to_rgb

    planes = as_planes(image)
    if len(colours) != len(planes):
        raise ArgumentError(f"{len(colours)} colours for {len(planes)} channels; expected one each.")
    bounds = contrast_limits([planes], percentiles=percentiles) if limits is None else np.asarray(limits, np.float32)
    if bounds.shape == (len(planes), 2):
        bounds = np.column_stack([bounds, np.ones(len(planes), dtype=np.float32)])
    if bounds.shape != (len(planes), 3):
        raise ArgumentError(f"limits has shape {bounds.shape}; expected ({len(planes)}, 2) or ({len(planes)}, 3).")
    mixed = np.zeros((*planes.shape[1:], 3), dtype=np.float32)
    weights, strongest = np.zeros((2, *planes.shape[1:], 1), dtype=np.float32)
    for plane, (low, high, gamma), colour in zip(planes, bounds, colours, strict=True):
        if high > low:
            level = np.clip((np.nan_to_num(plane, nan=float(low)) - low) / (high - low), 0, 1)[..., None] ** gamma
            mixed += level**2 * np.asarray(to_rgb(colour), dtype=np.float32)
            weights += level**2
            np.maximum(strongest, level, out=strongest)
    picture: Float32 = mixed * (strongest / np.maximum(weights, TINY))
    return picture


def as_array(image: npt.ArrayLike) -> AnyArray:
    """Return an image of shape (C, H, W), numpy or torch, as a numpy array of its own dtype, bfloat16 as float32."""
    array = filters.as_array(image)
    if array.ndim != 3:
        raise ArgumentError(f"An image of shape {array.shape} cannot be drawn; expected (C, H, W).")
    return array


def as_planes(image: npt.ArrayLike) -> Float32:
    """Return an image of shape (C, H, W), numpy or torch, as a float32 array."""
    return as_array(image).astype(np.float32, copy=False)


def brightfield(image: npt.ArrayLike, *, spec: str | None = None) -> Float32:
    """Return an H&E or IHC image of shape (3, H, W) as RGB of shape (H, W, 3) in 0 to 1, its normalization undone.

    Parameters
    ----------
    image
        Raw pixels (uint8 or uint16), or standardized float32.
    spec
        The preset that standardized it: ``"imagenet"``, ``"hibou"`` or ``"identity"``. Ignored for integer pixels.

    Examples
    --------
    >>> brightfield(np.full((3, 2, 2), 255, np.uint8)).max()
    np.float32(1.0)
    """
    array = as_array(image)
    if len(array) not in (3, 4):  # the fourth is alpha
        raise ArgumentError(f"A brightfield image has three colours; received {len(array)}.")
    planes: Float32 = array[:3].astype(np.float32)
    if array.dtype.kind == "u":
        planes /= np.float32(np.iinfo(array.dtype).max)
    else:
        if spec not in RGB_PRESETS:
            raise unknown("RGB preset", spec, RGB_PRESETS, where="the sample's spec")
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in RGB_PRESETS[spec])
        planes = planes * std + mean
    return np.clip(np.moveaxis(planes, 0, -1), 0, 1)
