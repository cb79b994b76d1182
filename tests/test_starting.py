"""How workers start: what stands against a fork, and that it is told; what they load then is in test_workers."""

import multiprocessing
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.loading import starting
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.starting import workers_start

LINUX = ["fork", "spawn", "forkserver"]
USUAL = multiprocessing.get_all_start_methods()[0]
forking = pytest.mark.skipif(USUAL != "fork", reason=f"Python starts processes by {USUAL} here")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PlanDataset:
    return (
        SporaQuery(write_lake(tmp_path_factory.mktemp("starting") / "lake")).modality("imc").tiles(size=32).to_torch()
    )


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch):
    """Return what makes this process one of some threads and start methods."""

    def made(*threads: threading.Thread, methods: list[str] = LINUX, chosen: str | None = None) -> None:
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: methods)
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda *, allow_none: chosen)
        monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread(), *threads])

    return made


def thread(name: str, *, daemon: bool) -> threading.Thread:
    return threading.Thread(name=name, daemon=daemon)


@pytest.mark.parametrize(
    ("threads", "methods", "chosen", "method", "reason"),
    [
        ([], LINUX, None, "fork", "as Python's multiprocessing does"),
        ([thread("tqdm", daemon=True)], LINUX, None, "fork", "as Python's multiprocessing does"),
        ([thread("pool_0", daemon=False)], LINUX, None, "forkserver", "the thread 'pool_0' runs, no fork"),
        ([thread("pool_0", daemon=False)], LINUX, "fork", "forkserver", "the thread 'pool_0' runs, no fork"),
        ([thread("fsspecIO", daemon=True)], LINUX, None, "forkserver", "a network client of fsspec is open, no fork"),
        ([thread("pool_0", daemon=False)], ["fork", "spawn"], None, "spawn", "the thread 'pool_0' runs, no fork"),
        ([thread("pool_0", daemon=False)], LINUX, "spawn", "spawn", "as Python's multiprocessing does"),
        ([], ["spawn", "fork", "forkserver"], None, "spawn", "as Python's multiprocessing does"),
        ([], ["spawn"], None, "spawn", "as Python's multiprocessing does"),
    ],
)
def test_workers_are_forked_where_nothing_stands_against_it(process, threads, methods, chosen, method, reason) -> None:
    process(*threads, methods=methods, chosen=chosen)
    start = workers_start()
    assert (start.method, start.reason) == (method, reason)
    assert str(start) == f"workers start by {method}: {reason}"
    assert [workers_start(asked).method for asked in LINUX] == LINUX


def test_no_fork_where_cuda_is_initialised(process, monkeypatch) -> None:
    process()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert workers_start().method == "forkserver"
    assert "CUDA is initialised" in workers_start().reason


@forking
def test_a_loader_takes_the_method_that_is_right_when_it_begins(dataset, monkeypatch) -> None:
    """Not when it was made; then it keeps it, as it keeps its workers."""
    loader = dataset.loader(8, num_workers=1, timeout=120, shuffle="none")
    expected = [zlib.crc32(batch["image"].numpy().tobytes()) for batch in dataset.loader(8, shuffle="none")]
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        pool.submit(int).result()
        assert loader.start.method == "forkserver"
        assert str(loader.start) in str(dataset.explain(seconds=0))
        assert [zlib.crc32(batch["image"].numpy().tobytes()) for batch in loader] == expected
    monkeypatch.setattr(starting, "_against_fork", lambda: None)
    assert loader.start.method == loader.multiprocessing_context.get_start_method() == "forkserver"
    assert [zlib.crc32(batch["image"].numpy().tobytes()) for batch in loader] == expected
    assert dataset.loader(8, num_workers=1).start.method == "fork"
    assert dataset.loader(8).start is None


@forking
def test_kernels_are_loaded_here_only_where_workers_or_batches_of_this_process_have_them_of_it(
    dataset, monkeypatch
) -> None:
    warmed = []
    monkeypatch.setattr("spora_db.loading.loader.warm_up_for", warmed.append)
    for method, expected in (("forkserver", []), ("fork", [dataset])):
        next(iter(dataset.loader(8, num_workers=1, start_method=method, timeout=120)))
        assert warmed == expected
    next(iter(dataset.loader(8)))
    assert warmed == [dataset, dataset]
