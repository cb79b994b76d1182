"""What a lake holds, as values: its datasets, their tables, and the folders of their images and masks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spora_db.errors import unknown
from spora_db.layout.names import is_rgb

TableKind = Literal[
    "tissues",
    "cells",
    "regions",
    "channels",
    "panels",
    "tile_coordinates",
    "tile_stats",
    "statistics",
    "label_encoder",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """One parquet file and what its place in the tree says about its rows (None where the place says nothing)."""

    kind: TableKind
    path: Path
    dataset: str
    modality: str | None = None
    mpp: float | None = None
    strategy: str | None = None
    tile_size: int | None = None
    spec: str | None = None
    level: str | None = None
    statistic: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """One folder of images: those of a dataset, a modality and a resolution (microns per pixel)."""

    path: Path
    dataset: str
    modality: str
    mpp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFolder:
    """One folder of masks; ``kind`` is ``tissue``, ``instances`` or the name of a cell task."""

    path: Path
    dataset: str
    mpp: float
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One cohort's folder: its tables, and where its images and masks lie."""

    name: str
    path: Path
    modalities: tuple[str, ...]
    tables: tuple[TableFile, ...]
    image_folders: tuple[ImageFolder, ...]
    mask_folders: tuple[MaskFolder, ...]

    @property
    def mpps(self) -> tuple[float, ...]:
        """Resolutions that have images, in microns per pixel, ascending."""
        return tuple(sorted({folder.mpp for folder in self.image_folders}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """All datasets below ``root``, sorted by name; paths given to users are relative to ``root``."""

    root: Path
    datasets: tuple[Dataset, ...]

    def chosen(self, dataset: str | None) -> tuple[Dataset, ...]:
        """Return the dataset that is asked for by name, or all.

        Raises
        ------
        UnknownNameError
            If there is no such dataset.
        """
        names = [item.name for item in self.datasets]
        if dataset is not None and dataset not in names:
            raise unknown("dataset", dataset, names, where=f"lake {str(self.root)!r}")
        return tuple(item for item in self.datasets if dataset in (None, item.name))

    def unmeasured(self) -> tuple[tuple[TableFile, Path], ...]:
        """Return the panels without a table of what was measured, each with the path that this table would have."""
        have = {(table.dataset, table.modality) for table in self.tables("panels")}
        return tuple(
            (table, table.path.with_name("channels_per_tissue.parquet"))
            for table in self.tables("channels")
            if (table.dataset, table.modality) not in have and not is_rgb(table.modality or "")
        )

    def tables(self, kind: TableKind) -> tuple[TableFile, ...]:
        """Return every table of one kind, in dataset order."""
        return tuple(table for dataset in self.datasets for table in dataset.tables if table.kind == kind)
