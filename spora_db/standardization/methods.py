"""The methods of standardizations: those that are built in, brightfield presets, and functions that are registered."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

from spora_db.errors import ArgumentError, UnknownNameError, unknown

Elementwise: TypeAlias = Callable[..., Any]
RGB_PRESETS: Final[dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "identity": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "hibou": ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)),
}
BUILT_IN: Final = ("quantile_clipping", "quantile_clipping_log1p")
_registered: dict[str, tuple[tuple[str, str], Elementwise]] = {}


def methods() -> tuple[str, ...]:
    """Return the names of the methods that clip to quantiles: the built-in ones, then the registered ones.

    Examples
    --------
    >>> methods()[:2]
    ('quantile_clipping', 'quantile_clipping_log1p')
    """
    return (*BUILT_IN, *_registered)


def method_of(spec: str) -> str:
    """Return the method that a spec names, whether there is one of that name or not.

    Examples
    --------
    >>> method_of("quantile_clipping_log1p/uq_0.99_image"), method_of(" imagenet/")
    ('quantile_clipping_log1p', 'imagenet')
    """
    return spec.strip().strip("/").partition("/")[0]


def registered(method: str) -> Elementwise | None:
    """Return the function registered for ``method``; None for a built-in method.

    Raises
    ------
    UnknownNameError
        If the method is neither built in nor registered in this process.

    Examples
    --------
    >>> registered("quantile_clipping") is None
    True
    """
    if method in _registered:
        return _registered[method][1]
    if method in (*BUILT_IN, *RGB_PRESETS, "rgb"):
        return None
    raise unknown_method(method)


def registrations(specs: Iterable[str]) -> dict[str, tuple[tuple[str, str], Elementwise]]:
    """Return what is registered for the methods of some specs: what another process needs to know of them."""
    methods = {method_of(text) for text in specs}
    return {name: _registered[name] for name in sorted(methods & _registered.keys())}


def restore_registrations(found: dict[str, tuple[tuple[str, str], Elementwise]]) -> None:
    """Register what another process had registered; what this process has registered stays."""
    for name, registration in found.items():
        _registered.setdefault(name, registration)


def register_standardizer(name: str, transform: Elementwise) -> None:
    """Make ``<name>/uq_..._<level>`` a standardization spec, usable everywhere, statistics included.

    Pixels are clipped, then ``transform`` is applied, then mean and standard deviation. Registering holds for the
    process and for the workers that its datasets are handed to; one started by spawn needs ``transform`` to be
    importable, as every function that is pickled.

    Parameters
    ----------
    name
        A folder name: letters, digits and underscores.
    transform
        Elementwise: a numpy ufunc, a function of arrays that keeps the shape, or a numba-jitted function of one number.
        It is given float32 pixels when images are loaded and float64 pixels when statistics are computed.

    Raises
    ------
    ArgumentError
        If the name is built in, is not a folder name, or is registered for another function already.

    See Also
    --------
    build_standardizer, standardize_lake

    Examples
    --------
    >>> import numpy as np
    >>> register_standardizer("quantile_clipping_cbrt", np.cbrt)
    >>> from spora_db.standardization.specs import parse_spec
    >>> parse_spec("quantile_clipping_cbrt/uq_0.99_image").upper
    0.99
    """
    if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name in (*BUILT_IN, *RGB_PRESETS, "rgb"):
        raise ArgumentError(
            f"Cannot register a standardizer as {name!r}: use letters, digits and underscores, no built-in name."
        )
    if not callable(transform):
        raise ArgumentError(
            f"The transform of standardizer {name!r} must be a function; got {type(transform).__name__}."
        )
    scalar = getattr(transform, "py_func", None)
    named = scalar or transform
    origin = (str(getattr(named, "__module__", "")), str(getattr(named, "__qualname__", repr(named))))
    if _registered.get(name, (origin,))[0] != origin:
        raise ArgumentError(
            f"Standardizer {name!r} is registered already, for {_registered[name][0][1]}; choose another name."
        )
    if scalar is not None:
        import numba

        vectorize: Any = numba.vectorize
        transform = cast(Elementwise, vectorize(scalar))
    _registered[name] = (origin, transform)


def unknown_method(method: str) -> UnknownNameError:
    """Build the error for a method that is neither built in nor registered."""
    remedy = "Parameters of a spec follow its method, as in quantile_clipping_log1p/uq_0.99_image."
    return unknown("standardization", method, (*RGB_PRESETS, *methods()), remedy=remedy)
