"""What a lake holds, as values: its datasets, their tables, and the folders of their images and masks."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spora_db.errors import unknown
from spora_db.layout.layers import layer_name, locate
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
    "features",
    "own",
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
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """One folder of images: those of a dataset, a modality and a resolution (microns per pixel).

    What a folder of `above`, the same one in a later layer, has too is not seen here.
    """

    path: Path
    dataset: str
    modality: str
    mpp: float
    above: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFolder:
    """One folder of masks; ``kind`` is ``tissue``, ``instances`` or the name of a cell task; `above` as of images."""

    path: Path
    dataset: str
    mpp: float
    kind: str
    above: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFolder:
    """One folder of features: those of a dataset and a name, in the last layer that has them; never of several."""

    path: Path
    dataset: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One cohort's folder: its tables, and where its images and masks lie.

    `path` is where files of it are written: its folder in the last layer, there or not; `paths` are those that are
    there, one per layer that has it.
    """

    name: str
    path: Path
    paths: tuple[Path, ...]
    modalities: tuple[str, ...]
    tables: tuple[TableFile, ...]
    image_folders: tuple[ImageFolder, ...]
    mask_folders: tuple[MaskFolder, ...]
    feature_folders: tuple[FeatureFolder, ...] = ()

    def seen(self, path: Path) -> Path:
        """Return where a file lies that would be written to `path`, below the dataset's: in the last layer with it."""
        below = path.relative_to(self.path)
        return next((folder / below for folder in reversed(self.paths) if (folder / below).exists()), path)

    @property
    def mpps(self) -> tuple[float, ...]:
        """Resolutions that have images, in microns per pixel, ascending."""
        return tuple(sorted({folder.mpp for folder in self.image_folders}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """All datasets below the folders of a lake, its layers, sorted by name; paths given to users are relative to them.

    `path` is the lake as one path, as `lake_path` makes it; `own_tables` are the users' tables that lie beside the
    datasets and are of all of them; `alone` tells that one dataset's folder was opened, others may lie beside it.
    """

    path: Path
    roots: tuple[Path, ...]
    datasets: tuple[Dataset, ...]
    own_tables: tuple[TableFile, ...] = ()
    alone: bool = False

    @property
    def name(self) -> str:
        """The lake as users call it: its folder, its address, or those of its layers."""
        return os.pathsep.join(map(layer_name, self.roots))

    def root_of(self, path: Path) -> Path:
        """Return the layer that a file lies in: the innermost, should one lie in another."""
        return max((root for root in self.roots if path.is_relative_to(root)), key=lambda root: len(root.parts))

    def relative(self, path: Path) -> str:
        """Return the path of a file as users see it: relative to its layer, with ``/``."""
        return path.relative_to(self.root_of(path)).as_posix()

    def layers_of(self, paths: Iterable[Path]) -> str | None:
        """Return the layers that files lie in, as text; None where there is no file."""
        found = set(map(self.root_of, paths))
        return ", ".join(layer_name(root) for root in self.roots if root in found) or None

    def locate(self, path: str | Path) -> Path:
        """Return where a file lies that `relative` names."""
        return locate(self.path, path)

    def chosen(self, dataset: str | None) -> tuple[Dataset, ...]:
        """Return the dataset that is asked for by name, or all.

        Raises
        ------
        UnknownNameError
            If there is no such dataset.
        """
        names = [item.name for item in self.datasets]
        if dataset is not None and dataset not in names:
            raise unknown("dataset", dataset, names, where=f"lake {str(self.path)!r}")
        return tuple(item for item in self.datasets if dataset in (None, item.name))

    def unmeasured(self) -> tuple[tuple[TableFile, Path], ...]:
        """Return the panels without a table of what was measured, each with the path that this table would have."""
        have = {(table.dataset, table.modality) for table in self.tables("panels")}
        return tuple(
            (table, table.path.with_name("channels_per_tissue.parquet"))
            for table in self.tables("channels")
            if (table.dataset, table.modality) not in have and not is_rgb(table.modality or "")
        )

    @property
    def table_files(self) -> tuple[TableFile, ...]:
        """Every table, in dataset order."""
        return (*(table for dataset in self.datasets for table in dataset.tables), *self.own_tables)

    def tables(self, kind: TableKind) -> tuple[TableFile, ...]:
        """Return every table of one kind, in dataset order."""
        return tuple(table for table in self.table_files if table.kind == kind)
