"""Rules about files and folders: what is there, what it is called, what is absent. Opens small files only."""

import os
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spora_db.errors import ArgumentError
from spora_db.layout import (
    FAILED_FILE,
    FEATURE_PART,
    FEATURES_FILE,
    IMAGE_SUFFIXES,
    MODALITIES,
    Dataset,
    Modality,
    mpp_folder,
    parse_mpp,
)
from spora_db.validation.findings import Finding
from spora_db.validation.rules import broken

POINTER_BYTES: Final = 1024
_CARD = r"(README|LICENSE|CITATION|CHANGELOG)(\..*)?|.*\.(md|txt|json|ya?ml)"
_NAME = r"[^.].*"


@dataclass(frozen=True, slots=True)
class _Folder:
    """What may be in a folder: names of files and of folders as patterns; images or masks, which are listed apart."""

    files: str = ""
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    mpps: "_Folder | None" = None
    holds: str = ""


_IMAGES = _Folder(folders={"images": _Folder(holds="images")})
_STATISTICS = _Folder(files=r"(image|global)_level_(upper_quantiles|lower_quantiles|means|stds)\.parquet")
_MULTIPLEX = _Folder(
    files=r"channels(_per_tissue)?\.parquet",
    mpps=_Folder(
        folders={
            **_IMAGES.folders,
            "standardization": _Folder(folders={_NAME: _Folder(folders={"uq_.*": _STATISTICS})}),
        }
    ),
)


def _modality(row: Modality) -> _Folder:
    folder = _Folder(mpps=_IMAGES) if row.is_rgb else _MULTIPLEX
    return _Folder(folders={f"{row.family}_.+": folder}) if row.family else folder


_CELL_MASKS = _Folder(folders={_NAME: _Folder(files=r"label_encoder\.parquet", holds="masks")})
_TILES = _Folder(files=r"[1-9][0-9]*_tile_(coordinates|stats)\.parquet")
_TABLES = _Folder(files=rf".*\.parquet|{_CARD}")
_FEATURES = _Folder(files="|".join((FEATURE_PART.pattern, re.escape(FEATURES_FILE), re.escape(FAILED_FILE))))
_DATASET = _Folder(
    files=_CARD,
    folders={
        "metadata": _Folder(files=rf"(tissues|cells|regions)\.parquet|{_CARD}"),
        **{row.family or row.name: _modality(row) for row in MODALITIES},
        "segmentations": _Folder(
            mpps=_Folder(folders={"tissue_masks": _Folder(holds="masks"), "cell_masks": _CELL_MASKS})
        ),
        "tiling": _Folder(mpps=_Folder(folders={_NAME: _TILES})),
        "tables": _TABLES,
        "features": _Folder(folders={_NAME: _FEATURES}),
    },
)


def check_lake_folder(root: Path, datasets: Set[str]) -> Iterator[Finding]:
    """Yield what is in a lake besides the named datasets, and datasets whose names are easily mistaken."""
    with os.scandir(root) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries)
    yield from _case([name for name, _ in found], "", "")
    for name, is_folder in found:
        if name.startswith("."):
            yield from _left_over(name, "", name)
        elif is_folder and name == "tables" and name not in datasets:
            yield from _walk(root / name, _TABLES, "", name)
        elif is_folder and name not in datasets:
            reason = "The folder is no dataset: it holds neither 'metadata' nor a modality with data."
            yield broken("unknown_folders", reason, dataset="", file=name)


def check_folders(dataset: Dataset) -> Iterator[Finding]:
    """Yield what is wrong with the files and folders of a dataset, from one listing of each folder."""
    for path in dataset.paths:
        yield from _walk(path, _DATASET, dataset.name, dataset.name)


def _walk(folder: Path, expected: _Folder, dataset: str, place: str) -> Iterator[Finding]:
    """Compare a folder with what the layout knows, and go down into the folders that it knows."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield broken("folder_names", f"The folder cannot be listed: {error.strerror}.", dataset=dataset, file=place)
        return
    found = [entry for entry in listed if is_text(entry.name)]
    for odd in (os.fsencode(entry.name) for entry in listed if not is_text(entry.name)):
        yield broken("folder_names", f"The name {odd!r} is no text in UTF-8.", dataset=dataset, file=place)
    yield from _case([entry.name for entry in found], dataset, place)
    known = expected.mpps.folders if expected.mpps else {}
    for entry in found:
        file = f"{place}/{entry.name}"
        if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110  (50,000 images)
            yield broken("dangling_links", f"It leads to {os.readlink(entry.path)}.", dataset=dataset, file=file)  # noqa: PTH115
        elif entry.name.startswith("."):
            yield from _left_over(entry.name, dataset, file)
        elif expected.holds == "images":
            yield from _image(entry, dataset, file)
        elif not entry.is_dir():
            if expected.holds == "masks" and not re.fullmatch(expected.files or "$^", entry.name):
                yield from _mask(entry, dataset, file)
            elif not re.fullmatch(expected.files or "$^", entry.name):
                yield broken("unknown_files", "The layout has no such file here.", dataset=dataset, file=file)
        elif expected.mpps is not None and entry.name.endswith("mpp"):
            yield from _resolution(entry.name, dataset, file)
            yield from _walk(Path(entry.path), expected.mpps, dataset, file)
        else:
            below = next((sub for name, sub in expected.folders.items() if re.fullmatch(name, entry.name)), None)
            if below is not None:
                yield from _walk(Path(entry.path), below, dataset, file)
            else:
                hint = " It belongs below a folder of a resolution." if entry.name in known else ""
                reason = f"The layout has no such folder here.{hint}"
                yield broken("unknown_folders", reason, dataset=dataset, file=file)


def is_text(name: str) -> bool:
    """Tell whether the name of a file is text in UTF-8.

    Examples
    --------
    >>> is_text("a.npz"), is_text(os.fsdecode(bytes([255])))
    (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _case(names: list[str], dataset: str, place: str) -> Iterator[Finding]:
    """Yield names that differ in case only."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            reason = f"{first!r} and {name!r} differ in upper and lower case only."
            yield broken("file_case", reason, dataset=dataset, file=place)


def _left_over(name: str, dataset: str, file: str) -> Iterator[Finding]:
    if name.endswith(".tmp"):
        yield broken("left_over", "It looks like a file that an interrupted run left.", dataset=dataset, file=file)


def _resolution(name: str, dataset: str, file: str) -> Iterator[Finding]:
    try:
        right = mpp_folder(parse_mpp(name))
    except ArgumentError as error:
        yield broken("mpp_folders", str(error), dataset=dataset, file=file)
        return
    if right != name:
        reason = f"The folder of this resolution is called {right}."
        yield broken("mpp_folders", reason, dataset=dataset, file=file)


def _image(entry: os.DirEntry[str], dataset: str, file: str) -> Iterator[Finding]:
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if entry.name.endswith(suffix)), None)
    if suffix is None:
        yield broken("image_names", "It is called neither .ome.zarr nor .ome.tiff.", dataset=dataset, file=file)
    elif not entry.is_dir():
        yield from _small(entry, dataset, file)


def _mask(entry: os.DirEntry[str], dataset: str, file: str) -> Iterator[Finding]:
    if not entry.name.endswith(".npz"):
        yield broken("mask_names", "It is no .npz file.", dataset=dataset, file=file)
    else:
        yield from _small(entry, dataset, file)


def _small(entry: os.DirEntry[str], dataset: str, file: str) -> Iterator[Finding]:
    """Yield files without bytes, and pointers in place of data."""
    size = entry.stat().st_size
    if size == 0:
        yield broken("empty_files", "It has no bytes.", dataset=dataset, file=file)
    elif size < POINTER_BYTES and Path(entry.path).read_bytes().startswith(b"version https://git-lfs"):
        yield broken("lfs_pointers", "It is a git-lfs pointer.", dataset=dataset, file=file)
