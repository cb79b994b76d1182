"""The images of an import: one field of view becomes one tissue, whatever number of files it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.errors import ArgumentError, FileFormatError
from spora_db.images import open_image
from spora_db.images.base import ChannelAxis
from spora_db.images.brightfield import brightfield_fault
from spora_db.images.formats import SLIDES
from spora_db.images.imc import MCD, acquisitions, is_imc_text
from spora_db.images.zarr_roots import attributes_of, ome_of
from spora_db.importing.page_names import page_names
from spora_db.layout import check_name

TIFFS: Final = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
SCANS: Final = (*(f".ome{suffix}" for suffix in SLIDES), *SLIDES)
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
    place
        Its file or folder below the source, without the suffix, such as ``patient_1/roi_2``.
    found
        What the names of its folders and files say beside the tissue, such as the patient.
    """

    tissue_id: str
    pages: tuple[Plane, ...]
    file: Path | None
    height: int
    width: int
    dtype: np.dtype[Any]
    channel_axis: ChannelAxis = "c"
    place: str = ""
    found: Mapping[str, str] = field(default_factory=dict)

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
    suffixes = STORES if path.is_dir() else (*TIFFS, *SCANS)
    if path.parent.suffix.lower() == MCD and name.isdecimal():
        return f"{path.parent.stem}_{int(name):03d}"  # as steinbock names them
    if is_imc_text(path) or path.suffix.lower() == MCD:
        return path.stem
    found = next((name[: -len(suffix)] for suffix in suffixes if lowered.endswith(suffix)), None)
    return name if found is None and _is_multiscale(path) else found


def is_store(path: Path) -> bool:
    """Tell whether a folder is a store of an image, by its name, or by what it says of itself as in SpatialData."""
    return path.is_dir() and (path.name.lower().endswith(STORES) or _is_multiscale(path))


def _is_multiscale(path: Path) -> bool:
    if not any((path / mark).is_file() for mark in ("zarr.json", ".zattrs")):
        return False
    found = attributes_of(path)
    return found is not None and "multiscales" in ome_of(found[0])


def images_in(paths: Iterable[Path]) -> list[Path]:
    """Return the images that files hold: themselves, and of an MCD its acquisitions."""
    return [image for path in paths for image in (acquisitions(path) if path.suffix.lower() == MCD else [path])]


def without_suffix(text: str) -> str:
    """Return the name or path of an image without the suffix of an image, if it has any.

    Examples
    --------
    >>> without_suffix("slides/a.ome.tiff"), without_suffix("a.b")
    ('slides/a', 'a.b')
    """
    suffix = next((suffix for suffix in (*TIFFS, *SCANS, *STORES) if text.lower().endswith(suffix)), "")
    return text[: len(text) - len(suffix)]


def field_of_file(path: Path, channel_axis: ChannelAxis = "c") -> Field:
    """Return the field that an image file or store is.

    Raises
    ------
    FileFormatError
        It cannot be read.
    ArgumentError
        Its name can be no tissue id.
    """
    image = open_image(path, channel_axis=channel_axis)
    channels, height, width = image.shape
    names = page_names(path, channels)
    pages = tuple(Plane(name=name, file=path, index=index) for index, name in enumerate(names))
    name = usable_id(stem(path) or "", path)
    return Field(
        tissue_id=name, pages=pages, file=path, height=height, width=width, dtype=image.dtype, channel_axis=channel_axis
    )


def field_of_channels(path: Path, files: Sequence[Path], *, names: Sequence[str | None] | None = None) -> Field:
    """Return the field that a folder of single-channel TIFFs is; the channels are named by the files.

    Raises
    ------
    FileFormatError
        A file has several channels, or the files differ.
    """
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
    called = [stem(file) for file in files] if names is None else names
    pages = tuple(Plane(name=name, file=file, index=0) for name, file in zip(called, files, strict=True))
    height, width = first.shape[1:]
    name = usable_id(path.name, path)
    return Field(tissue_id=name, pages=pages, file=None, height=height, width=width, dtype=first.dtype)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]} x {shape[2]}"


def usable_id(name: str, path: Path) -> str:
    """Return a tissue id that can name files, or refuse it, naming its file."""
    try:
        return check_name(name)
    except ArgumentError as error:
        raise ArgumentError(f"{path} gives no usable tissue id. {error} Rename it.") from error


def distinct(fields: list[Field]) -> list[Field]:
    """Refuse fields that would be one tissue."""
    seen: dict[str, Field] = {}
    for item in fields:
        first = seen.setdefault(item.tissue_id.casefold(), item)
        if first is not item:
            raise ArgumentError(
                f"{first.origin} and {item.origin} would be the same tissue {item.tissue_id!r} (upper and lower case "
                "count as the same). Rename or move one of them."
            )
    return fields
