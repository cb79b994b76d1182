"""Workers that end, are late, or have no descriptor left: each is told as what it is; a user's own error passes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import WorkerError
from spora_db.loading.collates import collate_list


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("deaths") / "lake")


@pytest.fixture(scope="module")
def query(lake):
    return SporaQuery(lake).modality("imc").tiles(size=32)


def killed(samples):
    os.kill(os.getpid(), signal.SIGKILL)


def faulty(samples):
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's would write a traceback
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def left(samples):
    os._exit(3)


def wrong_shapes(samples):
    return torch.ones(2, 3) @ torch.ones(2, 3)


def wrong_value(samples):
    raise ValueError("DataLoader worker (pid 1) is killed by signal: Killed; DataLoader timed out after 5 seconds")


def no_memory(samples):
    raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed; the bootstrapping phase")


def unsendable(samples):
    return lambda: samples


class Exhausting:
    """A tensor that torch cannot send."""

    def __reduce__(self):
        raise RuntimeError(
            "unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)"
        )


def exhausting(samples):
    return Exhausting()


def endless(samples):
    time.sleep(60)


def read(query, failing, *, at="collate", **options):
    """Iterate with one worker whose collate or transform fails."""
    transform, collate = (failing, collate_list) if at == "transform" else (None, failing)
    list(query.to_torch(transform=transform).loader(4, num_workers=1, start_method="fork", collate=collate, **options))


@pytest.mark.some(3)
@pytest.mark.parametrize("at", ["collate", "transform"])
@pytest.mark.parametrize(
    ("death", "said"),
    [(killed, "SIGKILL.*memory ran out.*MiB of chunks.*cache_bytes"), (faulty, "SIGSEGV.*num_workers=0"),
     (left, "exit code 3;.*num_workers=0")],
)  # fmt: skip
def test_a_death_is_told_with_its_signal_or_exit_code(query, death, said, at):
    with pytest.raises(WorkerError, match=said) as told:
        read(query, death, at=at)
    assert ("memory" in str(told.value)) == (death is killed)
    assert "__main__" not in str(told.value)  # nothing is imported again by a fork
    assert isinstance(told.value.__cause__, RuntimeError)


@pytest.mark.some(3)
@pytest.mark.parametrize("at", ["collate", "transform"])
@pytest.mark.parametrize(
    ("failing", "kind", "said"),
    [(wrong_shapes, RuntimeError, "mat1 and mat2"), (wrong_value, ValueError, "timed out after 5"),
     (no_memory, RuntimeError, "bootstrapping phase")],
)  # fmt: skip
def test_an_error_of_the_user_passes_with_its_traceback(query, failing, kind, said, at):
    with pytest.raises(kind, match=said) as told:
        read(query, failing, at=at)
    assert type(told.value) is kind
    text = str(told.value)
    assert text.startswith(f"Caught {kind.__name__} in DataLoader worker process 0.")
    assert f"in {failing.__name__}" in text


def test_what_cannot_be_sent_is_an_error_and_no_endless_wait(query):
    with pytest.raises((AttributeError, TypeError), match=r"unsendable.*\n.*pickled in a worker"):
        read(query, unsendable, timeout=60)


def test_what_cannot_be_sent_for_want_of_a_descriptor_is_told_so(query):
    with pytest.raises(WorkerError, match="as many open files as it may have"):
        read(query, exhausting, timeout=60)


def test_a_loader_whose_workers_were_killed_starts_others_for_the_next_epoch(query):
    loader, delivered = query.to_torch().loader(4, num_workers=2, start_method="fork", timeout=60), 0
    with pytest.raises((WorkerError, RuntimeError), match=r"SIGKILL|killed by signal"):  # noqa: PT012 - torch's, anywhere
        for _ in loader:
            delivered += 1
            for worker in loader._iterator._workers:
                worker.kill()
    state = loader.state_dict()
    found = [place for batch in loader for place in zip(batch["tissue_id"], batch["tile_id"].tolist(), strict=True)]
    assert len(found) == len(set(found)) == 72
    loader.load_state_dict(state)
    assert len(list(loader)) == 18 - delivered


def test_a_batch_that_is_late_names_the_argument(query):
    with pytest.raises(WorkerError, match=r"timeout=1 seconds: the workers \(pid \d+\).*longer timeout.*py-spy"):
        read(query, endless, timeout=1)


UNGUARDED = """
import sys
from spora_db import SporaQuery
dataset = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32).to_torch()
for method in ("spawn", "forkserver"):
    try:
        list(dataset.loader(4, num_workers=1, start_method=method))
    except Exception as error:
        if __name__ != "__main__":
            raise
        print(error)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_to_have_one(lake, tmp_path):  # those that have one: test_loader.py
    script = tmp_path / "train.py"
    script.write_text(UNGUARDED)
    run = subprocess.run([sys.executable, script, lake], capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    assert ['if __name__ == "__main__":' in line for line in run.stdout.splitlines()] == [True, True]


DESCRIPTORS = """
import json, resource, sys
import torch
from spora_db import SporaQuery
from spora_db.loading.memory import allocate

def large(samples):
    return allocate((2**21,), torch.uint8).fill_(1)

def several(samples):
    return [torch.ones(2**15) for _ in range(40)]

def leaking(samples):
    held.extend(open("/dev/null") for _ in range(60))

def exhaust(free):
    try:
        while True:
            held.append(open("/dev/null"))
    except OSError:
        for file in held[-free:]:
            file.close()
        del held[-free:]

if __name__ == "__main__":
    dataset, held = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32).to_torch(), []
    dataset[0]
    cases = {"padded": ("padded", 0), "list": ("list", 0), "large": (large, 0), "several": (several, 0),
             "leaking": (leaking, 0), "few": ("padded", 5), "no image": ("padded", 14), "some": (large, 22)}
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name, (collate, free) in cases.items():
        weights = [1.0] * len(dataset)
        loader = dataset.loader(
            1, num_workers=2, collate=collate, weights=weights, num_samples=400, timeout=100, start_method="fork"
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))
        if free:
            exhaust(free)
        try:
            kept = list(loader)
            said = len(kept)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            del error
        print(json.dumps({name: said}), flush=True)
        held.clear()
        kept = loader = None
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are handed over so on Linux")
def test_batches_that_are_kept_work_or_are_told_to_hold_open_files(lake, tmp_path):
    script = tmp_path / "keep.py"
    script.write_text(DESCRIPTORS)
    run = subprocess.run([sys.executable, script, lake], capture_output=True, text=True, check=False, timeout=300)
    found = {name: said for line in run.stdout.splitlines() for name, said in json.loads(line).items()}
    assert (found.pop("padded"), found.pop("list")) == (400, 400), run.stderr
    assert list(found) == ["large", "several", "leaking", "few", "no image", "some"], run.stderr
    for said in found.values():
        assert said.startswith("WorkerError: "), said
        assert "as many open files as it may have" in said
        assert "batch['image'].clone()" in said


PROMPT = """
import sys
from spora_db import SporaQuery
def own(samples):
    return samples
dataset = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32).to_torch()
try:
    next(iter(dataset.loader(4, num_workers=1, start_method="forkserver", collate=own)))
except Exception as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no forkserver here")
def test_what_a_notebook_defines_is_told_to_be_out_of_reach_of_a_forkserver(lake):
    told = subprocess.run([sys.executable, "-c", PROMPT, lake], capture_output=True, text=True, check=True, timeout=300)
    assert "Its workers start by forkserver: as asked for. What they run, such as a transform" in told.stdout
