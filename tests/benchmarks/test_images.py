"""Reading tiles against plain zarr-python and against the bare codecs, each ratio taken in one run."""

import time
from collections import deque

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from alone import standardize_region
from benchmarks.history import MEASURES, record
from benchmarks.made_lake import FULL, SMALL, cells, counts
from spora_db.images import cache_info, clear_cache, open_image, read_region, set_cache_bytes, write_omezarr
from spora_db.images.cache import DEFAULT_BYTES
from spora_db.standardization.transform import Transform

CHANNELS, TILE = 43, 224
HEIGHT, WIDTH = FULL if MEASURES else SMALL
RNG = np.random.default_rng(0)
FORTY, THREE = np.sort(RNG.permutation(CHANNELS)[:40]), np.array([3, 17, 40])
TILES = [(int(RNG.integers(2)), int(RNG.integers(HEIGHT - TILE)), int(RNG.integers(WIDTH - TILE))) for _ in range(12)]


def tissue(seed):
    rng = np.random.default_rng(seed)
    return counts(cells(HEIGHT, WIDTH, rng), CHANNELS, rng)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    images = [tissue(seed) for seed in range(2)]
    for number, image in enumerate(images):
        write_omezarr(folder / f"{number}.ome.zarr", image, mpp=1)
        tifffile.imwrite(
            folder / f"{number}.ome.tiff",
            image,
            tile=(256, 256),
            compression="zstd",
            photometric="minisblack",
            ome=True,
        )
    return folder


@pytest.fixture(autouse=True)
def _no_cache():
    set_cache_bytes(0)
    yield
    clear_cache()
    set_cache_bytes(DEFAULT_BYTES)


def seconds(*works, rounds=3):
    """Return the best seconds per tile of each work: works take turns and hold their last 8 tiles, as a batch does."""
    best = np.full(len(works), np.inf)
    for _ in range(rounds):
        for place, work in enumerate(works):
            batch = deque(maxlen=8)
            start = time.perf_counter()
            for tile in TILES:
                batch.append(work(*tile))
            best[place] = min(best[place], (time.perf_counter() - start) / len(TILES))
    return best


def transform(count):
    one = np.ones(count)
    return Transform(method="quantile_clipping", lower=0 * one, upper=5 * one, mean=one / 4, std=one / 3)


def zarr_readers(lake, pages):
    """Return three ways to a standardized tile: plain zarr-python, ours, and the bare decode of the touched chunks."""
    import torch

    arrays = [zarr.open_array(lake / f"{number}.ome.zarr" / "0", mode="r") for number in range(2)]
    made = transform(len(pages))
    upper, mean, std = (
        torch.from_numpy(made.upper[:, None, None]),
        *(torch.from_numpy(a[:, None, None]) for a in (made.mean, made.std)),
    )
    shards = {}
    for number in range(2):
        for file in (lake / f"{number}.ome.zarr/0/c/0").rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                index = np.frombuffer(data[-16 * 16 - 4 : -4], "<u8").reshape(4, 4, 2)
                shards[number, int(file.parent.name), int(file.name)] = data, index.astype(np.int64)

    def plain(number, row, col):
        raw = torch.from_numpy(arrays[number][:, row : row + TILE, col : col + TILE]).float()[pages]
        scaled = torch.clip(raw, min=torch.zeros_like(upper), max=upper) / (upper + 1e-8)
        return (scaled - mean) / (std + 1e-8)

    def ours(number, row, col):
        reader = open_image(lake / f"{number}.ome.zarr")
        return standardize_region(reader, pages, made, row=row, col=col, height=TILE, width=TILE)

    decoded = np.empty(CHANNELS * 256 * 256 * 4, np.uint8)

    def bare(number, row, col):
        for down in range(row // 256, (row + TILE - 1) // 256 + 1):
            for across in range(col // 256, (col + TILE - 1) // 256 + 1):
                data, index = shards[number, down // 4, across // 4]
                offset, size = index[down % 4, across % 4]
                imagecodecs.blosc_decode(data[offset : offset + size], numthreads=1, out=decoded)

    return plain, ours, bare


@pytest.mark.parametrize(("pages", "asked"), [(FORTY, "5 x plain"), (THREE, "8 x plain")], ids=["40", "3"])
def test_random_tiles_of_zarr(benchmark, lake, pages, asked):
    plain, ours, bare = zarr_readers(lake, pages)
    np.testing.assert_allclose(ours(*TILES[0]), plain(*TILES[0]), rtol=1e-4, atol=1e-6)
    benchmark(ours, *TILES[0])
    slow, fast, floor = seconds(plain, ours, bare)
    print(
        f"\nrandom {TILE} tile, {len(pages)} of {CHANNELS} channels, standardized: {1 / fast:.0f} tiles/s, "
        f"plain / spora-db = {slow / fast:.1f} (asked: {asked}); "
        f"decode of the touched whole chunks / spora-db = {floor / fast:.2f}"
    )


def test_locality_of_zarr(benchmark, lake):
    """Every tile of one image, row by row, with the default cache: each chunk is decoded once."""
    plain, ours, _ = zarr_readers(lake, FORTY)
    tiles = [(0, row, col) for row in range(0, HEIGHT - TILE, TILE) for col in range(0, WIDTH - TILE, TILE)]
    set_cache_bytes(DEFAULT_BYTES)

    def epoch(work):
        clear_cache()
        start = time.perf_counter()
        for tile in tiles:
            work(*tile)
        return time.perf_counter() - start

    benchmark(epoch, ours)
    slow, fast = epoch(plain), min(epoch(ours) for _ in range(2))
    touched = [-(-(max(corners) + TILE) // 256) for corners in zip(*(tile[1:] for tile in tiles), strict=True)]
    assert cache_info().misses == touched[0] * touched[1]  # chunks of 256 x 256, each decoded once
    print(
        f"\nepoch of {len(tiles)} tiles in order: {len(tiles) / fast:.0f} tiles/s, "
        f"plain / spora-db = {slow / fast:.1f} (asked: 12 x plain)"
    )


def test_pages_of_tiff(benchmark, lake):
    """3 of 43 pages against the bare zstd decode of the touched segments, and against that and one pass over a tile."""
    segments = []
    for number in range(2):
        with tifffile.TiffFile(lake / f"{number}.ome.tiff") as tiff:
            data = (lake / f"{number}.ome.tiff").read_bytes()
            segments.append(
                [
                    [data[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
                    for page in tiff.pages
                ]
            )
    across = -(-WIDTH // 256)

    def decoded(number, row, col):
        for slot, page in enumerate(THREE):
            for down in range(row // 256, (row + TILE - 1) // 256 + 1):
                for right in range(col // 256, (col + TILE - 1) // 256 + 1):
                    content = imagecodecs.zstd_decode(segments[number][page][down * across + right], out=256 * 256 * 4)
                    yield slot, 256 * down - row, 256 * right - col, content

    def bare(number, row, col):
        for _ in decoded(number, row, col):
            pass

    def bound(number, row, col):
        out = np.empty((len(THREE), TILE, TILE), np.float32)
        for slot, top, left, content in decoded(number, row, col):
            pixels = np.frombuffer(content, np.float32).reshape(256, 256)
            target = out[slot, max(top, 0) : top + 256, max(left, 0) : left + 256]
            above, before = max(-top, 0), max(-left, 0)
            target[:] = pixels[above : above + target.shape[0], before : before + target.shape[1]]
        return out

    def ours(number, row, col):
        return read_region(open_image(lake / f"{number}.ome.tiff"), THREE, row=row, col=col, height=TILE, width=TILE)

    def plain(number, row, col):
        with tifffile.TiffFile(lake / f"{number}.ome.tiff") as tiff:
            return np.stack([tiff.pages[int(page)].asarray()[row : row + TILE, col : col + TILE] for page in THREE])

    np.testing.assert_array_equal(ours(*TILES[0]), plain(*TILES[0]))
    np.testing.assert_array_equal(bound(*TILES[0]), plain(*TILES[0]))
    benchmark(ours, *TILES[0])
    decode, both, fast, slow = np.median([seconds(bare, bound, ours, plain) for _ in range(5)], axis=0)
    print(
        f"\nOME-TIFF, {len(THREE)} of {CHANNELS} pages: {1 / fast:.0f} tiles/s, decode and one pass / spora-db = "
        f"{both / fast:.2f} (asked: 0.75), bare decode / spora-db = {decode / fast:.2f}; plain tifffile / spora-db = "
        f"{slow / fast:.1f}"
    )
    work = "random tile of an OME-TIFF, 3 of 43 pages"
    record(work, 1 / fast, "tiles/s")
    record(f"{work}, against plain tifffile", slow / fast)
    record(f"{work}, of decoding the touched segments", decode / fast)
    record(f"{work}, of decoding the touched segments and one pass", both / fast)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Return a slide in JPEG tiles of 256 x 256, with chroma of half the resolution, as scanners write them."""
    rng = np.random.default_rng(0)
    stain = np.kron(rng.integers(90, 230, (HEIGHT // 8 + 1, WIDTH // 8 + 1, 3)), np.ones((8, 8, 1)))[:HEIGHT, :WIDTH]
    image = np.clip(stain + rng.normal(0, 6, stain.shape), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("slide") / "a.tif"
    how = {"photometric": "ycbcr", "compression": "jpeg", "compressionargs": {"level": 80}, "subsampling": (2, 2)}
    tifffile.imwrite(path, image, tile=(256, 256), **how)
    return path


def test_tiles_of_a_jpeg_slide(benchmark, slide):
    """Random tiles, and all of them in order, against the bare decode of the touched segments, whole."""
    with tifffile.TiffFile(slide) as tiff:
        page, data = tiff.pages[0], slide.read_bytes()
        streams = [data[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    across = -(-WIDTH // 256)

    def bare(_, row, col):
        for down in range(row // 256, (row + TILE - 1) // 256 + 1):
            for right in range(col // 256, (col + TILE - 1) // 256 + 1):
                imagecodecs.jpeg8_decode(streams[down * across + right], tables=page.jpegtables, outcolorspace=2)

    def ours(_, row, col):
        return read_region(open_image(slide), row=row, col=col, height=TILE, width=TILE)

    benchmark(ours, *TILES[0])
    for _ in range(4):
        for tile in TILES:
            ours(*tile)  # until it is known that nothing is asked for again
    floor, fast = seconds(bare, ours)
    work = "random tile of a slide in JPEG"
    record(work, 1 / fast, "tiles/s")
    record(f"{work}, of decoding the touched segments", floor / fast)
    set_cache_bytes(DEFAULT_BYTES)
    ordered = [(0, row, col) for row in range(0, HEIGHT - TILE, TILE) for col in range(0, WIDTH - TILE, TILE)]

    def epoch():
        clear_cache()
        start = time.perf_counter()
        for tile in ordered:
            ours(*tile)
        return time.perf_counter() - start

    def decoded():
        start = time.perf_counter()
        for stream in streams:
            imagecodecs.jpeg8_decode(stream, tables=page.jpegtables, outcolorspace=2)
        return time.perf_counter() - start

    epoch()
    taken, least = min(epoch() for _ in range(3)), min(decoded() for _ in range(3))
    print(
        f"\nslide in JPEG: random {TILE} tile {1 / fast:.0f} tiles/s, bare decode of the touched segments / spora-db = "
        f"{floor / fast:.2f}; all tiles in order: decode of every segment once / spora-db = {least / taken:.2f}"
    )
    record("tiles in order of a slide in JPEG, of decoding every segment once", least / taken)
