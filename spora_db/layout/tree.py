"""What a lake holds: its datasets, their tables, and where their images and masks lie.

A lake is a folder of datasets; a dataset is a folder that holds ``metadata/`` or a modality folder. ``scan`` walks the
folders once, opens no file, and lists everything in sorted order, so that two machines see the same lake.
Images and masks, the long listings, are read by ``list_images`` and ``list_masks`` when somebody asks for them.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spora_db.errors import DatasetNotFoundError, FileFormatError, TableError, unknown
from spora_db.layout.names import (
    IMAGE_SUFFIXES,
    MODALITIES,
    MPP_FOLDER,
    MULTIPLEX_MODALITIES,
    STATISTICS,
    is_rgb,
    parse_mpp,
)

logger = logging.getLogger(__name__)

TableKind = Literal[
    "tissues", "cells", "channels", "panels", "tile_coordinates", "tile_stats", "statistics", "label_encoder"
]

TISSUE = "tissue"
"""The kind of the masks that say where the tissue is; all other kinds are folders of ``cell_masks``."""
INSTANCES = ("instances", "instances_virtues")
"""Folders of ``cell_masks`` that number cells; all others are tasks, which number classes."""
_TILE_FILE = re.compile(r"([1-9][0-9]*)_(tile_coordinates|tile_stats)\.parquet")
_STATISTICS_FILE = re.compile(r"(image|global)_level_(" + "|".join(STATISTICS) + r")\.parquet")


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


def scan(lake: str | os.PathLike[str]) -> Lake:
    """List the datasets of a lake, or the one dataset whose folder is given, with all their tables.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder (it holds ``metadata/`` or a modality's folder). Symbolic links are followed.

    Raises
    ------
    DatasetNotFoundError
        If the folder does not exist or holds no dataset.

    Examples
    --------
    >>> scan("no/such/folder")
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: No folder 'no/such/folder' ...
    """
    given = Path(lake).expanduser()
    path = (
        given.resolve() if ".." in given.parts else given.absolute()
    )  # a dataset may be a symbolic link: keep its name
    if not path.is_dir():
        message = f"No folder {str(given)!r} (looked at {path}). Give a lake, or one dataset's folder."
        raise DatasetNotFoundError(message)
    if _is_dataset(path):
        return Lake(root=path.parent, datasets=(_scan_dataset(path),))
    found = tuple(_scan_dataset(folder) for folder in _folders(path) if _is_dataset(folder))
    if not found:
        modalities = ", ".join((*(row.family or row.name for row in MODALITIES if row.is_rgb), *MULTIPLEX_MODALITIES))
        message = f"No dataset in {path}: neither it nor a folder in it holds 'metadata' or a modality ({modalities})."
        raise DatasetNotFoundError(message)
    return Lake(root=path, datasets=found)


def list_images(folder: ImageFolder) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (suffix, format, sorted tissue ids) for each image suffix in one folder, from one listing of it."""
    names = _names(folder.path)
    seen: set[str] = set()
    for suffix, image_format in IMAGE_SUFFIXES.items():
        ids = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
        if twice := seen.intersection(ids):
            message = f"{folder.path} holds several images of tissue {min(twice)!r}; keep one of its files."
            raise TableError(message)
        seen.update(ids)
        if ids:
            yield suffix, image_format, ids


def list_masks(folder: MaskFolder) -> list[str]:
    """Return the sorted tissue ids that have a mask (``<tissue_id>.npz``) in one folder."""
    return [name.removesuffix(".npz") for name in _names(folder.path) if name.endswith(".npz")]


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; hidden ones are left out, an absent folder is empty."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        message = f"{folder} holds a file whose name is not UTF-8 text; rename it."
        raise FileFormatError(message) from error
    return names


def _folders(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder, sorted, symbolic links followed."""
    return [folder / name for name in _names(folder) if (folder / name).is_dir()]


def cell_mask_folders(folder: Path) -> list[Path]:
    """Return the folders of cell masks below ``cell_masks``, sorted: ``instances``, and one per cell task.

    What `is_cell_mask` refuses is no kind of mask: it is passed over, with a warning.
    """
    found = _folders(folder)
    for task in found:
        if not is_cell_mask(task.name):
            logger.warning("Ignored %s: no cell task can have this name. Rename the folder.", task)
    return [task for task in found if is_cell_mask(task.name)]


def is_cell_mask(name: str) -> bool:
    r"""Tell whether a folder of cell masks can be told from all others by its name.

    Masks of kind ``tissue`` are those of ``tissue_masks``, and a name must be one that `check_name` lets stand in a
    path.

    Examples
    --------
    >>> is_cell_mask("cell_type"), is_cell_mask("tissue"), is_cell_mask("a\\b")
    (True, False, False)
    """
    return name != TISSUE and "\\" not in name


def _mpp_folders(folder: Path) -> Iterator[tuple[float, Path]]:
    for child in _folders(folder):
        if MPP_FOLDER.fullmatch(child.name):
            yield parse_mpp(child.name), child
        elif child.name.endswith("mpp"):
            logger.warning("Ignored %s: a resolution's folder is named like '0_5mpp'.", child)


def _modality_folders(dataset: Path) -> list[tuple[str, Path]]:
    """Return (modality, folder) for every modality with a folder, sorted by modality."""
    named = {row.name for row in MODALITIES}
    found = [(name, dataset / name) for name in _names(dataset) if name in named and (dataset / name).is_dir()]
    for family in filter(None, (row.family for row in MODALITIES)):
        children = _folders(dataset / family)
        found += [(child.name, child) for child in children if child.name.startswith(f"{family}_")]
    return sorted(found)


def _is_dataset(folder: Path) -> bool:
    """Tell a dataset from a lake, also from a lake whose datasets are named like modalities."""
    if (folder / "metadata").is_dir():
        return True
    return any(
        any(name.endswith("mpp") or name == "channels.parquet" for name in _names(child))
        for _, child in _modality_folders(folder)
    )


def _scan_dataset(path: Path) -> Dataset:
    name = path.name
    modalities = _modality_folders(path)
    metadata = path / "metadata"
    tables = [
        TableFile(kind="tissues", path=metadata / "tissues.parquet", dataset=name),
        TableFile(kind="cells", path=metadata / "cells.parquet", dataset=name),
    ]
    images: list[ImageFolder] = []
    masks: list[MaskFolder] = []
    for modality, folder in modalities:
        panel = folder / "channels.parquet"
        measured = folder / "channels_per_tissue.parquet"
        tables.append(TableFile(kind="channels", path=panel, dataset=name, modality=modality))
        tables.append(TableFile(kind="panels", path=measured, dataset=name, modality=modality))
        for mpp, child in _mpp_folders(folder):
            if (child / "images").is_dir():
                images.append(ImageFolder(path=child / "images", dataset=name, modality=modality, mpp=mpp))
            tables.extend(_statistics(child / "standardization", name, modality, mpp))
    for mpp, child in _mpp_folders(path / "segmentations"):
        if (child / "tissue_masks").is_dir():
            masks.append(MaskFolder(path=child / "tissue_masks", dataset=name, mpp=mpp, kind=TISSUE))
        for task in cell_mask_folders(child / "cell_masks"):
            masks.append(MaskFolder(path=task, dataset=name, mpp=mpp, kind=task.name))
            encoder = task / "label_encoder.parquet"
            tables.append(TableFile(kind="label_encoder", path=encoder, dataset=name, mpp=mpp, task=task.name))
    tables.extend(_tilings(path / "tiling", name))
    return Dataset(
        name=name,
        path=path,
        modalities=tuple(modality for modality, _ in modalities),
        tables=tuple(table for table in tables if os.path.lexists(table.path)),  # a dangling link is an error, later
        image_folders=tuple(images),
        mask_folders=tuple(masks),
    )


def _statistics(folder: Path, dataset: str, modality: str, mpp: float) -> Iterator[TableFile]:
    for method in _folders(folder):
        for quantiles in _folders(method):
            for name in _names(quantiles):
                if match := _STATISTICS_FILE.fullmatch(name):
                    yield TableFile(
                        kind="statistics",
                        path=quantiles / name,
                        dataset=dataset,
                        modality=modality,
                        mpp=mpp,
                        spec=f"{method.name}/{quantiles.name}",
                        level=match[1],
                        statistic=match[2],
                    )


def _tilings(folder: Path, dataset: str) -> Iterator[TableFile]:
    for mpp, child in _mpp_folders(folder):
        for strategy in _folders(child):
            for name in _names(strategy):
                if match := _TILE_FILE.fullmatch(name):
                    yield TableFile(
                        kind="tile_coordinates" if match[2] == "tile_coordinates" else "tile_stats",
                        path=strategy / name,
                        dataset=dataset,
                        mpp=mpp,
                        strategy=strategy.name,
                        tile_size=int(match[1]),
                    )
