"""Names of standardizations: `<method>/uq_<upper>[_lq_<lower>][_zq_<answer>]_<image|global>`, `identity`, and RGB."""

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, TypeAlias, cast, get_args

from spora_db.errors import ArgumentError, unknown
from spora_db.standardization.methods import RGB_PRESETS, methods, unknown_method

StatsLevel: TypeAlias = Literal["image", "global"]
ZeroQuantile: TypeAlias = Literal["drop", "raise-quantile", "max"]

LEVELS: Final[tuple[str, ...]] = get_args(StatsLevel)
ZERO_QUANTILE: Final[tuple[str, ...]] = get_args(ZeroQuantile)
FORM: Final = "'identity', 'imagenet', 'hibou' or '<method>/uq_<upper>[_lq_<lower>][_zq_<answer>]_<image|global>'"

_QUANTILES = re.compile(
    r"uq_(?P<upper>\d*\.?\d+)(?:_lq_(?P<lower>\d*\.?\d+))?"
    rf"(?:_zq_(?P<zero>{'|'.join(ZERO_QUANTILE)}))?(?:_(?P<level>image|global))?"
)


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
    on_zero_quantile
        What pixels are clipped to where the upper quantile is not above 0 and the lower one, so that clipping would
        leave nothing of a sparse channel: ``"raise-quantile"``, the next of 0.9, 0.99, 0.999, 0.9999, 0.99999 and 1
        that is above; ``"max"``, the greatest pixel; ``"drop"``, nothing. A channel that is left without a bound has
        the bounds 0 and 0, and counts as not measured. None, as published: such quantiles stand in the tables.
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
    quantile_level: StatsLevel | None = None
    on_zero_quantile: ZeroQuantile | None = None
    text: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse quantiles that no table can hold."""
        rest = (self.lower, self.on_zero_quantile)
        if (self.upper is None) != (self.quantile_level is None) or (self.upper is None and rest != (None, None)):
            raise ArgumentError(
                f"A standardization spec needs both upper and quantile_level, or neither; got {self!r}."
            )
        if self.on_zero_quantile not in (None, *ZERO_QUANTILE):
            raise unknown("answer to a quantile of zero", self.on_zero_quantile, ZERO_QUANTILE)
        lower = 0.0 if self.lower is None else self.lower
        if self.upper is not None and not (math.isfinite(self.upper) and 0.0 <= lower < self.upper <= 1.0):
            raise ArgumentError(
                "Quantiles of a spec must satisfy 0 <= lower < upper <= 1, as 0.99 does; "
                f"got lower={lower}, upper={self.upper}."
            )

    def __str__(self) -> str:
        """Return the folder name, ``<method>/uq_<upper>[_lq_<lower>][_zq_<answer>]_<level>``."""
        if self.text or self.upper is None:
            return self.text or self.method
        lower = "" if self.lower is None else f"_lq_{_digits(self.lower)}"
        zero = "" if self.on_zero_quantile is None else f"_zq_{self.on_zero_quantile}"
        return f"{self.method}/uq_{_digits(self.upper)}{lower}{zero}_{self.quantile_level}"

    @property
    def needs_statistics(self) -> bool:
        """Whether tables of quantiles (and means and standard deviations) belong to this spec."""
        return self.upper is not None


def parse_spec(text: "str | Spec", *, quantile_level: str | None = None) -> Spec:
    """Take a spec apart.

    Parameters
    ----------
    text
        ``'identity'``, ``'imagenet'``, ``'hibou'``,
        ``'<method>/uq_<upper>[_lq_<lower>][_zq_<answer>]_<image|global>'``, or the older form without the level, which
        then is the argument.
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
    Spec(method='quantile_clipping_log1p', upper=0.99, lower=None, quantile_level='image', on_zero_quantile=None)
    >>> str(parse_spec("quantile_clipping/uq_0.95_lq_0.05_global"))
    'quantile_clipping/uq_0.95_lq_0.05_global'
    >>> parse_spec("quantile_clipping/uq_0.99", quantile_level="image").quantile_level
    'image'
    >>> parse_spec("quantile_clipping/uq_0.99_zq_raise-quantile_image").on_zero_quantile
    'raise-quantile'
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
        raise unknown_method(method)
    match = _QUANTILES.fullmatch(rest)
    if match is None:
        raise ArgumentError(
            f"Standardization spec {text!r} is not of the form {FORM}, such as '{method}/uq_0.99_image'."
        )
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
        method=method, upper=float(match["upper"]), lower=lower, quantile_level=cast(StatsLevel, level),
        on_zero_quantile=cast(ZeroQuantile | None, match["zero"]), text=stripped,
    )  # fmt: skip


def _digits(value: float) -> str:
    """Write a quantile without an exponent, so that the text reads back as the same number."""
    text = repr(float(value))
    return format(Decimal(text), "f") if "e" in text else text
