"""Regions, the caches, threads, forks and spawned workers, and writing."""

import multiprocessing
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from spora_db.errors import ArgumentError, WriteError
from spora_db.images import (
    cache_info,
    clear_cache,
    close_images,
    image_header,
    open_image,
    read_region,
    set_cache_bytes,
    write_ometiff,
    write_omezarr,
)
from spora_db.images.cache import DEFAULT_BYTES
from spora_db.images.chunk_codecs import BUFFERS, checked
from spora_db.images.files import FILES, MAX_OPEN_FILES
from spora_db.images.page_groups import group_pages
from spora_db.images.pieces import Regions
from spora_db.images.regions import blocks

SHAPE = (5, 150, 130)
IMAGE = np.arange(np.prod(SHAPE), dtype=np.uint32).reshape(SHAPE)


@pytest.fixture(params=["ome.zarr", "ome.tiff"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write the image, whose values encode their own coordinates, in either format."""
    file = tmp_path / f"tissue.{request.param}"
    if request.param == "ome.zarr":
        return write_omezarr(file, IMAGE, mpp=0.5, chunk=32, shard=64, channel_names=list("abcde"))
    return write_ometiff(file, IMAGE, mpp=0.5, tile=48, channel_names=list("abcde"))


@pytest.fixture(autouse=True)
def _own_cache():
    clear_cache()
    yield
    set_cache_bytes(DEFAULT_BYTES)
    close_images()


def test_a_region_of_chosen_pages(path: Path) -> None:
    got = read_region(open_image(path), [3, 0, 3], row=20, col=60, height=100, width=41)
    np.testing.assert_array_equal(got, IMAGE[[3, 0, 3], 20:120, 60:101])
    assert got.flags.owndata
    assert got.flags.writeable


@pytest.mark.parametrize(
    ("row", "col", "height", "width"),
    [(-3, -4, 20, 20), (140, 120, 30, 30), (-5, 0, 160, 130), (500, 0, 4, 4), (-9, 0, 9, 9)],
)
def test_regions_across_the_edge_are_padded_or_refused(path: Path, row: int, col: int, height: int, width: int) -> None:
    reader = open_image(path)
    with pytest.raises(ArgumentError, match=r"of 150 rows and 130 cols.*pad=True"):
        read_region(reader, row=row, col=col, height=height, width=width)
    padded = np.pad(IMAGE, ((0, 0), (1000, 1000), (1000, 1000)))
    wanted = padded[:, 1000 + row : 1000 + row + height, 1000 + col : 1000 + col + width]
    got = read_region(reader, row=row, col=col, height=height, width=width, pad=True)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("pages", [[], [5], [-1], [0.5], [[0]], "ab"])
def test_pages_that_do_not_exist(path: Path, pages: list[int]) -> None:
    with pytest.raises(ArgumentError, match=r"0 to 4"):
        read_region(open_image(path), pages)


def test_an_empty_region_is_refused(path: Path) -> None:
    with pytest.raises(ArgumentError, match="at least one pixel"):
        read_region(open_image(path), height=0)


def test_blocks_cover_every_page_and_pixel_once(path: Path) -> None:
    pages = [4, 1, 1, 0]
    count = np.zeros((4, 77, 90), int)
    region = Regions.of(open_image(path), np.array(pages), row=11, col=13, height=77, width=90)
    for pixels, slots, row, col in blocks(region):
        _, height, width = pixels.shape
        count[slots, row - 11 : row - 11 + height, col - 13 : col - 13 + width] += 1
        assert not pixels.flags.writeable or pixels.base is None
    assert (count == 1).all()


@given(pages=st.lists(st.integers(0, 50), min_size=1, max_size=40), depth=st.integers(1, 60))
def test_groups_fill_every_slot_once(pages: list[int], depth: int) -> None:
    wanted = np.array(pages)
    for attribute in ("from_wanted", "from_whole"):
        filled = np.full(len(pages), -1)
        for group in group_pages(wanted, depth):
            planes = group.planes if attribute == "from_wanted" else np.arange(depth)
            filling = getattr(group, attribute)
            np.testing.assert_array_equal(filling.slots, np.concatenate([slots for _, slots in filling.runs]))
            np.testing.assert_array_equal(
                planes[filling.planes], np.concatenate([planes[source] for source, _ in filling.runs])
            )
            for source, slots in filling.runs:
                assert (filled[slots] == -1).all()
                filled[slots] = group.chunk * depth + planes[source]
        np.testing.assert_array_equal(filled, wanted)


def test_the_cache_counts_and_forgets(path: Path) -> None:
    reader = open_image(path)
    read_region(reader, [0], height=40, width=40)
    first = cache_info()
    assert first.misses == first.entries > 0
    assert first.hits == 0
    assert first.bytes_decoded >= first.bytes_held > 0  # a segment of small numbers is kept as uint16
    read_region(reader, [0], height=40, width=40)
    assert cache_info().hits == first.misses
    assert cache_info().bytes_decoded == first.bytes_decoded
    set_cache_bytes(first.bytes_held - 1)
    assert cache_info().entries == first.entries - 1
    set_cache_bytes(0)
    read_region(reader)
    assert (cache_info().bytes_held, cache_info().entries) == (0, 0)
    with pytest.raises(ArgumentError, match="0 or more"):
        set_cache_bytes(-1)


def test_whole_chunks_answer_for_single_planes(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    reader = open_image(path)
    read_region(reader)
    decoded = cache_info().bytes_decoded
    np.testing.assert_array_equal(read_region(reader, [4, 2]), IMAGE[[4, 2]])
    assert cache_info().bytes_decoded == decoded


def test_memory_is_used_again_only_when_nothing_views_it(tmp_path: Path) -> None:
    """Chunks large enough for the pool; kept blocks must not change while others are decoded and forgotten."""
    image = np.arange(8 * 600 * 600, dtype=np.float32).reshape(8, 600, 600)
    path = write_omezarr(tmp_path / "a.ome.zarr", image, mpp=1, chunk=200, shard=600)
    rng = np.random.default_rng(0)
    kept: deque = deque(maxlen=5)
    BUFFERS.forget()
    for limit in (0, 3 * 8 * 200 * 200 * 4, 10 * 8 * 200 * 200 * 4, 0):
        set_cache_bytes(limit)
        for _ in range(40):
            row, col, pages = (
                int(rng.integers(500)),
                int(rng.integers(500)),
                np.sort(rng.permutation(8)[: rng.integers(2, 9)]),
            )
            for block in blocks(Regions.of(open_image(path), pages, row=row, col=col, height=100, width=100)):
                if rng.random() < 0.5:
                    kept.append((block, pages))
            for block, asked in kept:
                height, width = block.pixels.shape[1:]
                rows, cols = slice(block.row, block.row + height), slice(block.col, block.col + width)
                np.testing.assert_array_equal(block.pixels, image[asked[block.slots], rows, cols])
    kept.clear()
    del block
    before = {id(buffer) for buffer in BUFFERS.free}
    read_region(open_image(path), pages, row=0, col=0, height=100, width=100)
    assert {id(buffer) for buffer in BUFFERS.free} <= before


def test_threads_read_the_same(path: Path) -> None:
    reader = open_image(path)
    set_cache_bytes(100_000)

    def check(seed: int) -> None:
        rng = np.random.default_rng(seed)
        row, col = int(rng.integers(100)), int(rng.integers(90))
        got = read_region(open_image(path) if seed % 2 else reader, [seed % 5], row=row, col=col, height=50, width=40)
        np.testing.assert_array_equal(got, IMAGE[[seed % 5], row : row + 50, col : col + 40])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(200)))


def in_child(path: Path, queue: multiprocessing.Queue) -> None:
    before = cache_info()
    image = read_region(open_image(path), [1, 3], row=5, height=140)
    queue.put((int(image.sum()), before.entries, before.misses))


@pytest.mark.some(5)
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("used", [True, False])
def test_children_read_after_the_parent_has(path: Path, start: str, used: bool) -> None:
    if used:
        read_region(open_image(path))
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    child = context.Process(target=in_child, args=(path, queue))
    child.start()
    try:
        total, entries, misses = queue.get(timeout=60)
        child.join(60)
    finally:
        child.kill()
        child.join()
        child.close()
        queue.close()
        queue.join_thread()
    assert (total, entries, misses) == (int(IMAGE[[1, 3], 5:145].sum()), 0, 0)


FORKING = """
import faulthandler, os, sys, threading
from spora_db.images import open_image, read_region

def sees(path):
    return int(read_region(open_image(path), [0]).sum())

def busy():
    while not stop.is_set():
        read_region(open_image(path), [0], height=8, width=8)

path, expected = sys.argv[1], int(sys.argv[2])
assert sees(path) == expected  # what is imported and compiled with the first use is here
stop, thread = threading.Event(), threading.Thread(target=busy)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(60, exit=True)
        os._exit(sees(path) != expected)
    if os.waitpid(child, 0)[1] != 0:
        break
else:
    sys.stdout.write("every child saw the image")
stop.set()
thread.join()
"""


@pytest.mark.some(2)
def test_a_fork_during_look_ups_does_not_hang(path: Path) -> None:
    """Another thread holds the locks most of the time; a child that inherited a held lock would wait for ever."""
    command = [sys.executable, "-c", FORKING, str(path), str(IMAGE[0].sum())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout == "every child saw the image", done.stderr


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_no_descriptor_is_left_and_few_are_open(tmp_path: Path) -> None:
    image = IMAGE[:1, :20, :20]
    paths = [
        write_ometiff(tmp_path / f"{number}.ome.tiff", image, mpp=1, tile=16) for number in range(MAX_OPEN_FILES + 20)
    ]
    paths.append(write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1, chunk=16, shard=16))
    close_images()
    FILES.clear()
    before = descriptors()
    for file in paths:
        read_region(open_image(file))
    assert descriptors() <= before + MAX_OPEN_FILES
    close_images()
    assert descriptors() == before
    assert read_region(open_image(paths[0])).shape == (1, 20, 20)


def test_links_are_followed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / f"link{''.join(path.suffixes)}"
    link.symlink_to(path)
    np.testing.assert_array_equal(read_region(open_image(str(link))), IMAGE)


def test_crc32c_is_the_published_check_value() -> None:
    assert checked(b"123456789" + 0xE3069283.to_bytes(4, "little")).tobytes() == b"123456789"
    assert not checked(bytes(32) + 0x8A9136AA.to_bytes(4, "little")).any()  # RFC 3720, B.4


def test_written_zarr_is_the_published_format(tmp_path: Path) -> None:
    image = np.zeros((4, 300, 200), np.float32)
    path = write_omezarr(tmp_path / "t.1.ome.zarr", image, mpp=0.65, channel_names=["CD3", "é", "DAPI", "x"])
    array = zarr.open_array(path / "0", mode="r")
    assert (array.shards, array.chunks) == ((4, 1024, 1024), (4, 256, 256))
    assert (path / "0/c/0/0/0").is_file()  # empty chunks are written
    ome = zarr.open_group(path, mode="r").attrs["ome"]
    assert ome["version"] == "0.5"
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 0.65, 0.65]
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["CD3", "é", "DAPI", "x"]
    np.testing.assert_array_equal(read_region(open_image(path)), image)


@pytest.mark.parametrize("compression", ["zstd", "deflate", "lzw", "none"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "int32"])
def test_written_tiff_is_ome_and_repeatable(tmp_path: Path, compression: str, dtype: str) -> None:
    image = (IMAGE[:3] % 7).astype(dtype)
    path = write_ometiff(
        tmp_path / "a.ome.tiff", image, mpp=0.5, compression=compression, channel_names=["A", "B", "C"]
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "CYX"
        assert 'PhysicalSizeX="0.5"' in str(tiff.ome_metadata)
        assert 'Name="B"' in str(tiff.ome_metadata)
        np.testing.assert_array_equal(tiff.asarray(), image)
    np.testing.assert_array_equal(read_region(open_image(path)), image)
    first = path.read_bytes()
    assert (
        write_ometiff(path, image, mpp=0.5, compression=compression, channel_names=["A", "B", "C"]).read_bytes()
        == first
    )


def test_written_rgb_is_interleaved(tmp_path: Path) -> None:
    image = (IMAGE[:3] % 251).astype(np.uint8)
    path = write_ometiff(tmp_path / "a.ome.tif", image, mpp=0.5, photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].shape == (150, 130, 3)
    np.testing.assert_array_equal(read_region(open_image(path)), image)
    assert image_header(path)[1:4] == (3, 150, 130)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image": IMAGE[0]}, r"\(C, H, W\)"),
        ({"image": IMAGE.astype(complex)}, "complex"),
        ({"mpp": 0}, "positive"),
        ({"mpp": float("nan")}, "positive"),
        ({"channel_names": ["a"]}, "5 channels; received 1"),
        ({"chunk": 100}, "whole number of chunks"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, arguments: dict, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        write_omezarr(tmp_path / "a.ome.zarr", **({"image": IMAGE, "mpp": 1} | arguments))
    with pytest.raises(ArgumentError, match="OME-TIFF has no pixels of type int64"):
        write_ometiff(tmp_path / "a.ome.tiff", IMAGE.astype(np.int64), mpp=1)
    if "chunk" not in arguments:
        with pytest.raises(ArgumentError, match=says):
            write_ometiff(tmp_path / "a.ome.tiff", **({"image": IMAGE, "mpp": 1} | arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    with pytest.raises(WriteError, match="overwrite=True"):
        write_omezarr(path, IMAGE, mpp=1)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no more room")

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "create_array", fail)
        with pytest.raises(WriteError, match="no more room"):
            write_omezarr(path, IMAGE + 1, mpp=1, overwrite=True)
    np.testing.assert_array_equal(read_region(open_image(path)), IMAGE)
    write_omezarr(path, IMAGE + 1, mpp=1, overwrite=True)
    np.testing.assert_array_equal(read_region(open_image(path)), IMAGE + 1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.ome.zarr"]
