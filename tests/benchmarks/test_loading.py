"""Tiles per second of the loader against plain zarr-python and torch, in one run; ratios are what counts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from numcodecs import blosc

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import MEAN, SPEC, STD, UPPER, made_lake
from spora_db import SporaQuery
from spora_db.images import cache_info, clear_cache, open_image, set_cache_bytes
from spora_db.images.pieces import Regions
from spora_db.images.regions import blocks
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.loader import TileLoader
from spora_db.standardization.standardize import standardize_block

THREE = ["CD3", "CD20", "SMA"]

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@pytest.fixture(scope="module", params=[4, pytest.param(16, marks=pytest.mark.slow)], ids=["4", "16"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of a few tissues of 43 x 1000 x 1100 float32."""
    return made_lake(tmp_path_factory.mktemp("loading"), request.param)


@pytest.fixture(autouse=True)
def own_cache() -> Iterator[None]:
    """Give the cache its limit back."""
    before = cache_info().bytes_limit
    yield
    set_cache_bytes(before)
    clear_cache()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let the peers use one thread, as one process of the loader does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    blosc.use_threads = False
    with zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1}):
        yield
    blosc.use_threads = None
    torch.set_num_threads(threads)


def make_query(lake: Path) -> SporaQuery:
    """Ask for the 40 channels with accessions, standardized."""
    return SporaQuery(lake).modality("imc").tiles(size=224).channels(kind="uniprot_filtered").standardize(SPEC)


@dataclass(frozen=True)
class Plain:
    """The peer: zarr-python reads the region, torch standardizes it.

    ``orthogonal`` leaves the choice of channels to zarr-python, which is what its documentation suggests; reading all
    channels and choosing afterwards is several times faster.
    """

    dataset: PlanDataset
    orthogonal: bool = False

    def __call__(self, row: int) -> torch.Tensor:
        """Return a tile."""
        plan = self.dataset.plan
        source = self.dataset.materializer.image(int(plan.image[row, 0]))
        array = zarr.open_array(source.reader.path / "0", mode="r")
        rows, cols = (slice(int(corner[row]), int(corner[row]) + 224) for corner in (plan.row, plan.col))
        if self.orthogonal:
            tile = torch.from_numpy(np.asarray(array.oindex[source.pages, rows, cols]))
        else:
            tile = torch.from_numpy(np.asarray(array[:, rows, cols])[source.pages])
        return (torch.log1p(torch.clamp(tile, 0, UPPER)) - MEAN) / (STD + 1e-8)


def rate(read: Callable[[int], object], rows: list[int]) -> float:
    """Return tiles per second."""
    start = time.perf_counter()
    for row in rows:
        read(row)
    return len(rows) / (time.perf_counter() - start)


def in_turn(reads: dict[str, Callable[[int], object]], rows: list[int], turns: int = 4) -> dict[str, float]:
    """Return tiles per second of each, measured in turn so that a busy machine slows all alike; the median turn."""
    found: dict[str, list[float]] = {name: [] for name in reads}
    for name, read in reads.items():
        rate(read, rows[:2])
        assert name
    for part in np.array_split(rows, turns):
        for name, read in reads.items():
            found[name].append(rate(read, part.tolist()))
    return {name: float(np.median(rates)) for name, rates in found.items()}


@pytest.mark.parametrize(("names", "asked"), [([], 5), (THREE, 8)], ids=["40", "3"])
def test_random_tiles(lake: Path, names: list[str], asked: float) -> None:
    """A random tile, nothing cached: against plain, and against decoding its chunks plus one fused pass."""
    query = make_query(lake)
    if names:
        panel = pd.read_parquet(lake / "synth/imc/channels.parquet")
        query = query.channels(names=panel.channel_name[panel.uniprot_id.notna()].tolist()[5:30:10][:3])
    dataset = query.to_torch()
    plain = Plain(dataset)
    rows = np.random.default_rng(0).permutation(len(dataset))[:24].tolist()
    for row in rows[:3]:
        assert (plain(row) - dataset[row]["image"]).abs().max() < 1e-4
    set_cache_bytes(0)
    channels = dataset[rows[0]]["image"].shape[0]

    def bound(row: int) -> None:
        fused_pass(dataset, row, np.empty((channels, 224, 224), np.float32))

    slow = Plain(dataset, orthogonal=True)
    found = in_turn({"plain": plain, "ours": dataset.__getitem__, "bound": bound}, rows)
    orthogonal = rate(slow, rows[:4])
    print(
        f"\nrandom 224 tile, {dataset[0]['image'].shape[0]} of 43 channels: plain {found['plain']:.1f}/s, ours "
        f"{found['ours']:.1f}/s, decode + pass {found['bound']:.1f}/s; ours / plain = "
        f"{found['ours'] / found['plain']:.1f} (asked {asked}), ours / bound = {found['ours'] / found['bound']:.2f} "
        f"(asked 0.75); against plain with zarr choosing channels ({orthogonal:.1f}/s) = "
        f"{found['ours'] / orthogonal:.1f}"
    )
    work = f"random tile, {'3' if names else '40'} of 43 channels"
    record(work, found["ours"], "tiles/s")
    record(f"{work}, against plain zarr-python and torch", found["ours"] / found["plain"])
    record(f"{work}, against zarr-python choosing channels", found["ours"] / orthogonal)
    record(f"{work}, of decoding the touched chunks and one pass", found["ours"] / found["bound"])


def epoch_rates(loaders: dict[str, TileLoader], epochs: int = 3 if MEASURES else 1) -> dict[str, float]:
    """Return tiles per second of each over whole epochs, measured in turn after one that warms up; the median."""
    found: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(1 + epochs):
        for name, loader in loaders.items():
            clear_cache()
            start, rows = time.perf_counter(), 0
            for batch in loader:
                rows += len(batch["tile_id"])
            found[name].append(rows / (time.perf_counter() - start))
    return {name: float(np.median(rates[1:])) for name, rates in found.items()}


def once(dataset: PlanDataset) -> float:
    """Return the tiles per second of decoding each chunk of the images once, and standardizing each tile once."""
    plan, taken = dataset.plan, 0.0
    for image in range(len(plan.images)):
        source = dataset.materializer.image(image)
        set_cache_bytes(2**31)
        clear_cache()
        start = time.perf_counter()
        height, width = source.reader.shape[1:]
        for _ in blocks(Regions.of(source.reader, source.pages, row=0, col=0, height=height, width=width)):
            pass
        rows = np.flatnonzero(plan.image[:, 0] == image)
        out = np.empty((len(source.pages), 224, 224), np.float32)
        for row in rows.tolist():
            fused_pass(dataset, row, out)
        taken += time.perf_counter() - start
        clear_cache()
    return len(plan) / taken


def fused_pass(dataset: PlanDataset, row: int, out: np.ndarray) -> None:
    """Decode the chunks of a tile and standardize it."""
    plan = dataset.plan
    source = dataset.materializer.image(int(plan.image[row, 0]))
    top, left = int(plan.row[row]), int(plan.col[row])
    for block in blocks(Regions.of(source.reader, source.pages, row=top, col=left, height=224, width=224)):
        standardize_block(block.pixels, out[:, block.row - top :, block.col - left :], source.transform, block.slots)


def test_epoch(lake: Path) -> None:
    """An epoch in locality order, one process, against plain; two workers against one.

    Each process caches 256 MiB, a little more than one tissue, so that no epoch lives from the one before.
    """
    dataset = make_query(lake).to_torch()
    cache = 2**28
    rows = list(range(0, len(dataset), max(len(dataset) // 20, 1)))
    plain, orthogonal = rate(Plain(dataset), rows), rate(Plain(dataset, orthogonal=True), rows[:4])
    own = epoch_rates(
        {
            shuffle: dataset.loader(32, shuffle=shuffle, lanes=1, interleave=2, cache_bytes=cache)
            for shuffle in ("locality", "global")
        }
    )
    counts = {1: "one", 2: "two"}
    workers = {  # batches of 16: an epoch of 9 batches cannot be divided between two workers
        name: dataset.loader(16, num_workers=n, lanes=2, interleave=2, cache_bytes=n * cache)
        for n, name in counts.items()
    }
    shared = {}
    for name, loader in workers.items():  # one after the other: idle workers would keep their memory
        shared |= epoch_rates({name: loader})
    print(
        f"\nepoch of {len(dataset)} tiles: plain {plain:.1f}/s, locality {own['locality']:.1f}/s, global "
        f"{own['global']:.1f}/s; locality / plain = {own['locality'] / plain:.1f} (asked 12), against plain with zarr "
        f"choosing channels ({orthogonal:.1f}/s) = {own['locality'] / orthogonal:.1f}\n"
        f"1 worker {shared['one']:.1f}/s, 2 workers {shared['two']:.1f}/s: ratio {shared['two'] / shared['one']:.2f} "
        f"(asked 1.8)\n{workers['two'].tiles.report(workers=2, cache_bytes=cache)}\n{dataset.explain()}"
    )
    record("epoch in locality order", own["locality"], "tiles/s")
    record("epoch in locality order, against plain zarr-python and torch", own["locality"] / plain)
    record("epoch in locality order, of decoding each chunk once and one pass", own["locality"] / once(dataset))
    record("epoch of two workers", shared["two"], "tiles/s")
    record("epoch of two workers, against one", shared["two"] / shared["one"])


def test_half_precision(lake: Path) -> None:
    """Tiles and batches of two workers in half precision, against float32, in turn; and the bytes of a batch."""
    query = make_query(lake)
    datasets = {dtype: query.to_torch(dtype=dtype) for dtype in ("float32", "float16", "bfloat16")}
    reads = {dtype: dataset.__getitem__ for dtype, dataset in datasets.items()}
    rows = np.random.default_rng(0).permutation(len(datasets["float32"])).tolist()
    set_cache_bytes(0)
    cold = in_turn(reads, rows[:12] * (3 if MEASURES else 1))
    set_cache_bytes(2**31)
    for read in reads.values():
        rate(read, rows)
    warm = in_turn(reads, rows[:12] * (12 if MEASURES else 2))
    options = {"num_workers": 2, "lanes": 2, "interleave": 2, "cache_bytes": 2**29}
    epoch = epoch_rates({dtype: dataset.loader(16, **options) for dtype, dataset in datasets.items()})
    sizes = {dtype: next(iter(dataset.loader(16)))["image"].nbytes for dtype, dataset in datasets.items()}
    for dtype in ("float16", "bfloat16"):
        assert sizes[dtype] * 2 == sizes["float32"]
        record(f"{dtype} tiles, chunks cached, against float32", warm[dtype] / warm["float32"])
        record(f"{dtype} tiles, nothing cached, against float32", cold[dtype] / cold["float32"])
        record(f"{dtype} epoch of two workers, against float32", epoch[dtype] / epoch["float32"])
    print(f"\nbytes of a batch: {sizes}")


def test_next_row(lake: Path, benchmark: Callable[[Callable[[], object]], object]) -> None:
    """One tile whose chunks are cached: what the loader adds to the fused pass."""
    dataset = make_query(lake).to_torch()
    set_cache_bytes(2**30)
    assert open_image(dataset.plan.image_path(0)).chunks == (256, 256)
    benchmark(lambda: dataset[0])


def test_transform(lake: Path) -> None:
    """A transform that changes nothing, with and without a generator, against none: tiles whose chunks are cached."""
    query = make_query(lake)
    set_cache_bytes(2**30)
    reads: dict[str, Callable[[int], object]] = {
        "none": query.to_torch().__getitem__,
        "alone": query.to_torch(transform=lambda sample: sample).__getitem__,
        "drawing": query.to_torch(transform=lambda sample, rng: sample).__getitem__,
    }
    rows = list(range(query.count()))[:16] * (40 if MEASURES else 2)
    found = in_turn(reads, rows, turns=20 if MEASURES else 2)
    alone, drawing = found["alone"] / found["none"], found["drawing"] / found["none"]
    print(
        f"\ncached 224 tile: {found['none']:.0f}/s, with a transform that changes nothing {found['alone']:.0f}/s, with "
        f"a generator {found['drawing']:.0f}/s; ratios {alone:.3f} and {drawing:.3f} (asked 0.98)"
    )
    record("a transform that changes nothing, against none", alone)
    record("the same with a generator, against none", drawing)
