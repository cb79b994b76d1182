"""What a loader asks a bucket for, counted, which no noise blurs; against what a reader of the format's bytes needs."""

import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.made_lake import SPEC, write_lake
from http_servers import Bucket, slow_bucket
from spora_db import SporaQuery
from spora_db.errors import FileFormatError
from spora_db.files.stores import http, mirror, ranged
from spora_db.files.stores.http import NETWORK
from spora_db.images import clear_cache, close_images, open_image, read_region
from spora_db.layout import layers
from spora_db.loading.ahead import AHEAD, WithThoseAhead

SIZE = (512, 512)
FEW = ["marker 3", "marker 20", "marker 41"]
CHUNK = 256


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    write_lake(folder / "b/lake", tissues=2, shape=SIZE)
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the bucket with a new cache."""
    bucket.set(fault="", latency=0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    new_process()
    yield
    new_process()


def new_process() -> None:
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()
    ranged.SINCE.clear()


def rows(lake: object, channels: list[str] | None) -> Any:
    query = SporaQuery(lake).modality("imc").tiles(size=224)  # type: ignore[arg-type]
    asked = query.channels(kind="uniprot_filtered") if channels is None else query.channels(names=channels)
    return asked.standardize(SPEC).to_torch()


def needed(bucket: Bucket, dataset: Any, planes: list[int]) -> tuple[int, int]:
    """Return how many indexes, heads and planes the tiles of a plan need, and their bytes: by Zarr's and blosc's form.

    A shard ends with (offset, size) of each of its chunks and a checksum, a chunk of blosc begins with 16 bytes and an
    offset per block, which here is a plane.
    """
    plan, number, size = dataset.plan, 0, 0
    for image in range(len(plan.images)):
        own = plan.image[:, 0] == image
        chunks = {
            (down // CHUNK, across // CHUNK)
            for row, col in zip(plan.row[own].tolist(), plan.col[own].tolist(), strict=True)
            for down in (row, row + 223)
            for across in (col, col + 223)
        }
        path = bucket.folder / "b/lake/synth/imc/1_0mpp/images" / f"{plan.images.column('tissue_id')[image]}.ome.zarr"
        array = zarr.open_array(path / "0", mode="r")
        assert array.chunks == (43, CHUNK, CHUNK)
        assert array.shards is not None
        tall, wide = (length // CHUNK for length in array.shards[1:])
        shards = {(down // tall, across // wide) for down, across in chunks}
        number, size = number + len(shards), size + len(shards) * (16 * tall * wide + 4)
        for down, across in chunks:
            data = (path / f"0/c/0/{down // tall}/{across // wide}").read_bytes()
            index = np.frombuffer(data[-16 * tall * wide - 4 : -4], "<u8").reshape(tall, wide, 2)
            start, length = index[down % tall, across % wide].tolist()
            encoded = data[start : start + length]
            nbytes, blocksize, cbytes = struct.unpack_from("<iii", encoded, 4)
            assert blocksize == CHUNK * CHUNK * 4
            starts = np.frombuffer(encoded, "<i4", nbytes // blocksize, 16)
            order = np.append(np.sort(starts), cbytes)
            lengths = order[np.searchsorted(order, starts) + 1] - starts
            number, size = number + 1 + len(planes), size + 16 + starts.nbytes + int(lengths[planes].sum())
    return number, size


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("channels", "planes", "most", "workers"),
    [
        (FEW, [3, 20, 41], 1.4, 0),
        (None, list(range(40)), 1.15, 2),
        pytest.param(FEW, [3, 20, 41], 1.4, 2, marks=pytest.mark.slow),
        pytest.param(None, list(range(40)), 1.15, 0, marks=pytest.mark.slow),
    ],
)
def test_a_cold_epoch_asks_for_what_it_needs_and_the_next_for_nothing(
    bucket: Bucket, channels: list[str] | None, planes: list[int], most: float, workers: int
) -> None:
    remote, local = rows("s3://b/lake", channels), rows(bucket.folder / "b/lake", channels)
    assert len(remote) == len(local) > 8
    for image in range(len(remote.plan.images)):
        remote.materializer.image(image)  # what tells the images is no pixel
    loader = remote.loader(8, num_workers=workers, seed=1, cache_bytes=0 if workers == 0 else 2**29)
    bucket.set()
    batches = list(loader)
    cold = bucket.set()
    again = list(loader)
    warm = bucket.set()
    for left, right, third in zip(local.loader(8, seed=1), batches, again, strict=True):
        assert (left["image"] == right["image"]).all()
        assert third["image"].shape == left["image"].shape
    number, size = needed(bucket, local, planes)
    assert cold["get"] <= 1.1 * number
    assert cold["bytes"] <= most * size
    assert cold["head"] == 0
    assert warm["get"] == warm["head"] == warm["list"] == 0


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 4))
def test_a_batch_tells_which_its_reader_gets_next(batches: list[int], readers: int) -> None:
    told = list(WithThoseAhead([[batch] for batch in batches], readers=readers))
    assert told == [[batch] for batch in batches]
    assert [rows.ahead for rows in told] == [
        [[batch] for batch in batches[number + readers :: readers][:AHEAD]] for number in range(len(batches))
    ]
    assert pickle.loads(pickle.dumps(told[0])).ahead == told[0].ahead if told else True


def test_batches_to_come_are_fetched_before_they_are_asked_for(bucket: Bucket) -> None:
    remote, local = rows("s3://b/lake", FEW), rows(bucket.folder / "b/lake", FEW)
    size = -(-len(local) // (AHEAD + 1))
    number, _ = needed(bucket, local, [3, 20, 41])
    bucket.set()
    batches = iter(remote.loader(size, seed=1, cache_bytes=0))
    found, asked, pause = [next(batches)], 0, threading.Event()
    for _ in range(600):
        asked += bucket.set()["get"]
        if asked >= number:  # with the documents of the images
            break
        pause.wait(0.05)
    while NETWORK.threads().busy or NETWORK.crew("ahead", AHEAD).busy:
        pause.wait(0.05)
    bucket.set()
    found += list(batches)
    counted = bucket.set()
    assert counted["get"] == counted["list"] == 0
    for left, right in zip(local.loader(size, seed=1), found, strict=True):
        assert (left["image"] == right["image"]).all()


def test_an_image_that_changes_while_it_is_read_is_told_and_then_read_anew(bucket: Bucket) -> None:
    rows("s3://b/lake", FEW[:1])[0]
    for path in bucket.folder.rglob("imc/**/c/**/*"):
        if path.is_file():  # the same bytes, but a bucket does not say that
            path.with_name("new").write_bytes(path.read_bytes())
            path.with_name("new").replace(path)
    with pytest.raises(FileFormatError, match=r"The file s3://b/lake/.* was written again since it was opened: it was"):
        rows("s3://b/lake", FEW)[0]
    new_process()
    near, far = rows(bucket.folder / "b/lake", FEW), rows("s3://b/lake", FEW)
    assert (near[0]["image"] == far[0]["image"]).all()


@pytest.mark.parametrize("fault", ["reset", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("503", "cut"))])
def test_faults_in_every_second_answer_change_no_pixel(
    bucket: Bucket, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.001)
    remote, local = rows("s3://b/lake", FEW), rows(bucket.folder / "b/lake", FEW)
    bucket.set(fault=f"{fault}x2")
    for left, right in zip(local.loader(4, seed=1), remote.loader(4, seed=1), strict=True):
        assert (left["image"] == right["image"]).all()
    assert bucket.set(fault="")["faults"] > 10


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in ("spawn", "forkserver"))]
)
def test_workers_begin_while_their_parent_fetches(bucket: Bucket, method: Any) -> None:
    remote, local = rows("s3://b/lake", FEW), rows(bucket.folder / "b/lake", FEW)
    bucket.set(latency=20)
    mine = iter(remote.loader(2, seed=2))
    first = next(mine)  # threads of this process fetch for three batches now
    pairs = zip(local.loader(4, seed=1), remote.loader(4, seed=1, num_workers=2, start_method=method), strict=True)
    for left, right in pairs:
        assert (left["image"] == right["image"]).all()
    rest = [first, *mine]
    for left, right in zip(local.loader(2, seed=2), rest, strict=True):
        assert (left["image"] == right["image"]).all()


@pytest.mark.slow
def test_a_process_ends_at_once_whatever_it_fetches(bucket: Bucket) -> None:
    code = """
from spora_db import SporaQuery
dataset = SporaQuery("s3://b/lake").modality("imc").tiles(size=224).to_torch()
next(iter(dataset.loader(1)))
import os, urllib.request
urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/?latency=30000", method="POST"))
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores import open_store
store = open_store("s3://b/lake")
for _ in range(100):
    NETWORK.threads().submit(lambda: store.state("x"))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=90, capture_output=True)
    assert not done.stdout  # 100 answers would take two minutes


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "compressor", [numcodecs.LZMA(), numcodecs.Zstd()], ids=["decoded by zarr-python", "decoded here"]
)
def test_codecs_of_all_kinds_are_read_from_a_bucket(bucket: Bucket, compressor: Any) -> None:
    name = f"synth/imc/1_0mpp/images/{compressor.codec_id}.ome.zarr"
    pixels = np.random.default_rng(0).integers(0, 9, (3, 100, 120), np.uint16)
    group = zarr.open_group(bucket.folder / "b/lake" / name, mode="w", zarr_format=2)
    array = group.create_array("0", shape=pixels.shape, chunks=(1, 64, 64), dtype=pixels.dtype, compressors=compressor)
    array[:] = pixels
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": [{"name": axis} for axis in "cyx"], "datasets": [{"path": "0"}]}
    ]
    rows("s3://b/lake", FEW)
    near, far = open_image(bucket.folder / "b/lake" / name), open_image(layers("s3://b/lake")[0] / name)
    for part in ({}, {"row": 50, "col": 60, "height": 30, "width": 40}):
        assert (read_region(near, **part) == read_region(far, **part)).all()
    assert (read_region(near) == pixels).all()
    shutil.rmtree(bucket.folder / "b/lake" / name)
