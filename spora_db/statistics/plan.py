"""The values that pass between the rounds of cohort statistics: units, plans, rounds and partial results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.standardization.methods import registered
from spora_db.standardization.specs import Spec
from spora_db.statistics.tissue import KEPT_BYTES, asked_quantiles

if TYPE_CHECKING:
    from spora_db.images.base import MissingChunks

RoundKind: TypeAlias = Literal["tissue", "sample", "bracket", "digits", "moments"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsUnit:
    """One tissue: what is read for its statistics.

    Parameters
    ----------
    tissue_id
        The tissue.
    image, mask
        Paths of its image and its tissue mask.
    pages
        The image's page of each measured channel, by name.
    """

    tissue_id: str
    image: Path
    mask: Path
    pages: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsPlan:
    """What is computed, the same for every tissue.

    Parameters
    ----------
    spec
        The standardization.
    channel_names
        The C channels of the panel, in its order.
    kept_bytes
        How many bytes of pixels one unit may hold; the result does not depend on it.
    missing_chunks
        Whether absent chunks of an image (a partial download) are an error or read as zeros.

    Raises
    ------
    ArgumentError
        For a spec without statistics, or a panel that repeats a name.
    """

    spec: Spec
    channel_names: tuple[str, ...]
    kept_bytes: int = KEPT_BYTES
    missing_chunks: "MissingChunks" = "error"

    def __post_init__(self) -> None:
        """Refuse what has no statistics."""
        asked_quantiles(self.spec)
        registered(self.spec.method)
        twice = sorted({name for name in self.channel_names if self.channel_names.count(name) > 1})
        if twice or not self.channel_names:
            raise ArgumentError(
                f"The panel must name its channels once each; got {', '.join(twice) or 'none'} repeatedly."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is computed of every tissue next; JSON values only, so that it can be stored and compared.

    Parameters
    ----------
    kind
        ``"tissue"``: its own quantiles and moments. ``"sample"``: some pixels, or how often each value occurs.
        ``"bracket"``: all around the global quantiles, and the moments. For channels that these miss: ``"digits"``, the
        next 16 bits, and ``"moments"`` under known global quantiles.
    number
        Counted from 0.
    state
        What the rounds before found.
    """

    kind: RoundKind
    number: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """What one round found of one tissue.

    Parameters
    ----------
    tissue_id
        The tissue.
    arrays
        Numbers by name.
    record
        JSON values; ``pixels`` is the number of pixels worked through.
    """

    tissue_id: str
    arrays: Mapping[str, AnyArray]
    record: Mapping[str, Any]
