"""The choices of an import, and what it says in the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from spora_db.errors import ArgumentError
from spora_db.images.base import ChannelAxis, MissingChunks

ImageChoice: TypeAlias = Literal["link", "copy", "zarr", "tiff"]
TissueMaskChoice: TypeAlias = Literal["otsu", "full"]
Match: TypeAlias = Literal["auto", "name", "order"]
Missing: TypeAlias = Literal["error", "unmeasured"]
CHOICES: Mapping[str, Any] = {
    "images": ImageChoice,
    "tissue_mask": TissueMaskChoice,
    "match": Match,
    "missing": Missing,
    "missing_chunks": MissingChunks,
    "channel_axis": ChannelAxis,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import wrote.

    Attributes
    ----------
    path
        The dataset's folder.
    tissues
        Its tissue ids, sorted.
    channels
        The names of its panel, in panel order; empty for RGB.
    notes
        What was decided or left out, a sentence each.
    """

    path: Path
    tissues: tuple[str, ...]
    channels: tuple[str, ...]
    notes: tuple[str, ...]


def check_choice(name: str, value: str) -> None:
    """Refuse a value that is none of an option's choices.

    Raises
    ------
    ArgumentError
        The message lists the choices.

    Examples
    --------
    >>> check_choice("match", "auto")
    """
    choices = get_args(CHOICES[name])
    if value not in choices:
        hint = " Give masks of your own as masks=<folder>." if name == "tissue_mask" else ""
        raise ArgumentError(f"{name} is {value!r}; expected one of {', '.join(choices)}.{hint}")
