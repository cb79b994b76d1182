"""What turns raw pixels into standardized ones: bounds, means and deviations per channel, folded for the kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from spora_db.arrays import AnyArray, Float32
from spora_db.errors import ArgumentError, unknown
from spora_db.standardization.methods import RGB_PRESETS, Elementwise, methods, registered, unknown_method

EPSILON: Final = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transform:
    """Everything that turns the raw pixels of one tissue's channels into standardized ones.

    Parameters
    ----------
    method
        ``"identity"``, ``"quantile_clipping"``, ``"quantile_clipping_log1p"``, ``"rgb"`` or a registered name.
    lower, upper
        Clipping bounds, float32 arrays of shape (C,), in raw pixel values.
    mean, std
        Mean and standard deviation of the clipped (and scaled) pixels, float32 arrays of shape (C,).
    use_mean_std
        Whether mean and standard deviation are applied.
    scale
        For ``"rgb"``, what pixels are divided by: the maximum of the image's dtype.
    function
        For a registered method, its function; looked up by name where absent.

    Examples
    --------
    >>> import numpy as np
    >>> one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    >>> transform = Transform(method="quantile_clipping", lower=zero, upper=4 * one, mean=zero, std=one)
    >>> transform.take([1]).upper
    array([4.], dtype=float32)
    """

    method: str
    lower: Float32
    upper: Float32
    mean: Float32
    std: Float32
    use_mean_std: bool = True
    scale: float = 1.0
    function: Elementwise | None = None
    mode: int = field(init=False, repr=False)
    coefficients: Float32 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and fold everything into lower, upper, scale and offset per channel."""
        from spora_db.kernels.formula import BOUND, CLIP, CONVERT, LOG1P

        parts = {}
        for name in ("lower", "upper", "mean", "std"):
            parts[name] = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            object.__setattr__(self, name, parts[name])
        if len({part.shape for part in parts.values()}) != 1 or parts["lower"].ndim != 1:
            shapes = ", ".join(f"{name} {part.shape}" for name, part in parts.items())
            raise ArgumentError(f"lower, upper, mean and std of a Transform must be of one shape (C,); got {shapes}.")
        modes = {"identity": CONVERT, "quantile_clipping": CLIP, "quantile_clipping_log1p": LOG1P, "rgb": CLIP}
        if self.function is None and self.method not in modes:
            if self.method not in methods():
                raise unknown_method(self.method)
            object.__setattr__(self, "function", registered(self.method))
        object.__setattr__(self, "mode", modes.get(self.method, BOUND))
        object.__setattr__(self, "coefficients", _coefficients(self))

    def __len__(self) -> int:
        """Return the number of channels."""
        return len(self.lower)

    def take(self, channels: "Sequence[int] | AnyArray") -> "Transform":
        """Return the transform of a choice of channels, by index or by boolean mask.

        Parameters
        ----------
        channels
            Integer indices into the C channels, or a boolean array of shape (C,).
        """
        chosen = np.asarray(channels)
        chosen = chosen if chosen.dtype == bool else chosen.astype(np.intp)
        return Transform(
            method=self.method, lower=self.lower[chosen], upper=self.upper[chosen], mean=self.mean[chosen],
            std=self.std[chosen], use_mean_std=self.use_mean_std, scale=self.scale, function=self.function,
        )  # fmt: skip


def _coefficients(transform: Transform) -> Float32:
    """Return lower, upper, scale and offset of each channel, float32 of shape (C, 4).

    Epsilon, mean and standard deviation are folded into one multiplication and one addition, in float64.

    Clipping is ``(clip(x) - lower) * scale + offset``: the subtraction stays first because it is exact where bounds are
    close to each other and far from zero.
    """
    lower, upper, mean, std = (
        part.astype(np.float64) for part in (transform.lower, transform.upper, transform.mean, transform.std)
    )
    width = np.ones_like(lower)
    if transform.method == "quantile_clipping":
        width = upper - lower + EPSILON
    elif transform.method == "rgb":
        width, lower, upper = np.full_like(lower, transform.scale), np.zeros_like(lower), np.full_like(lower, np.inf)
    epsilon = 0.0 if transform.method == "rgb" else EPSILON
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        spread = std + epsilon if transform.use_mean_std else np.ones_like(std)
        scale = 1.0 / (width * spread)
        offset = -mean / spread if transform.use_mean_std else np.zeros_like(mean)
        offset[np.isnan(lower) | np.isnan(upper)] = np.nan
        return np.stack([lower, upper, scale, offset], axis=1).astype(np.float32)


def identity_transform(channels: int) -> Transform:
    """Return the transform that leaves the pixels of so many channels as they are.

    Examples
    --------
    >>> identity_transform(3).method
    'identity'
    """
    zero, one = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return Transform(method="identity", lower=zero, upper=one, mean=zero, std=one, use_mean_std=False)


def dtype_maximum(dtype: npt.DTypeLike) -> float:
    """Return what RGB pixels of a dtype are divided by: 255 for uint8, 65535 for uint16.

    Raises
    ------
    ArgumentError
        For dtypes that are no unsigned integers; colours of such images have no known scale.

    Examples
    --------
    >>> dtype_maximum("uint8")
    255.0
    """
    kind = np.dtype(dtype)
    if kind.kind != "u":
        raise ArgumentError(
            f"RGB standardization needs pixels of an unsigned integer dtype (uint8, uint16); the image has {kind}."
        )
    return float(np.iinfo(kind).max)


def rgb_transform(preset: str, *, dtype: npt.DTypeLike) -> Transform:
    """Return the transform of an RGB image: scaled by the dtype's maximum, then the preset's mean and deviation.

    Parameters
    ----------
    preset
        ``"identity"`` (0 and 1), ``"imagenet"`` or ``"hibou"``.
    dtype
        The image's dtype.

    Returns
    -------
    Transform
        Of three channels; alpha is left out by asking for the pages 0, 1 and 2.

    Examples
    --------
    >>> rgb_transform("hibou", dtype="uint8").mean
    array([0.7068, 0.5755, 0.722 ], dtype=float32)
    """
    if preset not in RGB_PRESETS:
        raise unknown("RGB standardization", preset, RGB_PRESETS)
    mean, std = (np.array(part, dtype=np.float32) for part in RGB_PRESETS[preset])
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    return Transform(method="rgb", lower=zero, upper=one, mean=mean, std=std, scale=dtype_maximum(dtype))
