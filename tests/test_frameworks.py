"""The line that people write anyway is right: scripts for each framework, started as its users start them."""

import importlib.util
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from lakes import write_lake

TESTS = Path(__file__).parent
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
ROWS = 89


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("frameworks") / "lake", tissues=5)


def run(script, lake, out, *, launcher=()):
    """Run a script on two ranks; return what each saw."""
    framework = script.partition("_")[0]
    if framework != "torchrun" and importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    command = [sys.executable, *launcher, str(TESTS / "trainer_scripts" / f"{script}.py"), str(lake), str(out)]
    offline = {"HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true", "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **offline, "PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]


def check_epochs(ranks, *, padding=1):
    """Check that each row comes once in every epoch but for padding, in equally many steps, and return the orders."""
    orders = []
    for epoch in zip(*ranks, strict=True):
        assert len({len(batches) for batches in epoch}) == 1
        rows = list(chain(*chain(*epoch)))
        assert len(set(rows)) == ROWS
        assert padding is None or len(rows) == ROWS + padding
        orders.append(rows)
    return orders


@pytest.mark.slow
def test_torchrun_shares_rows_with_and_without_a_process_group(lake, tmp_path):
    ranks = run("torchrun", lake, tmp_path, launcher=TORCHRUN)
    alone, together = ([rank[name] for rank in ranks] for name in ("alone", "together"))
    orders = check_epochs(alone) + check_epochs(together)
    assert len(set(map(tuple, orders))) == 3


@pytest.mark.slow  # test_trainers.py has its loops on two ranks
def test_lightning_takes_loaders_from_anywhere(lake, tmp_path):
    ranks = run("lightning_ddp", lake, tmp_path)
    for name in ("argument", "hook", "module", "validated"):
        first, second = check_epochs([rank[name] for rank in ranks], padding=None if name == "hook" else 1)
        assert (first == second) == (name == "validated")
    check_epochs([rank["predicted"] for rank in ranks])


@pytest.mark.slow
def test_accelerate_knows_where_an_epoch_ends(lake, tmp_path):
    first, second = run("accelerate_loops", lake, tmp_path, launcher=TORCHRUN)
    for rank in (first, second):
        for seen in rank["found"].values():
            assert seen["steps"] == [False, False, False, True, False, False, True]
            assert len(seen["rows"]) == len(set(seen["rows"])) == ROWS  # gather_for_metrics leaves repeated rows out
        assert "collate='panel'" in rank["errors"]["panels"]
        assert "goes on where accelerator.load_state left it" in rank["errors"]["skipped"]
    assert "dispatch_batches=False" in first["errors"]["dispatched"]


@pytest.mark.slow
def test_transformers_makes_its_own_loader(lake, tmp_path):
    ranks = run("transformers_own", lake, tmp_path, launcher=TORCHRUN)
    first, second = check_epochs([rank["own"] for rank in ranks], padding=9)  # accelerate fills the last batches
    assert first != second


@pytest.mark.slow
def test_transformers_resumes_on_as_many_processes_only(lake, tmp_path):
    found = run("transformers_ranks", lake, tmp_path)[0]
    assert found["resumed"] == found["whole"]
    assert "written by 2 processes; here are 1" in found["error"]


@pytest.mark.slow
def test_ray_train_resumes_although_it_fetches_ahead(lake, tmp_path):
    ranks = run("ray_train", lake, tmp_path)
    orders = check_epochs([rank["whole"] for rank in ranks])
    assert len(set(map(tuple, orders))) == 3
    for stop in (3, 7):
        assert [rank[f"resumed after {stop}"] for rank in ranks] == [rank["whole"] for rank in ranks]
