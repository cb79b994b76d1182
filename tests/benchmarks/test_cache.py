"""Epochs of two workers whose chunks are shared, against workers that keep their own; in turn, in one run."""

import gc
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import SPEC, made_lake
from spora_db import SporaQuery
from spora_db.loading.loader import TileLoader

WORKERS = 2
EPOCHS, ROUNDS = (4, 5) if MEASURES else (2, 1)


def proportional(loader: TileLoader) -> float:
    """Return MiB of memory that the workers take, what they share divided among those who do."""
    workers: Any = loader._iterator
    lines = (
        line.split()
        for worker in workers._workers
        for line in Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
    )
    return sum(int(line[1]) for line in lines if line[0] == "Pss:") / 2**10


def run(dataset: Any, *, seed: int, **options: Any) -> tuple[list[float], float, float]:
    """Return tiles per second of each epoch, the memory of the workers at the end, and MiB that they share."""
    loader, rates = dataset.loader(16, num_workers=WORKERS, seed=seed, **options), []
    for _ in range(EPOCHS):
        start, rows = time.perf_counter(), 0
        for batch in loader:
            rows += len(batch["tile_id"])
        rates.append(rows / (time.perf_counter() - start))
    folder = loader.cache.folder
    return rates, proportional(loader), 0.0 if folder is None else folder.held / 2**20


@pytest.mark.slow
def test_shared_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An epoch that finds all chunks shared: against the first, against caches that hold half of them, and all."""
    lake = made_lake(tmp_path_factory.mktemp("cache"), 6)
    dataset = SporaQuery(lake).modality("imc").tiles(size=224).channels(kind="uniprot_filtered").standardize(SPEC)
    dataset = dataset.to_torch()
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
    first, later, memory, held = (defaultdict(list) for _ in range(4))
    for seed in range(ROUNDS):
        for name, options in kinds.items():
            rates, took, shared = run(dataset, seed=seed, **options)
            gc.collect()
            first[name].append(rates[0])
            later[name].append(float(np.median(rates[1:])))
            memory[name].append(took)
            held[name].append(shared)
    found = {name: float(np.median(rates)) for name, rates in later.items()}
    for name, rate in found.items():
        print(
            f"\n{name}: first epoch {np.median(first[name]):.0f} tiles/s, later {rate:.0f}; workers take "
            f"{np.median(memory[name]):,.0f} MiB, of which one copy of chunks {np.median(held[name]):,.0f}",
            end="",
        )
    assert max(held["shared"]) == pytest.approx(cost.kept / 2**20, rel=0.05)  # one copy
    own = float(np.median(np.subtract(memory["the lake each"], memory["none"])))
    work = "later epoch of two workers, shared cache"
    record(work, found["shared"], "tiles/s")
    record(f"{work}, against the first", found["shared"] / np.median(first["shared"]))
    record(f"{work}, against caches of a quarter of the lake", found["shared"] / found["a quarter of the lake each"])
    record(f"{work}, against caches of all of it", found["shared"] / found["the lake each"])
    record("memory of chunks, shared against caches of all", max(held["shared"]) / max(own, 1.0))
    record("first epoch, shared against own caches", np.median(first["shared"]) / np.median(first["the lake each"]))
    quarter = found["half of it shared"] / found["a quarter of the lake each"]
    record("half of the lake shared, against a quarter each", quarter)
