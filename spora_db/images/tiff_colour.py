"""What colour the samples of a TIFF page are, and how those that are another colour become red, green and blue."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError

if TYPE_CHECKING:
    from tifffile import TiffPage

Convert: TypeAlias = Callable[[AnyArray], AnyArray]
COLOURS: Final = {
    0: "white is zero", 1: "black is zero", 2: "RGB", 3: "palette", 4: "transparency mask", 5: "CMYK", 6: "YCbCr",
    8: "CIELAB", 9: "ICC LAB", 10: "ITU LAB", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv",
    34892: "linear raw",
}  # fmt: skip
"""Words for the values of PhotometricInterpretation."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
JPEG: Final = (6, 7, 33007, 34892)
JPEG_2000: Final = (33003, 33004, 33005, 34712)
APERIO_YCBCR: Final = 33003
ASSOCIATED: Final = 1
REC_601: Final = (0.299, 0.587, 0.114)
SAMPLES_OF_COLOUR: Final = 3


def colour_of(page: "TiffPage") -> str:
    """Return what the samples of a page are once they are decoded and converted."""
    if _samples(page) >= SAMPLES_OF_COLOUR and page.photometric == YCBCR:
        return COLOURS[RGB]
    return COLOURS.get(int(page.photometric), f"of photometric {int(page.photometric)}")


def colour_conversion(path: Path, page: "TiffPage") -> Convert | None:
    """Return what turns the decoded samples of a page into RGB, None where they are to be taken as they are.

    Pages of one or two samples are planes, whatever picture a viewer makes of them.

    Raises
    ------
    FileFormatError
        The page is a picture in a colour that is not RGB and is not known to become it.
    """
    if _samples(page) < SAMPLES_OF_COLOUR or page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE):
        return None
    if page.photometric == YCBCR or (page.photometric == RGB and page.compression == APERIO_YCBCR):
        return _of_ycbcr(path, page)
    if page.photometric != RGB:
        raise refused(path, COLOURS.get(int(page.photometric), f"photometric {int(page.photometric)}"))
    if len(page.extrasamples) == 1 and page.extrasamples[0] == ASSOCIATED:
        if page.planarconfig != 1 or page.dtype is None or page.dtype.kind != "u":
            raise refused(path, "RGB multiplied by its alpha, in separate planes or no unsigned whole numbers")
        return unmultiplied
    return None


def refused(path: Path, colour: str) -> FileFormatError:
    """Build the error for a picture whose colour is not RGB."""
    return FileFormatError(
        f"The colours of the image {path} are {colour}, which cannot be told as RGB. Expected RGB, or YCbCr under "
        "JPEG. Convert the image to RGB."
    )


def _samples(page: "TiffPage") -> int:
    return int(page.shaped[0] * page.shaped[4])


def _of_ycbcr(path: Path, page: "TiffPage") -> Convert | None:
    """Return the conversion of a page in YCbCr; JPEG's decoder makes it itself."""
    from tifffile import TIFF

    if page.planarconfig != 1:
        raise refused(path, "YCbCr in separate planes")
    if page.compression in JPEG:
        if page.extrasamples or page.samplesperpixel != SAMPLES_OF_COLOUR:
            raise refused(path, "YCbCr with further samples")
        return None
    if page.dtype is None or page.dtype.kind != "u" or page.bitspersample != 8 * page.dtype.itemsize:
        raise refused(path, f"YCbCr of {page.bitspersample} bits")
    if page.compression in JPEG_2000:
        _check_stream(path, page)
        page.subsampling = (1, 1)  # the stream says so; tifffile believes the default of a tag that is not there
    elif page.compression in TIFF.IMAGE_COMPRESSIONS:
        raise refused(path, f"YCbCr under compression {int(page.compression)}, whose decoder has colours of its own")
    if page.subsampling != (1, 1):
        raise refused(path, "YCbCr with chroma of a lower resolution")
    luma = tuple(_ratios(page.tags.valueof(529))) or REC_601
    maximum = float(np.iinfo(page.dtype).max)
    middle = (maximum + 1) / 2
    reference = tuple(_ratios(page.tags.valueof(532))) or (0.0, maximum, middle, maximum, middle, maximum)
    if len(luma) != 3 or len(reference) != 6 or 0 in luma:
        raise refused(path, "YCbCr of coefficients that are no three numbers, or a reference that is no six")
    return partial(ycbcr_to_rgb, luma=luma, reference=reference)


def _ratios(value: object) -> list[float]:
    """Return the numbers of a tag of rationals; an empty list where there are none."""
    if not isinstance(value, tuple) or len(value) % 2:
        return []
    if any(not isinstance(part, int) for part in value):
        return [float(part) for part in value]
    return [above / below if below else 0.0 for above, below in zip(value[::2], value[1::2], strict=True)]


def _check_stream(path: Path, page: "TiffPage") -> None:
    """Refuse a JPEG 2000 stream that turns colours itself, or holds them at a lower resolution."""
    place = next((at for at, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size), None)
    if place is None:
        return
    file = page.parent.filehandle
    file.seek(place)
    head = file.read(4096)
    start = head.find(b"\xff\x4f\xff\x51")
    marker = start + 2
    while start >= 0 and marker + 4 <= len(head) and head[marker] == 0xFF and head[marker + 1] != 0x90:
        code, length = head[marker + 1], int.from_bytes(head[marker + 2 : marker + 4], "big")
        body = head[marker + 4 : marker + 2 + length]
        if code == 0x51 and any(step != 1 for step in (*body[37::3], *body[38::3])):
            raise refused(path, "YCbCr with chroma of a lower resolution")
        if code == 0x52 and len(body) > 4 and body[4]:
            raise refused(path, "YCbCr by the tags, and RGB by the colour transform in the JPEG 2000 stream")
        marker += 2 + length


def ycbcr_to_rgb(planes: AnyArray, *, luma: tuple[float, ...], reference: tuple[float, ...]) -> AnyArray:
    """Return red, green and blue of planes (Y, Cb, Cr, and further ones as they are); TIFF 6.0, section 21.

    Examples
    --------
    >>> grey = np.full((3, 1, 1), 128, np.uint8)
    >>> ycbcr_to_rgb(grey, luma=REC_601, reference=(0, 255, 128, 255, 128, 255)).ravel().tolist()
    [128, 128, 128]
    """
    maximum = np.iinfo(planes.dtype).max
    black, white = np.array(reference[::2]), np.array(reference[1::2])
    span = np.array([maximum, maximum // 2, maximum // 2]) / np.where(white == black, 1, white - black)
    y, blue, red = ((planes[at] - black[at]) * span[at] for at in range(3))
    r = y + red * (2 - 2 * luma[0])
    b = y + blue * (2 - 2 * luma[2])
    g = (y - luma[2] * b - luma[0] * r) / luma[1]
    out = planes.copy()
    out[:3] = np.rint(np.stack([r, g, b])).clip(0, maximum)
    return out


def unmultiplied(planes: AnyArray) -> AnyArray:
    """Return colours that are not multiplied by the last plane, their alpha; as stored where alpha is 0.

    Examples
    --------
    >>> unmultiplied(np.uint8([[[50]], [[100]], [[0]], [[128]]])).ravel().tolist()
    [100, 199, 0, 128]
    """
    alpha = planes[-1]
    if (alpha == np.iinfo(planes.dtype).max).all():
        return planes
    maximum = float(np.iinfo(planes.dtype).max)
    out = planes.copy()
    whole = np.rint(planes[:-1] * (maximum / np.where(alpha == 0, maximum, alpha)))
    out[:-1] = whole.clip(0, maximum)
    return out
