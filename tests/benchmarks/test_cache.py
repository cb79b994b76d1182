"""Epochs of two workers whose chunks are shared, against workers that keep their own; in turn, in one run."""

import gc
import os
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import SPEC, made_lake
from spora_db import SporaQuery
from spora_db.images.cache import CHUNKS
from spora_db.images.shared_chunks import HEAD
from spora_db.loading.loader import TileLoader

WORKERS = 2
EPOCHS, ROUNDS = (4, 5) if MEASURES else (2, 1)
MOST_EPOCHS = 60


def run(dataset: Any, *, seed: int, **options: Any) -> tuple[list[float], TileLoader]:
    """Return tiles per second of each epoch, and the loader, whose workers still run."""
    loader, rates = dataset.loader(16, num_workers=WORKERS, seed=seed, **options), []
    for _ in range(EPOCHS):
        start, rows = time.perf_counter(), 0
        for batch in loader:
            rows += len(batch["tile_id"])
        rates.append(rows / (time.perf_counter() - start))
    return rates, loader


def telling(sample: dict[str, Any]) -> dict[str, Any]:
    """Add the bytes of chunks that this worker keeps for itself by now."""
    return {**sample, "held": CHUNKS.held}


def held_by_workers(dataset: Any, *, kept: int, cache_bytes: int) -> int:
    """Return the bytes of chunks that the workers keep, each for itself, once each has had all of the lake.

    They say so themselves, tile by tile, in epochs of random order until both have come by every chunk: memory of
    processes tells it badly, as batches on their way and buffers that decoding has left take as much.
    """
    loader = dataset.loader(1, num_workers=WORKERS, seed=0, cache="process", cache_bytes=cache_bytes)
    held = dict.fromkeys(range(WORKERS), 0)
    for _ in range(MOST_EPOCHS):
        for number, batch in enumerate(loader):
            held[number % WORKERS] = int(batch["held"][0])
        if min(held.values()) >= kept:
            return sum(held.values())
    raise AssertionError(f"After {MOST_EPOCHS} epochs workers hold {held} of {kept} bytes.")


@pytest.mark.slow
def test_shared_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An epoch that finds all chunks shared: against the first, against caches that hold half of them, and all.

    Memory of chunks is what each kind of cache counts against its limit, in bytes: the files of the shared one, with
    what stands before their pixels, against the arrays of both workers, which hold every chunk twice.
    """
    lake = made_lake(tmp_path_factory.mktemp("cache"), 6)
    asked = SporaQuery(lake).modality("imc").tiles(size=224).channels(kind="uniprot_filtered").standardize(SPEC)
    dataset = asked.to_torch()
    cost = dataset.explain(seconds=0)
    assert cost.chunks
    assert cost.kept == cost.chunks // 2
    kinds = {
        "none": {"cache": "process", "cache_bytes": 0},
        "a quarter of the lake each": {"cache": "process", "cache_bytes": WORKERS * cost.chunks // 4},
        "the lake each": {"cache": "process", "cache_bytes": 2 * WORKERS * cost.chunks},
        "half of it shared": {"cache": "shared", "cache_bytes": cost.kept // 2},
        "shared": {"cache": "shared", "cache_bytes": 2 * cost.kept},
    }
    first, later = defaultdict(list), defaultdict(list)
    for seed in range(ROUNDS):
        for name, options in kinds.items():
            rates, loader = run(dataset, seed=seed, **options)
            first[name].append(rates[0])
            later[name].append(float(np.median(rates[1:])))
            if name == "shared":
                folder = loader.cache.folder
                files = [file.stat() for file in folder.path.iterdir() if len(file.name) == 32]
                held, allocated = folder.held, 512 * sum(file.st_blocks for file in files)
                assert held == cost.kept + HEAD.size * len(files)  # one copy of all
                assert allocated <= held + len(files) * os.sysconf("SC_PAGESIZE")
            del loader
            gc.collect()
    found = {name: float(np.median(rates)) for name, rates in later.items()}
    for name, rate in found.items():
        print(f"\n{name}: first epoch {np.median(first[name]):.0f} tiles/s, later {rate:.0f}", end="")
    own = held_by_workers(asked.to_torch(transform=telling), kept=cost.kept, cache_bytes=2 * WORKERS * cost.chunks)
    print(
        f"\nchunks: {own / 2**20:,.1f} MiB in {WORKERS} workers; shared {held / 2**20:,.1f}, in whole pages "
        f"{allocated / 2**20:,.1f}",
        end="",
    )
    work = "later epoch of two workers, shared cache"
    record(work, found["shared"], "tiles/s")
    record(f"{work}, against the first", found["shared"] / np.median(first["shared"]))
    record(f"{work}, against caches of a quarter of the lake", found["shared"] / found["a quarter of the lake each"])
    record(f"{work}, against caches of all of it", found["shared"] / found["the lake each"])
    record("memory of chunks, shared against caches of all", held / own)
    record("first epoch, shared against own caches", np.median(first["shared"]) / np.median(first["the lake each"]))
    quarter = found["half of it shared"] / found["a quarter of the lake each"]
    record("half of the lake shared, against a quarter each", quarter)
