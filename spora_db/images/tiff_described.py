"""What the OME-XML of a TIFF file says of its images, for files whose pages are not as it says."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from spora_db.errors import FileFormatError
from spora_db.images.base import ChannelAxis
from spora_db.images.tiff_pages import PageTable
from spora_db.images.tiff_series import TiffPicture

XML_LIMIT = 2**26


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An image as OME-XML describes it: its sizes along x, y, c, z and t, and whether it lies in several files."""

    sizes: dict[str, int]
    elsewhere: bool

    @property
    def planes(self) -> int:
        """Planes of height and width: channels (of colours: samples) by depths by times."""
        return math.prod(self.sizes[axis] for axis in "czt")

    def __str__(self) -> str:
        """Say what it is."""
        return ", ".join(f"{axis}={self.sizes[axis]}" for axis in "tzcyx" if axis in "cyx" or self.sizes[axis] != 1)


def described(text: str | None) -> tuple[Described, ...]:
    """Return the images that OME-XML describes; none where there is none that can be read."""
    if text is None or len(text) > XML_LIMIT:
        return ()
    try:
        return tuple(_images(ElementTree.fromstring(text)))
    except (ElementTree.ParseError, ValueError):
        return ()


def _images(root: ElementTree.Element) -> Iterator[Described]:
    own = root.get("UUID")
    for pixels in root.iter():
        if pixels.tag.endswith("}Pixels"):
            sizes = {axis: int(pixels.get(f"Size{axis.upper()}", "")) for axis in "xyczt"}
            files = {item.text for item in pixels.iter() if item.tag.endswith("}UUID")}
            yield Described(sizes=sizes, elsewhere=len(files) > 1 or bool(files and own and files != {own}))


def as_described(
    path: Path, said: Sequence[Described], picture: TiffPicture, tables: list[PageTable], *, channel_axis: ChannelAxis
) -> list[PageTable]:
    """Compare pages with OME-XML that tifffile could not follow, and return the planes that it means.

    These are the pages, or the described planes where the pixels lie in one run that pages cut otherwise (xtiff makes
    pages of columns).

    Raises
    ------
    FileFormatError
        Pages and XML contradict each other.
    """
    height, width = picture.size
    planes = len(tables) * picture.samples
    fits = [image for image in said if (image.sizes["y"], image.sizes["x"]) == (height, width)]
    colour = len(tables) == 1 and picture.samples in (3, 4)  # a whole picture: what the XML lists more are its levels
    if any(image.planes == planes or image.elsewhere or colour for image in fits):
        return tables
    meant = said[0]
    others = [axis for axis in "czt" if meant.sizes[axis] != 1]
    pixels = meant.planes * meant.sizes["y"] * meant.sizes["x"]
    if len(said) == 1 and not fits and others in ([], ["c"], [channel_axis]) and pixels == planes * height * width:
        cut = _cut_again(meant, tables)
        if cut is not None:
            return cut
    listed = "; ".join(map(str, said[:4]))
    raise FileFormatError(
        f"The OME-XML of the image {path} contradicts its pages: it describes {listed}; the pages are {picture}. "
        "Expected pages as described. Write the image again, with OME-XML that fits it or without any."
    )


def _cut_again(image: Described, tables: Sequence[PageTable]) -> list[PageTable] | None:
    """Return the planes of a described image where pages of another size are one run of uncompressed pixels."""
    form = tables[0].format
    starts = np.array([table.raw_offset for table in tables], np.int64)
    if (starts < 0).any() or form.samples != 1 or (np.diff(starts) != form.page_bytes).any():
        return None
    whole = replace(form, size=(image.sizes["y"], image.sizes["x"]))
    return [
        replace(tables[0], raw_offset=int(starts[0]) + plane * whole.page_bytes, format=whole)
        for plane in range(image.planes)
    ]
