"""The choices of an import, and what it says in the end."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from spora_db.errors import ArgumentError
from spora_db.images.base import ChannelAxis, MissingChunks
from spora_db.importing.decisions import Decisions
from spora_db.layout import beneath, layers
from spora_db.layout.layers import present

ImageChoice: TypeAlias = Literal["link", "copy", "zarr", "tiff"]
SourceMpp: TypeAlias = float | Literal["file"] | None
TissueMaskChoice: TypeAlias = Literal["tissue", "otsu", "full"]
Match: TypeAlias = Literal["auto", "name", "order"]
Missing: TypeAlias = Literal["error", "unmeasured"]
AccessionChoice: TypeAlias = Literal["table", "off"]
CHOICES: Mapping[str, Any] = {
    "images": ImageChoice,
    "tissue_mask": TissueMaskChoice,
    "match": Match,
    "missing": Missing,
    "accessions": AccessionChoice,
    "missing_chunks": MissingChunks,
    "channel_axis": ChannelAxis,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What was asked of an import, checked and with paths as paths; see :func:`spora_db.importing.import_dataset`.

    Without a source, `modality` and `mpp` may be empty and 0: of whichever images the dataset has.
    """

    source: Path | None
    into: Path
    dataset: str
    modality: str
    mpp: float
    source_mpp: SourceMpp
    panel: Path | None
    pattern: str | None
    metadata: tuple[Path, ...]
    id_column: str | None
    masks: Path | None
    tissue_mask: TissueMaskChoice
    cell_masks: Path | None
    cells: tuple[Path, ...]
    annotations: Path | None
    images: ImageChoice
    match: Match
    missing: Missing
    accessions: AccessionChoice
    missing_chunks: MissingChunks
    channel_axis: ChannelAxis
    overwrite: bool
    add: bool

    @property
    def target(self) -> Path:
        """The folder of the new dataset: in the last layer of the lake."""
        return layers(self.into)[-1] / self.dataset

    @property
    def there(self) -> Path:
        """The folders that a dataset of this name has in the layers, as one path; that of the new one where none is."""
        found = present(beneath(self.into, self.dataset))
        return found if layers(found)[0].is_dir() else self.target

    def to_record(self) -> dict[str, Any]:
        """Return them for ``metadata/import.json``: names of files without the folders of this machine."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {name: [path.name for path in values[name]] for name in ("metadata", "cells")}
        values |= {name: values[name] or None for name in ("modality", "mpp")}
        return {name: value.name if isinstance(value, Path) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import wrote, or would write.

    Attributes
    ----------
    path
        The dataset's folder.
    tissues
        Its tissue ids, sorted.
    channels
        The names of its panel, in panel order; empty for RGB.
    decisions
        What was decided or left out; the dataset keeps it as ``metadata/import.json``.
    written
        False after a dry run.
    """

    path: Path
    tissues: tuple[str, ...]
    channels: tuple[str, ...]
    decisions: Decisions
    written: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided, a sentence each."""
        return tuple(row.says for row in self.decisions.rows)


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
