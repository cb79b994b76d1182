"""The contract of a loader in the frameworks that people train with, in real processes that talk by gloo."""

import importlib.util
import os
import pickle
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from lakes import write_lake
from trainers import BATCH, EPOCHS, KINDS, SPORA, Case, Found, Job, cases, jobs

TESTS = Path(__file__).parent
ROWS = 89
RUNS = [
    pytest.param(job, case, slow, id=f"{job.name}-{'-'.join(map(str, case))}", marks=[pytest.mark.slow] if slow else [])
    for slow in (False, True)
    for framework in KINDS
    for job in jobs(framework, slow=slow)
    for case in cases(job)
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function that runs all jobs of a framework once, and returns what every rank of every job got."""
    folder, known = tmp_path_factory.mktemp("trainers"), {}
    lake = write_lake(folder / "lake", tissues=5)

    def run(framework, slow):
        if (framework, slow) not in known:
            found = known[framework, slow] = {}
            if framework != "loop" and importlib.util.find_spec(framework) is None:
                pytest.skip(f"{framework} is not installed")
            out = folder / f"{framework}{slow}"
            out.mkdir()
            command = [
                sys.executable,
                str(TESTS / "trainers.py"),
                str(lake),
                str(out),
                framework,
                *(["slow"] if slow else []),
            ]
            here = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env=here)
            errors = [f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(out.glob("*.error"))]
            assert (done.returncode, errors) == (0, []), done.stderr[-2000:]
            for job in jobs(framework, slow=slow):
                ranks = [out / f"{job.name}.{rank}.pickle" for rank in range(job.world_size)]
                told = [pickle.loads(path.read_bytes()) for path in ranks]
                found[job] = [{Case(*case): Found(*got) for case, got in own.items()} for own in told]
        return known[framework, slow]

    return run


def epoch_of(ranks, case, epoch):
    """Return the batches that each rank got of an epoch."""
    return [rank[case].rows.get(epoch, []) for rank in ranks]


def rows(ranks):
    return list(chain(*chain(*ranks)))


def padding(job, case, found):
    """Return how many rows are repeated in an epoch, so that all ranks take equally many steps: as is documented."""
    world_size, kind = job.world_size, case.kind
    if kind not in SPORA and job.framework == "accelerate" and world_size > 1:  # accelerate fills the last batches
        return -(-ROWS // (BATCH * world_size)) * BATCH * world_size - ROWS
    if "panel" in kind:  # whole batches are repeated
        batches = {tuple(batch) for ranks in found for batch in ranks}
        repeated = len(found) * len(found[0]) - len(batches)
        assert repeated < world_size
        return len(rows(found)) - len({row for batch in batches for row in batch})
    return -ROWS % world_size


@pytest.mark.parametrize(("job", "case", "slow"), RUNS)
def test_every_row_once_in_an_order_of_its_own(runs, job, case, slow):
    known = runs(job.framework, slow)
    whole = case.whole
    uninterrupted = known[Job(job.framework, job.world_size)]
    expected = [epoch_of(uninterrupted, whole, epoch) for epoch in range(EPOCHS)]
    if job.resumes is None and case.stop is None:
        for ranks in expected:
            assert {len(batches) for batches in ranks} == {uninterrupted[0][whole].steps}
            counts = Counter(rows(ranks))
            assert len(counts) == ROWS
            assert counts.total() - ROWS == padding(job, case, ranks)
        assert len({tuple(rows(ranks)) for ranks in expected}) == EPOCHS
        return
    stop = uninterrupted[0][whole].steps if case.stop == "last" else case.stop
    if job.resumes is None:
        found = known[job]
        assert epoch_of(found, case, 0) == expected[0]
        assert epoch_of(found, case, 1) == [batches[:stop] for batches in expected[1]]
        return
    found, before = known[job], known[job.resumes]
    assert [sorted(rank[case].rows) for rank in found] == [[2] if case.stop == "last" else [1, 2]] * job.world_size
    assert epoch_of(found, case, 2) == expected[2]
    taken, rest = epoch_of(before, case, 1), epoch_of(found, case, 1)
    if job.resumes.world_size == job.world_size:
        assert rest == [batches[stop:] for batches in expected[1]]
        return
    assert len({len(batches) for batches in rest}) == 1
    left = ROWS - len(set(rows(taken)))
    assert len(set(rows(taken)) | set(rows(rest))) == ROWS
    assert not set(rows(taken)) & set(rows(rest))
    if "panel" not in case.kind and left:
        assert 0 <= len(rows(rest)) - left < job.world_size
