"""Finding the images of an import: one field of view becomes one tissue, whatever number of files it has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, FileFormatError, ImageNotFoundError
from spora_db.images import open_image, read_region
from spora_db.images.base import ChannelAxis, MissingChunks
from spora_db.images.brightfield import brightfield_fault
from spora_db.importing.page_names import page_names
from spora_db.layout import check_name

TIFFS: Final = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
STORES: Final = (".ome.zarr", ".zarr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One plane of a field: its name where it has one, the file and its position there."""

    name: str | None
    file: Path
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of view.

    Attributes
    ----------
    tissue_id
        The stem of the file or the name of the folder.
    pages
        Its planes, in the order of the file, or of the files' names.
    file
        The one image file or store that it is; None for a folder of single-channel files.
    height, width
        Pixels.
    dtype
        Their type.
    channel_axis
        The axis of the file along which its planes lie.
    """

    tissue_id: str
    pages: tuple[Plane, ...]
    file: Path | None
    height: int
    width: int
    dtype: np.dtype[Any]
    channel_axis: ChannelAxis = "c"

    def read(self, pages: list[int], *, missing_chunks: MissingChunks = "error") -> AnyArray:
        """Read planes as an array of shape (pages, height, width)."""
        if self.file is not None:
            image = open_image(self.file, missing_chunks=missing_chunks, channel_axis=self.channel_axis)
            return np.asarray(read_region(image, pages))
        files = [self.pages[page].file for page in pages]
        return np.concatenate([read_region(open_image(file, missing_chunks=missing_chunks), [0]) for file in files])

    def brightfield_fault(self) -> str | None:
        """Say why the field can be no H&E or IHC image, None where it can."""
        if self.file is None:
            return (
                f"{self.origin} is a folder of {len(self.pages)} single-channel files; H&E and IHC images are one "
                "file of 3 channels (or 4, with alpha). Write it as RGB, or choose a multiplex modality."
            )
        return brightfield_fault(open_image(self.file, channel_axis=self.channel_axis))

    @property
    def origin(self) -> Path:
        """The file, or the folder of the files."""
        return self.file if self.file is not None else self.pages[0].file.parent


def stem(path: Path) -> str | None:
    """Return the name of an image without its suffix, None for what is no image.

    Examples
    --------
    >>> stem(Path("a.b.ome.tiff")), stem(Path("a.csv"))
    ('a.b', None)
    """
    name = path.name
    lowered = name.lower()
    suffixes = STORES if path.is_dir() else TIFFS
    return next((name[: -len(suffix)] for suffix in suffixes if lowered.endswith(suffix)), None)


def find_fields(source: Path, *, channel_axis: ChannelAxis = "c") -> list[Field]:
    """List the fields of view of a source, sorted by tissue id.

    Parameters
    ----------
    source
        An image; a folder of images; or a folder with one sub-folder of single-channel TIFFs per field of view.
    channel_axis
        The axis along which the channels lie in the images.

    Raises
    ------
    ImageNotFoundError
        There is no image.
    ArgumentError
        Images and folders of images are mixed, a name is used twice or can be no tissue id.
    FileFormatError
        An image cannot be read, or the files of a field differ.
    """
    if not source.exists():
        raise ImageNotFoundError(f"There is nothing at {source}. Give an image, or a folder of images.")
    if stem(source) is not None:
        return [_one_file(source, channel_axis)]
    if not source.is_dir():
        raise FileFormatError(
            f"{source} is no image that can be imported. Expected a file {', '.join(TIFFS)}, a folder "
            f"{', '.join(STORES)}, or a folder of them. Write a scanner's own format as OME-TIFF or OME-Zarr "
            "first, for example with bioformats2raw."
        )
    inside = _visible(source)
    images = [path for path in inside if stem(path) is not None]
    folders = {path: files for path in inside if path not in images and path.is_dir() and (files := _tiffs(path))}
    if images and folders:
        raise ArgumentError(
            f"{source} holds both images ({images[0].name}) and folders of images ({min(folders).name}). Give the "
            "images as files, or as one folder of single-channel TIFFs per field of view, not both."
        )
    if not images and not folders:
        shown = ", ".join(path.name for path in inside[:8]) or "nothing"
        raise ImageNotFoundError(
            f"There is no image in {source}; it holds {shown}. Expected files {', '.join(TIFFS)}, folders "
            f"{', '.join(STORES)}, or one folder of single-channel TIFFs per field of view."
        )
    fields = [_one_file(path, channel_axis) for path in images]
    fields += [_folder(path, files) for path, files in folders.items()]
    return _distinct(sorted(fields, key=lambda field: field.tissue_id))


def _one_file(path: Path, channel_axis: ChannelAxis) -> Field:
    image = open_image(path, channel_axis=channel_axis)
    channels, height, width = image.shape
    names = page_names(path, channels)
    pages = tuple(Plane(name=name, file=path, index=index) for index, name in enumerate(names))
    name = _tissue_id(stem(path) or "", path)
    return Field(
        tissue_id=name, pages=pages, file=path, height=height, width=width, dtype=image.dtype, channel_axis=channel_axis
    )


def _folder(path: Path, files: list[Path]) -> Field:
    """Return the field that a folder of single-channel TIFFs is; the channels are named by the files."""
    first = open_image(files[0])
    for file in files:
        image = open_image(file)
        if image.shape[0] != 1:
            raise FileFormatError(
                f"{file} has {image.shape[0]} channels; in a folder per field of view every TIFF has one. Give images "
                f"of several channels as files directly in {path.parent}."
            )
        if image.shape != first.shape or image.dtype != first.dtype:
            raise FileFormatError(
                f"The files of field {path.name!r} differ: {files[0].name} is {_size(first.shape)} {first.dtype}, "
                f"{file.name} is {_size(image.shape)} {image.dtype}. All channels of a field must be alike."
            )
    pages = tuple(Plane(name=stem(file), file=file, index=0) for file in files)
    height, width = first.shape[1:]
    name = _tissue_id(path.name, path)
    return Field(tissue_id=name, pages=pages, file=None, height=height, width=width, dtype=first.dtype)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]} x {shape[2]}"


def _tissue_id(name: str, path: Path) -> str:
    try:
        return check_name(name)
    except ArgumentError as error:
        raise ArgumentError(f"{path} gives no usable tissue id. {error} Rename it.") from error


def _distinct(fields: list[Field]) -> list[Field]:
    seen: dict[str, Field] = {}
    for field in fields:
        first = seen.setdefault(field.tissue_id.casefold(), field)
        if first is not field:
            raise ArgumentError(
                f"{first.origin} and {field.origin} would be the same tissue {field.tissue_id!r} (upper and lower case "
                "count as the same). Rename or move one of them."
            )
    return fields


def _tiffs(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_file() and path.name.lower().endswith(TIFFS)]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
