"""The profile of a loader: what is made slow is found, and the loader goes on as if nothing had been."""

import gc
import hashlib
import itertools
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError
from spora_db.files import cache_folders
from spora_db.images import cache_info, clear_cache
from spora_db.loading import profiling

SPEC = "quantile_clipping/uq_0.99_image"
WORK = b"0" * 8_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("profiled") / "lake")


def dataset(lake: Path, **options: Any) -> Any:
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).channels(kind="complete").standardize(SPEC)
    return query.to_torch(**options)


def slow(sample: Any) -> Any:
    hashlib.sha256(WORK).hexdigest()
    return sample


def test_shares_are_of_one_whole(lake: Path) -> None:
    clear_cache()
    found = dataset(lake).loader(8).profile(0.2)
    assert set(found.stages) == set(profiling.NAMES)
    assert sum(found.stages.values()) == pytest.approx(1)
    assert found.rows >= 8
    assert 0 <= found.waiting <= 1
    assert 0 <= found.hits <= 1
    assert found.together is found.handing_over is None
    assert str(found).startswith(f"{found.rows:,} rows in ")
    assert f"What would help most: {found.advice}" in str(found)


def test_a_slow_transform_is_found(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "usable_cpus", lambda: 1)
    found = dataset(lake, transform=slow).loader(8).profile(0.3)
    assert max(found.stages, key=found.stages.__getitem__) == "transforming"
    assert "a quicker transform" in found.advice


def test_without_workers_they_are_what_helps(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "usable_cpus", lambda: 4)
    assert dataset(lake).loader(8).profile(0.1).advice.startswith("num_workers=2")


@pytest.mark.parametrize(
    ("stages", "hits", "shuffle", "advice"),
    [
        ({"decoding": 0.9}, 0.1, "global", 'shuffle="locality"'),
        ({"decoding": 0.9}, 0.1, "locality", 'cache="shared"'),
        ({"decoding": 0.9}, 1.0, "locality", "nothing here"),
        ({"standardizing": 0.9}, 1.0, "locality", 'standardize_on="device"'),
        ({"fetching": 0.9}, 1.0, "locality", "files on a local disk"),
    ],
)
def test_the_stage_that_stands_out_decides(
    lake: Path, monkeypatch: pytest.MonkeyPatch, stages: dict[str, float], hits: float, shuffle: Any, advice: str
) -> None:
    monkeypatch.setattr(profiling, "usable_cpus", lambda: 1)
    found = {
        "stages": dict.fromkeys(profiling.NAMES, 0.02) | stages,
        "waiting": 0.9 if "fetching" in stages else 0.0,
        "hits": hits,
        "handing_over": 0.0,
    }
    assert advice in profiling._advice(dataset(lake).loader(8, num_workers=1, shuffle=shuffle), found)


def test_chunks_that_were_decoded_are_counted(lake: Path) -> None:
    loader = dataset(lake).loader(72, cache_bytes=2**28)
    clear_cache()
    assert loader.profile(0.2).hits == 1.0  # the first batch, which is not measured, has decoded all
    loader = dataset(lake).loader(72, cache_bytes=0)
    found = loader.profile(0.2)
    assert found.hits == 0.0
    assert found.decoded > 0


@pytest.mark.some(2)
@pytest.mark.parametrize(("workers", "collate"), [(0, "padded"), (1, "padded"), (0, "panel")])
def test_the_epoch_stands_where_it_stood(lake: Path, workers: int, collate: Any) -> None:
    def batches(profiled: bool) -> list[Any]:
        loader = dataset(lake).loader(8, num_workers=workers, collate=collate, seed=3)
        found = [batch["tile_id"].tolist() for batch in loader]
        if profiled:
            told = loader.profile(0.2)
            assert (told.together is None) == (workers == 0)
        return [*found, *(batch["tile_id"].tolist() for batch in loader)]

    assert batches(True) == batches(False)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_cache_of_the_process_is_what_it_was_and_a_shared_one_ends_with_its_loader(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(cache_folders, "SHARED_MEMORY", tmp_path)
    before = cache_info().bytes_limit
    loader = dataset(lake).loader(8, num_workers=workers, cache="shared", cache_bytes=2**20)
    loader.profile(0.1)
    assert cache_info().bytes_limit == before
    assert list(tmp_path.iterdir())
    del loader
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("collate", ["padded", "panel"])
def test_an_epoch_without_a_batch_is_told(lake: Path, workers: int, collate: Any) -> None:
    loader = dataset(lake).loader(73, num_workers=workers, collate=collate, drop_last=True)
    with pytest.raises(ArgumentError, match=r"no batch to measure.* 72 rows, .* fewer than batch_size=73"):
        loader.profile(0.1)


def test_rows_of_workers_are_counted_where_batches_are_smaller_than_asked_for(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(perf_counter=partial(next, itertools.count()), process_time=lambda: 0.0)
    monkeypatch.setattr(profiling, "time", clock)
    monkeypatch.setattr(profiling, "usable_cpus", lambda: 1)
    found = dataset(lake).loader(500, num_workers=1).profile(10)
    assert found.together is not None
    assert found.together == pytest.approx(6 * 72 / 7)  # batches and seconds by this clock


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 10**6])
def test_seconds_are_a_number_above_zero(lake: Path, seconds: float) -> None:
    with pytest.raises(ArgumentError, match="expected a number of seconds above 0"):
        dataset(lake).loader(8).profile(seconds)
