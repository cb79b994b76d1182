"""Which pages of a TIFF file are its image: the largest picture of the file, never a macro, label or thumbnail."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.errors import FileFormatError
from spora_db.images.base import ChannelAxis, stacked
from spora_db.images.files import broken

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

BESIDE: Final = re.compile(
    r"\W*(slide\s+)?(macro|label|thumbnail|overview|preview|barcode)(\s+image)?[\W\dx]*", re.IGNORECASE
)
"""What pictures call themselves that lie in a file beside its image."""
REDUCED, MASK = 1, 4
"""Bits of NewSubfileType: another picture at a lower resolution, and the transparency of another."""
PLANES: Final = (0, 1, 3)
"""Photometric interpretations of samples that are values by themselves: white or black is zero, and palette."""
PAGES_ALONE: Final = ("generic", "uniform", "shaped")
"""Kinds of series that tifffile makes of pages that nothing but their likeness holds together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffPicture:
    """One picture of a file at full resolution: the pages it is made of, and what they are along.

    Attributes
    ----------
    series
        tifffile's series of these pages: one, or several of pages that differ in how they are stored.
    axes, shape
        Letters and sizes of the picture's axes, those of a page last.
    """

    series: tuple["TiffPageSeries", ...]
    axes: str
    shape: tuple[int, ...]

    @property
    def key(self) -> "TiffPage":
        """The page that tifffile takes for all of them."""
        return self.series[0].keyframe

    @property
    def kind(self) -> str:
        """What tifffile calls the format of the picture."""
        return self.series[0].kind

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a page in pixels."""
        return self.key.shaped[2], self.key.shaped[3]

    @property
    def samples(self) -> int:
        """Samples of a pixel in one page."""
        return self.key.shaped[0] * self.key.shaped[4]

    @property
    def along(self) -> str:
        """Its axes and their sizes, for errors."""
        return ", ".join(f"{axis.lower()}={size}" for axis, size in zip(self.axes, self.shape, strict=True))

    @property
    def length(self) -> int:
        """How many pages there are."""
        return sum(len(series) for series in self.series)

    @property
    def levels(self) -> int:
        """In how many resolutions the file holds it."""
        return len(self.series[0].levels) if len(self.series) == 1 else 1

    def at(self, level: int) -> "TiffPicture":
        """Return the picture at a level of its pyramid, 0 being itself."""
        if not level:
            return self
        series = self.series[0].levels[level]
        return TiffPicture(series=(series,), axes=series.axes, shape=series.shape)

    def pages(self) -> list[Any]:
        """Return its pages and frames in the order of the file, None for one that is not in the file."""
        listed = [page for series in self.series for page in series]
        return listed if len(self.series) == 1 else sorted(listed, key=lambda page: page.index)

    def __str__(self) -> str:
        """Say what it is, for an error that names several."""
        named = f"{self.series[0].name!r}, " if self.series[0].name else ""
        return f"{named}{self.along} of {self.key.dtype} from page {self.key.index}"


def pictures(tiff: "TiffFile") -> list[TiffPicture]:
    """Return the pictures of a file without levels of pyramids; pages that are alike and stand alone are one."""
    found: list[TiffPicture] = []
    alone: dict[tuple[Any, ...], list[TiffPageSeries]] = {}
    for series in (whole.levels[0] for whole in tiff.series):
        key = series.keyframe
        if series.kind in PAGES_ALONE and not series.is_truncated and (series.kind != "shaped" or len(series) == 1):
            part = (key.is_subifd, int(key.subfiletype), is_beside(series))
            alone.setdefault((*key.shaped, key.dtype, *part), []).append(series)
        else:
            found.append(TiffPicture(series=(series,), axes=series.axes, shape=series.shape))
    for together in alone.values():
        count, key = sum(map(len, together)), together[0].keyframe
        several = len(together) > 1
        axes = f"I{key.axes}" if several else together[0].axes
        shape = (count, *key.shape) if several else together[0].shape
        found.append(TiffPicture(series=tuple(together), axes=axes, shape=shape))
    return found


def choose(path: Path, found: Sequence[TiffPicture]) -> TiffPicture:
    """Return the picture that is the image of the file: the largest that is not there beside another.

    Raises
    ------
    FileFormatError
        There is none, or there are several of one size.
    """
    if not found:
        raise broken(path, "it has no image", expected="at least one page")
    for kind in (MASK, REDUCED):
        found = [picture for picture in found if not int(picture.key.subfiletype) & kind] or found
    found = [picture for picture in found if not is_beside(picture.series[0])] or found
    most = max(math.prod(picture.size) for picture in found)
    largest = [picture for picture in found if math.prod(picture.size) == most]
    if len(largest) > 1:
        height, width = largest[0].size
        raise _undecided(path, f"{len(largest)} images of {height} x {width} pixels", largest)
    others = [picture for picture in found if _could_be_meant(picture, largest[0])]
    if others:
        raise _undecided(path, "a picture in colours and an image of channels", [largest[0], *others])
    stray = [picture for picture in found if _is_stray(picture, largest[0])]
    if stray:
        raise FileFormatError(
            f"The pages of the file {path} are of several sizes: {largest[0]}; {'; '.join(map(str, stray[:8]))}. "
            "Expected channels of one size, or smaller pages that say that they are reduced. Write the image again."
        )
    return largest[0]


def _undecided(path: Path, what: str, found: Sequence[TiffPicture]) -> FileFormatError:
    """Build the error for a file of several pictures."""
    return FileFormatError(
        f"The file {path} holds {what}, and it cannot be told which is meant: {'; '.join(map(str, found[:8]))}. "
        "Expected one. Write that which is meant to a file of its own."
    )


def check_all_listed(path: Path, tiff: "TiffFile", picture: TiffPicture) -> None:
    """Refuse OME-XML that leaves out pages that are like those of the image: as many channels, which nobody would miss.

    Raises
    ------
    FileFormatError
        The message names the pages.
    """
    described: list[Any] = [page for series in tiff.series for page in series]
    if any(page is None for page in described):  # planes in other files, or absent: told as that
        return
    listed = {page.offset for page in described}
    left_out = [page for page in tiff.pages if page.offset not in listed]
    key = picture.key
    alike = [
        page.index
        for page in (page.aspage() for page in left_out)
        if page.shaped == key.shaped and page.dtype == key.dtype and page.subfiletype == key.subfiletype
    ]
    if alike:
        raise FileFormatError(
            f"The OME-XML of the image {path} describes {picture}, and leaves out {len(alike)} pages of the same size "
            f"and type: {', '.join(map(str, alike[:8]))}. Expected every such page in it. Correct SizeC and TiffData, "
            "or write the image again without those pages."
        )


def page_count(path: Path, picture: TiffPicture, *, channel_axis: ChannelAxis) -> int:
    """Return the pages of an image whose further axis, if any, is the channel.

    Raises
    ------
    FileFormatError
        Another axis has more than one element.
    """
    height, width = picture.size
    sizes = dict(zip(picture.axes, picture.shape, strict=True))
    others = [axis for axis, size in zip(picture.axes, picture.shape, strict=True) if axis not in "YXS" and size != 1]
    wanted = ("C", "Q", "I") if channel_axis == "c" else (channel_axis.upper(), "Q", "I")
    if (sizes.get("Y"), sizes.get("X")) != (height, width) or len(others) > 1 or any(a not in wanted for a in others):
        raise FileFormatError(
            f"The image {path} has the axes {picture.along}. Expected the axes c, y, x, or y, x and samples; further "
            "axes such as t and z with one element each. Write each time point or z plane as an image of its own."
            f"{stacked([axis.lower() for axis in others if axis not in wanted])}"
        )
    count, rest = divmod(math.prod(picture.shape), picture.samples * height * width)
    if rest:
        raise broken(path, f"its axes {picture.axes} are no whole number of pages", expected="a page per channel")
    return count


def _could_be_meant(picture: TiffPicture, image: TiffPicture) -> bool:
    """Say whether the largest picture could pass for a smaller one of the other kind: colours, or channels."""
    if _is_colour(picture) == _is_colour(image):
        return False
    return picture.length > 1 if _is_colour(image) else image.length * image.samples in (3, 4)


def _is_colour(picture: TiffPicture) -> bool:
    """Say whether a page of the picture is a picture in colours."""
    return picture.samples in (3, 4) and int(picture.key.photometric) not in PLANES


def _is_stray(picture: TiffPicture, image: TiffPicture) -> bool:
    """Say whether a smaller page looks like a channel of an image of several pages, not like a level of a pyramid."""
    if picture is image or image.length < 2 or image.kind not in PAGES_ALONE or picture.kind not in PAGES_ALONE:
        return False
    if (picture.samples, picture.key.dtype) != (image.samples, image.key.dtype):
        return False
    (tall, wide), (height, width) = image.size, picture.size
    first, last = (page.index for page in (image.pages()[0], image.pages()[-1]))
    return first < picture.key.index < last or abs(wide * height / tall - width) > 1 + wide / tall


def is_beside(series: "TiffPageSeries") -> bool:
    """Say whether pages call themselves a picture that lies beside the image."""
    key = series.keyframe
    called = [series.name, str(key.tags.valueof(285) or "")]
    if series.kind in PAGES_ALONE and not key.is_shaped:
        called.append(key.description[:200])
    return any(BESIDE.fullmatch(line) for text in called for line in text.splitlines())
