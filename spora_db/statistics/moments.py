"""Mean and population standard deviation of transformed pixels: float64, mergeable, the same in any order of work."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Bools, Float64, Int64
from spora_db.standardization.methods import registered
from spora_db.standardization.transform import EPSILON

if TYPE_CHECKING:
    from spora_db.standardization.methods import Elementwise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of the pixels of C channels, each a float64 array of shape (C,).

    Parameters
    ----------
    count
        Number of pixels; zero where a channel is not measured.
    mean
        Their mean.
    squares
        The sum of their squared deviations from it.

    Examples
    --------
    >>> import numpy as np
    >>> one = Moments(count=np.array([2.0]), mean=np.array([1.0]), squares=np.array([2.0]))
    >>> two = Moments(count=np.array([1.0]), mean=np.array([4.0]), squares=np.array([0.0]))
    >>> Moments.merged([one, two]).mean, Moments.merged([one, two]).std.round(3)
    (array([2.]), array([1.633]))
    """

    count: Float64
    mean: Float64
    squares: Float64

    @property
    def means(self) -> Float64:
        """The mean, NaN where there are no pixels."""
        return np.where(self.count > 0, self.mean, np.nan)

    @property
    def std(self) -> Float64:
        """The population standard deviation, NaN where there are no pixels."""
        return np.sqrt(np.divide(self.squares, self.count, out=np.full_like(self.mean, np.nan), where=self.count > 0))

    def of(self, channels: Bools) -> "Moments":
        """Return the moments without the pixels of all channels but these."""
        return Moments(
            count=np.where(channels, self.count, 0.0),
            mean=np.where(channels, self.mean, 0.0),
            squares=np.where(channels, self.squares, 0.0),
        )

    @classmethod
    def merged(cls, parts: "Iterable[Moments]") -> "Moments":
        """Pool moments in the order given (Chan, Golub, LeVeque 1979); the caller's order decides the last bits."""
        total: Moments | None = None
        for part in parts:
            total = part if total is None else _pair(total, part)
        if total is None:
            raise ValueError("Moments.merged needs at least one part.")
        return total


def _pair(one: Moments, two: Moments) -> Moments:
    count = one.count + two.count
    share = np.divide(two.count, count, out=np.zeros_like(count), where=count > 0)
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite stays so
        delta = np.where(one.count > 0, two.mean - one.mean, two.mean)
        delta = np.where(two.count > 0, delta, 0.0)
        return Moments(
            count=count,
            mean=np.where(one.count > 0, one.mean, 0.0) + delta * share,
            squares=one.squares + two.squares + delta * delta * one.count * share,
        )


def transformed(values: Float64, *, method: str, lower: float, upper: float) -> Float64:
    """Return clipped and transformed pixels in float64, before mean and standard deviation.

    Parameters
    ----------
    values
        float64 array.

    Examples
    --------
    >>> import numpy as np
    >>> transformed(np.array([0.0, 2.0, 9.0]), method="quantile_clipping", lower=0.0, upper=4.0).round(6)
    array([0. , 0.5, 1. ])
    """
    clipped = np.clip(values, lower, upper)
    if method == "quantile_clipping":
        return (clipped - lower) / (upper - lower + EPSILON)
    if method == "quantile_clipping_log1p":
        from spora_db.kernels.logarithms import log1p

        return log1p(clipped)  # below -1 there is no logarithm: NaN drops the channel
    function = registered(method)
    assert function is not None
    return np.asarray(function(clipped), dtype=np.float64)


def of_counts(counts: Int64, lowest: int, *, method: str, lower: Float64, upper: Float64) -> Moments:
    """Return the moments of integers, given how often each value occurs.

    Parameters
    ----------
    counts
        int64 array of shape (C, values).
    lowest
        The value of the first bin.
    lower, upper
        Clipping bounds, shape (C,).
    """
    result, values = np.zeros((3, len(counts))), np.arange(counts.shape[1], dtype=np.float64) + lowest
    for channel, row in enumerate(counts):
        own = float(lower[channel]), float(upper[channel])
        result[:, channel] = weighted(values, row, method=method, lower=own[0], upper=own[1])[:3]
    return Moments(count=result[0], mean=result[1], squares=result[2])


def weighted(
    values: Float64, weights: npt.NDArray[Any], *, method: str, lower: float, upper: float
) -> tuple[float, float, float, float, float]:
    """Return the count, mean and squares of transformed values that stand for so many pixels each, and their spread.

    The spread is the first of them and how many differ from it, as of `MomentSums.spread`.
    """
    there = np.flatnonzero(weights)
    if there.size == 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    numbers, z = weights[there].astype(np.float64), transformed(values[there], method=method, lower=lower, upper=upper)
    total, first, others = float(numbers.sum()), float(z[0]), float((z != z[0]).sum())
    if others == 0 and np.isfinite(first):  # no spread at all, where sums would leave a rounding
        return total, first, 0.0, first, others
    with np.errstate(invalid="ignore"):
        mean = float((numbers * z).sum()) / total
        return total, mean, float((numbers * (z - mean) ** 2).sum()), first, others


class MomentSums:
    """Adds up the moments of C channels over blocks; how pixels are cut into blocks does not change a bit.

    Parameters
    ----------
    method
        A built-in or registered method.
    lower, upper
        Clipping bounds, shape (C,); channels whose bounds are NaN get NaN.
    width
        What ``quantile_clipping`` divides by, shape (C,); the distance of the bounds by default.
    """

    def __init__(self, *, method: str, lower: Float64, upper: Float64, width: Float64 | None = None) -> None:
        from spora_db.kernels.moments import BUFFER, CLIP, LOG1P, PLAIN, STATE

        self._mode = {"quantile_clipping": CLIP, "quantile_clipping_log1p": LOG1P}.get(method, PLAIN)
        self._function: Elementwise | None = registered(method)
        self._lower, self._upper = (np.asarray(bound, np.float64) for bound in (lower, upper))
        self._width = self._upper - self._lower + EPSILON if width is None else width
        self._state, self._buffer = np.zeros((len(self._lower), STATE)), np.empty((len(self._lower), BUFFER))
        self._scratch = np.empty(BUFFER // 2)

    def add(self, values: AnyArray, slots: Int64) -> None:
        """Add the pixels ``values`` of shape (j, n) of the channels ``slots``."""
        from spora_db.kernels.moments import add_values

        for row, slot in zip(values, slots, strict=True):
            lower, upper = self._lower[slot], self._upper[slot]
            pixels = row
            if self._function is not None:
                pixels = np.asarray(self._function(np.clip(row.astype(np.float64), lower, upper)), dtype=np.float64)
            add_values(
                self._mode, pixels, lower, upper, self._width[slot], self._buffer[slot], self._scratch,
                self._state[slot],
            )  # fmt: skip

    @property
    def spread(self) -> Float64:
        """The first transformed pixel of each channel and how many differ from it, shape (C, 2); with the result."""
        from spora_db.kernels.moments import FIRST, OTHERS

        return self._state[:, [FIRST, OTHERS]]

    def result(self) -> Moments:
        """Return the moments of all pixels added; nothing may be added afterwards."""
        from spora_db.kernels.moments import COUNT, M2, MEAN, flush

        for buffer, state in zip(self._buffer, self._state, strict=True):
            flush(buffer, self._scratch, state)
        unknown = np.isnan(self._lower) | np.isnan(self._upper)
        count, mean, squares = (self._state[:, column].copy() for column in (COUNT, MEAN, M2))
        mean[unknown & (count > 0)] = squares[unknown & (count > 0)] = np.nan
        # Summed, 1,000 equal pixels deviate from their mean by some 1e-16: a constant has no spread at all.
        constant = (self.spread[:, 1] == 0) & np.isfinite(mean)
        mean[constant], squares[constant] = self.spread[constant, 0], 0.0
        return Moments(count=count, mean=mean, squares=squares)
