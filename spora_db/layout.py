"""Folder names to (modality, mpp, strategy, tile size, spec) and back: the only code that knows the tree.

A lake is a folder of datasets; a dataset is a folder that holds ``metadata/`` or a modality folder. ``scan`` walks the
folders once, opens no file, and lists everything in sorted order, so that two machines see the same lake.
Images and masks, the long listings, are read by ``list_images`` and ``list_masks`` when somebody asks for them.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Literal

from spora_db.errors import ArgumentError, DatasetNotFoundError, FileFormatError, TableError

logger = logging.getLogger(__name__)

MULTIPLEX_MODALITIES = ("codex", "cycif", "imc", "mibi")
IMAGE_SUFFIXES = {".ome.zarr": "ome-zarr", ".ome.tiff": "ome-tiff", ".ome.tif": "ome-tiff"}

TableKind = Literal[
    "tissues", "cells", "channels", "panels", "tile_coordinates", "tile_stats", "statistics", "label_encoder"
]

_MPP_FOLDER = re.compile(r"([0-9]+)_([0-9]+)mpp")
_MPP_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_TILE_FILE = re.compile(r"([1-9][0-9]*)_(tile_coordinates|tile_stats)\.parquet")
_STATISTICS_FILE = re.compile(r"(image|global)_level_(upper_quantiles|lower_quantiles|means|stds)\.parquet")


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

    def tables(self, kind: TableKind) -> tuple[TableFile, ...]:
        """Return every table of one kind, in dataset order."""
        return tuple(table for dataset in self.datasets for table in dataset.tables if table.kind == kind)


def parse_mpp(value: float | int | str) -> float:
    """Read a resolution in microns per pixel: a number, ``"1.0"`` or the folder name ``"1_0mpp"``.

    Raises
    ------
    ArgumentError
        If the value is none of these, or not above zero.

    Examples
    --------
    >>> parse_mpp(1), parse_mpp("0.65"), parse_mpp("0_37744mpp")
    (1.0, 0.65, 0.37744)
    """
    number: float | None = None
    if isinstance(value, str):
        if match := _MPP_FOLDER.fullmatch(value):
            number = float(f"{match[1]}.{match[2]}")
        elif _MPP_NUMBER.fullmatch(value):
            number = float(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        number = float(str(value))  # through text: numpy.float32(0.65) means 0.65, not 0.64999998
    if number is None or not 0 < number < float("inf"):
        message = f"mpp {value!r} is not a resolution: give microns per pixel as 0.5, '0.5' or '0_5mpp'."
        raise ArgumentError(message)
    return number


def mpp_folder(mpp: float | int | str) -> str:
    """Return the folder name of a resolution.

    Examples
    --------
    >>> mpp_folder(1), mpp_folder("1.0"), mpp_folder(0.37744)
    ('1_0mpp', '1_0mpp', '0_37744mpp')
    """
    text = format(Decimal(repr(parse_mpp(mpp))), "f")
    return (text if "." in text else f"{text}.0").replace(".", "_") + "mpp"


def modality_folder(modality: str) -> str:
    """Return a modality's folder below its dataset: ``ihc_Ki67`` lies in ``ihc/ihc_Ki67``.

    Examples
    --------
    >>> modality_folder("imc"), modality_folder("ihc_Ki67")
    ('imc', 'ihc/ihc_Ki67')
    """
    if modality == "he" or modality in MULTIPLEX_MODALITIES:
        return modality
    if modality.startswith("ihc_") and len(modality) > len("ihc_"):
        return f"ihc/{check_name(modality, kind='modality')}"
    message = f"Modality {modality!r} has no folder: it must be he, ihc_<marker>, {', '.join(MULTIPLEX_MODALITIES)}."
    raise ArgumentError(message)


def check_name(name: str, *, kind: str = "tissue_id") -> str:
    """Return a name that may become a part of a path, unchanged; refuse one that would leave its folder.

    Examples
    --------
    >>> check_name("cohort_0001")
    'cohort_0001'
    >>> check_name("../../x")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: The tissue_id '../../x' is refused: it cannot name a file inside its folder...
    """
    if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
        message = (
            f"The {kind} {name!r} is refused: it cannot name a file inside its folder (no '/', '\\', leading '.')."
        )
        raise ArgumentError(message)
    return name


def image_folder(dataset: Path, modality: str, *, mpp: float | str) -> Path:
    """Return the folder of a modality's images at a resolution, whether it exists or not."""
    return dataset / modality_folder(modality) / mpp_folder(mpp) / "images"


def mask_folder(dataset: Path, kind: str, *, mpp: float | str) -> Path:
    """Return the folder of masks of a kind (``tissue``, ``instances`` or a cell task) at a resolution."""
    base = dataset / "segmentations" / mpp_folder(mpp)
    return base / "tissue_masks" if kind == "tissue" else base / "cell_masks" / check_name(kind, kind="mask kind")


def tile_file(
    dataset: Path, table: Literal["tile_coordinates", "tile_stats"], *, mpp: float | str, strategy: str, tile_size: int
) -> Path:
    """Return the path of a tiling's coordinates or report.

    Examples
    --------
    >>> tile_file(Path("cohort"), "tile_coordinates", mpp=1, strategy="default", tile_size=224).as_posix()
    'cohort/tiling/1_0mpp/default/224_tile_coordinates.parquet'
    """
    folder = dataset / "tiling" / mpp_folder(mpp) / check_name(strategy, kind="strategy")
    return folder / f"{int(tile_size)}_{table}.parquet"


def spec_folder(dataset: Path, modality: str, *, mpp: float | str, spec: str) -> Path:
    """Return the folder of a standardization spec such as ``quantile_clipping/uq_0.99_image``."""
    method, _, quantiles = spec.partition("/")
    parts = check_name(method, kind="spec"), check_name(quantiles, kind="spec")
    return dataset / modality_folder(modality) / mpp_folder(mpp) / "standardization" / parts[0] / parts[1]


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
    path = Path(os.path.abspath(given))  # noqa: PTH100  (resolve() would rename a dataset that is a symbolic link)
    if not path.is_dir():
        message = f"No folder {str(given)!r} (looked at {path}). Give a lake, or one dataset's folder."
        raise DatasetNotFoundError(message)
    if _is_dataset(path):
        return Lake(root=path.parent, datasets=(_scan_dataset(path),))
    found = tuple(_scan_dataset(folder) for folder in _folders(path) if _is_dataset(folder))
    if not found:
        modalities = ", ".join(("he", "ihc", *MULTIPLEX_MODALITIES))
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


def _mpp_folders(folder: Path) -> Iterator[tuple[float, Path]]:
    for child in _folders(folder):
        if _MPP_FOLDER.fullmatch(child.name):
            yield parse_mpp(child.name), child
        elif child.name.endswith("mpp"):
            logger.warning("Ignored %s: a resolution's folder is named like '0_5mpp'.", child)


def _modality_folders(dataset: Path) -> list[tuple[str, Path]]:
    """Return (modality, folder) for every modality with a folder, sorted by modality."""
    plain = [(name, dataset / name) for name in _names(dataset) if name == "he" or name in MULTIPLEX_MODALITIES]
    ihc = [(child.name, child) for child in _folders(dataset / "ihc") if child.name.startswith("ihc_")]
    return sorted((name, folder) for name, folder in plain + ihc if folder.is_dir())


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
            masks.append(MaskFolder(path=child / "tissue_masks", dataset=name, mpp=mpp, kind="tissue"))
        for task in _folders(child / "cell_masks"):
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
