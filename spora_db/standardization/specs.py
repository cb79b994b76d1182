"""Names of standardizations: `<method>/uq_<upper>[_lq_<lower>]_<image|global>`, `identity`, and the RGB presets."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from spora_db.errors import ArgumentError, UnknownNameError, unknown

Level: TypeAlias = Literal["image", "global"]
Elementwise: TypeAlias = Callable[..., Any]

LEVELS: Final[tuple[str, ...]] = get_args(Level)
RGB_PRESETS: Final[dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "identity": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "hibou": ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)),
}
BUILT_IN: Final = ("quantile_clipping", "quantile_clipping_log1p")
FORM: Final = "'identity', 'imagenet', 'hibou' or '<method>/uq_<upper>[_lq_<lower>]_<image|global>'"

_QUANTILES = re.compile(r"uq_(?P<upper>\d*\.?\d+)(?:_lq_(?P<lower>\d*\.?\d+))?(?:_(?P<level>image|global))?")
_registered: dict[str, tuple[tuple[str, str], Elementwise]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a standardization is called, taken apart; ``str(spec)`` is the folder name that holds its statistics.

    Parameters
    ----------
    method
        ``"identity"``, an RGB preset, ``"quantile_clipping"``, ``"quantile_clipping_log1p"`` or a registered name.
    upper, lower
        Quantiles that pixels are clipped to, as shares in (0, 1]; ``lower`` is None where clipping starts at zero.
    quantile_level
        Whether each tissue has its own quantiles (``"image"``) or the cohort has one set (``"global"``).
    text
        The spec as it was written, which is the folder's name; empty for a spec made from its parts.

    Examples
    --------
    >>> str(Spec(method="quantile_clipping", upper=0.95, lower=0.05, quantile_level="global"))
    'quantile_clipping/uq_0.95_lq_0.05_global'
    """

    method: str
    upper: float | None = None
    lower: float | None = None
    quantile_level: Level | None = None
    text: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse quantiles that no table can hold."""
        if (self.upper is None) != (self.quantile_level is None) or (self.lower is not None and self.upper is None):
            raise ArgumentError(
                f"A standardization spec needs both upper and quantile_level, or neither; got {self!r}."
            )
        lower = 0.0 if self.lower is None else self.lower
        if self.upper is not None and not (math.isfinite(self.upper) and 0.0 <= lower < self.upper <= 1.0):
            raise ArgumentError(
                f"Quantiles of a spec must satisfy 0 <= lower < upper <= 1; got lower={lower}, upper={self.upper}."
            )

    def __str__(self) -> str:
        """Return the folder name, ``<method>/uq_<upper>[_lq_<lower>]_<level>``."""
        if self.text or self.upper is None:
            return self.text or self.method
        lower = "" if self.lower is None else f"_lq_{_digits(self.lower)}"
        return f"{self.method}/uq_{_digits(self.upper)}{lower}_{self.quantile_level}"

    @property
    def needs_statistics(self) -> bool:
        """Whether tables of quantiles (and means and standard deviations) belong to this spec."""
        return self.upper is not None


def methods() -> tuple[str, ...]:
    """Return the names of the methods that clip to quantiles: the built-in ones, then the registered ones.

    Examples
    --------
    >>> methods()[:2]
    ('quantile_clipping', 'quantile_clipping_log1p')
    """
    return (*BUILT_IN, *_registered)


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
    raise _unknown_method(method)


def registrations(specs: Iterable[str]) -> dict[str, tuple[tuple[str, str], Elementwise]]:
    """Return what is registered for the methods of some specs: what another process needs to know of them."""
    methods = {text.partition("/")[0] for text in specs}
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

    Examples
    --------
    >>> import numpy as np
    >>> register_standardizer("quantile_clipping_cbrt", np.cbrt)
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


def parse_spec(text: "str | Spec", *, quantile_level: str | None = None) -> Spec:
    """Take a spec apart.

    Parameters
    ----------
    text
        ``'identity'``, ``'imagenet'``, ``'hibou'``, ``'<method>/uq_<upper>[_lq_<lower>]_<image|global>'``, or the older
        form without the level, which then is the argument.
    quantile_level
        The level, for the older form. Given for the newer form it must say the same.

    Returns
    -------
    Spec
        ``str`` of it is the text that came in.

    Raises
    ------
    UnknownNameError
        For a method that does not exist; the message lists those that do.
    ArgumentError
        For a text of another form, a missing or contradictory level, quantiles out of range.

    Examples
    --------
    >>> parse_spec("quantile_clipping_log1p/uq_0.99_image")
    Spec(method='quantile_clipping_log1p', upper=0.99, lower=None, quantile_level='image')
    >>> str(parse_spec("quantile_clipping/uq_0.95_lq_0.05_global"))
    'quantile_clipping/uq_0.95_lq_0.05_global'
    >>> parse_spec("quantile_clipping/uq_0.99", quantile_level="image").quantile_level
    'image'
    """
    if quantile_level not in (None, *LEVELS):
        raise unknown("quantile level", quantile_level, LEVELS)
    if isinstance(text, Spec):
        return text
    if not isinstance(text, str):
        raise ArgumentError(f"A standardization spec is a text such as {FORM}; got {type(text).__name__}.")
    stripped = text.strip().strip("/")
    if stripped in RGB_PRESETS:
        return Spec(method=stripped)
    method, _, rest = stripped.partition("/")
    if method not in methods():
        raise _unknown_method(method)
    match = _QUANTILES.fullmatch(rest)
    if match is None:
        raise ArgumentError(f"Standardization spec {text!r} is not of the form {FORM}.")
    level = match["level"] or quantile_level
    if level is None:
        raise ArgumentError(
            f"Standardization spec {text!r} does not say whether its quantiles are per image or global: "
            "add '_image' or '_global', or pass quantile_level."
        )
    if quantile_level not in (None, level):
        raise ArgumentError(
            f"Standardization spec {text!r} has {level}-level quantiles, but quantile_level={quantile_level!r}."
        )
    lower = None if match["lower"] is None else float(match["lower"])
    return Spec(
        method=method, upper=float(match["upper"]), lower=lower, quantile_level=cast(Level, level), text=stripped
    )


def _unknown_method(method: str) -> UnknownNameError:
    return unknown("standardization", method, (*RGB_PRESETS, *(f"{name}/uq_0.99_image" for name in methods())))


def _digits(value: float) -> str:
    """Write a quantile without an exponent, so that the text reads back as the same number."""
    text = repr(float(value))
    return format(Decimal(text), "f") if "e" in text else text
