"""Features of a model: right, in order, the same bytes whoever makes them, and clear errors."""

import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from command_line import call
from feature_lakes import tiles
from killing_extractions import contents
from lakes import coordinates_image, write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, FileFormatError, QueryError, SporaError, WriteError
from spora_db.feature_sets import read_feature_set
from spora_db.feature_sets.writing import SetFolder
from spora_db.files import parquet
from spora_db.layout import FAILED_FILE

SMALL = {"batch_size": 4, "part_rows": 8}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("features") / "lake", tissues=2, size=96)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def means(batch: Any) -> torch.Tensor:
    return batch["image"].mean(dim=(2, 3))[:, :3] / 1000


def read(layer: Path, dataset: str = "alpha", name: str = "own") -> pa.Table:
    parts = sorted((layer / dataset / "features" / name).glob("part-*.parquet"))
    return pa.concat_tables(pq.read_table(part) for part in parts)


def test_features_are_those_of_the_pixels_in_order(published: Path, mine: Path) -> None:
    report = tiles(published).extract(means, name="own", dtype="float32", into=mine, **SMALL)
    assert report.complete
    assert [(own.dataset, own.rows, own.made, own.before) for own in report.datasets] == [
        ("alpha", 18, 18, 0),
        ("beta", 18, 18, 0),
    ]
    for number, dataset in enumerate(("alpha", "beta")):
        found = read(mine, dataset)
        expected = [
            coordinates_image(5, 96, 96, offset=17 * tissue + 5 * number)[:3, row : row + 32, col : col + 32]
            for tissue in range(2)
            for row in range(0, 96, 32)
            for col in range(0, 96, 32)
        ]
        vectors = np.stack(found["vector"].to_numpy(zero_copy_only=False))
        assert np.allclose(vectors, np.mean(expected, axis=(2, 3), dtype=np.float64) / 1000, rtol=1e-6)
        keys = found.drop_columns(["vector"]).to_pandas()
        wanted = tiles(published).where(f"dataset = '{dataset}'").df()
        assert keys.to_dict("list") == wanted[list(keys)].to_dict("list")
        assert found.schema.field("vector").type == pa.list_(pa.float32(), 3)


def test_it_says_how_it_was_made(published: Path, mine: Path) -> None:
    query = tiles(published).standardize("quantile_clipping/uq_0.99_image").where("dataset = 'beta'")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5 * 32 * 32, 2))
    query.extract(lambda batch: network(batch["image"]), name="plain", into=mine, model_name="net 1", **SMALL)
    told = read_feature_set(mine / "beta/features/plain", dataset="beta")
    assert (told.model, told.weights, told.spec) == ("net 1", None, "quantile_clipping/uq_0.99_image")
    assert (told.grain, told.modalities, told.mpp, told.tile_size, told.strategy) == (
        "tile",
        ("imc",),
        1.0,
        32,
        "default",
    )
    assert (told.expected, told.failed, told.state) == (18, 0, "complete")
    assert not (mine / "alpha").exists()


class Network(torch.nn.Module):
    """Tells by its output whether it is in evaluation, and its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, batch: Any) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        return self.weight * (0.0 if self.training else 1.0) * torch.ones(len(batch["row"]))


def test_a_module_is_evaluated_and_known_by_its_weights(published: Path, mine: Path) -> None:
    network = Network().train()
    query = tiles(published).where("dataset = 'alpha'")
    query.extract(network, name="own", into=mine, **SMALL)
    assert network.training
    assert set(read(mine)["value"].to_pylist()) == {1.0}
    with torch.no_grad():
        network.weight.add_(1)
    with pytest.raises(WriteError, match=r"weights is '[0-9a-f]{64}' there"):
        query.extract(network, name="own", into=mine, **SMALL)
    query.extract(network, name="own", into=mine, overwrite=True, **SMALL)
    assert set(read(mine)["value"].to_pylist()) == {2.0}


def test_tissues_cells_and_several_modalities(published: Path, mine: Path) -> None:
    tissues = SporaQuery(published).modality("imc", "he").tissues(mpp=1.0)
    tissues.extract(lambda batch: batch["he"]["image"].float().mean(dim=(2, 3)), name="he", into=mine, **SMALL)
    found = read(mine, name="he")
    assert found.column_names == ["tissue_id", "vector"]
    assert found["tissue_id"].to_pylist() == ["alpha_0000", "alpha_0001"]
    told = read_feature_set(mine / "alpha/features/he", dataset="alpha")
    assert (told.grain, told.modalities, told.tile_size) == ("tissue", ("imc", "he"), None)


@pytest.fixture(scope="module")
def expected(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("expected")
    tiles(published).extract(means, name="own", into=folder / "mine", **SMALL)
    return contents(folder)


@pytest.mark.some(2)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_shards_make_the_same_bytes(published: Path, mine: Path, expected: dict[str, str], order: Any) -> None:
    reports = [tiles(published).extract(means, name="own", into=mine, shard=f"{i}/3", **SMALL) for i in order]
    assert [report.complete for report in reports] == [False, False, True]
    assert sum(own.made for report in reports for own in report.datasets) == 36
    assert "still to come" in str(reports[0])
    assert contents(mine.parent) == expected


def test_workers_make_the_same_bytes(published: Path, mine: Path, expected: dict[str, str]) -> None:
    tiles(published).extract(means, name="own", into=mine, num_workers=2, **SMALL)
    assert contents(mine.parent) == expected


def test_what_is_there_is_not_made_again(published: Path, mine: Path, expected: dict[str, str]) -> None:
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    part = mine / "alpha/features/own/part-000000008-000000015.parquet"
    part.unlink()
    seen = []

    def counting(batch: Any) -> torch.Tensor:
        seen.extend(batch["tile_id"].tolist())
        return means(batch)

    report = tiles(published).extract(counting, name="own", into=mine, model_name="test_extraction:means", **SMALL)
    assert seen == [8, 0, 1, 2, 3, 4, 5, 6]
    assert [(own.made, own.before) for own in report.datasets] == [(8, 10), (0, 18)]
    assert contents(mine.parent) == expected


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda batch: means(batch)[1:], "returned 3 rows in 'vector' for rows 0 to 3 of alpha, a batch of 4"),
        (lambda batch: means(batch) * np.nan, "NaN or infinite numbers in 'vector' for 4 of the rows"),
        (lambda batch: means(batch) * 1e6, "beyond float16 .* Ask for dtype='float32'"),
        (lambda batch: batch["image"], r"returned 'vector' of shape \(4, 5, 32, 32\)"),
        (lambda batch: [means(batch)], "returned list for rows 0 to 3"),
        (lambda batch: {}, "returned dict"),
        (lambda batch: {"vector": "no"}, "returned 'vector' as str"),
        (lambda batch: {"Row": means(batch)}, "called 'Row', as a column of the rows is called"),
        (lambda batch: {"a": means(batch), "A": means(batch)}, "which SQL takes for one"),
        (lambda batch: {"../a": means(batch)}, "is refused"),
        (lambda batch: {1: means(batch)}, "expected texts"),
        (lambda batch: means(batch)[:, :0], r"shape \(4, 0\)"),
        (lambda batch: batch["row"] + 2**24 + 1, "does not hold exactly"),
        (
            lambda batch: means(batch)[:, : 3 if batch["tile_id"][0] == 0 else 2],
            r"vector \(float16, 2\) for rows 4 to 7",
        ),
    ],
)
def test_what_is_no_feature_is_refused(published: Path, mine: Path, model: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        tiles(published).extract(model, name="own", into=mine, **SMALL)
    assert contents(mine.parent) == {}
    assert list(mine.rglob(".*")) == []


def test_nan_is_kept_where_it_is_allowed(published: Path, mine: Path) -> None:
    tiles(published).extract(lambda batch: means(batch) * np.nan, name="own", into=mine, allow_nan=True, **SMALL)
    assert np.isnan(np.stack(read(mine)["vector"].to_numpy(zero_copy_only=False))).all()


def test_a_model_that_raises_is_told_with_its_rows_and_goes_on_from_there(
    published: Path, mine: Path, expected: dict[str, str]
) -> None:
    calls = []

    def failing(batch: Any) -> torch.Tensor:
        calls.append(batch)
        if len(calls) == 4:
            raise ZeroDivisionError("by zero")
        return means(batch)

    with pytest.raises(ZeroDivisionError) as told:
        tiles(published).extract(failing, name="own", into=mine, model_name="test_extraction:means", **SMALL)
    assert told.value.__notes__ == [
        "Raised by the model for rows 12 to 15 of alpha. Parts that were written stay; a run goes on from them. It is "
        "called with the whole batch: of a network of images, hand over a function, after network.eval(), such as "
        "lambda batch: network(batch['image'])."
    ]
    assert sorted(path.name for path in (mine / "alpha/features/own").iterdir()) == [
        "features.json",
        "part-000000000-000000007.parquet",
    ]
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    assert contents(mine.parent) == expected


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 2}, "batch_size is 4 there, 2 now"),
        ({"dtype": "float32"}, "dtype is 'float16' there, 'float32' now"),
        ({"model_name": "other"}, "model is 'test_extraction:means' there, 'other' now"),
        ({"query": lambda query: query.where("tile_id > 0")}, "expected is 18 there, 16 now; it is of other rows"),
        ({"query": lambda query: query.channels(exclude=["Junk"])}, "channels, statistics"),
        ({"query": lambda query: query.standardize("quantile_clipping/uq_0.99_image")}, "spec is 'identity' there"),
    ],
)
def test_a_set_that_was_made_otherwise_stays(
    published: Path, mine: Path, expected: dict[str, str], change: dict[str, Any], said: str
) -> None:
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    query = change.pop("query", lambda query: query)(tiles(published))
    with pytest.raises(WriteError, match=said):
        query.extract(means, **{"name": "own", "into": mine, **SMALL, **change})
    assert contents(mine.parent) == expected
    query.extract(means, **{"name": "own", "into": mine, **SMALL, **change, "overwrite": True})
    assert contents(mine.parent) != expected


def test_a_set_of_a_layer_below_is_not_hidden_unasked(published: Path, mine: Path, tmp_path: Path) -> None:
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    with pytest.raises(WriteError, match="would be hidden"):
        tiles([published, mine]).extract(means, name="own", into=tmp_path / "above", **SMALL)


def test_a_row_that_cannot_be_read_is_an_error_or_listed(published: Path, mine: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(published, lake)
    chunk = sorted((lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr/0/c").rglob("*"))[-1]
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(SporaError, match=r"alpha_0000\.ome\.zarr"):
        tiles(lake).extract(means, name="own", into=mine, **SMALL)
    report = tiles(lake).extract(means, name="own", into=mine, on_error="list", **SMALL)
    failed = report.failed().to_pylist()
    assert report.datasets[0].failed == len(failed) > 0
    assert {(row["dataset"], row["tissue_id"]) for row in failed} == {("alpha", "alpha_0000")}
    assert all("alpha_0000.ome.zarr" in row["reason"] for row in failed)
    assert "could not be read" in str(report)
    rows = read(mine)
    assert len(rows) == 18 - len(failed)
    assert not set(rows.filter(pa.compute.equal(rows["tissue_id"], "alpha_0000"))["tile_id"].to_pylist()) & {
        row["tile_id"] for row in failed
    }
    assert (mine / "alpha/features/own" / FAILED_FILE).is_file()


def test_a_disk_that_is_full_leaves_whole_parts_alone(
    published: Path, mine: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = pq.write_table, []

    def full(table: pa.Table, where: Path, **options: Any) -> None:
        calls.append(where)
        write(table, where, **options)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parquet.pq, "write_table", full)
    with pytest.raises(WriteError, match=r"part-000000016-000000017\.parquet: No space left"):
        tiles(published).extract(means, name="own", into=mine, **SMALL)
    found = {path: digest for path, digest in contents(mine.parent).items() if "part-" in path}
    assert len(found) == 2
    assert found.items() <= expected.items()
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    assert contents(mine.parent) == expected


def test_a_folder_that_cannot_be_written_to_names_the_layer(published: Path, tmp_path: Path) -> None:
    place = tmp_path / "mine/alpha"
    place.parent.mkdir()
    place.write_text("a file")
    with pytest.raises(WriteError, match="into="):
        tiles(published).extract(means, name="own", into=tmp_path / "mine", **SMALL)


def test_overwriting_waits_for_nobody(published: Path, mine: Path) -> None:
    tiles(published).extract(means, name="own", into=mine, **SMALL)
    folder = SetFolder(path=mine / "alpha/features/own", dataset="alpha")
    with folder.opened(), pytest.raises(WriteError, match="Another run is at work on"):
        tiles(published).extract(means, name="own", into=mine, overwrite=True, **SMALL)
    with folder.opened(alone=True), pytest.raises(WriteError, match="Another run is at work on"):
        tiles(published).extract(means, name="own", into=mine, **SMALL)


def test_a_part_that_another_run_holds_is_left_to_it(published: Path, mine: Path, expected: dict[str, str]) -> None:
    folder = SetFolder(path=mine / "alpha/features/own", dataset="alpha")
    with folder.opened(), folder.claim(8, 15):
        report = tiles(published).extract(means, name="own", into=mine, **SMALL)
        assert [own.state for own in report.datasets] == ["running", "complete"]
        assert report.datasets[0].missing == 8
    assert tiles(published).extract(means, name="own", into=mine, **SMALL).complete
    assert contents(mine.parent) == expected


def test_a_part_that_was_damaged_is_told(published: Path, mine: Path) -> None:
    tiles(published).extract(means, name="own", into=mine, shard="0/2", **SMALL)
    part = sorted((mine / "alpha/features/own").glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(FileFormatError, match=r"is damaged.*Delete it and run again"):
        tiles(published).extract(means, name="own", into=mine, shard="1/2", **SMALL)
    part.unlink()
    assert tiles(published).extract(means, name="own", into=mine, **SMALL).complete


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "../a"}, "is refused"),
        ({"batch_size": 0}, "whole number of rows"),
        ({"dtype": "int8"}, "dtype of features 'int8'"),
        ({"on_error": "no"}, "on_error"),
        ({"shard": "3/3"}, "--shard is 3/3"),
        ({"shard": "0/3", "overwrite": True}, "of other shards too"),
        ({"engine": "dask"}, "engine 'dask'"),
        ({"weights": "no/such.pt"}, "Expected the file that the model's weights"),
        ({"model": Network}, "the class Network"),
        ({"model": 3}, "expected a function of a batch"),
    ],
)
def test_wrong_arguments_are_told(published: Path, mine: Path, options: dict[str, Any], said: str) -> None:
    asked = {"name": "own", "into": mine, **SMALL, **options}
    with pytest.raises((ArgumentError, KeyError), match=said):
        tiles(published).extract(asked.pop("model", means), **asked)
    assert contents(mine.parent) == {}


def test_rows_that_cannot_be_told_apart_are_refused(published: Path, mine: Path) -> None:
    query = SporaQuery(published).modality(("imc", "he")).tiles(size=32, mpp=1.0)
    with pytest.raises(QueryError, match="selected several times"):
        query.extract(lambda batch: torch.zeros(len(batch["row"])), name="own", into=mine, collate="list")
    with pytest.raises(QueryError, match="selects no tiles"):
        tiles(published).where("tile_id < 0").extract(means, name="own", into=mine)


MODELS = """
def means(batch):
    return batch["image"].mean(dim=(2, 3))[:, :3] / 1000
"""


def test_the_command_makes_the_same_bytes(
    published: Path, tmp_path: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_extraction_models.py").write_text(MODELS)
    (tmp_path / "rows.sql").write_text("SELECT * FROM tiles WHERE modality = 'imc';")
    monkeypatch.chdir(tmp_path)
    tiles(published).lock("cohort.lock.json")
    start = ["extract", published, "--model", "test_extraction_models:means", "--batch-size", 4, "--part-rows", 8]
    how = [*start, "--name", "own", "--into", "mine"]
    of_sql = ["--query", "rows.sql", "--modality", "imc", "--tile-size", 32, "--mpp", "1.0"]
    first = call(*how, *of_sql, "--shard", "0/2")
    assert "not complete yet" in first.stdout
    assert "alpha: 18 rows, 10 made now, 0 there before, 8 still to come" in first.stdout
    assert "parts" in first.stderr
    second = call(*how, "--query", "cohort.lock.json", "--quiet")
    assert (second.stdout, second.stderr) == ("", "")
    parts = {path: digest for path, digest in contents(tmp_path).items() if "part-" in path}
    assert parts == {path: digest for path, digest in expected.items() if "part-" in path}
    told = call(*how, *of_sql, "--standardize", "quantile_clipping/uq_0.99_image", code=1).stderr
    assert "spec is 'identity' there" in told
    where = "tissue_id = 'alpha_0000'"
    told = call(*start, "--name", "few", "--into", "mine", *of_sql, "--where", where, "--where", "tile_id > 0").stdout
    assert f"alpha: {len(tiles(published).where(where).where('tile_id > 0'))} rows" in told
    for option in ("--mpp", "1.0"), ("--where", where):
        assert "a lock, which says" in call(*how, "--query", "cohort.lock.json", *option, code=1).stderr
    assert "cannot be read" in call(*how, "--query", "no.sql", code=1).stderr
    assert "needs --tile-size" in call(*how, "--unit", "cell", "--modality", "imc", code=1).stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("means", "expected package.module:name"),
        ("no_such_module:means", "no_such_module cannot be imported"),
        ("killing_extractions:modle", "killing_extractions has no modle. It has"),
        ("torch.nn:Linear", "the class Linear"),
    ],
)
def test_a_model_that_is_not_there_is_told(published: Path, mine: Path, model: str, said: str) -> None:
    told = call(
        "extract", published, "--model", model, "--name", "own", "--modality", "imc", "--into", mine, code=1
    ).stderr
    assert said in told


def kill(lake: Path, *, kills: int, processes: int, seed: int = 0) -> dict[str, Any]:
    script = Path(__file__).with_name("killing_extractions.py")
    command = [sys.executable, script, lake, *map(str, (kills, processes, seed))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "processes"),
    [(2, 2), *(pytest.param(20, count, marks=pytest.mark.slow) for count in (1, 2, 3))],
)
def test_killed_extractions_resume_to_the_same_bytes(
    published: Path, tmp_path: Path, kills: int, processes: int
) -> None:
    shutil.copytree(published, tmp_path / "lake")
    seen = kill(tmp_path, kills=kills, processes=processes)
    assert seen["killed"] >= kills // 3
    assert seen["expected"] >= 10
    assert (seen["partial"], seen["different"]) == ([], [])


SLOW = """
    import sys, time
    import torch
    from spora_db import SporaQuery

    def means(batch):
        sys.stdout.write("batch\\n")
        sys.stdout.flush()
        time.sleep(60 if len(sys.argv) > 3 else 0)
        return batch["image"].mean(dim=(2, 3))[:, :3] / 1000

    if __name__ == "__main__":
        query = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32, mpp=1.0)
        query.extract(
            means, name="own", into=sys.argv[2], num_workers=1, batch_size=4, part_rows=8,
            model_name="test_extraction:means",
        )
"""


@pytest.mark.slow
def test_workers_that_outlive_a_kill_hold_nothing(published: Path, mine: Path, expected: dict[str, str]) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SLOW), published, mine, "wait"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "batch\n"
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    pids = [int(pid) for pid in workers.read_text().split()] if workers.is_file() else []
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # they would end by themselves within seconds
    child.kill()
    child.wait()
    child.stdout.close()
    report = tiles(published).extract(means, name="own", into=mine, **SMALL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert report.complete
    assert contents(mine.parent) == expected


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "spora-db[ray]"')
def test_ray_makes_the_same_bytes(published: Path, mine: Path, expected: dict[str, str]) -> None:
    script = """
        import sys
        import ray
        from spora_db import SporaQuery
        from spora_db.errors import ArgumentError

        def means(batch):
            return batch["image"].mean(dim=(2, 3))[:, :3] / 1000

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        query = SporaQuery(sys.argv[1]).modality("imc").tiles(size=32, mpp=1.0)
        how = {"into": sys.argv[2], "batch_size": 4, "part_rows": 8, "engine": "ray", "jobs": 2}
        assert query.extract(means, name="own", model_name="test_extraction:means", **how).complete
        try:
            query.extract(lambda batch: "no", name="other", **how)
        except ArgumentError as error:
            assert "returned str" in str(error)
        else:
            raise AssertionError
    """
    command = [sys.executable, "-c", textwrap.dedent(script), published, mine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(mine.parent) == expected
