"""Filters after standardization: Gaussian blur and median, per channel, with chosen sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from spora_db.arrays import AnyArray, Float32
from spora_db.errors import ArgumentError, unknown
from spora_db.standardization.settled import Settled, fixed

Padding: TypeAlias = Literal["reflect", "replicate", "constant"]

PADDINGS: Final[dict[str, int]] = {"reflect": 0, "replicate": 1, "constant": 2}
PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "gaussian_blur": ("kernel_size", "sigma", "padding"),
    "median_filter": ("kernel_size", "padding"),
}
ALIASES: Final = {"gaussian": "gaussian_blur", "median": "median_filter"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter with its parameters.

    Parameters
    ----------
    name
        ``"gaussian_blur"`` or ``"median_filter"``.
    kernel_size
        Height and width of the window in pixels; odd.
    sigma
        Standard deviation of the Gaussian in pixels; unused by the median.
    padding
        What lies outside the plane: ``"reflect"``, ``"replicate"`` or ``"constant"`` (zero).

    Examples
    --------
    >>> Filter(name="median_filter", kernel_size=5).margin
    2
    """

    name: str
    kernel_size: int = 3
    sigma: float = 1.0
    padding: Padding = "reflect"

    def __post_init__(self) -> None:
        """Refuse parameters that mean nothing."""
        if self.name not in PARAMETERS:
            raise unknown("filter", self.name, PARAMETERS)
        if isinstance(self.kernel_size, bool) or not isinstance(self.kernel_size, int | np.integer):
            raise ArgumentError(
                f"kernel_size of {self.name} must be an odd number of pixels; got {self.kernel_size!r}."
            )
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ArgumentError(f"kernel_size of {self.name} must be odd and positive; got {self.kernel_size}.")
        if not (np.isfinite(self.sigma) and self.sigma > 0):
            raise ArgumentError(f"sigma of {self.name} must be a positive number of pixels; got {self.sigma}.")
        if self.padding not in PADDINGS:
            raise unknown("padding", self.padding, PADDINGS, where=f"filter {self.name!r}")

    @property
    def margin(self) -> int:
        """How far the filter sees, in pixels."""
        return self.kernel_size // 2

    def weights(self) -> Float32:
        """Return the Gaussian's weights along one axis, float32 of shape (kernel_size,), with sum 1."""
        offsets = np.arange(self.kernel_size, dtype=np.float64) - self.margin
        weights = np.exp(-0.5 * (offsets / self.sigma) ** 2)
        normal: Float32 = (weights / weights.sum()).astype(np.float32)
        return normal

    def run(self, planes: Float32) -> None:
        """Filter float32 planes of shape (C, H, W) in place.

        Raises
        ------
        ArgumentError
            If the planes are too small to be reflected.
        """
        from spora_db.kernels.filters import blur_plane, median_plane, pad_plane

        _, height, width = planes.shape
        margin = self.margin
        if self.padding == "reflect" and min(height, width) <= margin:
            raise ArgumentError(
                f"Planes of {height} x {width} pixels are too small for a {self.name} of kernel_size "
                f"{self.kernel_size}: reflecting needs more than {margin} pixels each way."
            )
        padded = np.empty((height + 2 * margin, width + 2 * margin), np.float32)
        result = np.empty((height, width), np.float32)
        between = np.empty((padded.shape[0], width), np.float32)
        window = np.empty(self.kernel_size**2, np.float32)
        weights = self.weights()
        for plane in planes:
            pad_plane(plane, margin, PADDINGS[self.padding], padded)
            if self.name == "gaussian_blur":
                blur_plane(padded, weights, between, result)
            else:
                median_plane(padded, self.kernel_size, window, result)
            plane[...] = result


@dataclass
class FilterFactory(Settled):
    """A sequence of filters, applied in their order to every channel.

    Parameters
    ----------
    filters_to_apply
        Names: ``"gaussian_blur"``, ``"median_filter"``.
    filter_params
        Parameters by name of filter: ``{"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}``.

    Raises
    ------
    UnknownNameError
        For a filter or parameter that does not exist.
    ArgumentError
        For a parameter out of range.

    See Also
    --------
    MultiplexImagingDataset, build_standardizer

    Examples
    --------
    >>> import numpy as np
    >>> factory = FilterFactory(["median_filter"])
    >>> spot = np.zeros((1, 3, 3), np.float32)
    >>> spot[0, 1, 1] = 9.0
    >>> float(factory.apply_filters(spot).max())
    0.0
    """

    _settled = dict.fromkeys(("filters_to_apply", "filter_params", "filters"), "Make another FilterFactory.")

    filters_to_apply: Sequence[str] = ()
    filter_params: Mapping[str, Mapping[str, Any]] | None = None
    filters: tuple[Filter, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the filters; the sequence may be any, a name alone is refused."""
        if isinstance(self.filters_to_apply, str):
            raise ArgumentError(
                f"filters must be a sequence of names, such as [{self.filters_to_apply!r}]; got a text."
            )
        names = [ALIASES.get(name, name) for name in self.filters_to_apply]
        params = {ALIASES.get(name, name): dict(given) for name, given in (self.filter_params or {}).items()}
        self.filters_to_apply, self.filter_params = fixed(list(self.filters_to_apply)), fixed(self.filter_params)
        for name in (*names, *params):
            if name not in PARAMETERS:
                raise unknown("filter", name, PARAMETERS)
            for parameter in params.get(name, {}):
                if parameter not in PARAMETERS[name]:
                    raise unknown("filter parameter", parameter, PARAMETERS[name], where=f"filter {name!r}")
        self.filters = tuple(Filter(name=name, **params.get(name, {})) for name in names)
        self._settle()

    @property
    def margin(self) -> int:
        """How many pixels around a region the filters see together: the margin that ``halo`` reads."""
        return sum(item.margin for item in self.filters)

    def apply_in_place(self, planes: Float32) -> None:
        """Filter float32 `planes` of shape (C, H, W) in place.

        See Also
        --------
        FilterFactory.apply_filters

        Examples
        --------
        >>> import numpy as np
        >>> factory = FilterFactory(["gaussian_blur"], {"gaussian_blur": {"kernel_size": 3, "sigma": 1.0}})
        >>> planes = np.eye(3, dtype=np.float32)[None]
        >>> factory.apply_in_place(planes)
        >>> bool(planes[0, 1, 1] < 1)
        True
        """
        for item in self.filters:
            item.run(planes)

    def apply_filters(self, x: Any) -> Any:  # noqa: ANN401
        """Return the filtered image; the argument is left as it is.

        Parameters
        ----------
        x
            Array or tensor of shape (N, C, H, W), (C, H, W) or (H, W).

        Returns
        -------
        float32 tensor of the same shape, on the same device

        Raises
        ------
        ArgumentError
            For another shape, or values that are not real numbers.

        See Also
        --------
        FilterFactory.apply_in_place

        Examples
        --------
        >>> import numpy as np
        >>> factory = FilterFactory(["gaussian_blur"], {"gaussian_blur": {"kernel_size": 3, "sigma": 1.0}})
        >>> factory.apply_filters(np.ones((2, 4, 4), np.float32)).shape
        torch.Size([2, 4, 4])
        """
        source = as_array(x)
        if source.ndim not in (2, 3, 4) or source.dtype.kind not in "buif":
            raise ArgumentError(
                "Filters need real numbers of shape (N, C, H, W), (C, H, W) or (H, W); "
                f"got {source.dtype} of shape {source.shape}."
            )
        planes = np.array(source, dtype=np.float32, copy=True, order="C")
        if planes.size:
            self.apply_in_place(planes.reshape(-1, *planes.shape[-2:]))
        return as_tensor(planes, like=x)


def as_array(x: Any) -> AnyArray:  # noqa: ANN401
    """Return an array, or the values of a tensor: of any device, with or without gradients, bfloat16 as float32."""
    if not _is_tensor(x):
        return np.asarray(x)
    values = x.detach().cpu()
    return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)


def as_tensor(result: Float32, *, like: Any) -> Any:  # noqa: ANN401
    """Return ``result`` as a tensor, where ``like`` is one on its device; torch is imported when first needed."""
    import torch

    tensor = torch.from_numpy(result)
    return cast(Any, tensor.to(like.device) if _is_tensor(like) else tensor)


def _is_tensor(x: Any) -> bool:  # noqa: ANN401
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(x).__mro__)
