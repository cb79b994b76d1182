"""Walks the tree: which datasets a lake has, with their tables and the folders of their images and masks.

A lake is a folder of datasets; a dataset is a folder that holds ``metadata/`` or a modality folder. ``scan`` walks the
folders once, opens no file, and lists everything in sorted order, so that two machines see the same lake.
"""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import DatasetNotFoundError
from spora_db.layout.lake import Dataset, ImageFolder, Lake, MaskFolder, TableFile
from spora_db.layout.listing import TISSUE, cell_mask_folders, folders_in, names_in
from spora_db.layout.names import MODALITIES, MPP_FOLDER, MULTIPLEX_MODALITIES, STATISTICS, parse_mpp

logger = logging.getLogger(__name__)

_TILE_FILE = re.compile(r"([1-9][0-9]*)_(tile_coordinates|tile_stats)\.parquet")
_STATISTICS_FILE = re.compile(r"(image|global)_level_(" + "|".join(STATISTICS) + r")\.parquet")


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
    found = tuple(_scan_dataset(folder) for folder in folders_in(path) if _is_dataset(folder))
    if not found:
        modalities = ", ".join((*(row.family or row.name for row in MODALITIES if row.is_rgb), *MULTIPLEX_MODALITIES))
        message = f"No dataset in {path}: neither it nor a folder in it holds 'metadata' or a modality ({modalities})."
        raise DatasetNotFoundError(message)
    return Lake(root=path, datasets=found)


def _mpp_folders(folder: Path) -> Iterator[tuple[float, Path]]:
    for child in folders_in(folder):
        if MPP_FOLDER.fullmatch(child.name):
            yield parse_mpp(child.name), child
        elif child.name.endswith("mpp"):
            logger.warning("Ignored %s: a resolution's folder is named like '0_5mpp'.", child)


def _modality_folders(dataset: Path) -> list[tuple[str, Path]]:
    """Return (modality, folder) for every modality with a folder, sorted by modality."""
    named = {row.name for row in MODALITIES}
    found = [(name, dataset / name) for name in names_in(dataset) if name in named and (dataset / name).is_dir()]
    for family in filter(None, (row.family for row in MODALITIES)):
        children = folders_in(dataset / family)
        found += [(child.name, child) for child in children if child.name.startswith(f"{family}_")]
    return sorted(found)


def _is_dataset(folder: Path) -> bool:
    """Tell a dataset from a lake, also from a lake whose datasets are named like modalities."""
    if (folder / "metadata").is_dir():
        return True
    return any(
        any(name.endswith("mpp") or name == "channels.parquet" for name in names_in(child))
        for _, child in _modality_folders(folder)
    )


def _scan_dataset(path: Path) -> Dataset:
    name = path.name
    modalities = _modality_folders(path)
    metadata = path / "metadata"
    tables = [
        TableFile(kind="tissues", path=metadata / "tissues.parquet", dataset=name),
        TableFile(kind="cells", path=metadata / "cells.parquet", dataset=name),
        TableFile(kind="regions", path=metadata / "regions.parquet", dataset=name),
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
    for method in folders_in(folder):
        for quantiles in folders_in(method):
            for name in names_in(quantiles):
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
        for strategy in folders_in(child):
            for name in names_in(strategy):
                if match := _TILE_FILE.fullmatch(name):
                    yield TableFile(
                        kind="tile_coordinates" if match[2] == "tile_coordinates" else "tile_stats",
                        path=strategy / name,
                        dataset=dataset,
                        mpp=mpp,
                        strategy=strategy.name,
                        tile_size=int(match[1]),
                    )
