"""How long it takes to the first batch: of a new process, and of the workers of a second loader."""

import json
import os
import statistics
import subprocess
import sys

import pytest

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import SPEC, write_lake

ROUNDS = 5 if MEASURES else 1
COLD = """
import json, sys, time
start = time.process_time()
import torch.utils.data
torch_loaded = time.process_time()
from spora_db import SporaQuery
query = SporaQuery(sys.argv[1]).modality("imc").tiles(size=224, mpp=1.0).standardize(sys.argv[2])
next(iter(query.to_torch().loader(4)))
print(json.dumps([torch_loaded - start, time.process_time() - torch_loaded]))
"""
WORKERS = """
import json, sys, time
import torch.utils.data
from spora_db import SporaQuery

class Nothing(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, row):
        return row

if __name__ == "__main__":
    query = SporaQuery(sys.argv[1]).modality("imc").tiles(size=224, mpp=1.0).standardize(sys.argv[2])
    dataset, taken = query.to_torch(), []
    plain = torch.utils.data.DataLoader(Nothing(), 4, num_workers=2, multiprocessing_context="spawn")
    methods = ("forkserver", "forkserver", "spawn", "fork")
    for loader in (*(dataset.loader(4, num_workers=2, start_method=method) for method in methods), plain):
        start = time.perf_counter()
        batches = iter(loader)
        next(batches)
        taken.append(time.perf_counter() - start)
        del batches
    print(json.dumps(taken))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("start") / "lake", tissues=2, shape=(500, 560))


def medians(script, lake, tmp_path):
    """Return the medians of what a script prints, each time in a new process, after one that fills the caches.

    These are numba's and Python's: without that of Python, 250 modules are compiled anew, 0.2 s.
    """
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), str(lake), SPEC]
    keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=keeping).stdout)
        for _ in range(1 + ROUNDS)
    ]
    return [statistics.median(values) for values in zip(*found[1:], strict=True)]


@pytest.mark.slow
def test_cold_start(lake, tmp_path):
    """Of 0.90 s beyond `import torch` (1.1 s), 0.40 s are libraries' alone, once measured on a quiet machine.

    They are pyarrow 0.05 s, DuckDB and a connection 0.06 s, sqlglot 0.07 s, numba 0.12 s and its first cached kernel of
    any kind 0.11 s, for which it looks through all that it can compile. The rest is 0.13 s of our modules, 0.26 s of
    the plan, and the batch.
    """
    torch_alone, beyond = medians(COLD, lake, tmp_path)
    print(f"\nimport of torch: {torch_alone:.2f} s of CPU (asked: at most 1.2 s beyond it)")
    record("cold start to the first batch, CPU beyond import torch", beyond, "s")
    record("cold start to the first batch beyond import torch, against it", beyond / torch_alone)


@pytest.mark.slow
def test_first_batch_of_workers(lake, tmp_path):
    """A spawned worker imports torch before it knows its dataset, as torch's loop of a worker is what it is sent.

    So two of them cannot be quicker than those of torch's own loader over a dataset that reads nothing: 1.7 s, where
    ours take 2.0 s, and a forkserver's 0.3 s. Here both import the script, which imports spora-db.
    """
    first, again, spawned, forked, nothing = medians(WORKERS, lake, tmp_path)
    print(f"\nfirst batch of two workers: forked after {forked:.2f} s, of a new forkserver after {first:.2f} s")
    record("first batch of two workers of the second loader, forkserver", again, "s")
    record("first batch of two workers, spawned, against torch's own that read nothing", spawned / nothing)
