"""What a loader asks a bucket for, counted, which no noise blurs; against what a reader of the format's bytes needs."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from benchmarks.made_lake import SPEC, write_lake
from http_servers import Bucket, slow_bucket
from spora_db import SporaQuery
from spora_db.files.stores import mirror, ranged
from spora_db.images import clear_cache, close_images

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


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("channels", "planes", "most"),
    [(FEW, [3, 20, 41], 1.4), (None, list(range(40)), 1.15)],
    ids=["3 of 43", "40 of 43"],
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
    print(cold, number, size, cold["bytes"] / size, cold["get"] / number)
    assert cold["get"] <= 1.1 * number
    assert cold["bytes"] <= most * size
    assert cold["head"] == 0
    assert warm["get"] == warm["head"] == warm["list"] == 0
