"""An image of 20,480 x 20,480 pixels and 40 channels on the page: opened at once the second time, in little memory."""

import json
import os
import time
import tracemalloc
from itertools import product

import numpy as np
import pytest

import lakes
from benchmarks.history import record
from exploring import serving
from spora_db.files.cache_folders import lasting_folder
from spora_db.images import open_levels, set_cache_bytes, write_omezarr
from spora_db.images.cache import DEFAULT_BYTES
from spora_db.images.overviews import OverviewChoice, Overviews

CHANNELS, SIDE, CHUNK = 40, 20, 1024
"""Channels, and chunks of a side; the file of one chunk is linked to all places."""


@pytest.fixture(scope="module")
def chunk():
    return np.random.default_rng(3).poisson(9, (CHUNK, CHUNK)).astype(np.uint16)


@pytest.fixture(scope="module")
def lake(chunk, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lakes, "PANEL", [(f"C{number}", True, f"P{10_000 + number}", False) for number in range(CHANNELS)]
        )
        lake = lakes.write_lake(tmp_path_factory.mktemp("large") / "lake", names=("alpha",), tissues=1)
    path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    path.rename(path.with_name("old"))
    write_omezarr(path, chunk[None], mpp=1.0)
    document = json.loads((path / "0/zarr.json").read_text())
    document["shape"] = [CHANNELS, SIDE * CHUNK, SIDE * CHUNK]
    (path / "0/zarr.json").write_text(json.dumps(document))
    group = json.loads((path / "zarr.json").read_text())
    del group["attributes"]["spora_db"]  # the shape that was written
    (path / "zarr.json").write_text(json.dumps(group))
    for place in product(range(CHANNELS), range(SIDE), range(SIDE)):
        if any(place):
            target = path / "0/c" / "/".join(map(str, place))
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path / "0/c/0/0/0", target)
    return lake


def opened(lake, page=3):
    """Return the seconds of what is asked to open the image, and its made levels with a plane of each."""
    with serving(lake) as client:
        (key,) = (image["key"] for image in client.ask("GET", "/api/images?q=alpha_0000+imc")[1]["images"])
        begun = time.perf_counter()
        status, told = client.ask("GET", f"/api/images/{key}")
        assert status == 200, told
        pages = ",".join(str(one["page"]) for one in told["shown"])
        limits = client.ask("GET", f"/api/images/{key}/limits?pages={pages}")[1]["limits"]
        client.planes(f"/api/images/{key}/tiles/{len(told['levels']) - 1}/0/0?pages={pages}")
        seconds = time.perf_counter() - begun
        planes = {}
        for number, level in enumerate(told["levels"]):
            if level["made"]:
                address = f"/api/images/{key}/tiles/{number}/0/0?pages={page}"
                planes[round(level["factor"])] = client.planes(address)[0]
    return seconds, limits, planes


@pytest.mark.slow
def test_a_large_image_opens_at_once_and_every_level_is_a_mean(lake, chunk, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened(lake)
    seconds, limits, planes = opened(lake)
    record("a made pyramid of 20,480 x 20,480 x 40, opened again", seconds, "s")
    assert sorted(planes) == [4, 8, 16, 32, 64]
    for step, plane in planes.items():
        expected = np.rint(chunk.reshape(CHUNK // step, step, CHUNK // step, step).mean(axis=(1, 3)))
        whole = np.tile(expected, (SIDE, SIDE))
        np.testing.assert_array_equal(plane, whole[: plane.shape[0], : plane.shape[1]])
    for limit in limits:  # of pixels: means of them lie close together
        assert [limit["low"], limit["high"]] == pytest.approx(np.percentile(chunk, [5, 99.7]), abs=1)


@pytest.mark.slow
def test_a_channel_is_made_in_a_fraction_of_its_bytes(lake, tmp_path):
    path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    choice = OverviewChoice.of(open_levels(path))[-1]
    kept = Overviews(lasting_folder(tmp_path / "kept", limit=2**30))
    set_cache_bytes(0)  # of decoded chunks, which has a limit of its own
    tracemalloc.start()
    try:
        kept.read(choice, 7, row=0, col=0, height=choice.shape[1], width=choice.shape[2])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        set_cache_bytes(DEFAULT_BYTES)
    record("memory of making the means of a channel of 839 MB", most / 2**20, "MB")
    assert most < 839e6 / 4
