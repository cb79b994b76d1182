"""What an image file itself calls its channels: OME metadata, TIFF page names, ImageJ labels, OME-Zarr labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from spora_db.errors import FileFormatError
from spora_db.files.failures import telling
from spora_db.images import open_image
from spora_db.images.imc import is_acquisition
from spora_db.images.tiff_series import TiffPicture, choose, pictures
from spora_db.images.zarr_roots import attributes_of, image_group, ome_of
from spora_db.importing.vendor_tiff import vendor_names

if TYPE_CHECKING:
    from tifffile import TiffFile

PAGE_NAME_TAG = 285
XML_LIMIT = 2**26


def page_names(path: Path, count: int) -> tuple[str | None, ...]:
    """Return the name of each of the `count` channels of an image, Nones where the file names none.

    Raises
    ------
    FileFormatError
        The metadata cannot be read.
    """
    if is_acquisition(path):
        return tuple(getattr(open_image(path), "channel_names", ()))
    names = _zarr_names(path) if path.is_dir() else _tiff_names(path, count)
    given = tuple(name.strip() if name and name.strip() else None for name in names)
    return given if len(given) == count and any(given) else (None,) * count


@contextmanager
def chosen_picture(path: Path, *, what: str) -> Iterator[tuple["TiffFile", list[TiffPicture], TiffPicture] | None]:
    """Open a TIFF, and give its pictures and the one that is taken for the image; None where it contradicts itself.

    Parameters
    ----------
    path
        The file.
    what
        What is read of it, to stand at the beginning of an error.

    Raises
    ------
    FileFormatError
        The metadata cannot be read.
    """
    import tifffile

    def unreadable(error: Exception) -> FileFormatError:
        return FileFormatError(f"{what} cannot be read: {error}. Write it again.")

    with (
        telling(what, library="tifffile", broken=unreadable),
        tifffile.TiffFile(path, _multifile=False) as tiff,
    ):
        try:
            found = pictures(tiff)
            opened = tiff, found, choose(path, found)
        except (RuntimeError, ValueError):  # an OME-XML that its pages contradict says nothing that is known
            opened = None
        yield opened


def _tiff_names(path: Path, count: int) -> list[str | None]:
    """Return the first names that are as many as the channels of the image of the file."""
    with chosen_picture(path, what=f"The names of the channels of {path}") as opened:
        if opened is None:
            return []
        tiff, _, image = opened
        imagej: Any = (tiff.imagej_metadata or {}).get("Labels", [])
        labels: list[str | None] = [str(label) for label in imagej]
        for names in (_ome_names(tiff, image), _page_names(image), vendor_names(image), labels):
            if len(names) == count and any(names):
                return names
        return []


def _ome_names(tiff: "TiffFile", image: TiffPicture) -> list[str | None]:
    """Return the names of the channels that OME-XML gives to the image of the file."""
    described = tiff.ome_metadata
    if described is None or len(described) >= XML_LIMIT:
        return []
    pixels = pixels_of(ElementTree.fromstring(described), image)
    if pixels is None:
        return []
    return [element.get("Name") for element in pixels if element.tag.endswith("}Channel")]


def pixels_of(described: ElementTree.Element, image: TiffPicture) -> ElementTree.Element | None:
    """Return the element of OME-XML that describes the image of the file; None where it cannot be told."""
    found = [
        (element.get("Name") or "", pixels)
        for element in described
        for pixels in element
        if pixels.tag.endswith("}Pixels")
    ]
    size = tuple(map(str, image.size))
    if len(found) > 1:  # the image that is read, not the first
        found = [item for item in found if (item[1].get("SizeY"), item[1].get("SizeX")) == size]
    if len(found) > 1:
        found = [item for item in found if item[0] == image.series[0].name]
    return found[0][1] if len(found) == 1 else None


def _page_names(image: TiffPicture) -> list[str | None]:
    """Return the names that the image's pages give themselves."""
    if image.series[0].is_truncated or None in (pages := image.pages()):
        return []
    tags = [page.aspage().tags.get(PAGE_NAME_TAG) for page in pages]
    return [None if tag is None else str(tag.value) for tag in tags]


def _zarr_names(path: Path) -> list[str | None]:
    """Return the labels of an OME-Zarr store, of version 0.5 or before."""
    found = attributes_of(path)
    if found is not None and (group := image_group(path, found[0])):
        found = attributes_of(path / group)
    if found is None:
        return []
    attributes, files, _ = found
    omero = ome_of(attributes).get("omero", {})
    channels = omero.get("channels", []) if isinstance(omero, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        raise FileFormatError(
            f"{files[-1]} is no OME-Zarr metadata: 'omero' is {omero!r:.80}; expected an object with a list of objects "
            "'channels'. Write the store again."
        )
    labels = [channel.get("label") for channel in channels]
    return [None if label is None else str(label) for label in labels]
