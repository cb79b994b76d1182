"""An epoch of a bucket against zarr-python over obstore, against one request after another, and against its line.

The server is one process; what a plain reader of the same ranges takes of it, over as many connections, is told too.
"""

import itertools
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import torch
import zarr
from obstore.store import S3Store
from zarr.storage import ObjectStore

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import MEAN, SPEC, STD, UPPER, write_lake
from http_servers import Bucket, slow_bucket
from spora_db import SporaQuery
from spora_db.files.stores import mirror, ranged
from spora_db.files.stores.http import CONNECTIONS, NETWORK
from spora_db.files.stores.remote import RemoteStore
from spora_db.images import clear_cache, close_images, pieces
from spora_db.loading import rows as loading_rows
from spora_db.loading.ahead import AHEAD, foretell

CASES = ((3, 20), (3, 50), (40, 50)) if MEASURES else ((3, 5),)
"""Channels of 43, and the latency in milliseconds."""
MBIT = 800
"""The line of the epoch that a line bounds."""
ROUNDS = 3 if MEASURES else 1
FEW = 32 if MEASURES else 2
"""Tiles that stand for all where each takes as long as the others."""
THREADS = 16


def rows(lake: object, channels: int) -> Any:
    query = SporaQuery(lake).modality("imc").tiles(size=224)  # type: ignore[arg-type]
    names = [f"marker {number}" for number in (3, 20, 39)] if channels == 3 else ()
    return query.channels(kind="uniprot_filtered", names=names).standardize(SPEC).to_torch()


@dataclass(frozen=True)
class Cold:
    """What a reader of a bucket finds that has read nothing yet but the metadata of images."""

    bucket: Bucket
    cache: Path

    def dataset(self, channels: int, **line: float) -> Any:
        """Return the rows of the bucket behind a line of some latency and mbit."""
        close_images()
        clear_cache()
        mirror._mirror.cache_clear()
        ranged.SINCE.clear()
        shutil.rmtree(self.cache, ignore_errors=True)
        self.bucket.set(latency=0, mbit=0)
        NETWORK._start()
        dataset = rows("s3://b/lake", channels)
        for image in range(len(dataset.plan.images)):
            dataset.materializer.image(image)
        self.bucket.set(**line)
        return dataset

    def epoch(self, dataset: Any) -> float:
        """Return the seconds of an epoch."""
        return seconds(lambda: [None for _ in dataset.loader(4, shuffle="global", cache_bytes=2**30)])

    def epoch_of_one(self, dataset: Any) -> float:
        """Return the seconds of an epoch that asks for one range after another."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NETWORK, "connections", 1)
            NETWORK._start()
            return self.epoch(dataset)

    def fetched(self, dataset: Any) -> tuple[float, list[tuple[str, int, int]]]:
        """Return the seconds of what an epoch fetches, none of it decoded, and which ranges these are."""
        asked, read = list[tuple[str, int, int]](), RemoteStore.read
        order = np.random.default_rng(0).permutation(len(dataset)).tolist()
        batches = [order[start : start + 4] for start in range(0, len(order), 4)]

        def noted(store: RemoteStore, key: str, *, offset: int, size: int, state: Any) -> bytes:
            asked.append((key, offset, size))
            return read(store, key, offset=offset, size=size, state=state)

        def fetch() -> None:
            foretell(dataset, batches, fetch=dataset._fetch)
            while NETWORK.crew("ahead", AHEAD).busy:
                time.sleep(0.002)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteStore, "read", noted)
            return seconds(fetch), asked

    def read_plainly(self, ranges: Sequence[tuple[str, int, int]]) -> float:
        """Return the seconds in which as many threads as we have connections read ranges with obstore."""
        store = self.store("lake")

        def read(one: tuple[str, int, int]) -> object:
            return obstore.get_range(store, one[0], start=one[1], length=one[2])

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return seconds(lambda: list(pool.map(read, ranges)))

    def store(self, folder: str) -> S3Store:
        """Return a folder of the bucket as obstore reads it."""
        options = {"allow_http": True}
        where = {"endpoint": self.bucket.address, "virtual_hosted_style_request": False, "skip_signature": True}
        return S3Store("b", prefix=folder, client_options=options, **where)  # type: ignore[arg-type]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Plain:
    """The peer: zarr-python reads the tiles over obstore, each with one `array[...]`; torch standardizes them."""

    def __init__(self, cold: Cold, dataset: Any) -> None:
        self.dataset, tree = dataset, mirror.mirror("s3://b/lake").tree
        images = [dataset.materializer.image(number) for number in range(len(dataset.plan.images))]
        self.pages = [image.pages for image in images]
        folders = [image.reader.path.relative_to(tree) / "0" for image in images]
        stores = [ObjectStore(cold.store(f"lake/{folder}"), read_only=True) for folder in folders]
        self.arrays = [zarr.open_array(store, mode="r") for store in stores]

    def __call__(self, row: int) -> torch.Tensor:
        """Return a tile."""
        plan = self.dataset.plan
        image, down, across = int(plan.image[row, 0]), int(plan.row[row]), int(plan.col[row])
        pixels = np.asarray(self.arrays[image][:, down : down + 224, across : across + 224])
        tile = torch.from_numpy(pixels[self.pages[image]])
        return (torch.log1p(torch.clamp(tile, 0, UPPER)) - MEAN) / (STD + 1e-8)

    def one_by_one(self, order: Sequence[int]) -> float:
        """Return the seconds of an epoch that reads one tile, and of it one chunk, after another."""
        with zarr.config.set({"async.concurrency": 1}):
            return seconds(lambda: [self(row) for row in order[:FEW]]) * len(order) / min(FEW, len(order))

    def in_threads(self, order: Sequence[int]) -> float:
        """Return the seconds of an epoch that reads 16 tiles side by side."""
        with ThreadPoolExecutor(THREADS) as pool:
            return seconds(lambda: list(pool.map(self, order)))


def same_pixels(cold: Cold) -> None:
    """Check that what is compared is the same."""
    dataset = cold.dataset(3)
    plain = Plain(cold, dataset)
    for row in range(0, len(dataset), max(1, len(dataset) // 5)):
        torch.testing.assert_close(dataset[row]["image"], plain(row), rtol=1e-5, atol=1e-5)


def forget_remote_lakes(patch: pytest.MonkeyPatch) -> None:
    """Read as if there were none: nothing asks whether a path lies in one, nothing is fetched or told ahead."""
    for name, module in list(sys.modules.items()):
        if name.startswith("spora_db.") and hasattr(module, "mirror_of"):
            patch.setattr(module, "mirror_of", lambda path: None)
    patch.setattr(pieces, "fetched", lambda chunks: ((chunk, None) for chunk in chunks))
    patch.setattr(loading_rows, "foretell", lambda *given, **named: None)


@pytest.fixture
def cold(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder, cache = tmp_path_factory.mktemp("buckets"), tmp_path / "cache"
    write_lake(folder / "b/lake", tissues=6 if MEASURES else 1, shape=(1024, 1024) if MEASURES else (256, 256))
    with slow_bucket(folder) as bucket:
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
        monkeypatch.setenv("SPORA_CACHE_DIR", str(cache))
        yield Cold(bucket, cache)
    NETWORK._start()
    close_images()
    clear_cache()


def test_epochs_of_a_bucket(cold: Cold) -> None:
    """Our epoch against that of others, each case in turn, and as a share of what the latency alone takes."""
    took, asked = defaultdict[tuple[int, int, str], list[float]](list), dict[tuple[int, int], int]()
    same_pixels(cold)
    draw = np.random.default_rng(0)
    for _, (channels, latency) in itertools.product(range(ROUNDS), CASES):
        readers: dict[str, Callable[[Any], float]] = {
            "spora-db": cold.epoch,
            "one request after another": cold.epoch_of_one,
            "zarr-python one by one": lambda own: Plain(cold, own).one_by_one(draw.permutation(len(own)).tolist()),
            "zarr-python in 16 threads": lambda own: Plain(cold, own).in_threads(draw.permutation(len(own)).tolist()),
        }
        for name in draw.permutation(list(readers)).tolist():
            found = readers[name](cold.dataset(channels, latency=latency))
            took[channels, latency, name].append(found)
            counted = cold.bucket.set()
            if name == "spora-db":
                asked[channels, latency] = counted["get"]
        took[channels, latency, "fetched"].append(cold.fetched(cold.dataset(channels, latency=latency))[0])
    for channels, latency in CASES:
        case = f"bucket, {channels} of 43 channels at {latency} ms"
        found = {name: float(np.median(took[channels, latency, name])) for name in (*readers, "fetched")}
        for name in list(readers)[1:]:
            record(f"{case}, against {name}", found[name] / found["spora-db"])
        bound = asked[channels, latency] / CONNECTIONS * latency / 1000
        print(f"\n{asked[channels, latency]} requests wait {bound:.2f} s over {CONNECTIONS} connections", end="")
        record(f"{case}, share of what its requests wait", bound / found["spora-db"])
        record(f"{case}, share of what its requests wait, nothing decoded", bound / found["fetched"])


def test_a_line_of_a_bucket(cold: Cold) -> None:
    """What is fetched for an epoch of 40 channels as a share of what the line carries; a plain reader of the same."""
    took = defaultdict[str, list[float]](list)
    for _ in range(ROUNDS):
        own, ranges = cold.fetched(cold.dataset(40, latency=20, mbit=MBIT))
        carried = cold.bucket.set(mbit=MBIT)["bytes"]
        plain = cold.read_plainly(ranges)
        took["own"].append(carried * 8 / MBIT / 1e6 / own)
        took["plain"].append(sum(size for _, _, size in ranges) * 8 / MBIT / 1e6 / plain)
    case = f"bucket, 40 of 43 channels, share of a line of {MBIT} Mbit/s"
    record(f"{case}, fetched", float(np.median(took["own"])))
    record(f"{case}, same ranges read by obstore in {CONNECTIONS} threads", float(np.median(took["plain"])))


def test_epochs_of_the_disk_copy(cold: Cold) -> None:
    """The second epoch of a bucket, from the disk, against a folder; and that as if there were no buckets."""
    busy = defaultdict[str, list[float]](list)
    datasets = {"bucket": rows("s3://b/lake", 3), "folder": rows(cold.bucket.folder / "b/lake", 3)}
    datasets["no remote lakes"] = datasets["folder"]
    for number, (name, dataset) in itertools.product(range(5 * ROUNDS + 1), datasets.items()):
        with pytest.MonkeyPatch.context() as patch:
            if name == "no remote lakes":
                forget_remote_lakes(patch)
            start = time.process_time()
            for _ in dataset.loader(4, cache_bytes=0):
                pass
            if number:
                busy[name].append(time.process_time() - start)
    slower = np.median(np.array(busy["folder"]) / np.array(busy["no remote lakes"]))
    record("epoch of a folder against one without remote lakes, CPU", slower)
    record(
        "epoch from the disk copy of a bucket against a folder, CPU",
        np.median(busy["folder"]) / np.median(busy["bucket"]),
    )
