"""Walks the tree: which datasets a lake has, with their tables and the folders of their images and masks.

A lake is a folder of datasets; a dataset is a folder that holds ``metadata/`` or a modality folder. ``scan`` walks the
folders once, opens no file, and lists everything in sorted order, so that two machines see the same lake.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spora_db.errors import DatasetNotFoundError, did_you_mean
from spora_db.layout.lake import Dataset, FeatureFolder, ImageFolder, Lake, MaskFolder, TableFile
from spora_db.layout.layers import LakePath, lake_path, layer_name, layers, refresh
from spora_db.layout.listing import NOT_A_CELL_TASK, TISSUE, is_cell_mask, names_in
from spora_db.layout.names import (
    FEATURE_PART,
    FEATURES_FILE,
    MODALITIES,
    MPP_FOLDER,
    MULTIPLEX_MODALITIES,
    STATISTICS,
    parse_mpp,
)

logger = logging.getLogger(__name__)

_TILE_FILE = re.compile(r"([1-9][0-9]*)_(tile_coordinates|tile_stats)\.parquet")
_STATISTICS_FILE = re.compile(r"(image|global)_level_(" + "|".join(STATISTICS) + r")\.parquet")


@dataclass(frozen=True, slots=True)
class _Union:
    """A folder as all layers together have it; `parts` are its paths in them, the last layer's last."""

    parts: tuple[Path, ...]

    def __truediv__(self, name: str) -> "_Union":
        return _Union(tuple(part / name for part in self.parts))

    @property
    def name(self) -> str:
        return self.parts[-1].name

    @property
    def there(self) -> tuple[Path, ...]:
        """Its paths that are folders."""
        return tuple(part for part in self.parts if part.is_dir())

    @property
    def file(self) -> Path:
        """The file that is seen: the last layer's that has one; a dangling link counts, as an error for later."""
        return next((part for part in reversed(self.parts) if os.path.lexists(part)), self.parts[-1])

    def names(self) -> list[str]:
        return sorted({name for part in self.parts for name in names_in(part)})

    def folders(self) -> "list[_Union]":
        return [child for child in map(self.__truediv__, self.names()) if child.there]


def scan(lake: LakePath, *, listed: bool = False) -> Lake:
    """List the datasets of a lake, or the one dataset whose folder is given, with all their tables.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder (it holds ``metadata/`` or a modality's folder); or several, its layers, as a
        list or a text with their folders separated as ``PATH`` is. Symbolic links are followed.
    listed
        Whether remote layers are listed now, whatever their manifests say.

    Raises
    ------
    DatasetNotFoundError
        If a folder does not exist, or there is no dataset.

    Examples
    --------
    >>> scan("no/such/folder")
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: No folder 'no/such/folder' ...
    """
    given = layers(lake_path(lake))
    roots = tuple(map(_absolute, given))
    refresh(roots, listed=listed)
    for text, path in zip(given, roots, strict=True):
        if not path.is_dir():
            found = f"No folder {str(text)!r} (looked at {path}{', a file' if path.exists() else ''})."
            raise DatasetNotFoundError(f"{found}{_near(path)} Give a lake, or one dataset's folder.")
    alone = {path.name for path in roots if _is_dataset(_Union((path,)))}
    if alone:
        roots = tuple(path.parent if _is_part(path, alone) else path for path in roots)
    whole = _Union(roots)
    datasets = tuple(
        _scan_dataset(folder)
        for folder in whole.folders()
        if (not alone or folder.name in alone) and _is_dataset(folder)
    )
    path = lake_path([layer_name(root) for root in roots])
    if not datasets:
        modalities = ", ".join((*(row.family or row.name for row in MODALITIES if row.is_rgb), *MULTIPLEX_MODALITIES))
        message = f"No dataset in {path}: neither it nor a folder in it holds 'metadata' or a modality ({modalities})."
        around = [each for each in roots[0].parents if _is_dataset(_Union((each,)))]
        raise DatasetNotFoundError(message + (f" It lies in the dataset {around[0]}: give that." if around else ""))
    own = tuple(_own_tables(whole / "tables", ""))
    return Lake(path=path, roots=roots, datasets=datasets, own_tables=own, alone=bool(alone))


def _near(absent: Path) -> str:
    """Ask after the folders beside an absent one whose names are nearly its own."""
    try:
        beside = [each.name for each in absent.parent.iterdir() if each.is_dir()]
    except OSError:  # no folder, or one that may not be read
        return ""
    return did_you_mean(absent.name, beside)


def _is_part(path: Path, names: set[str]) -> bool:
    """Tell whether a layer is a folder of the one dataset that others are, as tables or features alone may be."""
    return _is_dataset(_Union((path,))) or (path.name in names and not (path / path.name).is_dir())


def _absolute(given: Path) -> Path:
    """Return an absolute path; a dataset may be a symbolic link, which keeps its name."""
    return given.resolve() if ".." in given.parts else given.absolute()


def _mpp_folders(folder: _Union) -> Iterator[tuple[float, _Union]]:
    for child in folder.folders():
        if MPP_FOLDER.fullmatch(child.name):
            yield parse_mpp(child.name), child
        elif child.name.endswith("mpp"):
            logger.warning("Ignored %s: a resolution's folder is named like '0_5mpp'.", child.there[-1])


def _modality_folders(dataset: _Union) -> list[tuple[str, _Union]]:
    """Return (modality, folder) for every modality with a folder, sorted by modality."""
    named = {row.name for row in MODALITIES}
    found = [(child.name, child) for child in dataset.folders() if child.name in named]
    for family in filter(None, (row.family for row in MODALITIES)):
        children = (dataset / family).folders()
        found += [(child.name, child) for child in children if child.name.startswith(f"{family}_")]
    return sorted(found, key=lambda item: item[0])


def _is_dataset(folder: _Union) -> bool:
    """Tell a dataset from a lake, also from a lake whose datasets are named like modalities.

    Of a layer that stands alone tilings or masks are enough.
    """
    if (folder / "metadata").there:
        return True
    made = [folder / "tiling", folder / "segmentations"]
    return any(any(name.endswith("mpp") for name in child.names()) for child in made) or any(
        any(name.endswith("mpp") or name == "channels.parquet" for name in child.names())
        for _, child in _modality_folders(folder)
    )


def _scan_dataset(folder: _Union) -> Dataset:
    name = folder.name
    modalities = _modality_folders(folder)
    metadata = folder / "metadata"
    tables = [
        TableFile(kind="tissues", path=(metadata / "tissues.parquet").file, dataset=name),
        TableFile(kind="cells", path=(metadata / "cells.parquet").file, dataset=name),
        TableFile(kind="regions", path=(metadata / "regions.parquet").file, dataset=name),
    ]
    images: list[ImageFolder] = []
    masks: list[MaskFolder] = []
    for modality, inner in modalities:
        panel = (inner / "channels.parquet").file
        measured = (inner / "channels_per_tissue.parquet").file
        tables.append(TableFile(kind="channels", path=panel, dataset=name, modality=modality))
        tables.append(TableFile(kind="panels", path=measured, dataset=name, modality=modality))
        for mpp, child in _mpp_folders(inner):
            for path, above in _stacked(child / "images"):
                images.append(ImageFolder(path=path, dataset=name, modality=modality, mpp=mpp, above=above))
            tables.extend(_statistics(child / "standardization", name, modality, mpp))
    for mpp, child in _mpp_folders(folder / "segmentations"):
        for path, above in _stacked(child / "tissue_masks"):
            masks.append(MaskFolder(path=path, dataset=name, mpp=mpp, kind=TISSUE, above=above))
        for task in (child / "cell_masks").folders():
            if not is_cell_mask(task.name):
                logger.warning(NOT_A_CELL_TASK, task.there[-1])
                continue
            for path, above in _stacked(task):
                masks.append(MaskFolder(path=path, dataset=name, mpp=mpp, kind=task.name, above=above))
            encoder = (task / "label_encoder.parquet").file
            tables.append(TableFile(kind="label_encoder", path=encoder, dataset=name, mpp=mpp, task=task.name))
    tables.extend(_tilings(folder / "tiling", name))
    tables.extend(_own_tables(folder / "tables", name))
    features = tuple(_feature_folders(folder / "features", name))
    tables.extend(part for found in features for part in _feature_parts(found))
    return Dataset(
        name=name,
        path=folder.parts[-1],
        paths=folder.there,
        modalities=tuple(modality for modality, _ in modalities),
        tables=tuple(table for table in tables if os.path.lexists(table.path)),  # a dangling link is an error, later
        image_folders=tuple(images),
        mask_folders=tuple(masks),
        feature_folders=features,
    )


def _stacked(folder: _Union) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield a folder in every layer that has it, with the same one in the layers above."""
    there = folder.there
    for number, path in enumerate(there):
        yield path, there[number + 1 :]


def _statistics(folder: _Union, dataset: str, modality: str, mpp: float) -> Iterator[TableFile]:
    for method in folder.folders():
        for quantiles in method.folders():
            for name in quantiles.names():
                if match := _STATISTICS_FILE.fullmatch(name):
                    yield TableFile(
                        kind="statistics",
                        path=(quantiles / name).file,
                        dataset=dataset,
                        modality=modality,
                        mpp=mpp,
                        spec=f"{method.name}/{quantiles.name}",
                        level=match[1],
                        statistic=match[2],
                    )


def _tilings(folder: _Union, dataset: str) -> Iterator[TableFile]:
    for mpp, child in _mpp_folders(folder):
        for strategy in child.folders():
            for name in strategy.names():
                if match := _TILE_FILE.fullmatch(name):
                    yield TableFile(
                        kind="tile_coordinates" if match[2] == "tile_coordinates" else "tile_stats",
                        path=(strategy / name).file,
                        dataset=dataset,
                        mpp=mpp,
                        strategy=strategy.name,
                        tile_size=int(match[1]),
                    )


def _own_tables(folder: _Union, dataset: str) -> Iterator[TableFile]:
    for name in folder.names():
        if name.endswith(".parquet"):
            yield TableFile(kind="own", path=(folder / name).file, dataset=dataset, name=name.removesuffix(".parquet"))


def _feature_folders(folder: _Union, dataset: str) -> Iterator[FeatureFolder]:
    """Yield each feature set where the last layer has it: parts of two layers are not of one set."""
    for child in folder.folders():
        described = [path for path in child.there if (path / FEATURES_FILE).is_file()]
        if described:
            yield FeatureFolder(path=described[-1], dataset=dataset, name=child.name)
        else:
            logger.warning("Ignored %s: a feature set has a %s.", child.there[-1], FEATURES_FILE)


def _feature_parts(folder: FeatureFolder) -> Iterator[TableFile]:
    for name in names_in(folder.path):
        if FEATURE_PART.fullmatch(name):
            yield TableFile(kind="features", path=folder.path / name, dataset=folder.dataset, name=folder.name)
