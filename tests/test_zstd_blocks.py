"""The first blocks of zstd frames against what was encoded, and segments of TIFFs of which they are decoded."""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pyarrow as pa
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spora_db.errors import FileFormatError
from spora_db.images import cache_info, ometiff, open_image, read_region, set_cache_bytes, tiff_packed
from spora_db.images.reuse import Reuse
from spora_db.images.zstd_blocks import BLOCK, decode_first_blocks

pytestmark = pytest.mark.usefixtures("empty_cache")

RNG = np.random.default_rng(0)
COUNTS = (RNG.poisson(3.0, 200_000) * (RNG.random(200_000) < 0.4)).astype(np.float32).tobytes()
NOISE = RNG.bytes(300_000)


def streamed(content: bytes, *, step: int | None = None) -> bytes:
    """Encode a frame that does not say how long it is, in blocks that are full or of `step` bytes."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for start in range(0, len(content), step or len(content)):
            stream.write(content[start : start + (step or len(content))])
            if step is not None:
                stream.flush()
    return sink.getvalue().to_pybytes()


FRAMES: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "counts": (COUNTS, imagecodecs.zstd_encode),
    "larger than its window": (COUNTS * 4, lambda content: imagecodecs.zstd_encode(content, level=1)),
    "stored as it is": (NOISE, imagecodecs.zstd_encode),
    "runs of one byte": (bytes(700_000), imagecodecs.zstd_encode),
    "of two blocks to the byte": (COUNTS[: 2 * BLOCK], imagecodecs.zstd_encode),
    "of no size": (COUNTS, streamed),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_the_first_blocks_are_those_of_the_whole(kind: str) -> None:
    content, encode = FRAMES[kind]
    frame, size = encode(content), len(content)
    ends = [*range(BLOCK, size, BLOCK), size]
    for place, end in enumerate(ends):
        for first in (end - 1, end, *([end - BLOCK + 1] if end < size else [])):
            found = decode_first_blocks(frame, first, size)
            assert found == (content[:end] if place + 1 < len(ends) else None), first


WHOLE = {
    "with a checksum": (numcodecs.Zstd(checksum=True).encode(COUNTS), len(COUNTS)),
    "of blocks that are not full": (streamed(COUNTS, step=100_000), len(COUNTS)),
    "of another size": (imagecodecs.zstd_encode(COUNTS), len(COUNTS) - 4),
    "cut short": (imagecodecs.zstd_encode(COUNTS)[:-1], len(COUNTS)),
    "no frame": (b"\x28\xb5\x2f\xfd", len(COUNTS)),
    "empty": (b"", len(COUNTS)),
    "of another codec": (imagecodecs.zlib_encode(COUNTS), len(COUNTS)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_frames_that_are_decoded_whole(kind: str) -> None:
    frame, size = WHOLE[kind]
    assert decode_first_blocks(frame, 1, size) is None


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 30_000), value=st.integers(1, 255), kind=st.sampled_from(["counts", "of no size"]))
@example(at=4, value=4, kind="counts")
@example(at=4, value=1, kind="counts")
@example(at=5, value=255, kind="of no size")
def test_damage_gives_no_bytes_but_those_that_the_whole_gives(at: int, value: int, kind: str) -> None:
    """The oracle reads the damaged frame as a stream, up to the same byte."""
    content, encode = FRAMES[kind]
    frame = bytearray(encode(content))
    frame[at % len(frame)] ^= value
    try:
        found = decode_first_blocks(bytes(frame), BLOCK, len(content))
    except RuntimeError:
        with pytest.raises((RuntimeError, OSError)):
            _ = imagecodecs.zstd_decode(bytes(frame), out=len(content))
        return
    if found is None:
        return
    try:
        expected = pa.CompressedInputStream(pa.BufferReader(bytes(frame)), "zstd").read(BLOCK)
    except OSError:  # by what lies behind the first block: it reads ahead
        return
    assert found == expected


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the bytes of every part that is decoded."""
    found: list[int] = []

    def of_part(*args: Any) -> bytes | None:
        part = decode_first_blocks(*args)
        found.extend([] if part is None else [len(part)])
        return part

    monkeypatch.setattr(tiff_packed, "decode_first_blocks", of_part)
    return found


def written(path: Path, image: np.ndarray, **options: Any) -> np.ndarray:
    """Write planes as pages, and return what tifffile reads of them."""
    tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "CYX"}, **options)
    return tifffile.imread(path)


@st.composite
def large(draw: st.DrawFn) -> dict[str, Any]:
    """Draw images whose segments have several blocks."""
    dtype = np.dtype(draw(st.sampled_from(["uint8", "int16", "uint16", "uint32", "float32", "float64"])))
    kind = draw(st.sampled_from(["pages", "pages", "rgb", "planar"]))
    predictor = draw(st.sampled_from([False, True, 3] if dtype.kind == "f" else [False, True]))
    tall, wide = draw(st.sampled_from([32, 48, 96])), draw(st.integers(1, 3)) * 2**14 // dtype.itemsize // 8
    width = draw(st.integers(wide - 20, wide + 40))
    cut = draw(st.sampled_from([{"tile": (tall, wide // 16 * 16)}, {"rowsperstrip": tall}]))
    height = draw(st.integers(tall - 3, 2 * tall))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return {
        "shape": (3 if kind != "pages" else draw(st.integers(1, 2)), height, width),
        "dtype": dtype,
        "kind": kind,
        "compression": draw(st.sampled_from(["zstd", "zstd", "zstd", "lzw", "deflate"])),
        "options": {"predictor": predictor, "byteorder": draw(st.sampled_from("<>")), **cut},
        "box": (row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col))),
    }


@pytest.mark.usefixtures("reuse")
@settings(max_examples=40, deadline=None)
@given(case=large())
def test_regions_of_segments_of_several_blocks_equal_tifffile(case: dict[str, Any]) -> None:
    """Whatever tifffile reads of a page; segments are decoded in part wherever that is possible."""
    image = RNG.poisson(2.0, case["shape"]).astype(case["dtype"])
    row, col, tall, wide = case["box"]
    set_cache_bytes(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        options = {"compression": case["compression"], **case["options"]}
        if case["kind"] == "pages":
            expected = written(path, image, **options).reshape(image.shape)
        elif case["kind"] == "rgb":
            tifffile.imwrite(path, np.moveaxis(image, 0, -1), photometric="rgb", **options)
            expected = np.moveaxis(tifffile.imread(path), -1, 0)
        else:
            tifffile.imwrite(path, image, photometric="rgb", planarconfig="separate", **options)
            expected = tifffile.imread(path)
        found = read_region(open_image(path), row=row, col=col, height=tall, width=wide)
    np.testing.assert_array_equal(found, expected[:, row : row + tall, col : col + wide])


@pytest.mark.parametrize("predictor", [False, True, 3])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_rows_of_the_blocks_that_a_region_needs_are_decoded(tmp_path, reuse, parts, predictor, byteorder) -> None:
    """A line is 4 KB, so that a block holds 32 rows of the 80 of a tile."""
    image = RNG.poisson(2.0, (2, 160, 2048)).astype(np.float32)
    options = {"tile": (80, 1024), "compression": "zstd", "predictor": predictor, "byteorder": byteorder}
    expected = written(tmp_path / "a.tif", image, **options)
    reader = open_image(tmp_path / "a.tif")
    set_cache_bytes(0)
    for height, blocks in ((1, 1), (32, 1), (33, 2), (64, 2), (65, None), (80, None)):
        del parts[:]
        found = read_region(reader, [1], row=80, col=1000, height=height, width=100)
        np.testing.assert_array_equal(found, expected[1:, 80 : 80 + height, 1000:1100])
        assert parts == [] if blocks is None else [blocks * BLOCK] * 2


def test_a_part_is_kept_as_a_part_and_more_rows_decode_the_segment(tmp_path, reuse, parts) -> None:
    expected = written(
        tmp_path / "a.tif", RNG.poisson(2.0, (2, 96, 1024)).astype(np.float32), tile=(96, 1024), compression="zstd"
    )
    reader = open_image(tmp_path / "a.tif")
    for rows, misses in ((20, 1), (32, 1), (12, 1), (33, 1), (96, 1), (20, 1)):
        found = read_region(reader, [0], height=rows)
        np.testing.assert_array_equal(found, expected[:1, :rows])
        assert cache_info().misses == misses
    assert parts == [BLOCK]


def test_tiles_of_many_pages_in_order_decode_every_segment_once(tmp_path, monkeypatch, parts) -> None:
    """A place is asked for on all pages before the next one: what is asked for again is told for each page."""
    monkeypatch.setattr(ometiff, "REUSE", defaultdict(Reuse))
    image = RNG.poisson(2.0, (40, 192, 1536)).astype(np.uint16)
    written(tmp_path / "a.tif", image, tile=(96, 768), compression="zstd")
    reader = open_image(tmp_path / "a.tif")
    set_cache_bytes(2 * image.nbytes)
    for row in range(0, 192 - 63, 64):
        for col in range(0, 1536 - 95, 96):
            read_region(reader, row=row, col=col, height=64, width=96)
    assert not parts
    assert cache_info().bytes_decoded == image.nbytes


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["part", "whole"])
@pytest.mark.parametrize("compression", ["zstd", "deflate", "lzw"])
def test_damage_in_rows_that_are_read_is_the_same_error(tmp_path, reuse, compression, share) -> None:
    path = tmp_path / "a.tif"
    written(path, RNG.poisson(2.0, (2, 96, 1024)).astype(np.float32), rowsperstrip=96, compression=compression)
    with tifffile.TiffFile(path) as tiff:
        place, size = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[place + 100 : place + 300] = bytes(200)
    path.write_bytes(content)
    reuse.share = share
    with pytest.raises(FileFormatError, match=rf"segment 0 of page 1 \({size} bytes at {place}\) does not decode"):
        read_region(open_image(path), [1], height=8)
    read_region(open_image(path), [0], height=8)


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["part", "whole"])
def test_a_segment_that_is_cut_short_is_an_error_whichever_rows_are_asked_for(tmp_path, reuse, share) -> None:
    path = tmp_path / "a.tif"
    written(path, RNG.poisson(2.0, (1, 96, 1024)).astype(np.float32), rowsperstrip=96, compression="zstd")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        tag.overwrite(tag.value[0] - 1)
    reuse.share = share
    with pytest.raises(FileFormatError, match=r"segment 0 of page 0 .* does not decode"):
        read_region(open_image(path), height=8)
