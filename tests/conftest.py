"""What all tests share: where the agreed data lies, and a clear reason where it does not."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agreed import MISSING, SHARED

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Threads of torch sleep while they wait: on few cores they would take them from the other worker."""

collect_ignore = ["trainer_scripts"]
"""What frameworks start themselves."""

LONG = (
    "trainers", "notebooks", "frameworks", "loader", "cells_fit", "readme", "jobs_killed", "worker_deaths",
    "validation", "jobs_standardize", "datasets_right", "recipes", "half", "import_shapes", "same_everywhere",
    "cli_answers", "explore", "importing_killed", "batches", "hazards", "jobs_tile", "shell", "dialects",
    "transforming",
)  # fmt: skip
"""Files that take longest, by how their names begin."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave benchmarks and most cases of ``some`` to the slow tests; run long files first, that none ends alone."""
    seen: Counter[str] = Counter()
    for item in items:
        if item.path.parent.name == "benchmarks":
            item.add_marker("slow")
        if mark := item.get_closest_marker("some"):
            (every,), name = mark.args, item.nodeid.partition("[")[0]
            if seen[name] % every:
                item.add_marker("slow")
            seen[name] += 1
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: next((ranks[name] for name in ranks if item.path.stem.startswith(name)), len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def prompt_workers() -> None:
    """Let loaders of torch wait for half a second, not for 5, before they end workers that do not end by themselves.

    After an error, garbage collection closes the queue that would tell them to, before the loader does.
    """
    from torch.utils.data import _utils

    _utils.MP_STATUS_CHECK_INTERVAL = 0.5


@pytest.fixture(scope="module", autouse=True)
def own_standardizers() -> Iterator[None]:
    """Let what a file registers end with it: the next file of the process would find other near names."""
    from spora_db.standardization.methods import _registered

    before = dict(_registered)
    yield
    _registered.clear()
    _registered.update(before)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no chunk be kept, and nothing be known of what is asked for again, as when a process begins."""
    from spora_db.images import clear_cache, ometiff, set_cache_bytes
    from spora_db.images.cache import DEFAULT_BYTES
    from spora_db.images.reuse import Reuse

    monkeypatch.setattr(ometiff, "REUSE", defaultdict(Reuse))
    clear_cache()
    yield
    clear_cache()
    set_cache_bytes(DEFAULT_BYTES)


@pytest.fixture
def reuse(empty_cache: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what decides whether parts of segments are decoded: as if nothing had been asked for again."""
    from spora_db.images import ometiff
    from spora_db.images.reuse import Reuse

    fresh = Reuse()
    fresh.share = 0.0
    monkeypatch.setattr(ometiff, "REUSE", defaultdict(lambda: fresh))
    return fresh


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of agreed data and golden figures beside the project."""
    if not SHARED.is_dir():
        pytest.skip(MISSING)
    return SHARED


def made_or_shared(name: str) -> list[str]:
    """Return which there is of a made twin and a folder of the shared data: parameters of a fixture."""
    return ["made", *(["shared"] if (SHARED / "data" / name).is_dir() else [])]


@pytest.fixture(scope="session", params=made_or_shared("cords2024cancer"))
def released_cohort(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cohort as it was released, and its made twin: one tissue of 43 channels. Do not change it."""
    if request.param == "shared":
        return SHARED / "data/cords2024cancer"
    from released_lakes import write_released_cohort

    return write_released_cohort(tmp_path_factory.mktemp("released") / "cords2024cancer")


@pytest.fixture(scope="session", params=made_or_shared("real_lake"))
def tiff_lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three cohorts of real pixels in OME-TIFF, and their made twins. Do not change them."""
    if request.param == "shared":
        return SHARED / "data/real_lake"
    from released_lakes import write_tiff_lake

    return write_tiff_lake(tmp_path_factory.mktemp("tiff") / "lake")


REFERENCE_SPECS = (
    ("quantile_clipping/uq_0.99_image", "global"),
    ("quantile_clipping_log1p/uq_0.99_image", "global"),
    ("quantile_clipping/uq_0.99_global", "global"),
    ("quantile_clipping/uq_0.95_lq_0.05_image", "image"),
)


@pytest.fixture(scope="session")
def untiled_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the lake of the golden figures without tilings and statistics. Do not change it."""
    from reference_lake import write_reference_lake

    return write_reference_lake(tmp_path_factory.mktemp("untiled") / "lake")


@pytest.fixture(scope="session")
def reference_lake(untiled_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the lake of the golden figures, tiled and with statistics, all by spora-db itself. Do not change it."""
    from reference_lake import MODALITY
    from spora_db.jobs import standardize_lake, tile_lake
    from spora_db.standardization.specs import parse_spec
    from spora_db.tiling import TilingParameters

    root = tmp_path_factory.mktemp("reference") / "lake"
    shutil.copytree(untiled_lake, root)
    common = {"tile_size": 64, "tolerance": 0.85, "coverage_goal": 1.0, "min_gain_ratio": 0.05}
    for parameters in (
        TilingParameters(**common, stride=32),
        TilingParameters(**common, stride=64, strategy="grid_64"),
    ):
        assert tile_lake(root, mpp=1.0, parameters=parameters).written
    for spec, level in REFERENCE_SPECS:
        for modality in MODALITY.values():
            report = standardize_lake(root, modality=modality, mpp=1.0, spec=parse_spec(spec), stats_level=level)
            assert report.written
    return root


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which ``spora-db demo demo`` was run, as a newcomer would; do not write into its lake."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "newcomer"
    command = [sys.executable, "-c", "from spora_db.cli import main; main()", "demo", "demo"]
    with folder.with_suffix(".lock").open("w") as lock:  # once for all workers
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a real browser."""
    from browsing import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def client(lake_of_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return who asks the page's server of the lake of examples, of which nothing is kept yet."""
    from exploring import serving_anew

    with serving_anew(lake_of_examples, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what turns all listings of folders round; that some are asked for is asserted in the end."""
    asked, names, entries = list[object](), os.listdir, os.scandir

    def reversed_names(folder: str | Path) -> list[str]:
        asked.append(folder)
        return sorted(names(folder), reverse=True)

    @contextmanager
    def reversed_entries(folder: str | Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        asked.append(folder)
        with entries(folder) as found:
            yield iter(sorted(found, key=lambda entry: entry.name, reverse=True))

    def turn() -> None:
        monkeypatch.setattr(os, "listdir", reversed_names)
        monkeypatch.setattr(os, "scandir", reversed_entries)

    yield turn
    assert asked
