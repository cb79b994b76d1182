"""Runs that are killed, that run at the same time, whose workers die, or that run on a Ray cluster: the same bytes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from job_lakes import contents, hidden, write_images, write_masks
from processes import runs
from spora_db.errors import MissingExtraError
from spora_db.jobs import engines, standardize_lake, tile_lake
from spora_db.jobs.engines import run_units
from spora_db.jobs.units import UnitResult
from spora_db.standardization.specs import parse_spec
from spora_db.tiling.parameters import TilingParameters

KILLER = Path(__file__).with_name("killing.py")


def kill(what, root, *, times, seed=0):
    command = [sys.executable, KILLER, what, root, str(times), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["expected"] >= 2
    assert seen["killed"] > 0
    return seen


@pytest.mark.parametrize("times", [15, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_tilings_resume_to_the_same_bytes(tmp_path, times):
    seen = kill("tile", write_masks(tmp_path, tissues=12, size=120), times=times)
    assert (seen["partial"], seen["different"]) == ([], [])
    assert seen["resumed"] > 0


@pytest.mark.slow
def test_killed_statistics_resume_to_the_same_bytes(tmp_path):
    seen = kill("standardize", write_images(tmp_path, tissues=4, size=60), times=5)
    assert (seen["partial"], seen["different"]) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_statistics_resume_to_the_same_bytes_thirty_times(tmp_path, seed):
    seen = kill("standardize", write_images(tmp_path, tissues=6, size=90), times=30, seed=seed)
    assert (seen["partial"], seen["different"]) == ([], [])


TILING = """
    import sys
    from spora_db.jobs import engines, tile_lake
    from spora_db.tiling.parameters import TilingParameters

    engines.SECONDS_HERE = 0.0
    if __name__ == "__main__":
        parameters = TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0)
        sys.stdout.write("ready\\n")
        sys.stdout.flush()
        sys.stdin.readline()
        lake, jobs, overwrite = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
        report = tile_lake(lake, mpp=1.0, parameters=parameters, jobs=jobs, overwrite=overwrite)
        sys.stdout.write(report.datasets[0].state)
"""


def start(script: Path, root: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start a tiling that waits, everything imported, for a line on its standard input."""
    script.write_text(textwrap.dedent(TILING))
    command = [sys.executable, script, root, *map(str, arguments)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


def undisturbed(root: Path) -> dict[str, str]:
    tile_lake(root, mpp=1.0, parameters=TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0))
    return contents(root)


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [(), pytest.param(("overwrite",), marks=pytest.mark.slow)])
def test_two_runs_at_once_make_one_whole_result(tmp_path, overwrite):
    expected = undisturbed(write_masks(tmp_path / "alone", tissues=12, size=120))
    root = write_masks(tmp_path / "both", tissues=12, size=120)
    if overwrite:
        undisturbed(root)
    children = [start(tmp_path / "run.py", root, 1, *overwrite) for _ in range(2)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    states = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert set(states) <= {"written", "kept"}
    assert "written" in states
    assert contents(root) == expected
    assert hidden(root) == []


def test_workers_end_with_a_killed_parent(tmp_path):
    root = write_masks(tmp_path, tissues=40, size=400)
    child = start(tmp_path / "run.py", root, 2)
    child.stdin.write("go\n")
    child.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(root.glob("cohort/tiling/*/*/.*/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    pids = [int(pid) for pid in workers.read_text().split()] if workers.is_file() else []
    child.kill()
    child.communicate(timeout=60)
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(runs, pids))
    found = undisturbed(root)
    assert found == undisturbed(write_masks(tmp_path / "alone", tissues=40, size=400))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadly:
    """A unit whose worker is killed, as by a system that is out of memory."""

    tissue_id: str
    result: Path
    memory: int = 0
    kills: bool = False
    fails: bool = False

    def compute(self):
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails:
            raise ZeroDivisionError("by zero")
        return UnitResult(arrays={"zero": np.zeros(1)}, record={"pixels": 1})


@pytest.mark.slow
def test_a_killed_worker_fails_its_own_tissue_only(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "SECONDS_HERE", 0.0)
    units = [Deadly(tissue_id=f"t{i}", result=tmp_path / f"{i}.npz", kills=i == 2, fails=i == 3) for i in range(5)]
    outcomes = {outcome.tissue_id: outcome for outcome in run_units(units, engine="local", jobs=2, budget=2**30)}
    assert sorted(outcomes) == ["t0", "t1", "t2", "t3", "t4"]
    failures = {tissue: outcome.failure for tissue, outcome in outcomes.items() if outcome.failure}
    assert sorted(failures) == ["t2", "t3"]
    assert "want of memory" in failures["t2"]
    assert failures["t3"] == "ZeroDivisionError: by zero"
    assert all(unit.result.is_file() for unit in units if unit.tissue_id not in failures)


def test_units_at_work_fit_into_memory_together(monkeypatch):
    """Of units of 4, 3, 2 and 2 GB, on four workers with 7 GB, at most 7 GB are at work; one of 9 GB runs alone."""
    monkeypatch.setattr(engines, "WORKER_BYTES", 0)
    sizes = {f"t{i}": size for i, size in enumerate([9, 4, 3, 2, 2])}
    at_work: list[tuple[str, Future]] = []
    peaks = []

    class Slow:
        def submit(self, _, unit):
            at_work.append((unit.tissue_id, Future()))
            return at_work[-1][1]

    def finish_one(_, **__):
        peaks.append(sorted(name for name, _ in at_work))
        name, future = at_work.pop(0)
        future.set_result(name)
        return {future}, set()

    monkeypatch.setattr(engines, "wait", finish_one)
    waiting = deque(Deadly(tissue_id=name, result=Path(), memory=size) for name, size in sizes.items())
    done = list(engines._run_waiting(waiting, Slow(), jobs=4, budget=7, lost=[]))
    assert done == sorted(sizes)
    assert peaks == [["t0"], ["t1", "t2"], ["t2", "t3", "t4"], ["t3", "t4"], ["t4"]]


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    root = write_masks(tmp_path / "lake", tissues=3, size=60)
    script = tmp_path / "run.py"
    script.write_text(
        "from spora_db.jobs import engines, tile_lake\nengines.SECONDS_HERE = 0.0\n"
        "from spora_db.tiling.parameters import TilingParameters\n"
        f"tile_lake({str(root)!r}, mpp=1.0, parameters=TilingParameters(tile_size=32), jobs=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Worker processes cannot start" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "spora-db[ray]"')
def test_ray_with_two_workers_makes_the_same_bytes(tmp_path):
    """One Ray for three runs, because it takes seconds to start: a tiling, statistics, a tiling with a broken mask."""
    alone, root = (write_images(tmp_path / name) for name in ("alone", "ray"))
    expected = undisturbed(alone)
    standardize_lake(alone, modality="imc", mpp=1.0, spec=parse_spec("quantile_clipping/uq_0.99_global"))
    script = """
        import sys
        from pathlib import Path
        import ray
        from spora_db.jobs import standardize_lake, tile_lake
        from spora_db.standardization.specs import parse_spec
        from spora_db.tiling.parameters import TilingParameters

        root, how = Path(sys.argv[1]), {"engine": "ray", "jobs": 2, "mpp": 1.0}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        parameters = TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0)
        assert tile_lake(root, parameters=parameters, **how).written
        spec = parse_spec("quantile_clipping/uq_0.99_global")
        assert standardize_lake(root, modality="imc", spec=spec, **how).written
        mask = root / "cohort/segmentations/1_0mpp/tissue_masks/cohort_0001.npz"
        mask.write_bytes(b"")
        report = tile_lake(root, parameters=TilingParameters(tile_size=16), overwrite=True, **how)
        assert list(report.failures) == [("cohort", "cohort_0001")], report
        assert "could not be read as .npz" in report.failures["cohort", "cohort_0001"]
    """
    command = [sys.executable, "-c", textwrap.dedent(script), root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = {path: digest for path, digest in contents(root).items() if ".work/" not in path}
    assert found == contents(alone)
    assert expected.items() <= found.items()


def test_a_missing_ray_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "spora-db\[ray\]"'):
        tile_lake(write_masks(tmp_path), mpp=1.0, parameters=TilingParameters(tile_size=32), engine="ray")
