"""Coarse levels that are made and kept: every level equals a numpy mean, whatever the bands and the order of asking."""

import threading

import numpy as np
import pytest

from spora_db.errors import ArgumentError, FileFormatError
from spora_db.files.cache_folders import lasting_folder
from spora_db.images import open_levels, overviews, read_region, write_ometiff, write_omezarr
from spora_db.images.overviews import OverviewChoice, Overviews
from spora_db.images.resampling import Held, Planes
from spora_db.images.write_zarr import write_pyramid


def mean(plane, step):
    """The oracle: squares of a plane averaged in float64; a last square of less than half is left out."""
    height, width = (max(1, int(size / step + 0.5)) for size in plane.shape)
    rows, cols = ([slice(k * step, (k + 1) * step) for k in range(count)] for count in (height, width))
    return np.array([[plane[row, col].astype(np.float64).mean() for col in cols] for row in rows])


@pytest.fixture
def kept(tmp_path):
    return Overviews(lasting_folder(tmp_path / "kept", limit=2**26))


def whole(kept, choice, page):
    return kept.read(choice, page, row=0, col=0, height=choice.shape[1], width=choice.shape[2])


@pytest.mark.some(4)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("size", [(2100, 37), (61, 2055), (1500, 1026)])
@pytest.mark.parametrize("band", [1, 2**25])
def test_every_level_is_a_mean_of_full_pixels(tmp_path, kept, monkeypatch, dtype, size, band):
    monkeypatch.setattr(overviews, "BAND_BYTES", band)
    image = (np.random.default_rng(7).random((2, *size)) * 250).astype(dtype)
    choices = OverviewChoice.of(open_levels(write_omezarr(tmp_path / "a.ome.zarr", image, mpp=1.0)))
    assert [choice.factor for choice in choices][:2] == [1.0, 4.0]
    np.testing.assert_array_equal(whole(kept, choices[0], 1), image[1])
    for choice in choices[1:]:
        expected = mean(image[1], choice.made)
        found = whole(kept, choice, 1)
        assert found.shape == choice.shape[1:] == expected.shape
        if image.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, np.rint(expected))
    assert kept.made == 1


def test_every_row_is_decoded_once_for_all_levels(tmp_path, kept, monkeypatch):
    monkeypatch.setattr(overviews, "BAND_BYTES", 1)
    path = write_omezarr(tmp_path / "a.ome.zarr", np.ones((2, 4200, 24), np.uint16), mpp=1.0)
    rows = []

    def counting(reader, pages, *, row, height, **rest):
        rows.extend((page, number) for page in pages for number in range(row, row + height))
        return read_region(reader, pages, row=row, height=height, **rest)

    monkeypatch.setattr(overviews, "read_region", counting)
    choices = OverviewChoice.of(open_levels(path))
    assert [choice.made for choice in choices] == [1, 4, 8, 16]
    for choice in reversed(choices[1:]):
        whole(kept, choice, 1)
    assert sorted(rows) == [(1, number) for number in range(4200)]


def test_a_level_of_the_file_is_taken_as_it_is(tmp_path, kept):
    image = np.arange(1200 * 1100, dtype=np.uint32).reshape(1, 1200, 1100).astype(np.uint16)
    path = tmp_path / "a.ome.zarr"
    write_pyramid(path, Held(image=image), mpp=1.0)
    levels = open_levels(path)
    assert len(levels) > 1
    choices = OverviewChoice.of(levels)
    assert [choice.made for choice in choices] == [1] * len(levels)
    for choice, level in zip(choices, levels, strict=True):
        expected = Planes(parts=((level, (0,)),)).read(0, 0, *level.shape[1:])[0]
        np.testing.assert_array_equal(whole(kept, choice, 0), expected)


def test_a_file_that_changes_gets_other_means(tmp_path, kept):
    for number in (3, 8):
        path = write_ometiff(tmp_path / "a.ome.tiff", np.full((1, 1040, 8), number, np.uint16), mpp=1.0)
        assert whole(kept, OverviewChoice.of(open_levels(path))[-1], 0).max() == number
    assert kept.made == 2


def test_those_who_ask_at_once_wait_for_one_making(tmp_path, kept):
    path = write_omezarr(tmp_path / "a.ome.zarr", np.full((1, 3000, 64), 5, np.uint8), mpp=1.0)
    choice = OverviewChoice.of(open_levels(path))[1]
    found = []
    threads = [threading.Thread(target=lambda: found.append(whole(kept, choice, 0).min())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5] * 6
    whole(kept, choice, 0)
    assert kept.made == 1


def test_the_folder_keeps_to_its_limit(tmp_path):
    folder = lasting_folder(tmp_path / "kept", limit=40_000)
    kept = Overviews(folder)
    path = write_omezarr(tmp_path / "a.ome.zarr", np.ones((5, 1100, 400), np.uint8), mpp=1.0)
    for page in range(5):
        assert whole(kept, OverviewChoice.of(open_levels(path))[1], page).min() == 1
    assert folder.held <= 40_000


def test_a_broken_image_is_told_to_everybody_who_asks(tmp_path, kept):
    path = write_ometiff(
        tmp_path / "a.ome.tiff", np.random.default_rng(1).integers(0, 99, (1, 1040, 80), np.uint16), mpp=1
    )
    choice = OverviewChoice.of(open_levels(path))[-1]
    content = bytearray(path.read_bytes())
    content[600:60_000] = bytes(59_400)
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(FileFormatError):
            whole(kept, choice, 0)


@pytest.mark.parametrize("wrong", [{"row": 250}, {"col": -1}, {"page": 1}, {"height": 0}])
def test_a_region_outside_is_refused(tmp_path, kept, wrong):
    path = write_omezarr(tmp_path / "a.ome.zarr", np.ones((1, 1040, 16), np.uint8), mpp=1.0)
    asked = {"page": 0, "row": 0, "col": 0, "height": 11, "width": 4} | wrong
    with pytest.raises(ArgumentError, match="not in a level"):
        kept.read(OverviewChoice.of(open_levels(path))[1], asked.pop("page"), **asked)
