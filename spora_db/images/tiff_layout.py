"""Where the pixels of a TIFF image lie, read once with tifffile: after that no page object and no lock is needed."""

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spora_db.errors import FileFormatError, ImageNotFoundError, SporaError
from spora_db.failures import FILE_FAILURES, READER_FAILURES, reader_error
from spora_db.forks import unforked
from spora_db.images.files import Signature, broken, describe, signature
from spora_db.images.tiff_tags import odd_tag

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

SEGMENT_LIMIT = 2 * 2**30
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
Decode: TypeAlias = Callable[..., tuple[Any, Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """Where one page's segments (tiles or strips) lie: int64 arrays, and what their JPEG streams share.

    ``raw_offset`` is the first byte of a page whose pixels lie uncompressed in rows, else -1.
    """

    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    jpeg_tables: bytes | None
    raw_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffLayout:
    """Everything needed to find and decode the segments of one image.

    Attributes
    ----------
    signature
        The state of the file this was read from.
    shape
        Channels, height and width in pixels.
    samples, planar
        Channels in one page (3 for RGB), and whether they lie in separate segments.
    stored
        The type in the file, with its byte order.
    segment
        Height and width of a segment in pixels.
    grid
        Segments down and across one plane.
    pages
        One table per page.
    decode
        tifffile's decoder of one segment: ``decode(data, index, jpegtables=...)``; it holds no lock and no file.
    is_jpeg
        Whether ``decode`` takes JPEG tables.
    nodata
        The value of segments that are not stored.
    """

    signature: Signature
    shape: tuple[int, int, int]
    samples: int
    planar: bool
    stored: np.dtype[Any]
    segment: tuple[int, int]
    grid: tuple[int, int]
    pages: tuple[PageTable, ...]
    decode: Decode
    is_jpeg: bool
    jpeg_header: bytes | None
    nodata: float


def read_layout(path: Path) -> TiffLayout:
    """Read where the first image of a TIFF file lies, at full resolution.

    Raises
    ------
    ImageNotFoundError
        There is no such file.
    FileFormatError
        It is no TIFF, is cut short or contradicts itself, or its image is not (C, H, W).
    """
    try:
        current = signature(path)
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.") from error
    except OSError as error:
        raise broken(path, str(error), expected="a TIFF file", remedy="Check the path and its rights.") from error
    if not head.startswith(MAGIC):
        raise broken(path, describe(head), expected="a TIFF file")
    try:
        with unforked:  # tifffile's pages share locks that a child must not inherit held
            import tifffile

            with _lost_tags() as lost, tifffile.TiffFile(path, _multifile=False) as tiff:
                layout = _layout(path, tiff, current)
        if lost:
            raise broken(path, f"tifffile says {lost[0]:.150}", expected="tags inside the file")
        return layout
    except SporaError:
        raise
    except READER_FAILURES as error:
        if odd := odd_tag(path):
            raise broken(path, odd, expected="the tags of a TIFF image") from error
        raise reader_error(f"The image {path}", error, library="tifffile") from error
    except FILE_FAILURES as error:
        raise broken(path, f"{type(error).__name__}: {error}", expected="a TIFF file that tifffile reads") from error


class _TagFailures(logging.Handler):
    """Collects what tifffile only logs: tags whose values lie beyond the end of the file."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a failed tag of this thread's file."""
        if record.thread == self._thread and "TiffTag.fromfile" in record.getMessage():
            self.messages.append(record.getMessage())


@contextlib.contextmanager
def _lost_tags() -> Iterator[list[str]]:
    """Give a list that fills with the tags that tifffile could not read and left out."""
    handler = _TagFailures()
    logger = logging.getLogger("tifffile")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


def _layout(path: Path, tiff: "TiffFile", current: Signature) -> TiffLayout:
    """Turn tifffile's view of an open file into tables."""
    if not tiff.series:
        raise broken(path, "it has no image", expected="at least one page")
    series = tiff.series[0].levels[0]
    key = series.keyframe
    separate, depth, height, width, contiguous = key.shaped
    samples = separate * contiguous
    if key.dtype is None or 0 in key.shaped or depth != 1 or key.dtype.kind not in "biuf" or key.dtype.itemsize > 8:
        raise broken(
            path,
            f"its pages have the shape {key.shape} ({key.axes}) and type {key.dtype}",
            expected="rows and cols of whole numbers or floats",
            remedy="Convert the image.",
        )
    if series.transform is not None:
        raise broken(
            path, f"its pixels need a conversion ({series.kind})", expected="plain pixels", remedy="Convert it."
        )
    count = _page_count(path, series, samples)
    stored = key.dtype.newbyteorder(tiff.byteorder)
    tall, wide = (key.tilelength, key.tilewidth) if key.is_tiled else (min(key.rowsperstrip, height), width)
    if tall < 1 or wide < 1:
        raise broken(path, f"its segments are {tall} x {wide} pixels", expected="at least one pixel")
    grid = (-(-height // tall), -(-width // wide))
    if tall * wide * contiguous * stored.itemsize > SEGMENT_LIMIT and not key.is_contiguous:
        raise broken(path, f"its segments are {tall} x {wide} x {contiguous} pixels", expected="less than 2 GiB each")
    page_bytes = samples * height * width * stored.itemsize
    one_run = len(series) != count or series.is_truncated  # many images behind one page: ImageJ and shaped files
    if one_run:
        start = series.dataoffset
        if start is None or not key.is_contiguous or key.fillorder == 2 or key.predictor != 1:
            raise broken(path, f"it has {len(series)} pages for {count} planes", expected="a page per plane")
        nothing = np.zeros(0, np.int64)
        tables = [
            PageTable(offsets=nothing, sizes=nothing, jpeg_tables=None, raw_offset=start + i * page_bytes)
            for i in range(count)
        ]
    else:
        segments = grid[0] * grid[1] * separate
        tables = [_table(path, page, key, segments, page_bytes, number) for number, page in enumerate(series)]
    for number, table in enumerate(tables):
        end = table.raw_offset + page_bytes if table.raw_offset >= 0 else int((table.offsets + table.sizes).max())
        if end > current[2]:
            raise broken(
                path,
                f"it has {current[2]} bytes, but page {number} reaches to byte {end}: it is cut short",
                expected="a complete file",
            )
    return TiffLayout(
        signature=current,
        shape=(count * samples, height, width),
        samples=samples,
        planar=separate > 1,
        stored=stored,
        segment=(tall, wide),
        grid=grid,
        pages=tuple(tables),
        decode=key.decode,
        is_jpeg=key.compression in (6, 7, 33007, 34892),
        jpeg_header=key.jpegheader,
        nodata=key.nodata,
    )


def _page_count(path: Path, series: "TiffPageSeries", samples: int) -> int:
    """Return the pages of an image whose further axis, if any, is the channel."""
    axes, shape = series.axes, series.shape
    others = [axis for axis in axes if axis not in "YXS"]
    named = ", ".join(f"{axis.lower()}={size}" for axis, size in zip(axes, shape, strict=True))
    sizes = dict(zip(axes, shape, strict=True))
    height, width = series.keyframe.shaped[2:4]
    if (
        (sizes.get("Y"), sizes.get("X")) != (height, width)
        or len(others) > 1
        or any(axis not in "CQI" for axis in others)
    ):
        raise FileFormatError(
            f"The image {path} has the axes {named}. Expected the axes c, y, x, or y, x and samples; further axes such "
            "as t and z with one element each. Write each time point or z plane as an image of its own."
        )
    count, rest = divmod(math.prod(shape), samples * height * width)
    if rest:
        raise broken(path, f"its axes {named} are no whole number of pages", expected="a page per channel")
    return count


def _table(path: Path, page: Any, key: "TiffPage", segments: int, page_bytes: int, number: int) -> PageTable:  # noqa: ANN401
    """Return the table of one page or frame."""
    if page is None:
        raise broken(path, f"its page {number} is in another file or absent", expected="all channels in one file")
    offsets = np.asarray(page.dataoffsets, np.int64)
    sizes = np.asarray(page.databytecounts, np.int64)
    plain = key.is_contiguous and key.fillorder != 2 and key.predictor == 1 and not key.is_subsampled
    if plain and len(offsets) and _in_one_run(offsets, sizes):
        return PageTable(offsets=offsets[:0], sizes=sizes[:0], jpeg_tables=None, raw_offset=int(offsets[0]))
    if len(offsets) != segments or len(sizes) != segments or int(offsets.min()) < 0 or int(sizes.min()) < 0:
        raise broken(
            path,
            f"page {number} lists {len(offsets)} offsets and {len(sizes)} sizes of segments",
            expected=f"{segments} for its size",
        )
    return PageTable(offsets=offsets, sizes=sizes, jpeg_tables=page.jpegtables, raw_offset=-1)


def _in_one_run(offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> bool:
    """Say whether segments follow each other in the file; tifffile looks at the first page only."""
    return len(offsets) == 1 or (len(offsets) == len(sizes) and bool((offsets[:-1] + sizes[:-1] == offsets[1:]).all()))
