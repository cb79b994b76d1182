"""Images of any size, written piece by piece at any coarser resolution: compared with zarr-python and float64 sums."""

import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from imports import write_tiled
from spora_db import errors
from spora_db.images import open_image, open_levels, read_region, resampling, write_zarr, zarr_writing
from spora_db.images.regions import read_through
from spora_db.images.resampling import Coarser, Held, Planes, at_resolution
from spora_db.images.write_zarr import write_omezarr, write_pyramid


def held(image):
    return Held(image=image)


def weights(size, factor, count):
    """The share of every pixel of one axis in every coarser one, as a matrix of float64."""
    edges = np.minimum(np.arange(count + 1) * factor, size)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)
    overlap = np.clip(np.minimum(pixel + 1, high) - np.maximum(pixel, low), 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)


def averaged(image, factor):
    """The oracle: matrix products in float64, not rounded."""
    height, width = (max(1, int(np.floor(size / factor + 0.5))) for size in image.shape[1:])
    rows, cols = weights(image.shape[1], factor, height), weights(image.shape[2], factor, width)
    return rows @ image.astype(np.float64) @ cols.T


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    factor=st.one_of(st.integers(1, 9).map(float), st.floats(1.0, 9.5)),
    dtype=st.sampled_from(["u1", "u2", "f4"]),
    seed=st.integers(0, 9),
)
def test_a_coarser_pixel_is_the_mean_of_its_area(size, factor, dtype, seed):
    rng = np.random.default_rng(seed)
    image = (rng.random((2, *size)) * 250).astype(dtype)
    coarser = Coarser(source=held(image), factor=factor)
    expected = averaged(image, factor)
    found = coarser.read(0, 0, *coarser.shape[1:])
    assert found.dtype == image.dtype
    assert coarser.shape == expected.shape
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    else:
        assert np.abs(found - expected).max() <= 0.5 + 1e-9  # rounded to the nearest
    row, col = coarser.shape[1] // 3, coarser.shape[2] // 2
    part = coarser.read(row, col, coarser.shape[1] - row, coarser.shape[2] - col)
    np.testing.assert_array_equal(part, found[:, row:, col:])


def test_halves_of_whole_numbers_go_to_the_even_one():
    image = np.array([[[0, 1, 1, 2], [0, 1, 1, 2]]], np.uint8)  # means 0.5 and 1.5
    assert Coarser(source=held(image), factor=2.0).read(0, 0, 1, 2).tolist() == [[[0, 2]]]


def test_reading_in_strips_changes_nothing(monkeypatch):
    image = np.random.default_rng(0).integers(0, 9999, (3, 50, 60), dtype=np.uint16)
    coarser = Coarser(source=held(image), factor=3.3)
    whole = coarser.read(0, 0, *coarser.shape[1:])
    monkeypatch.setattr(resampling, "READ_BYTES", 1)
    np.testing.assert_array_equal(coarser.read(0, 0, *coarser.shape[1:]), whole)


@pytest.mark.parametrize(
    ("wanted", "level", "factor"),
    [(0.25, 0, 1.0), (0.254, 0, 1.0), (0.5, 0, 2.0), (0.99, 1, 1.0), (1.0, 1, 1.0), (1.5, 1, 1.5), (9.0, 2, 2.25)],
)
def test_the_nearest_finer_level_is_taken(wanted, level, factor):
    levels = [held(np.zeros((1, size, size), np.uint8)) for size in (801, 200, 50)]  # 801 / 4 was cut to 200
    made = at_resolution(levels, mpp=0.25, wanted=wanted)
    found = (made.source, made.factor) if isinstance(made, Coarser) else (made, 1.0)
    assert found == (levels[level], pytest.approx(factor))


def test_no_image_is_made_finer():
    with pytest.raises(errors.ArgumentError, match=r"0\.5 microns per pixel; it cannot be made finer, to 0\.25"):
        at_resolution([held(np.zeros((1, 9, 9), np.uint8))], mpp=0.5, wanted=0.25)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4", "?", "f2"])
def test_zarr_python_reads_what_is_written(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(write_zarr, "COARSEST", 100)
    image = (np.random.default_rng(1).random((3, 301, 258)) * 99).astype(dtype)
    path = write_pyramid(tmp_path / "a.ome.zarr", held(image), mpp=0.25, channel_names=["a", "b", "c"])
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][:], image)
    levels = [read_region(level) for level in open_levels(path)]
    assert [level.shape for level in levels] == [(3, 301, 258), (3, 151, 129), (3, 76, 65)]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(group[str(number)][:], level.astype(dtype, copy=False))
        if number and np.dtype(dtype).kind in "iu":
            np.testing.assert_array_equal(level, np.rint(averaged(levels[number - 1], 2.0)))
        elif number and dtype == "f4":
            np.testing.assert_allclose(level, averaged(levels[number - 1], 2.0), rtol=1e-6)
    scales = [level["coordinateTransformations"] for level in group.attrs["ome"]["multiscales"][0]["datasets"]]
    assert scales == [[{"type": "scale", "scale": [1.0, 0.25 * 2**at, 0.25 * 2**at]}] for at in range(3)]


def test_a_large_image_has_small_shards_and_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(write_zarr, "LARGE", 0)
    monkeypatch.setattr(write_zarr, "SHARD_BYTES", 2**20)
    image = np.random.default_rng(1).integers(0, 99, (3, 700, 900), dtype=np.uint16)
    pieces = []
    path = write_pyramid(tmp_path / "a.ome.zarr", held(image), mpp=1.0, wrote=pieces.append)
    assert zarr.open_array(path / "0", mode="r").shards == (3, 256, 256)
    assert sum(pieces) == 700 * 900
    np.testing.assert_array_equal(read_region(open_image(path)), image)


@pytest.mark.parametrize("pieces", [1, 16, 10**6], ids=["all levels at once", "some", "two"])
def test_levels_that_are_written_together_are_those_of_one_after_another(tmp_path, monkeypatch, pieces):
    for name, value in {"LARGE": 0, "SHARD_BYTES": 2**16, "COARSEST": 100, "PIECES": pieces}.items():
        monkeypatch.setattr(write_zarr, name, value)
    image = np.random.default_rng(1).integers(0, 255, (1, 1301, 1030), dtype=np.uint8)
    path = write_pyramid(tmp_path / "a.ome.zarr", held(image), mpp=1.0)
    levels = [read_region(level) for level in open_levels(path)]
    assert [level.shape for level in levels] == [
        (1, 1301, 1030), (1, 651, 515), (1, 326, 258), (1, 163, 129), (1, 82, 65),
    ]  # fmt: skip
    np.testing.assert_array_equal(levels[0], image)
    for finer, coarser in pairwise(levels):
        np.testing.assert_array_equal(coarser, np.rint(averaged(finer, 2.0)))


@pytest.mark.parametrize("level", ["0", "1"])
def test_a_changed_byte_of_any_level_is_found(tmp_path, level, monkeypatch):
    monkeypatch.setattr(write_zarr, "COARSEST", 100)
    image = np.random.default_rng(1).integers(0, 99, (1, 150, 150), dtype=np.uint8)
    path = write_pyramid(tmp_path / "a.ome.zarr", held(image), mpp=1.0)
    shard = path / level / "c/0/0/0"
    data = bytearray(shard.read_bytes())
    for place in (20, len(data) - 30):
        data[place] ^= 4
        shard.write_bytes(data)
        with pytest.raises(errors.FileFormatError):
            list(read_through(open_levels(path)[int(level)]))
        data[place] ^= 4


def test_an_error_of_a_piece_leaves_nothing(tmp_path, monkeypatch):
    def fails(pixels, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr_writing, "encoded_shard", fails)
    with pytest.raises(errors.WriteError, match="No space left"):
        write_omezarr(tmp_path / "a.ome.zarr", np.ones((1, 2000, 1100), np.uint8), mpp=1.0)
    assert list(tmp_path.iterdir()) == []


def subifds(path, levels, **options):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, tile=(64, 64), **options)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, tile=(64, 64), **options)


@pytest.mark.parametrize("samples", [False, True], ids=["channels", "rgb"])
def test_levels_of_a_tiff(tmp_path, samples):
    rng = np.random.default_rng(2)
    sizes = [(300, 200), (150, 100), (75, 50)]
    shapes = [(*size, 3) if samples else (2, *size) for size in sizes]
    levels = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in shapes]
    subifds(tmp_path / "a.tif", levels, photometric="rgb" if samples else "minisblack")
    opened = open_levels(tmp_path / "a.tif")
    assert len(opened) == 3
    for level, expected in zip(opened, levels, strict=True):
        np.testing.assert_array_equal(read_region(level), np.moveaxis(expected, -1, 0) if samples else expected)


def test_planes_of_several_files(tmp_path):
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 255, (2, 90, 80), dtype=np.uint8) for _ in range(2)]
    paths = [write_omezarr(tmp_path / f"{at}.ome.zarr", image, mpp=1.0) for at, image in enumerate(images)]
    planes = Planes(parts=tuple((open_image(path), (1, 0)) for path in paths))
    assert planes.shape == (4, 90, 80)
    expected = np.concatenate([image[::-1, 3:80, 5:60] for image in images])
    np.testing.assert_array_equal(planes.read(3, 5, 77, 55), expected)


CHILD = """
    import resource, sys
    from pathlib import Path
    from spora_db.images import open_levels, set_cache_bytes, zarr_writing
    from spora_db.images.resampling import Planes, at_resolution
    from spora_db.images.write_zarr import write_pyramid

    set_cache_bytes(2**25)
    zarr_writing.MOST_THREADS = 2
    slide, small = (
        at_resolution([Planes(parts=((level, (0, 1, 2)),)) for level in open_levels(path)], mpp=0.25, wanted=0.6)
        for path in sys.argv[1:3]
    )
    write_pyramid(Path(sys.argv[3]) / "small.ome.zarr", small, mpp=0.6)  # what is imported at first use is imported
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + 300_000_000, used + 300_000_000))
    write_pyramid(Path(sys.argv[3]) / "slide.ome.zarr", slide, mpp=0.6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to limit the memory of a process")
def test_a_slide_larger_than_the_memory_that_is_free(tmp_path):
    """3 x 11,264 x 11,264 pixels, 381 MB, in 300 MB beyond what Python and its libraries take."""
    side = 11_264
    tile = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    write_tiled(tmp_path / "slide.svs", side=side, tile=tile)
    write_tiled(tmp_path / "small.svs", side=2048, tile=tile)
    command = [sys.executable, "-c", textwrap.dedent(CHILD), *(tmp_path / f"{name}.svs" for name in ("slide", "small"))]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    image = open_image(tmp_path / "slide.ome.zarr")
    assert image.shape == (3, 4693, 4693)
    found = read_region(image, row=3840, col=0, height=320, width=320)
    expected = averaged(np.moveaxis(np.tile(tile, (2, 2, 1)), -1, 0)[:, :768, :768], 2.4)  # 3840 * 2.4 = 18 * 512
    assert np.abs(found - expected).max() <= 0.5 + 1e-9
