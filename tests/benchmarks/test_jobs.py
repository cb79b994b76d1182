"""What a run over a lake costs beside the work itself: units on disk, fsync, merging, worker processes."""

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from job_lakes import mask_folder, write_masks
from spora_db.jobs import tile_lake
from spora_db.tiling.parameters import TilingParameters
from spora_db.tiling.tables import merge_tilings, tile_unit

PARAMETERS = TilingParameters(tile_size=224, stride=112, tolerance=0.85, coverage_goal=1.0)


def tile_tissues(masks, *, parameters):
    return merge_tilings(tile_unit(tissue, path, parameters=parameters) for tissue, path in masks)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = write_masks(tmp_path_factory.mktemp("lake"), tissues=24, size=1200)
    tile_lake(root, mpp=1.0, parameters=PARAMETERS)
    return root


@pytest.mark.parametrize("jobs", [1, 2])
def test_tiling_a_lake_against_bare_tilings(benchmark, lake, jobs):
    masks = [(path.stem, path) for path in sorted(mask_folder(lake).iterdir())]
    tile_tissues(masks, parameters=PARAMETERS)
    begun = time.perf_counter()
    tile_tissues(masks, parameters=PARAMETERS)
    bare = time.perf_counter() - begun

    def run():
        report = tile_lake(lake, mpp=1.0, parameters=PARAMETERS, jobs=jobs, overwrite=True)
        assert report.written

    begun = time.perf_counter()
    benchmark.pedantic(run, rounds=1)
    whole = time.perf_counter() - begun
    print(f"\n24 masks of 1200 x 1200, {jobs} jobs: {whole:.2f} s, bare tilings {bare:.2f} s, ratio {whole / bare:.2f}")


def test_resuming_a_finished_run_against_running_it(benchmark, lake, tmp_path):
    """Results that are there are found by their names: a resumed run reads no mask."""
    from spora_db.jobs import Shard

    root = write_masks(tmp_path, tissues=24, size=1200)
    begun = time.perf_counter()
    tile_lake(root, mpp=1.0, parameters=PARAMETERS, shard=Shard(index=0, count=1))
    first = time.perf_counter() - begun

    def run():
        tile_lake(root, mpp=1.0, parameters=PARAMETERS, shard=Shard(index=0, count=1))

    begun = time.perf_counter()
    benchmark.pedantic(run, rounds=1)
    again = time.perf_counter() - begun
    print(f"\n24 masks: {first:.2f} s, the same once more {again:.2f} s, ratio {again / first:.2f}")
