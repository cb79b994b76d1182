"""Stores whose root is not an image but holds images: what they are, and which image is meant."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spora_db.errors import FileFormatError
from spora_db.files.stores.remote_files import again
from spora_db.images.files import broken
from spora_db.images.zarr_json import load_json

LISTED = 8


class ZarrNode(NamedTuple):
    """The attributes of a group or an array, the files they were read from, and which of the two it is."""

    attributes: Mapping[str, Any]
    files: tuple[Path, ...]
    is_array: bool


def attributes_of(folder: Path) -> ZarrNode | None:
    """Return what a group or an array says of itself; None where neither is there."""
    names = ("zarr.json", ".zarray", ".zgroup")
    document = next((folder / name for name in names if (folder / name).is_file()), None)
    if document is None:
        return None
    files: tuple[Path, ...] = (document,)
    value = load_json(document)
    is_array = document.name == ".zarray" or value.get("node_type") == "array"
    if document.name == "zarr.json":
        value = value.get("attributes", {})
    elif (folder / ".zattrs").is_file():
        files += (folder / ".zattrs",)
        value = load_json(files[-1])
    else:
        value = {}
    if not isinstance(value, dict):
        raise broken(document, f"its attributes are {value!r:.80}", expected="a JSON object")
    return ZarrNode(value, files, is_array)


def ome_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the OME part of attributes: all of them before OME-Zarr 0.5."""
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, dict) else {}


def image_group(path: Path, attributes: Mapping[str, Any]) -> str:
    """Return the folder in a store whose group is the image: ``""`` for the root itself.

    bioformats2raw writes the images of one file as groups 0, 1, ... of a root that is none. One is the image; of more,
    none is chosen.

    Raises
    ------
    FileFormatError
        The root is a plate, a well, a SpatialData or AnnData store, or a list of several images.
    """
    ome = ome_of(attributes)
    if "multiscales" in ome:
        return ""
    for key, refuse in REFUSED.items():
        if key in ome or key in attributes:
            raise _several(path, *refuse(path, ome))
    if attributes.get("encoding-type") in TABLES:
        raise FileFormatError(
            f"The image {path} is an {attributes['encoding-type']} store, a table without an image. Expected an image."
        )
    images = _listed_series(path) or _images_in(path, _numbered(path))
    if len(images) > 1:
        layout = "of bioformats2raw" if "bioformats2raw.layout" in ome else "of several images"
        raise _several(path, f"a store {layout}: it holds the images {_listed(images)}", images)
    return images[0] if images else ""


def _listed_series(path: Path) -> list[str]:
    """Return the images that bioformats2raw lists in its group ``OME``, also those that are absent here."""
    found = attributes_of(path / "OME")
    series = None if found is None else ome_of(found[0]).get("series")
    if series is None:
        return []
    if not isinstance(series, list) or any(not str(name).isdecimal() for name in series):
        raise FileFormatError(
            f"The image {path} lists its images in {path / 'OME'} as {series!r:.80}. Expected the groups 0, 1, ... "
            f"{again(path)}"
        )
    return [str(name) for name in series]


def _numbered(path: Path) -> list[str]:
    """Return the groups 0, 1, ... of a root in the order of their numbers."""
    return sorted((child.name for child in path.iterdir() if child.name.isdecimal() and child.is_dir()), key=int)


def _images_in(path: Path, groups: Iterable[str]) -> list[str]:
    """Return those groups that say they are images."""
    found = ((group, attributes_of(path / group)) for group in groups)
    return [group for group, known in found if known is not None and "multiscales" in ome_of(known[0])]


def _plate(_path: Path, ome: Mapping[str, Any]) -> tuple[str, list[str]]:
    wells = _paths(ome.get("plate"), "wells")
    called = f"an HCS plate with {len(wells)} wells ({_listed(wells)}), each with images of its own"
    return called, [f"{well}/0" for well in wells]


def _well(_path: Path, ome: Mapping[str, Any]) -> tuple[str, list[str]]:
    fields = _paths(ome.get("well"), "images")
    return f"a well of an HCS plate with the images {_listed(fields)}", fields


def _spatialdata(path: Path, _ome: Mapping[str, Any]) -> tuple[str, list[str]]:
    folder = path / "images"
    names = sorted(f"images/{child.name}" for child in folder.iterdir()) if folder.is_dir() else []
    names = _images_in(path, names)
    return f"a SpatialData store with the images {_listed(names)}", names


def _paths(part: Any, key: str) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return the paths that an object of the metadata lists."""
    listed = part.get(key) if isinstance(part, dict) else None
    return [str(item.get("path")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


REFUSED: Mapping[str, Callable[[Path, Mapping[str, Any]], tuple[str, list[str]]]] = {
    "plate": _plate,
    "well": _well,
    "spatialdata_attrs": _spatialdata,
}
"""Attributes of roots that are no image, and what says what such a root is, and which images it holds."""
TABLES = ("anndata", "MuData")


def _listed(names: list[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) + more) or "none"


def _several(path: Path, what: str, names: list[str]) -> FileFormatError:
    """Build the error for a root that is no image."""
    example = path / (names[0] if names else "<image>")
    return FileFormatError(
        f"The image {path} is {what}. Expected one image. Give the folder of one as the image, such as {example}: copy "
        "or link it as <tissue_id>.ome.zarr."
    )
