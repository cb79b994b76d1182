"""TIFF files whose pages differ in their tags, against each page's own directory; and which pages are the image."""

import logging
import struct
import tempfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from spora_db.errors import FileFormatError
from spora_db.images import open_image, read_region
from spora_db.images.pieces import Regions, cut_chunks

NUMBERS = np.random.default_rng(0).integers(1, 200, (6, 70, 90)).astype("uint16")


def ome_xml(kind: str, count: int, height: int, width: int) -> str:
    xml = tifffile.OmeXml()
    xml.addimage(kind, (count, height, width), (count, 1, 1, height, width, 1), axes="CYX")
    return xml.tostring()


def write_pages(path: Path, pages: list[np.ndarray], options: list[dict[str, Any]], *, ome: bool, **how: Any) -> Path:
    """Write pages one by one, each with options of its own, with OME-XML of the first page's size or without any."""
    xml = ome_xml(str(pages[0].dtype), len(pages), *pages[0].shape[:2]) if ome else None
    with tifffile.TiffWriter(path, ome=False, **how) as tiff:
        for number, (page, option) in enumerate(zip(pages, options, strict=True)):
            text = xml if number == 0 else None
            with_colour = {"photometric": "minisblack" if page.ndim == 2 else "rgb", **option}
            tiff.write(np.ascontiguousarray(page), description=text, metadata=None, **with_colour)
    return path


def own_pages(path: Path) -> list[np.ndarray]:
    """Return what each directory by itself says."""
    with tifffile.TiffFile(path, is_ome=False, is_shaped=False) as tiff:
        return [page.aspage().asarray() for page in tiff.pages]


@st.composite
def page_options(draw: st.DrawFn) -> dict[str, Any]:
    compression = draw(st.sampled_from([None, None, "zlib", "lzw", "zstd", "packbits"]))
    cut = draw(st.sampled_from(["strip", "strip", "tile", "whole"]))
    return {
        "compression": compression,
        "predictor": compression in ("zlib", "lzw", "zstd") and draw(st.booleans()),
        "photometric": draw(st.sampled_from(["minisblack", "minisblack", "miniswhite"])),
        **({"tile": draw(st.sampled_from([(16, 16), (32, 48), (16, 96)]))} if cut == "tile" else {}),
        **({"rowsperstrip": draw(st.integers(1, 40))} if cut == "strip" else {}),
    }


@settings(max_examples=80, deadline=None)
@given(
    options=st.lists(page_options(), min_size=2, max_size=6),
    kind=st.sampled_from(["uint8", "uint16", "float32"]),
    ome=st.booleans(),
    how=st.fixed_dictionaries({"bigtiff": st.booleans(), "byteorder": st.sampled_from("<>")}),
    box=st.tuples(st.integers(0, 60), st.integers(0, 80), st.integers(1, 10), st.integers(1, 10)),
)
def test_every_page_is_decoded_by_its_own_tags(
    options: list[dict[str, Any]], kind: str, ome: bool, how: dict[str, Any], box: tuple[int, int, int, int]
) -> None:
    pages = list(NUMBERS[: len(options)].astype(kind))
    row, col, height, width = box
    with tempfile.TemporaryDirectory() as folder:
        path = write_pages(Path(folder) / "a.ome.tif", pages, options, ome=ome, **how)
        expected = np.stack(own_pages(path))
        np.testing.assert_array_equal(read_region(open_image(path)), expected)
        part = read_region(open_image(path), [len(pages) - 1, 0], row=row, col=col, height=height, width=width)
    np.testing.assert_array_equal(part, expected[[-1, 0], row : row + height, col : col + width])
    np.testing.assert_array_equal(expected, np.stack(pages))


def test_a_page_of_reversed_bits(tmp_path: Path) -> None:
    pages = [NUMBERS[0].astype("uint8"), NUMBERS[1].astype("uint8"), NUMBERS[2].astype("uint8")]
    path = write_pages(tmp_path / "a.tif", pages, [{}, {"extratags": [(65000, 3, 1, 2, True)]}, {}], ome=True)
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        place, size = tiff.pages[1].dataoffsets[0], pages[1].size
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHIH", 65000, 3, 1, 2))
    content[at : at + 2] = struct.pack("<H", 266)  # FillOrder, which tifffile does not write
    content[place : place + size] = imagecodecs.bitorder_encode(bytes(content[place : place + size]))
    path.write_bytes(content)
    np.testing.assert_array_equal(np.stack(own_pages(path)), pages)
    np.testing.assert_array_equal(read_region(open_image(path)), pages)


@pytest.mark.parametrize("ome", [True, False], ids=["ome", "plain"])
@pytest.mark.parametrize(
    ("number", "change", "found"),
    [
        (2, lambda page: page.astype("uint8"), "uint8"),
        (2, lambda page: page.astype("int16"), "int16"),
        (2, lambda page: page.astype("float32"), "float32"),
        (0, lambda page: page.astype("int16"), "int16"),
        (2, lambda page: page[:60, :80], "60 x 80"),
        (4, lambda page: page[:60, :80], "60 x 80"),
        (2, lambda page: page[::2, ::2], "35 x 45"),
        (1, lambda page: page.T, "90 x 70"),
        (2, lambda page: np.repeat(page[..., None], 3, -1), "3 samples"),
    ],
)
def test_pages_of_other_sizes_and_types_are_refused(
    tmp_path: Path, number: int, change: Any, found: str, ome: bool
) -> None:
    pages = list(NUMBERS[:5])
    pages[number] = change(pages[number])
    for options in ({}, {"compression": "zlib"}, {"compression": "zlib", "tile": (32, 32)}):
        path = write_pages(tmp_path / "a.ome.tif", pages, [options] * 5, ome=ome)
        with pytest.raises(
            FileFormatError, match=r"differ: page|contradicts its pages|holds 2 images|of several sizes"
        ):
            open_image(path)


@pytest.mark.parametrize("count", [3, 12])
def test_many_plain_pages_of_which_one_differs(tmp_path: Path, count: int) -> None:
    """Of 8 and more pages tifffile looks at four, and takes the others for the same."""
    pages = [NUMBERS[at % 6] + at for at in range(count)]
    options: list[dict[str, Any]] = [{"compression": "zlib", "rowsperstrip": 10} for _ in range(count)]
    options[2] = {"compression": "lzw", "predictor": True, "rowsperstrip": 10}
    path = write_pages(tmp_path / "a.tif", pages, options, ome=False)
    np.testing.assert_array_equal(read_region(open_image(path)), pages)
    pages[2] = pages[2].astype("int16")
    path = write_pages(tmp_path / "b.tif", pages, options, ome=False)
    with pytest.raises(FileFormatError, match="holds 2 images of 70 x 90 pixels"):
        open_image(path)


def test_pages_written_one_by_one_with_a_shape_each_are_one_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in NUMBERS[:4]:
            tiff.write(page, photometric="minisblack")
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.tif")), NUMBERS[:4])
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        tiff.write(NUMBERS[:3], photometric="minisblack")
        tiff.write(NUMBERS[3:], photometric="minisblack")
    with pytest.raises(FileFormatError, match=r"holds 2 images of 70 x 90 pixels.*page 0;.*page 3"):
        open_image(tmp_path / "b.tif")


@pytest.mark.parametrize("compression", ["lzma", "packbits", "jpeg"])
def test_compressed_pages_after_a_plain_one(tmp_path: Path, compression: str) -> None:
    """tifffile gives them the sizes of the first page's segments, and no JPEG tables."""
    pages = list(NUMBERS[:4].astype("uint8"))
    path = write_pages(tmp_path / "a.tif", pages, [{}, *[{"compression": compression}] * 3], ome=True)
    if compression == "jpeg":
        _move_tables(path, pages=(1, 2, 3))
    np.testing.assert_array_equal(read_region(open_image(path)), np.stack(own_pages(path)))


def _move_tables(path: Path, *, pages: tuple[int, ...]) -> None:
    """Put the tables of JPEG streams into tag 347, where many slides have them."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        found = [(tiff.pages[page].aspage(), tiff.pages[page].offset) for page in pages]
        places = [(page.dataoffsets[0], page.databytecounts[0], offset) for page, offset in found]
    for start, size, directory in places:
        stream = bytes(content[start : start + size])
        at, tables, rest = 2, b"", b""
        while stream[at + 1] != 0xDA:  # until the scan begins
            end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
            segment = stream[at:end]
            tables, rest = (tables + segment, rest) if stream[at + 1] in (0xC4, 0xDB) else (tables, rest + segment)
            at = end
        short = b"\xff\xd8" + rest + stream[at:]
        tables = b"\xff\xd8" + tables + b"\xff\xd9"
        content[start : start + len(short)] = short
        (count,) = struct.unpack_from("<H", content, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            code = struct.unpack_from("<H", content, entry)[0]
            if code == 279:
                struct.pack_into("<I", content, entry + 8, len(short))
            elif code == 305:  # Software makes room
                struct.pack_into("<HHII", content, entry, 347, 7, len(tables), len(content))
                content += tables
    path.write_bytes(content)


def _retag(path: Path, code: int, change: Any, *, page: int) -> None:
    """Write another entry in place of a tag of a page; ``change`` gets type, count and the value's four bytes."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        directory = tiff.pages[page].offset
    (count,) = struct.unpack_from("<H", content, directory)
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        found, kind, length, value = struct.unpack_from("<HHI4s", content, at)
        if found == code:
            struct.pack_into("<HHI4s", content, at, *change(kind, length, value))
            path.write_bytes(content)
            return
    raise AssertionError(code)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("kind", [1, 5, 6, 10, 11, 12])
def test_places_of_pixels_are_whole_numbers(tmp_path: Path, kind: int, page: int) -> None:
    path = write_pages(tmp_path / "a.tif", list(NUMBERS[:2]), [{}, {}], ome=False)
    ratio = path.stat().st_size
    path.write_bytes(path.read_bytes() + struct.pack("<II", 16, 1))  # a numerator that could be a place
    place = struct.pack("<I", ratio)
    _retag(path, 273, lambda _, n, value: (273, kind, n, place if kind in (5, 10) else value), page=page)
    with pytest.raises(FileFormatError, match=r"a\.tif is broken"):
        read_region(open_image(path))


@pytest.mark.parametrize("silenced", ["all", "tifffile", "no"])
def test_a_tag_that_lies_beyond_the_file_is_refused_whatever_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silenced: str
) -> None:
    path = write_pages(tmp_path / "a.tif", list(NUMBERS[:2]), [{}, {}], ome=False)
    _retag(path, 305, lambda kind, _, value: (305, kind, 2**20, value), page=0)
    if silenced == "all":
        monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    monkeypatch.setattr(logging.getLogger("tifffile"), "disabled", silenced == "tifffile")
    with pytest.raises(FileFormatError, match=r"a\.tif is broken: .*Software \(1048576 of type 2\).* not in the file"):
        open_image(path).shape  # noqa: B018


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize(
    ("option", "tag", "value", "found"),
    [
        ({}, 274, 3, "Orientation 3"),
        ({}, 274, 6, "Orientation 6"),
        ({"compression": "zlib"}, 317, 3, "Predictor 3, which is for floats, and holds uint16"),
    ],
)
def test_tags_that_programs_read_differently_are_refused(
    tmp_path: Path, option: dict[str, Any], tag: int, value: int, found: str, page: int
) -> None:
    extra = {"extratags": [(65000, 3, 1, 1, True)], **option}
    path = write_pages(tmp_path / "a.tif", list(NUMBERS[:2]), [extra, extra], ome=False)
    _retag(path, 65000, lambda *_: (tag, 3, 1, struct.pack("<HH", value, 0)), page=page)
    with pytest.raises(FileFormatError, match=f"page {page} (says|has) {found}"):
        open_image(path)


@pytest.mark.parametrize("rows", [14, 15, 16, 17], ids="{} rows".format)
@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("cut", [{"tile": (16, 96)}, {"rowsperstrip": 16}], ids=["tile", "strip"])
@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_segments_of_more_or_fewer_bytes_are_what_tifffile_takes_them_for(
    tmp_path: Path, compression: str, cut: dict[str, Any], odd: int, rows: int
) -> None:
    encode = {"zlib": imagecodecs.zlib_encode, "lzw": imagecodecs.lzw_encode, "zstd": imagecodecs.zstd_encode}
    content = NUMBERS.tobytes()[: rows * 96 * 2 + odd]
    path, segment = tmp_path / "a.tif", encode[compression](content)
    how = {"shape": (30, 96), "dtype": "uint16", "metadata": None, **cut}  # the last segment needs 14 rows
    tifffile.imwrite(path, iter([segment, segment]), compression=compression, photometric="minisblack", **how)
    with tifffile.TiffFile(path) as tiff:
        for index, (top, height) in enumerate([(0, 16), (16, 14)]):
            try:
                expected = tiff.pages[0].decode(segment, index)[0]
            except (ValueError, RuntimeError):
                expected = None
            if expected is None or expected.shape[1] < height:
                with pytest.raises(FileFormatError, match=f"segment {index} of page 0"):
                    read_region(open_image(path), row=top, height=height)
            else:
                found = read_region(open_image(path), row=top, height=height)
                np.testing.assert_array_equal(found, expected[:, :height, :, 0])


def test_pixels_hold_no_lines_of_a_wide_image(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 2**16, (2, 40, 3000), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
    reader, pages = open_image(tmp_path / "a.ome.tif"), np.arange(2)
    for width in (30, 2000):
        where = {"row": 5, "col": 7, "height": 20, "width": width}
        np.testing.assert_array_equal(read_region(reader, **where), image[:, 5:25, 7 : 7 + width])
        for part in cut_chunks(Regions.of(reader, pages, **where), {}):
            pixels = part.planes.pixels
            assert pixels.base is not None
            assert pixels.base.nbytes < 2 * pixels.nbytes
