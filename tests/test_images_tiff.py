"""TIFF regions against tifffile, for every layout, codec and region; and what broken files say."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from spora_db.errors import FileFormatError, ImageNotFoundError, SporaError
from spora_db.images import cache_info, clear_cache, image_header, open_image, read_region, write_ometiff
from spora_db.images.files import OpenFile
from spora_db.images.pieces import Regions, cut_chunks

CODECS: dict[str, dict[str, Any]] = {
    "none": {},
    "deflate": {"compression": "deflate"},
    "deflate-predictor": {"compression": "deflate", "predictor": True},
    "lzw": {"compression": "lzw"},
    "lzw-predictor": {"compression": "lzw", "predictor": True},
    "zstd": {"compression": "zstd"},
    "zstd-predictor": {"compression": "zstd", "predictor": True},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
    "jpeg2000": {"compression": "jpeg2000", "compressionargs": {"reversible": True}},
    "jpeg": {"compression": "jpeg"},
}
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "float32", "float64"]


def pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.poisson(3.0, shape) * (rng.random(shape) < 0.4)).astype(dtype)


def oracle(path: Path) -> np.ndarray:
    """Return what tifffile reads as (C, H, W)."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0].levels[0]
        image = series.asarray()
        image = image[..., None, :, :] if series.axes in ("YX", "YXS") and series.axes == "YX" else image
        return np.moveaxis(image, -1, 0) if series.axes.endswith("YXS") else image


def assert_region(path: Path, pages: list[int] | None, box: tuple[int, int, int, int]) -> None:
    row, col, height, width = box
    image = oracle(path)
    got = read_region(open_image(path), pages, row=row, col=col, height=height, width=width)
    wanted = image[slice(None) if pages is None else pages, row : row + height, col : col + width]
    assert got.dtype == wanted.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, wanted)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    codec = draw(st.sampled_from(sorted(CODECS)))
    dtypes = {"jpeg": ["uint8"], "jpeg2000": ["uint8", "uint16"]}.get(codec, DTYPES)
    kinds = ["pages", "pages", "rgb", "planar"] + ["rgba"] * (codec != "jpeg")  # which has no four samples
    kind = draw(st.sampled_from(kinds))
    channels = {"rgb": 3, "rgba": 4, "planar": 3}.get(kind) or draw(st.integers(1, 6))
    shape = (channels, draw(st.integers(5, 80)), draw(st.integers(5, 80)))  # of fewer, tifffile guesses samples
    row, col = draw(st.integers(0, shape[1] - 1)), draw(st.integers(0, shape[2] - 1))
    tiled = {"tile": (draw(st.sampled_from([16, 32])), draw(st.sampled_from([16, 48])))}
    return {
        "codec": codec,
        "kind": kind,
        "shape": shape,
        "dtype": draw(st.sampled_from(dtypes)),
        "cut": draw(st.sampled_from([tiled, tiled, {"rowsperstrip": draw(st.integers(1, 20))}, {}])),
        "byteorder": draw(st.sampled_from("<" if codec == "jpeg2000" else "<>")),  # whose samples have none of TIFF's
        "bigtiff": draw(st.booleans()),
        "ome": draw(st.booleans()),
        "pages": draw(st.none() | st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=8)),
        "box": (row, col, draw(st.integers(1, shape[1] - row)), draw(st.integers(1, shape[2] - col))),
    }


def write(path: Path, case: dict[str, Any]) -> np.ndarray:
    image = pixels(case["shape"], case["dtype"])
    interleaved = case["kind"] in ("rgb", "rgba")
    tifffile.imwrite(
        path,
        np.moveaxis(image, 0, -1) if interleaved else image,
        photometric="minisblack" if case["kind"] == "pages" else "rgb",
        planarconfig={"planar": "separate", "pages": None}.get(case["kind"], "contig"),
        metadata={"axes": "YXS" if interleaved else "SYX" if case["kind"] == "planar" else "CYX"},
        byteorder=case["byteorder"],
        bigtiff=case["bigtiff"],
        ome=case["ome"],
        **case["cut"],
        **CODECS[case["codec"]],
    )
    return image


@settings(max_examples=120, deadline=None)
@given(case=files())
def test_tiff_equals_tifffile(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.ome.tif" if case["ome"] else "a.tiff")
        image = write(path, case)
        assert_region(path, case["pages"], case["box"])
        if case["codec"] != "jpeg":  # which is lossy
            np.testing.assert_array_equal(read_region(open_image(path)), image)
        assert image_header(path) == ("ome-tiff", *image.shape, image.dtype)


def test_level_0_of_a_pyramid(tmp_path: Path) -> None:
    image = pixels((3, 96, 80), "uint16")
    with tifffile.TiffWriter(tmp_path / "a.ome.tiff") as tiff:
        tiff.write(image, subifds=2, tile=(32, 32), compression="deflate", metadata={"axes": "CYX"})
        for step in (2, 4):
            tiff.write(image[:, ::step, ::step], subfiletype=1, tile=(32, 32), compression="deflate")
    assert_region(tmp_path / "a.ome.tiff", [2, 0], (10, 20, 70, 33))


def test_many_planes_behind_one_page(tmp_path: Path) -> None:
    image = pixels((5, 40, 30), "uint16")
    tifffile.imwrite(tmp_path / "shaped.tif", image)
    tifffile.imwrite(tmp_path / "imagej.tif", image, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "one.tif", image, volumetric=False, truncate=True)
    for name in ("shaped.tif", "imagej.tif", "one.tif"):
        assert_region(tmp_path / name, [4, 1], (7, 3, 20, 11))


def test_narrow_regions_of_long_rows(tmp_path: Path) -> None:
    image = pixels((2, 20, 9000), "float32")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", byteorder=">")
    np.testing.assert_array_equal(
        read_region(open_image(tmp_path / "a.tif"), [1], row=2, col=4000, height=17, width=100),
        image[1:, 2:19, 4000:4100],
    )


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX"])
def test_other_axes_are_named(tmp_path: Path, axes: str) -> None:
    shape = (2, 3, 16, 16) if len(axes) == 4 else (3, 16, 16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels(shape, "uint8"), metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(FileFormatError, match=f"has the axes {axes[0].lower()}={shape[0]}"):
        open_image(tmp_path / "a.ome.tif")


def test_empty_segments_are_an_error_unless_they_mean_zeros(tmp_path: Path) -> None:
    image = pixels((2, 64, 64), "uint16") + 1
    image[1, :32, 32:] = 0
    tiles = [image[c, r : r + 32, k : k + 32] for c in range(2) for r in (0, 32) for k in (0, 32)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for c in range(2):
            page = (tile if tile.any() else None for tile in tiles[4 * c : 4 * c + 4])
            tiff.write(page, shape=(64, 64), dtype="uint16", tile=(32, 32), compression="deflate", metadata=None)
    np.testing.assert_array_equal(oracle(tmp_path / "a.tif"), image)
    with pytest.raises(ImageNotFoundError, match=r"segment 1 of page 1.*missing_chunks='zeros'"):
        read_region(open_image(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.tif"), row=32), image[:, 32:])
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.tif", missing_chunks="zeros")), image)
    image[1, :32, 32:] = 65535
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.tif", missing_chunks="white")), image)


def strips(path: Path, image: np.ndarray, **options: Any) -> Path:
    """Write planes in strips of one row, many of which are read together."""
    tifffile.imwrite(path, image, rowsperstrip=1, photometric="minisblack", metadata={"axes": "CYX"}, **options)
    return path


@pytest.mark.parametrize("codec", ["zstd-predictor", "deflate", "lzw"])
def test_strips_of_few_bytes_are_read_at_once_and_decoded_once(tmp_path, monkeypatch, codec) -> None:
    image = pixels((2, 300, 500), "float32")
    reader = open_image(strips(tmp_path / "a.tif", image, **CODECS[codec]))
    assert reader.chunks == (2**16 // 2000, 500)
    clear_cache()
    reads, read = [], OpenFile.read
    monkeypatch.setattr(OpenFile, "read", lambda *args: reads.append(args[2]) or read(*args))
    found = read_region(reader, [1], row=30, col=9, height=40, width=100)
    np.testing.assert_array_equal(found, image[1:, 30:70, 9:109])
    assert len(reads) == 3  # of rows 30 and 31, 32 to 63, 64 to 69
    assert cache_info().bytes_decoded == 40 * 2000
    found = read_region(reader, [1], row=25, col=9, height=50, width=100)
    np.testing.assert_array_equal(found, image[1:, 25:75, 9:109])
    assert cache_info().bytes_decoded == 50 * 2000


def test_strips_that_do_not_follow_each_other(tmp_path: Path) -> None:
    path = strips(tmp_path / "a.tif", pixels((1, 90, 50), "uint16"), compression="zstd")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("StripOffsets", "StripByteCounts"):
            tag = tiff.pages[0].tags[name]
            tag.overwrite(tag.value[::-1])
    assert_region(path, [0], (13, 5, 60, 40))


def test_a_strip_that_is_broken_or_absent_is_that_of_its_rows(tmp_path: Path) -> None:
    image = pixels((1, 90, 50), "uint16") + 1
    path = strips(tmp_path / "a.tif", image, compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        place, counts = tiff.pages[0].dataoffsets[20], tiff.pages[0].tags["StripByteCounts"]
        counts.overwrite((*counts.value[:70], 0, *counts.value[71:]))
    content = bytearray(path.read_bytes())
    content[place + 10] ^= 1
    path.write_bytes(content)
    reader = open_image(path)
    for row, height in ((0, 20), (21, 49), (71, 19)):
        np.testing.assert_array_equal(read_region(reader, row=row, height=height), image[:, row : row + height])
    with pytest.raises(FileFormatError, match=r"segment 20 of page 0 .* does not decode"):
        read_region(reader, row=15, height=10)
    with pytest.raises(ImageNotFoundError, match="lacks segment 70 of page 0"):
        read_region(reader, row=65, height=10)
    image[:, 70] = 65535
    found = read_region(open_image(path, missing_chunks="white"), row=65, height=10)
    np.testing.assert_array_equal(found, image[:, 65:75])


@pytest.mark.parametrize("codec", ["zstd", "deflate"])
def test_of_regions_that_are_read_together_those_of_broken_rows_fail(tmp_path: Path, codec: str) -> None:
    image = pixels((2, 90, 50), "uint16") + 1
    path = strips(tmp_path / "a.tif", image, compression=codec)
    with tifffile.TiffFile(path) as tiff:
        places, counts = tiff.pages[1].dataoffsets, tiff.pages[1].databytecounts
    content = bytearray(path.read_bytes())
    content[places[40] : places[40] + counts[40]] = bytes(counts[40])
    path.write_bytes(content)
    rows = np.array([0, 31, 38, 41, 70])
    numbers = {"col": 5 + 0 * rows, "height": 3 + 0 * rows, "width": 20 + 0 * rows}
    regions = Regions(readers=[open_image(path)], pages=[np.arange(2)], image=0 * rows, row=rows, **numbers)
    faults: dict[int, Exception] = {}
    found = np.zeros((5, 2, 3, 20), "uint16")
    for part in cut_chunks(regions, faults):
        for region, _, _, row, col, down, across, height, width in part.pieces.tolist():
            row, col = row - part.planes.row, col - part.planes.col
            cut = part.planes.pixels[:, row : row + height, col : col + width]
            found[region, part.filling.slots, down : down + height, across : across + width] = cut[part.filling.planes]
    assert sorted(faults) == [2]
    for region in (0, 1, 3, 4):
        np.testing.assert_array_equal(found[region], image[:, rows[region] : rows[region] + 3, 5:25])


@pytest.mark.parametrize("options", [{"imagej": True}, {}, {"compression": "zlib"}])
def test_a_file_that_is_cut_before_its_last_directories_is_no_image_of_fewer_pages(tmp_path: Path, options) -> None:
    path, image = tmp_path / "a.tif", pixels((3, 90, 50), "uint16")
    tifffile.imwrite(path, image, photometric="minisblack", **options)
    np.testing.assert_array_equal(read_region(open_image(path)), image)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        ends = [tiff.pages[1].offset, tiff.pages[1].offset + 20, tiff.pages[2].offset, tiff.pages[2].offset + 1]
    refused = 0
    for size in (4, 9, 100, *(len(content) * tenth // 10 for tenth in range(1, 10)), *ends, len(content) - 1):
        path.write_bytes(content[:size])
        refused += 1
        try:
            found = read_region(open_image(path))
        except FileFormatError as error:
            assert "broken" in str(error)  # noqa: PT017 - or all pixels are there, where one directory tells of all
        else:
            np.testing.assert_array_equal(found, image)
            refused -= 1
    assert refused >= 12


def test_an_absent_uncompressed_segment_is_no_other_bytes_of_the_file(tmp_path: Path) -> None:
    """One segment is a page's whole run of pixels: where it lies nowhere, the run does not begin at byte 0."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for value in (7, 9):
            tiff.write(np.full((64, 64), value, "uint8"), tile=(64, 64), metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tiff.pages[1].tags[name].overwrite(0)
    with pytest.raises(ImageNotFoundError, match=r"lacks segment 0 of page 1"):
        read_region(open_image(path))
    for missing, value in (("zeros", 0), ("white", 255)):
        got = read_region(open_image(path, missing_chunks=missing))  # type: ignore[arg-type]
        assert np.unique(got[1]).tolist() == [value]
        assert np.unique(got[0]).tolist() == [7]


def test_a_file_written_again_is_opened_again(tmp_path: Path) -> None:
    image = pixels((2, 40, 40), "uint16")
    path = write_ometiff(tmp_path / "a.ome.tiff", image, mpp=1)
    reader = open_image(path)
    assert open_image(path) is reader
    np.testing.assert_array_equal(read_region(reader), image)
    write_ometiff(path, image[:, :30] + 1, mpp=1)
    np.testing.assert_array_equal(read_region(open_image(path)), image[:, :30] + 1)
    reader.close()
    with pytest.raises(FileFormatError, match="written again"):
        read_region(reader)


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}], ids=["lines", "tiles"])
def test_plain_pixels_that_are_overwritten_in_place_are_refused(tmp_path: Path, layout: dict[str, Any]) -> None:
    path, image = tmp_path / "a.tif", pixels((40, 40), "uint16")
    tifffile.imwrite(path, image, metadata=None, **layout)
    reader = open_image(path)
    np.testing.assert_array_equal(read_region(reader)[0], image)
    tifffile.imwrite(tmp_path / "b.tif", image, metadata=None, description="x" * 1000, **layout)
    path.write_bytes((tmp_path / "b.tif").read_bytes())  # the same inode, whose pixels lie elsewhere now
    with pytest.raises(FileFormatError, match="written again"):
        read_region(reader)
    np.testing.assert_array_equal(read_region(open_image(path))[0], image)


@pytest.mark.parametrize("size", [0, 3, 8, 100, 1000, -1])
def test_a_file_cut_short(tmp_path: Path, size: int) -> None:
    path = write_ometiff(tmp_path / "a.ome.tiff", pixels((2, 100, 100), "uint16"), mpp=1, tile=32)
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(FileFormatError, match="is broken"):
        read_region(open_image(path))


def test_what_is_no_tiff_is_described(tmp_path: Path) -> None:
    for content, says in [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs"),
        (b"<html>", "web page"),
        (b"PK\3\4", "begins with"),
    ]:
        (tmp_path / "a.ome.tif").write_bytes(content)
        with pytest.raises(FileFormatError, match=says):
            open_image(tmp_path / "a.ome.tif")
    with pytest.raises(ImageNotFoundError):
        open_image(tmp_path / "b.tif")
    (tmp_path / "c.tif").mkdir()
    with pytest.raises(FileFormatError):
        open_image(tmp_path / "c.tif")
    (tmp_path / "d.png").write_bytes(b"")
    with pytest.raises(FileFormatError, match="no known kind"):
        open_image(tmp_path / "d.png")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    """Bytes changed anywhere in the file: a SporaError, or pixels, never a crash or another exception."""
    codec = data.draw(st.sampled_from(["zstd", "deflate", "lzw", "none"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.tiff"
        write_ometiff(path, pixels((2, 40, 40), "uint16"), mpp=1, tile=32, compression=codec)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, 300) | st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        clear_cache()
        try:
            reader = open_image(path)
            if np.prod(reader.shape, dtype=float) < 1e7:
                read_region(reader)
        except SporaError as error:
            assert str(path) in str(error)  # noqa: PT017 - the message is the point
