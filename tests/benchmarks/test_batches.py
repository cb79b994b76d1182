"""Batches from decoded chunks, against torch on whole images decoded in memory: crop, convert, normalize, stack."""

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import CLIP, MEAN, SPEC, STD, UPPER, made_lake, places
from spora_db.images import clear_cache, open_image, read_region, set_cache_bytes
from spora_db.loading.collates import collate_padded
from spora_db.loading.dataset import PlanDataset
from spora_db.standardization.methods import RGB_PRESETS

BATCH = 32
WORKS = {"H&E 224": ("he", 224), "43 x 224": ("imc", 224), "3 x 64": ("he", 64), "43 x 32": ("imc", 32)}
"""Modality and size of tiles."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of a few tissues of 43 x 1000 x 1100 float32, and their H&E."""
    return made_lake(tmp_path_factory.mktemp("batches"), 4)


def in_memory(dataset: PlanDataset) -> Callable[[list[int]], torch.Tensor]:
    """Return what makes the batch of some rows of whole images in memory."""
    plan = dataset.plan
    images = [torch.from_numpy(read_region(open_image(plan.image_path(i)))) for i in range(len(plan.images))]
    mean, std = (torch.tensor(part)[:, None, None] for part in RGB_PRESETS["imagenet"])

    def tile(row: int) -> torch.Tensor:
        top, left, size = int(plan.row[row]), int(plan.col[row]), plan.tile_size
        pixels = images[int(plan.image[row, 0])][:, top : top + size, left : left + size].float()
        if len(pixels) == 3:
            return (pixels / 255 - mean) / std
        return (torch.log1p(torch.clamp(pixels, 0, UPPER)) - MEAN) / (STD + 1e-8)

    return lambda rows: torch.stack([tile(row) for row in rows])


def rates(reads: dict[str, Callable[[list[int]], object]], count: int, seconds: float = 0.3) -> dict[str, float]:
    """Return tiles per second of each, in turn; the median of several turns."""
    found: dict[str, list[float]] = {name: [] for name in reads}
    rows = np.random.default_rng(1).permutation(count)
    batches = itertools.cycle(part.tolist() for part in np.array_split(rows, count // BATCH))
    for turn, (name, read) in itertools.product(range(8 if MEASURES else 2), reads.items()):
        start, done = time.perf_counter(), 0
        while done == 0 or (MEASURES and time.perf_counter() - start < seconds):
            batch = next(batches)
            read(batch)
            done += len(batch)
        if turn:
            found[name].append(done / (time.perf_counter() - start))
    return {name: float(np.median(own)) for name, own in found.items()}


def in_two_threads(read: Callable[[list[int]], object]) -> Callable[[list[int]], object]:
    """Return what reads the rows twice, in two threads at once."""

    def both(rows: list[int]) -> None:
        threads = [threading.Thread(target=read, args=[part]) for part in (rows, rows)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return both


@pytest.mark.parametrize("work", WORKS)
def test_batches(lake: Path, work: str) -> None:
    """Batches of tiles whose chunks are decoded; and of one dataset in two threads."""
    modality, size = WORKS[work]
    query, clipped = (
        places(lake, modality, size, "imagenet" if modality == "he" else spec, 16 * BATCH) for spec in (SPEC, CLIP)
    )
    dataset = query.to_torch()
    set_cache_bytes(2**31)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        peer = in_memory(dataset)

        def ours(rows: list[int]) -> torch.Tensor:
            return collate_padded(dataset.__getitems__(rows))["image"]

        assert (peer(list(range(8))) - ours(list(range(8)))).abs().max() < 1e-4
        kinds = {kind: clipped.to_torch(dtype=kind) for kind in ("float32", "float16", "bfloat16")}
        reads = {"torch": peer, "ours": ours, "two": in_two_threads(ours)}
        reads |= {kind: lambda rows, own=own: collate_padded(own.__getitems__(rows)) for kind, own in kinds.items()}
        found = rates(reads, len(dataset))
    finally:
        torch.set_num_threads(threads)
        clear_cache()
    record(f"batches of {work} from decoded chunks", found["ours"], "tiles/s")
    record(
        f"batches of {work} from decoded chunks, against torch in memory",
        found["ours"] / found["torch"],
    )
    record(f"batches of {work}, two threads against one", 2 * found["two"] / found["ours"])
    for kind in ("float16", "bfloat16"):
        record(f"batches of {work}, {kind} against float32", found[kind] / found["float32"])
