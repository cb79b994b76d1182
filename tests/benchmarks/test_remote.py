"""An epoch of a bucket with latency, all that a batch needs at once, against one request after another; in one run."""

import itertools
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import SPEC, write_lake
from http_servers import Bucket, slow_bucket
from spora_db import SporaQuery
from spora_db.files.stores import mirror, ranged
from spora_db.files.stores.http import CONNECTIONS, NETWORK
from spora_db.images import clear_cache, close_images

CASES = ((3, 20), (3, 50), (40, 50)) if MEASURES else ((3, 5),)
"""Channels of 43, and the latency in milliseconds."""
ROUNDS = 5 if MEASURES else 1


def rows(lake: object, channels: int) -> Any:
    query = SporaQuery(lake).modality("imc").tiles(size=224)  # type: ignore[arg-type]
    names = [f"marker {number}" for number in (3, 20, 39)] if channels == 3 else ()
    return query.channels(kind="uniprot_filtered", names=names).standardize(SPEC).to_torch()


def cold(bucket: Bucket, cache: Path, channels: int, *, latency: int, connections: int) -> float:
    """Return the seconds of an epoch of which nothing but the metadata of images is here."""
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()
    ranged.SINCE.clear()
    shutil.rmtree(cache, ignore_errors=True)
    bucket.set(latency=0)
    NETWORK._start()
    NETWORK.connections = connections
    dataset = rows("s3://b/lake", channels)
    for image in range(len(dataset.plan.images)):
        dataset.materializer.image(image)
    bucket.set(latency=latency)
    start = time.perf_counter()
    for _ in dataset.loader(4, shuffle="global", cache_bytes=2**30):
        pass
    return time.perf_counter() - start


def test_epochs_of_a_bucket(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty-two connections against one, and the second epoch from the disk against the same lake in a folder."""
    folder, cache = tmp_path_factory.mktemp("buckets"), tmp_path / "cache"
    write_lake(folder / "b/lake", tissues=6 if MEASURES else 1, shape=(1024, 1024) if MEASURES else (256, 256))
    with slow_bucket(folder) as bucket:
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
        monkeypatch.setenv("SPORA_CACHE_DIR", str(cache))
        monkeypatch.setattr(NETWORK, "connections", CONNECTIONS)
        took = defaultdict[tuple[int, int, int], list[float]](list)
        for _, (channels, latency), connections in itertools.product(range(ROUNDS), CASES, (1, CONNECTIONS)):
            found = cold(bucket, cache, channels, latency=latency, connections=connections)
            took[channels, latency, connections].append(found)
        for channels, latency in CASES:
            one, many = (float(np.median(took[channels, latency, number])) for number in (1, CONNECTIONS))
            record(f"bucket, {channels} of 43 channels at {latency} ms, 32 connections against one", one / many)
        busy = defaultdict[str, list[float]](list)
        datasets = {"bucket": rows("s3://b/lake", 3), "folder": rows(folder / "b/lake", 3)}
        for number, (name, dataset) in itertools.product(range(ROUNDS + 1), datasets.items()):
            start = time.process_time()
            for _ in dataset.loader(4, cache_bytes=0):
                pass
            if number:
                busy[name].append(time.process_time() - start)
        record(
            "epoch from the disk copy of a bucket against a folder, CPU",
            np.median(busy["folder"]) / np.median(busy["bucket"]),
        )
    NETWORK._start()
    close_images()
    clear_cache()
