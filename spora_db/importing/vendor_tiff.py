"""What scanners and imaging instruments write into their TIFF files: names of channels, microns per pixel."""

import json
import re
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from spora_db.images.tiff_series import TiffPicture

if TYPE_CHECKING:
    from tifffile import TiffFile

_APERIO_MPP: Final = re.compile(r"\bMPP\s*=\s*([0-9.]+(?:e-?\d+)?)", re.IGNORECASE)
LIMIT: Final = 2**24

Mpp = tuple[tuple[float, float], str]


def vendor_names(image: TiffPicture) -> list[str | None]:
    """Return the names of channels as the pages' descriptions give them: of Akoya's QPTIFF and of MIBItiff.

    A page of QPTIFF is described by XML with a ``Biomarker`` and the ``Name`` of a filter, or, in masks of inForm, a
    ``CompartmentType``; one of MIBItiff by JSON with ``channel.target`` and ``channel.mass``.
    """
    if image.series[0].is_truncated or None in (pages := image.pages()):
        return []
    texts = [page.aspage().description for page in pages]
    return [_qptiff_name(text) or _mibi_name(text) for text in texts]


def vendor_mpp(tiff: "TiffFile", image: TiffPicture) -> Mpp | None:
    """Return microns per pixel along rows and cols as the files of Aperio, Leica and Philips give them, and where."""
    for ask in (_aperio_mpp, _leica_mpp, _philips_mpp):
        found = ask(tiff, image)
        if found is not None:
            return found
    return None


def _qptiff_name(text: str) -> str | None:
    root = _xml(text) if "PerkinElmer-QPI" in text[:400] or "<SegmentationImage" in text[:400] else None
    if root is None:
        return None
    found = [root.findtext(tag) for tag in ("Biomarker", "Name", "CompartmentType")]
    return next((name.strip() for name in found if name and name.strip()), None)


def _mibi_name(text: str) -> str | None:
    if not text.startswith("{") or "channel." not in text or len(text) > LIMIT:
        return None
    try:
        described: Any = json.loads(text)
    except ValueError:
        return None
    target, mass = (described.get(f"channel.{key}") for key in ("target", "mass"))
    if isinstance(target, str) and target.strip():
        return target.strip() if mass is None else f"{target.strip()} ({mass})"
    return None if mass is None else str(mass)


def _aperio_mpp(tiff: "TiffFile", image: TiffPicture) -> Mpp | None:
    text = image.key.description
    found = _APERIO_MPP.search(text) if text.startswith("Aperio") else None
    size = _number(found.group(1)) if found else None
    return None if size is None else ((size, size), "Aperio's description")


def _leica_mpp(tiff: "TiffFile", image: TiffPicture) -> Mpp | None:
    """Return the size of a pixel of an SCN: its view in nanometers by its pixels."""
    root = _xml(tiff.scn_metadata) if tiff.is_scn else None
    if root is None:
        return None
    size = tuple(map(str, image.size))
    for picture in root.iter():
        parts = {part.tag.rpartition("}")[2]: part for part in picture}
        if not picture.tag.endswith("}image") or not {"pixels", "view"} <= parts.keys():
            continue
        pixels, view = parts["pixels"], parts["view"]
        if (pixels.get("sizeY"), pixels.get("sizeX")) == size:
            sizes = [_number(view.get(f"size{axis}")) for axis in "YX"]
            if sizes[0] is not None and sizes[1] is not None:
                return (sizes[0] / 1e3 / image.size[0], sizes[1] / 1e3 / image.size[1]), "Leica's description"
    return None


def _philips_mpp(tiff: "TiffFile", image: TiffPicture) -> Mpp | None:
    """Return the spacing in millimeters that Philips gives first: that of full resolution."""
    root = _xml(tiff.philips_metadata) if tiff.is_philips else None
    spacings = [] if root is None else [item.text for item in root.iter() if item.get("Name") == "DICOM_PIXEL_SPACING"]
    numbers = [[_number(part) for part in (text or "").replace('"', "").split()] for text in spacings]
    whole = [pair for pair in numbers if len(pair) == 2 and None not in pair]
    if not whole or whole[0][0] is None or whole[0][1] is None:
        return None
    return (whole[0][0] * 1e3, whole[0][1] * 1e3), "Philips's description"


def _xml(text: str | None) -> ElementTree.Element | None:
    if text is None or len(text) > LIMIT:
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def _number(text: str | None) -> float | None:
    """Return a positive number, None for what is none."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
