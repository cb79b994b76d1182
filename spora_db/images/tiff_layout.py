"""Where the pixels of a TIFF image lie, read once with tifffile: after that no page object and no lock is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spora_db.errors import FileFormatError, ImageNotFoundError, StoreError
from spora_db.files.failures import READER_FAILURES
from spora_db.files.forks import unforked
from spora_db.files.stamps import Stamp, file_stamp
from spora_db.files.stores.remote_files import open_binary, opened
from spora_db.images.base import ChannelAxis
from spora_db.images.files import broken, describe, telling_broken, unopened
from spora_db.images.tiff_described import as_described, described
from spora_db.images.tiff_pages import Formats, PageFormat, PageTable
from spora_db.images.tiff_series import TiffPicture, check_all_listed, choose, page_count, pictures
from spora_db.images.tiff_tags import check_all_there, odd_tag

if TYPE_CHECKING:
    from tifffile import TiffFile

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PAGES_ONLY: dict[str, Any] = {"is_ome": False, "is_imagej": False, "is_shaped": False, "is_uniform": False}
"""tifffile's switches by which it reads a file page by page, whatever its descriptions say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffLayout:
    """Everything needed to find and decode the segments of one image.

    Attributes
    ----------
    stamp
        The state of the file this was read from.
    shape
        Channels, height and width in pixels.
    format
        How the first page is stored; the others are alike in size, samples and type.
    pages
        One table per page, each with the page's own format.
    not_rgb
        Why the image is no picture of red, green and blue, None where nothing says so.
    levels
        In how many resolutions the file holds it.
    """

    stamp: Stamp
    shape: tuple[int, int, int]
    format: PageFormat
    pages: tuple[PageTable, ...]
    not_rgb: str | None
    levels: int


def read_layout(path: Path, *, channel_axis: ChannelAxis = "c", level: int = 0) -> TiffLayout:
    """Read where the image of a TIFF file lies, at full resolution or at another level of its pyramid.

    Raises
    ------
    ImageNotFoundError
        There is no such file.
    FileFormatError
        It is no TIFF, is cut short or contradicts itself, or its image is not (C, H, W).
    """
    try:
        current = file_stamp(path)
        with open_binary(path) as file:
            head = file.read(64)
    except StoreError:  # of a remote lake; it says all
        raise
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.") from error
    except OSError as error:
        raise unopened(path, error, expected="a TIFF file") from error
    if not head.startswith(MAGIC):
        raise broken(path, describe(head), expected="a TIFF file")

    with telling_broken(path, library="tifffile", expected="a TIFF file that tifffile reads"):
        try:
            with unforked:  # tifffile's pages share locks that a child must not inherit held
                return _layout(path, current, channel_axis, level)
        except READER_FAILURES as error:
            if odd := odd_tag(path):
                raise broken(path, odd, expected="the tags of a TIFF image") from error
            raise


class _PagesDiffer(FileFormatError):
    """Pages that were taken for one image are of several sizes or types."""


def _layout(path: Path, current: Stamp, channel_axis: ChannelAxis, level: int) -> TiffLayout:
    """Turn tifffile's view of a file into tables; page by page where that view is not what the pages say."""
    import tifffile

    with tifffile.TiffFile(opened(path), _multifile=False) as tiff:
        xml = tiff.ome_metadata
        found = _pictures(tiff)
        uniform = found is not None and len(found) == 1 and found[0].kind == "uniform"
        if found is not None:
            try:
                return _image(path, tiff, found, xml=xml, current=current, channel_axis=channel_axis, level=level)
            except _PagesDiffer:
                if not uniform:
                    raise
    with tifffile.TiffFile(opened(path), _multifile=False, **PAGES_ONLY) as tiff:
        return _image(path, tiff, pictures(tiff), xml=xml, current=current, channel_axis=channel_axis, level=level)


def _pictures(tiff: "TiffFile") -> list[TiffPicture] | None:
    """Return the pictures of a file, None where its description does not fit its pages."""
    try:
        return pictures(tiff)
    except (RuntimeError, ValueError):
        return None


def _image(
    path: Path,
    tiff: "TiffFile",
    found: list[TiffPicture],
    *,
    xml: str | None,
    current: Stamp,
    channel_axis: ChannelAxis,
    level: int,
) -> TiffLayout:
    """Return the layout of the picture that is the image of the file."""
    finest = choose(path, found)
    picture = finest.at(level)
    if picture.series[0].transform is not None:
        found_ = f"its pixels need a conversion ({picture.kind})"
        raise broken(path, found_, expected="plain pixels", remedy="Convert it.")
    if picture.kind != "ome":
        check_all_there(path, tiff)
    elif not level:
        check_all_listed(path, tiff, picture)
    formats = Formats(path, tiff)
    form = formats.of(picture.key)
    count = page_count(path, picture, channel_axis=channel_axis)
    # many planes lie behind one page in files of ImageJ, and in shaped ones
    if picture.length != count or picture.series[0].is_truncated:
        tables = _one_run(path, picture, form, count)
    else:
        tables = [formats.table(page, number) for number, page in enumerate(picture.pages())]
        _check_alike(path, tables)
    if xml is not None and not level and picture.kind != "ome" and (said := described(xml)):
        tables = as_described(path, said, picture, tables, channel_axis=channel_axis)
    _check_complete(path, tables, current)
    formats.check_all_read()
    form = tables[0].format
    return TiffLayout(
        stamp=current,
        shape=(len(tables) * form.samples, *form.size),
        format=form,
        pages=tuple(tables),
        not_rgb=_not_rgb(tables),
        levels=finest.levels,
    )


def _one_run(path: Path, picture: TiffPicture, form: PageFormat, count: int) -> list[PageTable]:
    """Return the tables of planes that follow each other in the file behind fewer pages."""
    start = picture.series[0].dataoffset
    if start is None or len(picture.series) > 1 or not form.plain:
        raise broken(path, f"it has {picture.length} pages for {count} planes", expected="a page per plane")
    return [PageTable.in_one_run(start + plane * form.page_bytes, form) for plane in range(count)]


def _check_alike(path: Path, tables: list[PageTable]) -> None:
    """Refuse pages of several sizes or types."""
    first = tables[0].format
    for number, table in enumerate(tables):
        form = table.format
        if form is not first and _likeness(form) != _likeness(first):
            raise _PagesDiffer(
                f"The pages of the image {path} differ: page {number} is {_likeness(form)}, page 0 is "
                f"{_likeness(first)}. All channels of an image are of one size and type. Write the image again."
            )


def _likeness(form: PageFormat) -> str:
    """Say what pages of one image have in common."""
    samples = f"{form.samples} samples {'in planes ' if form.planar else ''}of " if form.samples > 1 else ""
    return f"{form.size[0]} x {form.size[1]} pixels of {samples}{form.stored}"


def _check_complete(path: Path, tables: list[PageTable], current: Stamp) -> None:
    """Refuse a file that ends before its pixels do."""
    for number, table in enumerate(tables):
        if table.raw_offset >= 0:
            end = table.raw_offset + table.format.page_bytes
        else:
            end = int((table.offsets + table.sizes).max())
        if end > current[2]:
            raise broken(
                path,
                f"it has {current[2]} bytes, but page {number} reaches to byte {end}: it is cut short",
                expected="a complete file",
            )


def _not_rgb(tables: list[PageTable]) -> str | None:
    """Say why pages are no picture of red, green and blue."""
    for form in {id(table.format): table.format for table in tables}.values():
        if form.colour not in ("RGB", "black is zero"):
            return f"its colours are {form.colour}"
        if form.stored.kind == "b":
            return "it holds bool"
        if form.bits != 8 * form.stored.itemsize:
            return f"its samples have {form.bits} bits of {form.stored.itemsize * 8}, so that its white is not known"
    return None
