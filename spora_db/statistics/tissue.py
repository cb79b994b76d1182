"""The statistics of one tissue: exact quantiles of its masked pixels, then the moments of the transformed ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Bools, Float64, Int64
from spora_db.errors import ArgumentError, FileFormatError
from spora_db.standardization.specs import Spec
from spora_db.statistics import moments, quantiles
from spora_db.statistics.masked_pixels import kept_values, masked_values
from spora_db.statistics.moments import Moments, MomentSums
from spora_db.statistics.quantiles import SMALL_BINS, SMALL_LOWEST
from spora_db.statistics.search import DigitCounter, Search

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader


KEPT_BYTES: Final = 256 * 2**20
LADDER: Final = (0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0)
"""What stands in for an upper quantile of 0, under ``raise-quantile``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TissueStatistics:
    """The statistics of one tissue's channels under one spec.

    Parameters
    ----------
    upper, lower
        Quantiles in raw pixel values, float64 of shape (C,); ``lower`` is zero where the spec has no lower quantile.
    used
        The quantile that each upper one is, float64 of shape (C,): that of the spec, or what stands in for it.
    moments
        Of the transformed pixels.
    """

    upper: Float64
    lower: Float64
    used: Float64
    moments: Moments


def asked_quantiles(spec: Spec) -> tuple[float, ...]:
    """Return the quantiles of a spec: the upper one, the lower one if there is one, what stands in for an upper of 0.

    Raises
    ------
    ArgumentError
        For a spec without quantiles.
    """
    if spec.upper is None:
        raise ArgumentError(f"Standardization {str(spec)!r} has no statistics to compute.")
    lower = () if spec.lower is None else (spec.lower,)
    ladder = {"raise-quantile": LADDER, "max": LADDER[-1:]}.get(spec.on_zero_quantile or "", ())
    return (spec.upper, *lower, *(share for share in ladder if share > spec.upper))


def is_small(dtype: npt.DTypeLike) -> bool:
    """Whether all values of a dtype are counted one by one: integers of 8 and 16 bits."""
    kind = np.dtype(dtype)
    return kind.kind in "bui" and kind.itemsize <= 2


def tissue_statistics(
    reader: "ImageReader", mask: Bools, *, pages: npt.ArrayLike, spec: Spec, kept_bytes: int = KEPT_BYTES
) -> TissueStatistics:
    """Compute the statistics of one tissue, in one decode of its masked blocks where they fit into memory.

    Integers of 8 and 16 bits always take one pass, in constant memory: their values are counted. Others take one pass
    if the masked pixels fit into ``kept_bytes``, else one per 16 bits and one for the moments, with the same result.

    Parameters
    ----------
    mask
        bool array of shape (H, W): the tissue.
    pages
        The image's page of each of the C channels; -1 for a channel that is not measured.
    kept_bytes
        How many bytes of pixels may be held at once.

    Returns
    -------
    TissueStatistics
        Quantiles as ``np.quantile`` of the pixels in float64, to the last bit.

    Raises
    ------
    FileFormatError
        If the mask has another size than the image, or no pixels.
    """
    pages = np.asarray(pages, np.int64)
    check_mask(reader, mask)
    present = np.flatnonzero(pages >= 0)
    asked = asked_quantiles(spec)
    if is_small(reader.dtype):
        counts = value_counts(reader, pages[present], mask)
        lower, upper, used = bounds(quantiles.of_counts(counts, asked), spec)
        result = moments.of_counts(counts, SMALL_LOWEST, method=spec.method, lower=lower, upper=upper)
    elif len(present) * int(np.count_nonzero(mask)) * reader.dtype.itemsize <= kept_bytes:
        values = kept_values(reader, pages[present], mask)
        lower, upper, used = bounds(_of_kept(values, spec), spec)
        sums = MomentSums(method=spec.method, lower=lower, upper=upper)
        sums.add(values, np.arange(len(present)))
        result = sums.result()
    else:
        search = Search.start(reader.dtype.name, asked, len(present))
        while not search.done:
            search = search.refine(*digit_counts(reader, pages[present], mask, search=search))
        lower, upper, used = bounds(search.values(), spec)
        result = tissue_moments(reader, mask, pages=pages[present], spec=spec, lower=lower, upper=upper)
    return TissueStatistics(
        upper=spread(upper, present, len(pages), np.nan),
        lower=spread(lower, present, len(pages), np.nan),
        used=spread(used, present, len(pages), np.nan),
        moments=spread_moments(result, present, len(pages)),
    )


def check_mask(reader: "ImageReader", mask: Bools) -> None:
    """Refuse a mask of another size than the image, or without a pixel.

    Raises
    ------
    FileFormatError
        Naming the sizes.
    """
    if mask.shape != tuple(reader.shape[1:]):
        sizes = f"{mask.shape[0]} x {mask.shape[1]} pixels, the image {reader.shape[1]} x {reader.shape[2]}"
        raise FileFormatError(f"The tissue mask of {reader.path} is {sizes}; they must agree.")
    if not mask.any():
        raise FileFormatError(
            f"The tissue mask of {reader.path} has no pixels; there is nothing to compute statistics from."
        )


def _of_kept(values: AnyArray, spec: Spec) -> Float64:
    """Return the quantiles that are asked for; what stands in for an upper one of 0 only where it does, else NaN."""
    asked, first = asked_quantiles(spec), 1 if spec.lower is None else 2
    found = np.full((len(values), len(asked)), np.nan)
    found[:, :first] = quantiles.of_values(values, asked[:first])
    sparse = np.flatnonzero(without_range(found, spec))
    found[sparse, first:] = quantiles.of_values(values[sparse], asked[first:])
    return found


def without_range(found: Float64, spec: Spec) -> Bools:
    """Return where the upper quantile is not above 0 and the lower one, and the spec says what becomes of it: (C,)."""
    floor = np.zeros(len(found)) if spec.lower is None else np.maximum(found[:, 1], 0.0)
    return (found[:, 0] <= floor) & (spec.on_zero_quantile is not None)


def bounds(found: Float64, spec: Spec) -> tuple[Float64, Float64, Float64]:
    """Return what pixels are clipped to, and which quantile the upper bounds are.

    Parameters
    ----------
    found
        The quantiles of :func:`asked_quantiles`, float64 of shape (C, quantiles).

    Returns
    -------
    lower, upper, used
        Each of shape (C,). The lower bound is zero without a lower quantile. Where the spec says what becomes of an
        upper quantile that is not above the lower bound and zero, it has become so: the first that is above stands in
        for it, and with none the bounds are 0 and 0.

    Examples
    --------
    >>> spec = Spec(method="quantile_clipping", upper=0.99, quantile_level="image", on_zero_quantile="max")
    >>> [part.tolist() for part in bounds(np.array([[3.0, 9.0], [0.0, 7.0], [0.0, 0.0]]), spec)]
    [[0.0, 0.0, 0.0], [3.0, 7.0, 0.0], [0.99, 1.0, 0.99]]
    """
    asked, lowest = asked_quantiles(spec), 1 if spec.lower is None else 2
    upper, used = found[:, 0].copy(), np.full(len(found), asked[0])
    lower = np.where(np.isnan(upper), np.nan, 0.0) if spec.lower is None else found[:, 1].copy()
    if spec.on_zero_quantile is not None:
        floor = np.maximum(lower, 0.0)
        for share, other in zip(asked[lowest:], found.T[lowest:], strict=True):
            better = (upper <= floor) & (other > floor)
            upper[better], used[better] = other[better], share
        nothing = upper <= floor
        upper[nothing] = lower[nothing] = 0.0
    return lower, upper, used


def value_counts(reader: "ImageReader", pages: Int64, mask: Bools) -> Int64:
    """Count the values of the masked pixels of an image of 8- or 16-bit integers, in one pass.

    Returns
    -------
    int64 array of shape (channels, 98304)
        Bin 0 is the value -32768.
    """
    from spora_db.kernels.statistics import count_small

    counts = np.zeros((len(pages), 1, SMALL_BINS), np.int64)
    for values, slots in masked_values(reader, pages, mask):
        count_small(values, np.ascontiguousarray(slots, np.int64), SMALL_LOWEST, counts)
    return counts[:, 0]


def digit_counts(reader: "ImageReader", pages: Int64, mask: Bools, *, search: Search) -> tuple[Int64, Int64]:
    """Count the next digit of a search over the masked pixels of an image, in one pass.

    Returns
    -------
    counts, broken
        As of :class:`DigitCounter`.
    """
    counter = DigitCounter(search)
    for values, slots in masked_values(reader, pages, mask):
        counter.add(values, slots)
    return counter.counts, counter.broken


def odd_pixels(reader: "ImageReader", pages: Int64, mask: Bools) -> list[str]:
    """Return for each page what makes its quantiles no numbers of float32, in one pass over float pixels.

    Returns
    -------
    list of str
        ``"NaN pixels"``, ``"infinite pixels"``, ``"pixels beyond float32"``, or nothing.
    """
    has = np.zeros((3, len(pages)), bool)
    for values, slots in masked_values(reader, pages, mask):
        infinite = np.isinf(values)
        with np.errstate(over="ignore"):
            beyond = np.isinf(values.astype(np.float32)) & ~infinite
        for kind, where in enumerate((np.isnan(values), infinite, beyond)):
            has[kind, slots] |= where.any(axis=1)
    kinds = ("NaN pixels", "infinite pixels", "pixels beyond float32")
    return [next((kind for kind, there in zip(kinds, own, strict=True) if there), "") for own in has.T]


def tissue_moments(
    reader: "ImageReader", mask: Bools, *, pages: Int64, spec: Spec, lower: Float64, upper: Float64
) -> Moments:
    """Compute the moments of the transformed masked pixels under given bounds, in one pass.

    Parameters
    ----------
    reader, mask, spec
        As :func:`tissue_statistics`.
    pages
        The page of each channel, all of them measured.
    lower, upper
        Clipping bounds, shape (channels,).
    """
    if is_small(reader.dtype):
        counts = value_counts(reader, pages, mask)
        return moments.of_counts(counts, SMALL_LOWEST, method=spec.method, lower=lower, upper=upper)
    sums = MomentSums(method=spec.method, lower=lower, upper=upper)
    for values, slots in masked_values(reader, pages, mask):
        sums.add(values, slots)
    return sums.result()


def spread(values: Float64, present: Int64, channels: int, fill: float) -> Float64:
    """Put the values of the measured channels at their places in the panel."""
    result = np.full(channels, fill)
    result[present] = values
    return result


def spread_moments(found: Moments, present: Int64, channels: int) -> Moments:
    """Put the moments of the measured channels at their places in the panel; the others have none."""
    parts: Mapping[str, Float64] = {
        name: spread(getattr(found, name), present, channels, 0.0) for name in ("count", "mean", "squares")
    }
    return Moments(**parts)
