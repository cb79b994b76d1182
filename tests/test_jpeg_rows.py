"""Segments of TIFF of which only the first rows are decoded or read: the pixels of the whole, and what is kept."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from spora_db.errors import FileFormatError
from spora_db.images import cache_info, files, jpeg_rows, ometiff, open_image, read_region, set_cache_bytes
from spora_db.loading.costs import _probe

pytestmark = pytest.mark.usefixtures("empty_cache")

TALL, WIDE = 96, 112
RNG = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    """Return colours that change from pixel to pixel, so that every row of chroma counts."""
    coarse = RNG.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:height, :width]
    return np.clip(coarse + RNG.integers(-30, 30, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def decoded_rows(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return the rows of every part that is decoded, None for a segment decoded whole."""
    found: list[int | None] = []
    decode, whole = ometiff.decode_first_rows, ometiff._whole

    def of_part(stream: bytes, rows: int, *args: Any, **options: Any) -> Any:
        part = decode(stream, rows, *args, **options)
        found.extend([rows] if part is not None else [])
        return part

    def of_whole(*args: Any) -> Any:
        found.append(None)
        return whole(*args)

    monkeypatch.setattr(ometiff, "decode_first_rows", of_part)
    monkeypatch.setattr(ometiff, "_whole", of_whole)
    return found


def pillow(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85, **options)
    return file.getvalue()


def without_tables(stream: bytes) -> tuple[bytes, bytes]:
    """Split a stream into one without tables and one of the tables alone, as tag 347 holds them."""
    at, tables, rest = 2, b"", b""
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        is_table = stream[at + 1] in (0xC4, 0xDB)
        tables, rest = tables + is_table * stream[at:end], rest + (not is_table) * stream[at:end]
        at = end
    return b"\xff\xd8" + rest + stream[at:], b"\xff\xd8" + tables + b"\xff\xd9"


STREAMS: dict[str, Callable[[np.ndarray], bytes]] = {
    "4:4:4": lambda tile: pillow(tile, subsampling=0),
    "4:2:2": lambda tile: pillow(tile, subsampling=1),
    "4:2:0": lambda tile: pillow(tile, subsampling=2),
    "4:2:0, restart markers": lambda tile: pillow(tile, subsampling=2, restart_marker_rows=1),
    "4:2:2, restart markers": lambda tile: pillow(tile, subsampling=1, restart_marker_blocks=3),
    "4:4:0": lambda tile: imagecodecs.jpeg8_encode(tile, subsampling="440"),
    "4:1:1": lambda tile: imagecodecs.jpeg8_encode(tile, subsampling="411"),
    "red, green and blue": lambda tile: imagecodecs.jpeg8_encode(tile, colorspace="rgb", outcolorspace="rgb"),
    "grey": lambda tile: pillow(tile[..., 0]),
}


def write(path: Path, streams: list[bytes], *, tile: bool = True, tables: bytes | None = None, **options: Any) -> Path:
    """Write streams as the tiles (two by two) or strips of one page."""
    grey = options.pop("grey", False)
    cut: dict[str, Any] = {"tile": (TALL, WIDE)} if tile else {"rowsperstrip": TALL}
    shape = (TALL * 2, WIDE * 2) if tile else (TALL * len(streams), WIDE)
    colour = {"photometric": "minisblack"} if grey else {"photometric": "ycbcr", "subsampling": (2, 2)} | options
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter(streams), shape=shape if grey else (*shape, 3), dtype="uint8", compression="jpeg", jpegtables=tables,
            **cut, **colour,
        )  # fmt: skip
    return path


def channels_first(path: Path) -> np.ndarray:
    image = tifffile.imread(path)
    return image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)


@pytest.mark.some(4)
@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("in_tag", [False, True], ids=["tables in the stream", "tables in the tag"])
def test_first_rows_are_those_of_the_whole_at_every_cut(tmp_path, reuse, decoded_rows, kind, in_tag) -> None:
    """The oracle is tifffile, which decodes all rows."""
    streams = [STREAMS[kind](picture(TALL, WIDE)) for _ in range(4)]
    tables = None
    if in_tag:
        streams, (tables, *_) = zip(*map(without_tables, streams), strict=True)
    options = {"photometric": "rgb"} if kind == "red, green and blue" else {"grey": kind == "grey"}
    path = write(tmp_path / "a.tif", list(streams), tables=tables, **options)
    image, reader = channels_first(path), open_image(path)
    set_cache_bytes(0)
    for rows in range(1, TALL + 1):
        found = read_region(reader, row=TALL, col=WIDE + 3, height=rows, width=70)
        np.testing.assert_array_equal(found, image[:, TALL : TALL + rows, WIDE + 3 : WIDE + 73])
    assert decoded_rows == [*range(1, TALL - jpeg_rows.BELOW), *[None] * (1 + jpeg_rows.BELOW)]


@pytest.mark.parametrize("rows", [1, 7, 16, 50, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_strips_of_any_height(tmp_path, reuse, rows, subsampling) -> None:
    """The last strip may be shorter than the others, and is then decoded whole."""
    strips = [pillow(picture(TALL, WIDE), subsampling=subsampling) for _ in range(3)]
    path = write(tmp_path / "a.tif", strips, tile=False)
    found = read_region(open_image(path), row=TALL - 5, height=5 + rows)
    np.testing.assert_array_equal(found, channels_first(path)[:, TALL - 5 : TALL + rows])


def test_the_other_planes_of_a_page_are_decoded_as_far_as_needed_too(tmp_path, reuse, decoded_rows) -> None:
    path, image = tmp_path / "a.tif", np.moveaxis(picture(128, 128), -1, 0)
    tifffile.imwrite(path, image, photometric="rgb", planarconfig="separate", compression="jpeg", tile=(64, 64))
    found = read_region(open_image(path), [2, 0], row=60, col=10, height=20, width=20)
    np.testing.assert_array_equal(found, tifffile.imread(path)[[2, 0], 60:80, 10:30])
    assert sorted(decoded_rows, key=str) == [16, 16, None, None]


WHOLE = {
    "progressive": pillow(picture(TALL, WIDE), progressive=True),
    "of another size": pillow(picture(TALL + 8, WIDE)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_streams_that_are_decoded_whole(tmp_path, reuse, decoded_rows, kind) -> None:
    path = write(tmp_path / "a.tif", [WHOLE[kind]], tile=False)
    found = read_region(open_image(path), height=10)
    np.testing.assert_array_equal(found, channels_first(path)[:, :10])
    assert decoded_rows == [None]


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["part", "whole"])
@pytest.mark.parametrize("left", [0.5, 0.9, 1.0])
def test_a_stream_that_is_cut_short_is_an_error_that_names_its_segment(tmp_path, reuse, share, left) -> None:
    streams = [pillow(picture(TALL, WIDE), subsampling=2) for _ in range(4)]
    streams[2] = streams[2][: int(len(streams[2]) * left) - 2]
    reader = open_image(write(tmp_path / "a.tif", streams))
    reuse.share = share
    with pytest.raises(FileFormatError, match=r"segment 2 of page 0 .* does not decode: its JPEG stream has no end"):
        read_region(reader, row=TALL, height=8, width=8)
    read_region(reader, row=TALL, col=WIDE, height=8, width=8)


def test_a_part_is_kept_as_a_part_and_more_rows_decode_the_segment(tmp_path, reuse, decoded_rows) -> None:
    path = write(tmp_path / "a.tif", [pillow(picture(TALL, WIDE), subsampling=2) for _ in range(4)])
    image, reader = channels_first(path), open_image(path)
    for rows, so_far in ((20, [20]), (12, [20]), (20, [20]), (21, [20, None]), (60, [20, None]), (20, [20, None])):
        np.testing.assert_array_equal(read_region(reader, height=rows, width=30), image[:, :rows, :30])
        assert decoded_rows == so_far


def tiles(side: int, size: int) -> list[tuple[int, int]]:
    return list(itertools.product(range(0, side - size + 1, size), repeat=2))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture(512, 512), photometric="rgb", compression="jpeg", tile=(32, 32))
    return path


@pytest.mark.parametrize("size", [28, 40, 64, 100])
def test_tiles_in_order_decode_every_segment_once(slide, reuse, decoded_rows, size) -> None:
    reuse.share = 1.0
    reader = open_image(slide)
    for row, col in tiles(512, size):
        read_region(reader, row=row, col=col, height=size, width=size)
    across = -(-(tiles(512, size)[-1][0] + size) // 32)
    assert decoded_rows == [None] * across**2


def test_tiles_at_random_decode_rows_until_the_cache_holds_them(slide, reuse, decoded_rows) -> None:
    """With room for a sixteenth of the slide few segments are asked for again; with room for all of it, all are."""
    reuse.share = 1.0
    reader, rng = open_image(slide), np.random.default_rng(1)

    def read(count: int) -> list[int | None]:
        del decoded_rows[:]
        for row, col in rng.integers(0, 512 - 28, (count, 2)):
            read_region(reader, row=row, col=col, height=28, width=28)
        return decoded_rows

    set_cache_bytes(512 * 512 * 3 // 16)
    read(60)  # until it is known
    found = read(200)
    assert sum(rows is not None for rows in found) > len(found) / 3
    set_cache_bytes(2 * 512 * 512 * 3)  # with their parts
    read(600)
    assert read(200) == []


def test_the_cost_of_a_segment_is_that_of_the_whole(slide, reuse) -> None:
    """Whatever this process decodes otherwise."""
    source: Any = SimpleNamespace(reader=open_image(slide), pages=np.arange(3))
    assert _probe(source, row=0, col=0).chunk_bytes == 32 * 32


@pytest.mark.parametrize("cut", [{"tile": (64, 64)}, {"rowsperstrip": 40}], ids=["tiles", "strips"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_of_segments_that_are_not_compressed_the_rows_of_a_region_are_read(
    tmp_path, monkeypatch, cut, byteorder
) -> None:
    path, image = tmp_path / "a.tif", RNG.integers(0, 60_000, (128, 192), np.uint16)
    with tifffile.TiffWriter(path, byteorder=byteorder) as tiff:
        tiff.write(image, photometric="minisblack", **cut)
    _swap_first_segments(path)
    swapped = tifffile.imread(path)
    reader, reads = open_image(path), []
    read = files.OpenFile.read
    monkeypatch.setattr(files.OpenFile, "read", lambda *args: reads.append(args[2]) or read(*args))
    found = read_region(reader, row=35, col=10, height=7, width=50)
    np.testing.assert_array_equal(found[0], swapped[35:42, 10:60])
    assert not np.array_equal(swapped, image)
    line = 2 * (64 if "tile" in cut else 192)
    assert reads == ([7 * line] if "tile" in cut else [5 * line, 2 * line])
    assert cache_info().entries == 0


def _swap_first_segments(path: Path) -> None:
    """Swap the offsets of the first two segments, so that they do not lie in the file as the rows do."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["TileOffsets" if tiff.pages[0].is_tiled else "StripOffsets"]
        tag.overwrite((tag.value[1], tag.value[0], *tag.value[2:]))


@pytest.mark.parametrize("lacking", [1, 400])
def test_a_segment_shorter_than_its_pixels_is_an_error_whichever_rows_are_asked_for(tmp_path, lacking) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RNG.integers(0, 60_000, (128, 192), np.uint16), tile=(64, 64), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite((tag.value[0] - lacking, *tag.value[1:]))
    with pytest.raises(FileFormatError, match="segment 0 of page 0"):
        read_region(open_image(path), height=2, width=2)
