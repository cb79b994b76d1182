"""What an image file itself calls its channels: OME metadata, TIFF page names, ImageJ labels, OME-Zarr labels."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from spora_db.errors import FileFormatError
from spora_db.failures import FILE_FAILURES, READER_FAILURES, reader_error
from spora_db.images.zarr_roots import attributes_of, image_group, ome_of

PAGE_NAME_TAG = 285
XML_LIMIT = 2**26


def page_names(path: Path, count: int) -> tuple[str | None, ...]:
    """Return the name of each of the `count` channels of an image, Nones where the file names none.

    Raises
    ------
    FileFormatError
        The metadata cannot be read.
    """
    names = _zarr_names(path) if path.is_dir() else _tiff_names(path)
    given = tuple(name.strip() if name and name.strip() else None for name in names)
    return given if len(given) == count and any(given) else (None,) * count


def _tiff_names(path: Path) -> list[str | None]:
    import tifffile

    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            described = tiff.ome_metadata
            if described is not None and len(described) < XML_LIMIT:
                names = _ome_names(described)
                if any(names):
                    return names
            tags = [page.tags.get(PAGE_NAME_TAG) for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
            if len(tags) == len(tiff.pages) and any(tags):
                return [None if tag is None else str(tag.value) for tag in tags]
            labels: Any = (tiff.imagej_metadata or {}).get("Labels", [])
            return [str(label) for label in labels]
    except READER_FAILURES as error:
        raise reader_error(f"The names of the channels of {path}", error, library="tifffile") from error
    except FILE_FAILURES as error:
        raise FileFormatError(
            f"The names of the channels of {path} cannot be read: {error}. Write it again."
        ) from error


def _ome_names(described: str) -> list[str | None]:
    """Return the names of the channels of the first image in OME-XML."""
    root = ElementTree.fromstring(described)
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    if pixels is None:
        return []
    return [element.get("Name") for element in pixels if element.tag.endswith("}Channel")]


def _zarr_names(path: Path) -> list[str | None]:
    """Return the labels of an OME-Zarr store, of version 0.5 or before."""
    found = attributes_of(path)
    if found is not None and (group := image_group(path, found[0])):
        found = attributes_of(path / group)
    if found is None:
        return []
    attributes, files = found
    omero = ome_of(attributes).get("omero", {})
    channels = omero.get("channels", []) if isinstance(omero, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        raise FileFormatError(
            f"{files[-1]} is no OME-Zarr metadata: 'omero' is {omero!r:.80}; expected an object with a list of objects "
            "'channels'. Write the store again."
        )
    labels = [channel.get("label") for channel in channels]
    return [None if label is None else str(label) for label in labels]
