"""What the tags of a TIFF page say about its pixels: each page is decoded by its own directory, never by another's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spora_db.arrays import Int64
from spora_db.images.files import broken
from spora_db.images.jpeg_rows import JpegColours
from spora_db.images.tiff_colour import JPEG, Convert, colour_conversion, colour_of
from spora_db.images.tiff_packed import Packing, packing
from spora_db.images.tiff_tags import Fingerprint, check_all_read, fingerprint, numbers

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

DecodeSegment: TypeAlias = Callable[..., tuple[Any, Any, Any]]

SEGMENT_LIMIT = 2 * 2**30
STRIPS_BYTES = 2**16
"""Bytes of pixels of strips that are read together: to find and read one takes 40 µs, as much as to decode 16 KB."""
UPRIGHT = 1
"""The Orientation of rows from the top and cols from the left."""
FLOAT_PREDICTORS = (3, 34894, 34895)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFormat:
    """How the segments (tiles or strips) of a page are cut and decoded.

    Attributes
    ----------
    size
        Height and width in pixels.
    samples, planar
        Channels in the page (3 for RGB), and whether they lie in separate segments.
    stored
        The type in the file, with its byte order.
    bits
        The bits of a sample that are used.
    segment
        Height and width of a segment in pixels.
    grid
        Segments down and across one plane.
    strips
        How many strips are found and read together, as they are of few bytes; 1 for tiles.
    decode
        tifffile's decoder of one segment: ``decode(data, index, jpegtables=...)``; it holds no lock and no file.
    packing
        How segments are packed as bytes, where they are.
    jpeg
        For JPEG, whose ``decode`` takes tables: the colours that its decoder is told.
    nodata
        The value of segments that are not stored.
    tiled
        Whether segments are tiles, which are whole at the image's edges too, or strips.
    raw
        Whether the bytes of a segment are its pixels as they are.
    plain
        Whether segments that follow each other in the file are the page's rows as they are.
    colour
        What the samples are: ``"RGB"``, ``"black is zero"``, ``"white is zero"``, ``"palette"``, ...
    convert
        What turns decoded samples into RGB, where they are another colour.
    """

    size: tuple[int, int]
    samples: int
    planar: bool
    stored: np.dtype[Any]
    bits: int
    segment: tuple[int, int]
    grid: tuple[int, int]
    strips: int
    decode: DecodeSegment
    packing: Packing | None
    jpeg: JpegColours | None
    jpeg_header: bytes | None
    nodata: float
    tiled: bool
    raw: bool
    plain: bool
    colour: str
    convert: Convert | None

    @property
    def chunk(self) -> tuple[int, int]:
        """Height and width in pixels of what is found and read together."""
        return self.strips * self.segment[0], self.segment[1]

    @property
    def by_rows(self) -> bool:
        """Whether the first rows of a segment may be decoded for less than all of them."""
        if self.packing is not None:
            return self.packing.by_rows
        return self.jpeg is not None and self.jpeg_header is None and self.strips == 1

    @property
    def together(self) -> int:
        """Samples of a pixel that lie in one segment."""
        return 1 if self.planar else self.samples

    @property
    def page_bytes(self) -> int:
        """Bytes of the page's pixels, uncompressed."""
        return self.samples * self.size[0] * self.size[1] * self.stored.itemsize

    def segment_rows(self, down: int) -> int:
        """Rows of a segment in a row of the grid; strips end with the image."""
        tall = self.segment[0]
        return tall if self.tiled else min(tall, self.size[0] - down * tall)

    def segment_bytes(self, down: int) -> int:
        """Bytes of the pixels of a segment in a row of the grid, uncompressed."""
        return self.segment_rows(down) * self.segment[1] * self.together * self.stored.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """Where one page's segments lie (int64 arrays), what its JPEG streams share, and how they are decoded.

    ``raw_offset`` is the first byte of a page whose pixels lie uncompressed in rows, else -1.
    """

    offsets: Int64
    sizes: Int64
    jpeg_tables: bytes | None
    raw_offset: int
    format: PageFormat

    @classmethod
    def in_one_run(cls, start: int, form: PageFormat) -> "PageTable":
        """Return the table of a page whose pixels lie uncompressed in rows from a byte on."""
        nothing = np.zeros(0, np.int64)
        return cls(offsets=nothing, sizes=nothing, jpeg_tables=None, raw_offset=start, format=form)


def page_format(path: Path, tiff: "TiffFile", page: "TiffPage") -> PageFormat:
    """Return the format of a page by its own tags.

    Raises
    ------
    FileFormatError
        Its pixels are no rows and cols of numbers, or a colour that cannot be told as RGB.
    """
    separate, depth, height, width, contiguous = page.shaped
    dtype: np.dtype[Any] | None = page.dtype
    if dtype is None or 0 in page.shaped or depth != 1 or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise broken(
            path,
            f"its pages have the shape {page.shape} ({page.axes}) and type {dtype}",
            expected="rows and cols of whole numbers or floats",
            remedy="Convert the image.",
        )
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    if tall < 1 or wide < 1:
        raise broken(path, f"its segments are {tall} x {wide} pixels", expected="at least one pixel")
    bits = int(np.max(page.bitspersample))  # RGB 565 has three
    stored = dtype.newbyteorder(tiff.byteorder)
    if unclear := _unclear(page):
        raise broken(path, unclear, expected="tags that all programs read alike", remedy="Write the image again.")
    whole = bits == 8 * stored.itemsize and page.sampleformat != 5 and page.fillorder != 2
    whole = whole and not page.is_subsampled
    raw = whole and page.predictor == 1 and page.compression == 1
    plain = raw and (not page.is_tiled or (wide == width and height % tall == 0))
    segment_bytes = tall * wide * contiguous * stored.itemsize
    if segment_bytes > SEGMENT_LIMIT and not (plain and page.is_contiguous):
        raise broken(path, f"its segments are {tall} x {wide} x {contiguous} pixels", expected="less than 2 GiB each")
    convert = colour_conversion(path, page)
    tiff._decoders.clear()  # tifffile keeps them by a hash that leaves out tags on which decoding depends
    return PageFormat(
        size=(height, width),
        samples=separate * contiguous,
        planar=separate > 1,
        stored=stored,
        bits=bits,
        segment=(tall, wide),
        grid=(-(-height // tall), -(-width // wide)),
        strips=1 if page.is_tiled or raw else max(STRIPS_BYTES // segment_bytes, 1),
        decode=page.decode,
        packing=packing(page, stored=stored, pixels=(wide, contiguous), segment_bytes=segment_bytes) if whole else None,
        jpeg=_jpeg_colours(page) if page.compression in JPEG else None,
        jpeg_header=page.jpegheader,
        nodata=page.nodata,
        tiled=page.is_tiled,
        raw=raw,
        plain=plain,
        colour=colour_of(page),
        convert=convert,
    )


def _jpeg_colours(page: "TiffPage") -> JpegColours:
    """Return the colours that tifffile tells the decoder of a page's JPEG streams."""
    from tifffile.tifffile import jpeg_decode_colorspace

    return jpeg_decode_colorspace(page.photometric, page.planarconfig, page.extrasamples, page.is_jfif)


def _unclear(page: "TiffPage") -> str | None:
    """Return why programs deliver other pixels for a page than tifffile does, None where they agree."""
    orientation = page.tags.valueof(274) or UPRIGHT
    if orientation != UPRIGHT:
        return (
            f"page {page.index} says Orientation {orientation}, so that its rows and cols are to be flipped or swapped"
        )
    predictor = int(page.predictor)
    if predictor in FLOAT_PREDICTORS and page.dtype is not None and page.dtype.kind != "f":
        return f"page {page.index} has Predictor {predictor}, which is for floats, and holds {page.dtype}"
    return None


class Formats:
    """The formats of the pages of one open file: tifffile reads a directory in full once for each kind of page."""

    def __init__(self, path: Path, tiff: "TiffFile") -> None:
        self._path, self._tiff = path, tiff
        self._known: dict[Fingerprint, PageFormat] = {}
        self._in_full: list[TiffPage] = []

    def of(self, page: "TiffPage") -> PageFormat:
        """Return the format of a page that tifffile has read in full."""
        return self._known_as(fingerprint(self._path, self._tiff, page.offset)[0], page)

    def _known_as(self, tags: Fingerprint, page: "TiffPage") -> PageFormat:
        if tags not in self._known:
            self._known[tags] = page_format(self._path, self._tiff, page)
            self._in_full.append(page)
        return self._known[tags]

    def check_all_read(self) -> None:
        """Refuse a file of which tifffile left a tag out, in a directory that it read in full."""
        for page in self._in_full:
            check_all_read(self._path, self._tiff, page)

    def table(self, page: Any, number: int) -> PageTable:  # noqa: ANN401 - a TiffPage or TiffFrame
        """Return where the segments of a page lie and how they are decoded.

        Raises
        ------
        FileFormatError
            The page is in another file or absent, or its tags contradict each other.
        """
        if page is None:
            found = f"its page {number} is in another file or absent"
            raise broken(self._path, found, expected="all channels in one file")
        if page.keyframe is page or not page.offset:  # read in full, or a plane behind the first page
            return self._checked(number, self.of(page.keyframe), page)
        tags, counts = fingerprint(self._path, self._tiff, page.offset)
        form = self._known.get(tags)
        of_first = page.keyframe.is_contiguous  # then tifffile takes sizes from it, and no JPEG tables from the page
        if form is None or self._tiff.tiff.is_ndpi or (of_first and not form.plain):
            page = page.aspage()
            form = self._known_as(tags, page)
        elif form.plain and counts is not None:
            return self._checked(number, form, page, sizes=numbers(self._tiff, *counts))
        return self._checked(number, form, page)

    def _checked(self, number: int, form: PageFormat, page: Any, *, sizes: Int64 | None = None) -> PageTable:  # noqa: ANN401
        """Build the table of one page from the values of its tags, or with sizes of segments that it does not know."""
        starts = np.asarray(page.dataoffsets, np.int64)
        counts = np.asarray(page.databytecounts, np.int64) if sizes is None else sizes
        if form.plain and len(starts) and _in_one_run(form, starts, counts):
            return PageTable.in_one_run(int(starts[0]), form)
        segments = form.grid[0] * form.grid[1] * (form.samples if form.planar else 1)
        if len(starts) != segments or len(counts) != segments or int(starts.min()) < 0 or int(counts.min()) < 0:
            raise broken(
                self._path,
                f"page {number} lists {len(starts)} offsets and {len(counts)} sizes of segments",
                expected=f"{segments} for its size",
            )
        return PageTable(offsets=starts, sizes=counts, jpeg_tables=page.jpegtables, raw_offset=-1, format=form)


def _in_one_run(form: PageFormat, offsets: Int64, sizes: Int64) -> bool:
    """Say whether the segments of a page follow each other in the file, each as long as its rows."""
    if len(offsets) == 1:
        return int(offsets[0]) > 0  # a sparse file's absent segment lies nowhere
    height, width = form.size
    line = width * form.together * form.stored.itemsize
    rows = np.minimum(form.segment[0], height - np.arange(form.grid[0]) * form.segment[0])
    lengths = np.tile(rows * line, form.samples if form.planar else 1)
    return (
        len(offsets) == len(sizes) == len(lengths)
        and bool((sizes == lengths).all())
        and bool((offsets[:-1] + sizes[:-1] == offsets[1:]).all())
    )
