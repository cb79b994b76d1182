"""The share of tiles in regions: the time of a tile, and the ratio to shapely's intersections, printed."""

import time

import numpy as np
import shapely
from pytest_benchmark.fixture import BenchmarkFixture

from region_lakes import blob
from spora_db.regions.polygons import edges_of


def test_shares_of_tiles(benchmark: BenchmarkFixture) -> None:
    shapes = np.array(
        [blob(seed, at=(seed * 900 % 5000, seed * 1700 % 5000), radius=900, corners=300) for seed in range(7)]
    )
    covered, edges = shapely.union_all(shapes), edges_of(shapes)
    corners = np.stack(np.meshgrid(*2 * [np.arange(0, 5000, 50.0)]), axis=-1).reshape(-1, 2)
    boxes = np.hstack([corners, corners + 224])

    def by_shapely() -> np.ndarray:
        rectangles = shapely.box(boxes[:, 1], boxes[:, 0], boxes[:, 3], boxes[:, 2])
        return shapely.area(shapely.intersection(rectangles, covered))

    np.testing.assert_allclose(edges.areas(boxes), by_shapely(), rtol=0, atol=1e-6)
    taken = []
    for _ in range(3):
        times = []
        for function in (lambda: edges.areas(boxes), by_shapely):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
        taken.append(times)
    ours, theirs = np.median(taken, axis=0)
    benchmark(edges.areas, boxes)
    print(
        f"\nshares of {len(boxes):,} tiles: {1e6 * ours / len(boxes):.2f} us a tile; shapely {theirs / ours:.1f} times"
    )
