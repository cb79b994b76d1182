"""What an image file says beside its pixels: microns per pixel, and which other pictures it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from spora_db.images import open_image
from spora_db.images.imc import is_acquisition
from spora_db.images.tiff_series import MASK, REDUCED, TiffPicture, is_beside
from spora_db.images.zarr_roots import attributes_of, image_group, ome_of
from spora_db.importing.page_names import XML_LIMIT, chosen_picture, pixels_of
from spora_db.importing.vendor_tiff import vendor_mpp

if TYPE_CHECKING:
    from tifffile import TiffFile

MICRONS: Final[Mapping[str, float]] = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "\\u00b5m": 1.0, "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4,
    "m": 1e6, "meter": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
"""How many microns a unit of length is, in the words of OME-XML, OME-Zarr and ImageJ."""
PLAUSIBLE: Final = (0.02, 30.0)
"""Microns per pixel that an image may have; a TIFF of 72 dots per inch says how to print it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What an image file says.

    Attributes
    ----------
    mpp
        Microns per pixel along rows and cols; None where the file does not say.
    said_by
        Where it says so.
    taken
        The picture of the file that is its image.
    others
        Further pictures of the file that could be images: no pyramid level, mask, label or macro.
    beside
        What pictures call themselves that may show a name: labels, macros, overviews.
    """

    mpp: tuple[float, float] | None = None
    said_by: str = ""
    taken: str = ""
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def file_facts(path: Path) -> FileFacts:
    """Return what an OME-TIFF, TIFF or OME-Zarr says; nothing where it contradicts itself.

    Raises
    ------
    FileFormatError
        The metadata cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db.images import write_ometiff
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_ometiff(Path(folder) / "a.ome.tiff", np.zeros((2, 8, 8), np.uint8), mpp=0.5)
    ...     file_facts(path).mpp
    (0.5, 0.5)
    """
    if path.is_dir():
        return _of_zarr(path)
    if is_acquisition(path):
        mpp = getattr(open_image(path), "mpp", None)
        return FileFacts(mpp=mpp, said_by="the MCD" if mpp else "", taken=path.name)
    with chosen_picture(path, what=f"The metadata of {path}") as opened:
        if opened is None:
            return FileFacts()
        tiff, found, image = opened
        others = tuple(str(picture) for picture in found if picture is not image and _is_another(picture, image))
        mpp, said_by = _ome_mpp(tiff, image) or vendor_mpp(tiff, image) or _tiff_mpp(tiff, image) or (None, "")
        beside = tuple(str(picture) for picture in found if is_beside(picture.series[0]) and picture is not image)
        return FileFacts(mpp=mpp, said_by=said_by, taken=str(image), others=others, beside=beside)


def _is_another(picture: TiffPicture, image: TiffPicture) -> bool:
    """Say whether a picture of a file is as much of an image as the one that was taken."""
    reduced = int(picture.key.subfiletype) & (MASK | REDUCED)
    height, width = picture.size
    tall, wide = image.size
    level = tall // height > 1 and abs(tall / height - wide / width) < 0.05 * tall / height and picture.kind != "ome"
    return not (reduced or is_beside(picture.series[0]) or level)


def _ome_mpp(tiff: "TiffFile", image: TiffPicture) -> tuple[tuple[float, float], str] | None:
    """Return the physical size of a pixel that OME-XML gives to the image."""
    described = tiff.ome_metadata
    if described is None or len(described) >= XML_LIMIT:
        return None
    pixels = pixels_of(ElementTree.fromstring(described), image)
    if pixels is None:
        return None
    sizes = [_microns(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit") or "µm") for a in "YX"]
    return None if sizes[0] is None or sizes[1] is None else ((sizes[0], sizes[1]), "OME-XML")


def _tiff_mpp(tiff: "TiffFile", image: TiffPicture) -> tuple[tuple[float, float], str] | None:
    """Return the size of a pixel by the resolution tags, where it is that of an image and not of paper."""
    tags = image.key.tags
    imagej: Any = tiff.imagej_metadata or {}
    unit = imagej.get("unit") if imagej else {2: "inch", 3: "cm"}.get(int(tags.valueof("ResolutionUnit") or 1))
    values = [tags.valueof(name) for name in ("YResolution", "XResolution")]
    if not unit or not all(isinstance(value, tuple) and len(value) == 2 and value[0] for value in values):
        return None
    sizes = [_microns(value[1] / value[0], str(unit)) for value in values]
    if sizes[0] is None or sizes[1] is None or not all(PLAUSIBLE[0] < size < PLAUSIBLE[1] for size in sizes if size):
        return None
    return (sizes[0], sizes[1]), "ImageJ" if imagej else "the TIFF resolution"


def _microns(size: str | float | None, unit: str) -> float | None:
    """Return a length in microns, None where it is none."""
    microns = MICRONS.get(unit.strip().casefold())
    if size is None or microns is None:
        return None
    try:
        number = float(size) * microns
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _of_zarr(path: Path) -> FileFacts:
    """Return the scale that an OME-Zarr gives to rows and cols, where it says in which unit."""
    found = attributes_of(path)
    if found is not None and (group := image_group(path, found[0])):
        found = attributes_of(path / group)
    first = _first(ome_of(found[0]).get("multiscales")) if found is not None else {}
    axes = first.get("axes")
    if not isinstance(axes, list) or not all(isinstance(axis, dict) for axis in axes):
        return FileFacts()
    names = [str(axis.get("name")).casefold() for axis in axes]
    scales = [1.0] * len(axes)
    for owner in (first, _first(first.get("datasets"))):
        steps = owner.get("coordinateTransformations")
        for step in steps if isinstance(steps, list) else ():
            given = step.get("scale") if isinstance(step, dict) else None
            if isinstance(given, list) and len(given) == len(scales):
                scales = [one * _number(other) for one, other in zip(scales, given, strict=True)]
    sizes = [
        _microns(scales[names.index(axis)], str(axes[names.index(axis)].get("unit"))) for axis in "yx" if axis in names
    ]
    if len(sizes) < 2 or sizes[0] is None or sizes[1] is None:
        return FileFacts()
    return FileFacts(mpp=(sizes[0], sizes[1]), said_by="OME-Zarr")


def _first(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _number(value: Any) -> float:  # noqa: ANN401 - any JSON value
    return float(value) if isinstance(value, int | float) else 0.0
