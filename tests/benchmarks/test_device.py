"""Batches on the device that trains: what crosses the bus, and tiles per second, standardized here or there.

Figures need a GPU: without one the ways are only compared with each other, on the processor.
"""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import CLIP, made_lake, places
from spora_db.loading.batch import Batch
from spora_db.loading.collates import collate_padded
from spora_db.loading.device import standardize_batch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FIGURES = MEASURES and DEVICE == "cuda"
BATCH, COUNT, TURNS = 32, 2048 if FIGURES else 40, 7
WORKERS = min(8, (os.cpu_count() or 1) // 2)
WORKS = {
    "H&E 224, uint8": ("he", "float32"), "43 x 224, float32": ("imc", "float32"), "43 x 224, uint16": ("imc", "uint16"),
}  # fmt: skip
"""Modality, and the type of the IMC files of the lake."""
WAYS = {
    "float32": {"dtype": "float32"}, "float16": {"dtype": "float16"}, "bfloat16": {"dtype": "bfloat16"},
    "raw": {"standardize_on": "device"},
}  # fmt: skip


def delivered(batch: Batch) -> torch.Tensor:
    """Return a batch's image on the device, standardized: there where the batch is raw."""
    there = standardize_batch(batch, DEVICE) if "statistics" in batch else batch.to(DEVICE, non_blocking=True)
    image: torch.Tensor = there["image"]
    return image


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes until the device is done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Return the seconds of each way, in turn after one turn that warms up; the median."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn, (name, work) in itertools.product(range(1 + turns), ways.items()):
        taken = seconds(work)
        if turn or not turns:
            found[name].append(taken)
    return {name: float(np.median(own)) for name, own in found.items()}


@pytest.mark.parametrize("work", WORKS)
def test_batches_on_the_device(tmp_path: Path, work: str) -> None:
    """One batch in pinned memory again and again, and epochs of workers whose chunks are decoded, in each way."""
    modality, counted = WORKS[work]
    lake = made_lake(tmp_path, 4, counted)
    query = places(lake, modality, 224, "imagenet" if modality == "he" else CLIP, COUNT)
    datasets = {way: query.to_torch(**options) for way, options in WAYS.items()}
    batches = {way: collate_padded(dataset.__getitems__(list(range(BATCH)))) for way, dataset in datasets.items()}
    exact = delivered(batches["float32"])
    for way, bound in (("raw", 1e-5), ("float16", 2**-11), ("bfloat16", 2**-8)):
        error = (delivered(batches[way]).float() - exact).abs()
        assert (error <= bound * exact.abs().clamp(min=1)).all(), way

    crossing = {way: batch["image"].nbytes // BATCH for way, batch in batches.items()}
    assert crossing["float16"] == crossing["bfloat16"] == crossing["float32"] // 2
    assert crossing["raw"] == crossing["float32"] * {"uint8": 1, "uint16": 2, "float32": 4}[work.split()[-1]] // 4
    if not FIGURES:
        return
    pinned = {way: batch.pin_memory() for way, batch in batches.items()}
    moved = in_turn({way: lambda own=own: delivered(own) for way, own in pinned.items()}, 5 * TURNS)
    loaders = {
        way: dataset.loader(BATCH, num_workers=WORKERS, cache="shared", cache_bytes=4 * 2**30)
        for way, dataset in datasets.items()
    }

    def epoch(way: str) -> None:
        for batch in loaders[way]:
            delivered(batch)

    epochs = in_turn({way: lambda way=way: epoch(way) for way in loaders}, TURNS // 2)
    for way in WAYS:
        record(f"{work}, {way}: bytes of a tile over the bus", crossing[way], "bytes")
        record(f"{work}, {way}: tiles from pinned memory to the device", BATCH / moved[way], "tiles/s")
        record(f"{work}, {way}: tiles of {WORKERS} workers to the device", COUNT / epochs[way], "tiles/s")
        if way != "float32":
            record(f"{work}, {way}: from pinned memory to the device, against float32", moved["float32"] / moved[way])
            record(f"{work}, {way}: of workers to the device, against float32", epochs["float32"] / epochs[way])
