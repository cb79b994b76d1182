import gc
import itertools
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from multiprocessing import util
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lakes import write_lake
from processes import group_runs
from spora_db import SporaQuery, TileSampler
from spora_db.errors import ArgumentError, ImageNotFoundError, UnknownNameError
from spora_db.files.buffers import LINE, BufferPool
from spora_db.images import open_image, read_region, write_ometiff
from spora_db.loading.collates import collate_panel
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.memory import POOLED_FROM, allocate
from spora_db.loading.segments import Parcel, SegmentPool

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a lake of OME-Zarr in one cohort and OME-TIFF in the other."""
    root = write_lake(tmp_path_factory.mktemp("loader") / "lake")
    for path in sorted((root / "beta/imc/1_0mpp/images").iterdir()):
        image = read_region(open_image(path))
        shutil.rmtree(path)
        write_ometiff(path.with_name(path.name.replace(".ome.zarr", ".ome.tiff")), image, mpp=1.0)
    return root


@pytest.fixture(scope="module")
def dataset(lake):
    return SporaQuery(lake).modality("imc").tiles(size=32).to_torch()


def places(batches):
    columns = ("dataset", "tissue_id", "tile_id")
    return [place for batch in batches for place in zip(*(batch[name] for name in columns), strict=True)]


def pixels(batches):
    return [zlib.crc32(image.numpy().tobytes()) for batch in batches for image in batch["image"]]


# ---- order, workers, state ----


@pytest.mark.some(2)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("collate", ["padded", "panel"])
def test_workers_change_nothing(dataset, collate):
    expected = None
    for workers in (0, 1, 3):
        loader = dataset.loader(5, num_workers=workers, start_method="fork", collate=collate, timeout=120)
        epochs = [list(loader), list(loader)]
        found = [(places(epoch), pixels(epoch)) for epoch in epochs]
        assert loader.epoch == 2
        assert sorted(found[0][0]) == sorted(found[1][0])
        assert len(set(found[0][0])) == 72
        assert found[0][0] != found[1][0]  # also with persistent workers
        loader.set_epoch(0)
        assert places(loader) == found[0][0]
        expected = expected or found
        assert found == expected


@pytest.mark.some(2)
@pytest.mark.parametrize("collate", ["packed", "panel"])
@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_after_any_batch(dataset, collate, workers):
    options = {"num_workers": workers, "collate": collate, "start_method": "fork"}
    whole = [batch["tile_id"].tolist() for batch in dataset.loader(10, **options)]
    stops = range(len(whole) + 1) if workers == 0 else (0, 1, 4)
    for stop in stops:
        loader = dataset.loader(10, **options)
        got = [batch["tile_id"].tolist() for batch in itertools.islice(loader, stop)]
        state = json.loads(json.dumps(loader.state_dict()))  # what was delivered, not what workers read ahead
        resumed = dataset.loader(10, num_workers=0, collate=collate)
        resumed.load_state_dict(state)
        assert (len(resumed), resumed.remaining, resumed.epoch) == (len(whole), len(whole) - stop, 0)
        assert got + [batch["tile_id"].tolist() for batch in resumed] == whole
        assert resumed.epoch == 1


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_share_an_epoch(dataset, world_size):
    shares = [places(dataset.loader(9 // world_size, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {72 // world_size}
    assert sorted(itertools.chain(*shares)) == sorted(places(dataset.loader(8)))


def test_weights_and_collates_by_function(dataset):
    loader = dataset.loader(6, balance_by=["dataset"], num_samples=12, collate=collate_panel(["CD8", "P07766"]))
    assert [batch["image"].shape for batch in loader] == [(6, 2, 32, 32)] * 2
    assert all(len(batch) == 6 for batch in dataset.loader(6, collate="list", drop_last=True))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"batch_size": 0}, ArgumentError, r"loader\(batch_size=0\)"),
        ({"shuffle": True}, UnknownNameError, "'locality', the default"),
        ({"num_workers": -1}, ArgumentError, "num_workers=-1"),
        ({"collate": "stack"}, UnknownNameError, "packed, padded, panel"),
        ({"start_method": "thread"}, UnknownNameError, "forkserver, spawn"),
        ({"rank": 1}, ArgumentError, "both or neither"),
        ({"batch_size": 2.5}, ArgumentError, r"loader\(batch_size=2.5\): expected a whole number of rows"),
        ({"lanes": 1.5}, ArgumentError, r"TileSampler\(lanes=1.5\): expected a whole number of streams"),
        ({"interleave": 0}, ArgumentError, r"TileSampler\(interleave=0\): expected a whole number of groups"),
        ({"seed": 1.0}, ArgumentError, r"TileSampler\(seed=1.0\): expected a whole number"),
        ({"seed": None}, ArgumentError, r"TileSampler\(seed=None\): expected a whole number"),
        ({"num_workers": 1, "timeout": -1}, ArgumentError, r"loader\(timeout=-1\): expected seconds"),
        ({"num_workers": 1, "timeout": float("nan")}, ArgumentError, r"loader\(timeout=nan\)"),
        ({"cache": "share"}, UnknownNameError, r"Did you mean 'shared'\?.* such as '\./share'"),
        ({"cache": "Process"}, UnknownNameError, r"Did you mean 'process'\?"),
        ({"cache": ""}, UnknownNameError, "Available: process, shared"),
        ({"cache": 5}, ArgumentError, r"loader\(cache=5\): expected 'process', 'shared' or a folder"),
        ({"cache_bytes": "2 GB"}, ArgumentError, r"loader\(cache_bytes='2 GB'\): expected a whole number of bytes"),
        ({"cache_bytes": -1}, ArgumentError, r"loader\(cache_bytes=-1\): .* at least 0"),
        ({"num_workers": "2"}, ArgumentError, r"loader\(num_workers='2'\): expected a whole number of workers"),
        ({"num_workers": 1, "prefetch": 0}, ArgumentError, r"loader\(prefetch=0\): expected a whole number of batches"),
        ({"num_workers": 1, "timeout": "5"}, ArgumentError, r"loader\(timeout='5'\): expected seconds"),
        ({"collate": ["list"]}, UnknownNameError, "packed, padded, panel"),
        ({"drop_last": 1}, ArgumentError, r"TileSampler\(drop_last=1\): expected True or False"),
        ({"pin_memory": "no"}, ArgumentError, r"loader\(pin_memory='no'\): expected True or False"),
    ],
)
def test_unusable_arguments(dataset, tmp_path, monkeypatch, options, error, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=match):
        dataset.loader(**options)
    assert not list(tmp_path.iterdir())


def test_numbers_of_other_libraries_are_those_of_python(dataset):
    loader, same = dataset.loader(np.int64(8), seed=np.int64(3), lanes=np.int8(4)), dataset.loader(8, seed=3)
    loader.set_epoch(np.int64(2))
    same.set_epoch(2)
    state = json.loads(json.dumps(loader.state_dict()))
    assert list(loader.tiles) == list(same.tiles)
    assert state == json.loads(json.dumps(same.state_dict())) | {"stretches": state["stretches"]}


def test_an_epoch_is_a_whole_number(dataset):
    loader, same = dataset.loader(8), dataset.loader(8)
    loader.set_epoch(1.0)  # as some trainers count
    same.set_epoch(1)
    assert loader.epoch == 1
    assert list(loader.tiles) == list(same.tiles)
    for epoch in (1.5, -1, None, "1", float("nan")):
        with pytest.raises(ArgumentError, match=r"set_epoch\(epoch=.*whole number of epochs, at least 0"):
            loader.set_epoch(epoch)


@pytest.mark.parametrize("state", [None, [], "state"])
def test_a_state_that_is_none_is_told(dataset, state):
    with pytest.raises(ArgumentError, match=r"expected a mapping, .* under which name the checkpoint keeps it"):
        dataset.loader(8).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"missing_chunks": 5}, UnknownNameError, "error, white, zeros"),
        ({"standardize_on": "gpu"}, UnknownNameError, "cpu, device"),
        ({"on_error": "skip"}, UnknownNameError, "raise, replace"),
        ({"vocabulary": 5}, ArgumentError, "vocabulary=5: expected a list of UniProt accessions"),
        ({"vocabulary": "P01732"}, ArgumentError, "expected a list of UniProt accessions"),
        ({"vocabulary": [1]}, ArgumentError, "expected a list of UniProt accessions"),
        ({"vocabulary": ["P01732"]}, ArgumentError, "lacks"),
    ],
)
def test_unusable_arguments_of_a_dataset(dataset, options, error, match):
    with pytest.raises(error, match=match):
        PlanDataset(dataset.plan, **options)


# ---- start methods ----

UNUSED = """
import sys, zlib
from spora_db import SporaQuery, TileSampler
if __name__ == "__main__":
    lake, *methods = sys.argv[1:]
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).to_torch()
    for method in methods:  # whose workers read, and not this process
        loader = dataset.loader(8, num_workers=1, start_method=method, timeout=120)
        print([zlib.crc32(image.numpy().tobytes()) for batch in loader for image in batch["image"]])
"""


@pytest.mark.slow
def test_start_methods_in_a_parent_that_read_nothing(dataset, lake, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(UNUSED)
    command = [sys.executable, str(script), str(lake), *METHODS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(map(json.loads, done.stdout.splitlines())) == [pixels(dataset.loader(8))] * len(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_start_methods_in_a_parent_that_read_and_queried(dataset, lake, method):
    assert SporaQuery(lake).modality("imc").tiles(size=32).count() == 72
    expected = pixels(dataset.loader(8))
    assert pixels(dataset.loader(8, num_workers=1, start_method=method, timeout=120)) == expected


# ---- one plan for all workers ----


def grown(plan, rows):
    """Return a plan of many rows: its own, repeated."""
    position = np.arange(rows) % len(plan)
    parts = {name: np.ascontiguousarray(getattr(plan, name)[position]) for name in ("image", "tile_id", "row", "col")}
    return replace(plan, columns=plan.columns.take(position), **parts)


def private_bytes():
    text = Path("/proc/self/smaps_rollup").read_text()
    fields = dict(line.split(":") for line in text.splitlines()[1:])
    return 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))


def touched(plan):
    return int(plan.image.sum() + plan.tile_id.sum() + plan.row.sum() + plan.col.sum() + plan.columns.nbytes)


def measure(dataset, pipe):
    """Read all rows of the index in a worker, then tell what it holds for itself."""
    plan = dataset.plan
    total = touched(plan)
    gc.collect()
    pipe.send(total)
    pipe.recv()
    pipe.send(private_bytes())


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rows", [1_000_000, pytest.param(5_000_000, marks=pytest.mark.slow)])
def test_a_worker_holds_no_copy_of_the_plan(lake, method, rows):
    plan = SporaQuery(lake).modality("imc").tiles(size=32).select("cancer_type").plan()
    context, found = multiprocessing.get_context(method), []
    for size in (len(plan), rows):
        dataset = PlanDataset(grown(plan, size))
        ends = context.Pipe()
        worker = context.Process(target=measure, args=(dataset, ends[1]))
        worker.start()
        assert ends[0].recv() == touched(dataset.plan)  # pages that two processes have mapped are no longer private
        ends[0].send("measure")
        found.append(ends[0].recv())
        worker.join(60)
        nbytes = dataset.plan.nbytes
    extra = found[1] - found[0]
    print(f"\n{rows:,} rows, {nbytes / 1e6:.0f} MB of index: a {method} worker holds {extra / 1e6:.1f} MB more")
    assert extra < 0.15 * nbytes


def test_a_plan_by_value_and_by_descriptor_is_the_same(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.plan.hash == dataset.plan.hashed().hash
    shared = dataset._handle.shared().map()
    assert shared.hashed().hash == dataset.plan.hash
    assert not shared.row.flags.writeable
    assert torch.equal(PlanDataset(shared)[5]["image"], dataset[5]["image"])


# ---- leaves ----


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_abandoned_loaders_leave_nothing(lake, tmp_path, monkeypatch):
    util.get_temp_dir()  # multiprocessing's own, one per process, removed when it ends
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plan = SporaQuery(lake).modality("imc").tiles(size=32).plan()

    def abandon(workers):
        dataset = PlanDataset(plan)
        loader = dataset.loader(8, num_workers=workers, start_method="fork")
        batches = iter(loader)
        next(batches)
        dataset._handle.shared()

    for workers in (0, 1):
        abandon(workers)
    gc.collect()
    before = open_files()
    for i in range(100):
        abandon(1 if i % 10 == 0 else 0)
    gc.collect()
    assert open_files() <= before
    assert multiprocessing.active_children() == []
    assert list(tmp_path.iterdir()) == []
    assert not [name for name in os.listdir("/dev/shm") if f"_{os.getpid()}_" in name]  # noqa: PTH208


def test_epochs_are_counted(dataset):
    loader = dataset.loader(16)
    for _ in range(3):
        list(loader)
    assert loader.epoch == 3


FLAT = """
import gc, os, sys
from pathlib import Path
from spora_db import SporaQuery, TileSampler
loader = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32).to_torch().loader(16, cache_bytes=2**20)
for _ in range(20):
    for _batch in loader:
        pass
    gc.collect()
    print(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_stays_flat_over_epochs(lake):
    command = [sys.executable, "-c", FLAT, str(lake)]  # a process of its own: what other tests left moves its size
    sizes = [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
    assert len(sizes) == 20
    assert max(sizes[10:]) - max(sizes[:10]) < 2**20  # from epoch to epoch it moves by what lay together in batches


INTERRUPTED = """
import signal, sys
from spora_db import SporaQuery, TileSampler
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
    loader = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32).to_torch().loader(8, num_workers=2)
    while True:
        for batch in loader:
            print(len(batch["image"]), flush=True)
"""


def test_an_interrupted_run_ends_and_leaves_nothing(lake, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(INTERRUPTED)
    scratch = Path(tempfile.mkdtemp(prefix="s"))  # short: the path of a socket holds 108 bytes, and pytest's are long
    environment = {**os.environ, "TMPDIR": str(scratch)}
    run = subprocess.Popen(
        [sys.executable, str(script), str(lake)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == "8\n"
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    deadline = time.monotonic() + 20
    while group_runs(run.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_runs(run.pid)
    assert list(scratch.rglob("*")) == []


# ---- memory of batches ----


def test_buffers_return_when_no_tensor_uses_them():
    pool = BufferPool(spare=2, keep=1)
    first = torch.from_numpy(pool.take(POOLED_FROM))
    place, view = first.data_ptr(), first[10:20]
    del first
    gc.collect()
    assert pool.free == []  # the view still uses it
    second = torch.from_numpy(pool.take(POOLED_FROM))
    assert (second_place := second.data_ptr()) != place
    del view
    gc.collect()
    assert len(pool.free) == 1
    assert torch.from_numpy(pool.take(POOLED_FROM - 5)).data_ptr() == place
    del second
    gc.collect()
    assert len(pool.free) <= 1
    assert place % LINE == second_place % LINE == 0


def collate_places(samples):
    """Make tiles large enough for segments, in several layouts: whole, a part, a transposed view, and a copy."""
    size, number = 2**18 + len(samples), samples[0]["tile_id"]
    whole = allocate((2, size), torch.float32)
    whole[0], whole[1] = torch.arange(size), number
    return {"image": whole, "tile_id": number, "parts": [whole[1:, 5:9], (whole.T[7],)], "copy": whole[:, :3].clone()}


@pytest.mark.parametrize("keep", [1, 12])
def test_batches_of_workers_are_never_overwritten(dataset, keep):
    loader = dataset.loader(4, num_workers=1, start_method="fork", collate=collate_places, timeout=120)
    kept = []
    for i, batch in enumerate(itertools.chain(loader, itertools.islice(loader, 5), loader)):  # one ends in its midst
        kept = [*kept, batch][-keep:]
        for held in kept if i % 8 == 7 else [batch]:
            number = held["tile_id"]
            assert torch.equal(held["image"][0, ::101], torch.arange(0, 2**18 + 4, 101, dtype=torch.float32))
            assert (held["image"][1, ::101] == number).all()
            assert held["parts"][0].tolist() == [[number] * 4]
            assert held["parts"][1][0].tolist() == [7, number]
            assert held["copy"].tolist() == [[0, 1, 2], [number] * 3]
        del batch, held


def test_segments_are_lent_again_when_both_sides_let_go():
    pool = SegmentPool(limit=2)
    first = pool.take(100)
    second = pool.take(100)
    assert pool.take(100) is None
    parcel = Parcel({"image": first[:60].view(torch.float32).view(3, 5)}, pool)
    first[:60].view(torch.float32)[:] = torch.arange(15)
    arrived = pickle.loads(ForkingPickler.dumps(parcel))
    assert arrived["image"].tolist() == torch.arange(15.0).view(3, 5).tolist()
    row = arrived["image"][1]
    del first, parcel, arrived
    gc.collect()
    assert pool.take(100) is None  # the receiver still has a row of it
    assert row.tolist() == [5, 6, 7, 8, 9]
    del row
    gc.collect()
    third = pool.take(90)
    assert third is not None
    del second, third
    gc.collect()
    assert pool.take(10_000) is not None  # replaces one that is too small
    assert len(pool.segments) == 2


# ---- explain ----


def test_explain_says_what_an_epoch_costs(dataset, lake):
    found = dataset.explain(batch_size=8, seconds=0.1)
    assert (found.rows, found.tissues, found.panels) == (72, 8, 2)
    assert found.delivered == sum(int(np.prod(dataset[i]["image"].shape)) * 4 for i in range(72))
    assert found.decoded >= found.delivered
    assert found.rows_per_second > 0
    assert "72 rows of 8 tissues, 2 panels" in str(found)
    tissues = SporaQuery(lake).modality("imc").tissues().to_torch()
    assert tissues.explain(seconds=0.01).decoded is None
    assert "rows/s" in str(tissues.explain(seconds=0.01))


def test_explain_needs_no_more_of_images_than_the_rows(tmp_path, monkeypatch):
    """A corner that no row needs may be absent, as in a copy of tiles; an image without channels has no chunks."""
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    lake = write_lake(tmp_path / "lake", names=("alpha",))
    images = lake / "alpha/imc/1_0mpp/images"
    (images / "alpha_0000.ome.zarr/0/c/0/0/0").unlink()
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    corner = query.where("tissue_id = 'alpha_0000' AND row > 32 AND col > 32").to_torch()
    assert corner.explain(seconds=0.01).delivered == 32 * 32 * 5 * 4
    assert TileSampler(corner).report().amplification == 1
    around = query.where("tissue_id = 'alpha_0001'").windows(size=32, stride=30, padding="around").to_torch()
    assert around.explain(seconds=0.01).delivered > 0

    first = query.where("tissue_id = 'alpha_0000'")
    with pytest.raises(ImageNotFoundError, match="alpha_0000"):
        first.to_torch().explain(seconds=3000)  # all rows, however slow the machine
    replaced = query.where("tissue_id < 'alpha_0002'").to_torch(on_error="replace")
    assert replaced.explain(seconds=0.01).rows == 18
    assert TileSampler(replaced, shuffle="none").report().amplification >= 1

    quantiles = "alpha/imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image/image_level_upper_quantiles.parquet"
    table = pd.read_parquet(lake / quantiles)
    table.loc["alpha_0001"] = 0.0
    table.to_parquet(lake / quantiles)
    nothing = query.where("tissue_id = 'alpha_0001'").standardize("quantile_clipping/uq_0.99_image").to_torch()
    assert nothing[0]["image"].shape == (0, 32, 32)
    assert (nothing.explain(seconds=0.01).delivered, TileSampler(nothing).report().amplification) == (0, 0)


@pytest.mark.parametrize("options", [{"seconds": -1}, {"seconds": float("nan")}, {"cache_bytes": -1}])
def test_explain_refuses_what_is_no_time_and_no_size(dataset, options):
    with pytest.raises(ArgumentError, match=r"explain\(seconds=.*expected a number of seconds"):
        dataset.explain(**options)
