"""Centroids of an instance mask, and what masks and cells add to a sample: ratios to plain numpy, printed."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from cell_lakes import write_cells, write_masks
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.masks.centroids import mask_centroids


def seconds(function: Callable[[], object], *, rounds: int = 3) -> float:
    """Return the shortest of some runs."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def bincounts(mask: np.ndarray) -> tuple[np.ndarray, ...]:
    labels = mask.ravel()
    rows = np.repeat(np.arange(mask.shape[0], dtype=np.float64), mask.shape[1])
    cols = np.tile(np.arange(mask.shape[1], dtype=np.float64), mask.shape[0])
    return np.bincount(labels), np.bincount(labels, weights=rows), np.bincount(labels, weights=cols)


def test_centroids(benchmark: BenchmarkFixture) -> None:
    r, c = np.ogrid[:4096, :4096]
    mask = np.where((r % 12 < 10) & (c % 12 < 10), 1 + (r // 12) * 342 + c // 12, 0).astype(np.int32)
    mask_centroids(mask[:8, :8])
    numpy = seconds(lambda: bincounts(mask))
    ours = seconds(lambda: mask_centroids(mask))
    benchmark(mask_centroids, mask)
    print(
        f"\ncentroids of {mask.size / 1e6:.0f} M pixels: {1e3 * ours:.0f} ms; numpy.bincount {numpy / ours:.1f} times"
    )


def test_beside_the_image(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    lake = write_lake(tmp_path / "lake", names=("alpha",))
    write_cells(lake / "alpha", write_masks(lake), names=("centroid_row", "centroid_col"))
    query = SporaQuery(lake).modality("imc").tiles(size=32)
    plain, masks = query.to_torch(), query.with_masks("tissue", "instances").to_torch()
    cells = query.with_cells("cell_type", "area").to_torch()
    taken = []
    for dataset in (plain, masks, cells):

        def epoch(dataset: object = dataset) -> list[object]:
            return [dataset[i] for i in range(len(dataset))]  # type: ignore[index, arg-type]

        epoch()
        taken.append(seconds(epoch) / len(plain))
    benchmark(epoch)
    print(
        f"\na tile of 32 x 32: {1e6 * taken[0]:.0f} us; two masks add {1e6 * (taken[1] - taken[0]):.0f} us, "
        f"cells {1e6 * (taken[2] - taken[0]):.0f} us"
    )
