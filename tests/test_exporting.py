"""What is exported is read back bit for bit by the formats' own readers; bytes do not depend on workers or kills."""

import importlib.util
import json
import subprocess
import sys
import tarfile
import textwrap
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

from cell_lakes import write_masks
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.cli import app
from spora_db.errors import ArgumentError, QueryError, UnknownNameError, WriteError
from spora_db.exporting import FORMATS, exporting
from spora_db.exporting.fields import exported_row

SPEC = "quantile_clipping/uq_0.99_image"
ABSENT = "the reader of this format is not installed: pip install --no-deps -r tests/readers.txt"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("exported") / "lake")
    write_masks(root)
    return root


def tiles(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).standardize(SPEC)


QUERIES: dict[str, Callable[[Path], SporaQuery]] = {
    "two panels": lambda lake: (
        tiles(lake).where("tissue_id IN ('alpha_0001', 'beta_0002')").label("cancer_type").select("age", "X..spots")
    ),
    "two modalities": lambda lake: (
        SporaQuery(lake)
        .modality("imc", "he")
        .tiles(size=32, mpp=1.0)
        .standardize({"imc": SPEC, "he": "imagenet"})
        .with_masks("instances")
        .limit(7)
    ),
}


def read_webdataset(folder: Path) -> dict[int, tuple[dict[str, Any], Any]]:
    pytest.importorskip("webdataset", reason=ABSENT)
    from webdataset.autodecode import Decoder
    from webdataset.tariterators import group_by_keys, tar_file_expander

    rows = {}
    for path in sorted(folder.glob("*.tar")):
        with path.open("rb") as stream:  # its own opener leaves files to the garbage collector
            for raw in group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])):
                row = Decoder([])(raw)
                arrays = {name.removesuffix(".npy"): value for name, value in row.items() if name.endswith(".npy")}
                assert int(row["__key__"]) == row["json"]["position"]
                rows[int(row["__key__"])] = (arrays, row["json"])
    return rows


def read_mds(folder: Path) -> dict[int, tuple[dict[str, Any], Any]]:
    if "streaming" not in sys.modules:
        found = importlib.util.find_spec("streaming")
        if found is None or not found.submodule_search_locations:
            pytest.skip(ABSENT)
        package = types.ModuleType("streaming")  # its own __init__ imports data sets of torchvision
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["streaming"] = package
    from streaming.base import LocalDataset

    data = LocalDataset(str(folder))
    rows = [data[number] for number in range(len(data))]
    return {number: ({k: v for k, v in row.items() if k != "json"}, row["json"]) for number, row in enumerate(rows)}


def read_litdata(folder: Path) -> dict[int, tuple[dict[str, Any], Any]]:
    if importlib.util.find_spec("litdata") is None:
        pytest.skip(ABSENT)
    from litdata import StreamingDataset

    data = StreamingDataset(str(folder), shuffle=False)
    rows = [data[number] for number in range(len(data))]
    return {
        number: ({k: v for k, v in row.items() if k != "json"}, json.loads(row["json"]))
        for number, row in enumerate(rows)
    }


def read_zarr(folder: Path) -> dict[int, tuple[dict[str, Any], Any]]:
    rows = {}
    for name, group in zarr.open_group(folder, mode="r").groups():
        table = pd.read_parquet(folder / name / "rows.parquet")
        arrays = {own: array[:] for own, array in group.arrays()}
        for at, (position, text) in enumerate(zip(table["position"], table["json"], strict=True)):
            told = json.loads(text)
            own = {key: values[at] for key, values in arrays.items()}
            rows[position] = (own, told)
            for key in ("channel_names", "uniprot_ids", "spec"):
                assert group.attrs["spora_db"].get(key) == told.get(key)
    return rows


READERS = {"webdataset": read_webdataset, "mds": read_mds, "litdata": read_litdata, "zarr": read_zarr}


def flat(sample: Mapping[str, Any], before: str = "") -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, value in sample.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif hasattr(value, "numpy") and value.ndim:
            found[before + name] = value.numpy()
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.some(3)
@pytest.mark.filterwarnings("ignore")  # of the readers themselves
@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_reader_reads_the_samples(lake: Path, tmp_path: Path, form: Any, name: str) -> None:
    query = QUERIES[name](lake)
    report = query.export(form, tmp_path / "out", shard_bytes=70_000)
    rows, data = READERS[form](tmp_path / "out"), query.to_torch()
    assert report.shards > 2
    assert sorted(rows) == list(range(len(data)))
    for position, (arrays, record) in rows.items():
        sample = data[position]
        expected = flat(sample)
        assert arrays.keys() == expected.keys()
        for key, values in expected.items():
            assert arrays[key].dtype == values.dtype
            np.testing.assert_array_equal(arrays[key], values)
        part, told = (sample["he"], record["he"]) if "he" in sample else (sample, record)
        assert told["channel_names"] == list(part["channel_names"])
        assert told["uniprot_ids"] == list(part["uniprot_ids"])
        for key in ("dataset", "tissue_id", "modality", "mpp", "tile_id", "row", "col", "spec"):
            assert told[key] == part[key]
        if "cancer_type" in sample:
            assert record["cancer_type"] == int(sample["cancer_type"])
            assert record["age"] == sample["age"]


class TestCarryingOn:
    def test_workers_write_the_same_bytes(self, lake: Path, tmp_path: Path) -> None:
        query = QUERIES["two panels"](lake)
        query.export("webdataset", tmp_path / "one", shard_bytes=70_000)
        query.export("webdataset", tmp_path / "two", shard_bytes=70_000, num_workers=2)
        assert content(tmp_path / "one") == content(tmp_path / "two")

    @pytest.mark.some(2)
    @pytest.mark.parametrize("form", FORMATS)
    def test_whole_shards_only(self, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
        query, real, begun = QUERIES["two panels"](lake), exporting.ExportJob.write, list[Any]()
        query.export(form, tmp_path / "whole", shard_bytes=70_000)

        def stumbling(job: Any, shard: Any, dataset: Any) -> None:
            begun.append(shard)
            if len(begun) == 3:
                raise WriteError("the disk is full")
            real(job, shard, dataset)

        monkeypatch.setattr(exporting.ExportJob, "write", stumbling)
        with pytest.raises(WriteError, match="the disk is full"):
            query.export(form, tmp_path / "out", shard_bytes=70_000)
        assert not (tmp_path / "out/export.json").exists()
        report = query.export(form, tmp_path / "out", shard_bytes=70_000)
        assert report.kept == 2
        assert content(tmp_path / "out") == content(tmp_path / "whole")
        again = query.export(form, tmp_path / "out", shard_bytes=70_000)
        assert again.kept == again.shards == report.shards
        assert again.bytes == report.bytes

    def test_a_tar_has_no_time_and_no_owner(self, lake: Path, tmp_path: Path) -> None:
        tiles(lake).limit(2).export("webdataset", tmp_path / "out")
        with tarfile.open(tmp_path / "out/shard-000000.tar") as archive:
            assert {(entry.mtime, entry.uid, entry.uname) for entry in archive} == {(0, 0, "")}


class TestPixels:
    def test_raw_ones_have_the_type_of_the_file(self, lake: Path, tmp_path: Path) -> None:
        query = SporaQuery(lake).modality("he").tiles(size=32, mpp=1.0).limit(2)
        query.export("webdataset", tmp_path / "out", pixels="raw")
        rows = read_webdataset(tmp_path / "out")
        for position, (arrays, told) in rows.items():
            path = lake / query.plan().images.column("path")[int(query.plan().image[position, 0])].as_py()
            pixels = zarr.open_array(path / "0", mode="r")
            row, col = told["row"], told["col"]
            assert arrays["image"].dtype == np.uint8
            np.testing.assert_array_equal(arrays["image"], pixels[:, row : row + 32, col : col + 32])
            assert arrays["statistics"].shape == (3, 4)

    def test_half_precision(self, lake: Path, tmp_path: Path) -> None:
        query = tiles(lake).limit(2)
        query.export("webdataset", tmp_path / "out", dtype="float16")
        rows = read_webdataset(tmp_path / "out")
        np.testing.assert_array_equal(rows[1][0]["image"], query.to_torch(dtype="float16")[1]["image"].numpy())

    def test_whole_tissues(self, lake: Path, tmp_path: Path) -> None:
        query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).limit(2)
        report = query.export("webdataset", tmp_path / "out", shard_bytes=1)
        assert report.shards == 2
        assert read_webdataset(tmp_path / "out")[1][0]["image"].shape == query.to_torch()[1]["image"].shape

    def test_values_that_json_has_no_word_for(self) -> None:
        from datetime import date

        row = exported_row(
            3, {"a": float("nan"), "b": np.int64(4), "c": date(2026, 1, 31), "d": [None, "x"], "e": True}
        )
        assert json.loads(row.json()) == {
            "a": None,
            "b": 4,
            "c": "2026-01-31",
            "d": [None, "x"],
            "e": True,
            "position": 3,
        }


class TestRefused:
    def test_something_else_is_there(self, lake: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(WriteError, match="something else is there"):
            tiles(lake).limit(1).export("webdataset", tmp_path)
        tiles(lake).limit(1).export("webdataset", tmp_path / "out")
        with pytest.raises(WriteError, match="an export of another query"):
            tiles(lake).limit(2).export("webdataset", tmp_path / "out")
        assert (tmp_path / "mine.txt").read_text() == "mine"

    def test_choices(self, lake: Path, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'webdataset'"):
            tiles(lake).export("webdatasets", tmp_path / "out")  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="raw pixels have the type of their files"):
            tiles(lake).export("mds", tmp_path / "out", pixels="raw", dtype="float16")
        with pytest.raises(ArgumentError, match="takes tiles of one size"):
            SporaQuery(lake).modality("imc").tissues(mpp=1.0).export("zarr", tmp_path / "out")
        with pytest.raises(ArgumentError, match="shard_bytes"):
            tiles(lake).export("mds", tmp_path / "out", shard_bytes=0)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("form", ["mds", "litdata"])
    def test_rows_of_unlike_modalities(self, lake: Path, tmp_path: Path, form: Any) -> None:
        query = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32, mpp=1.0)
        query = query.where("dataset = 'alpha' AND tile_id = 0")
        with pytest.raises(ArgumentError, match="take rows that have the same"):
            query.export(form, tmp_path / "out")
        query.export("webdataset", tmp_path / "tar")
        assert len(read_webdataset(tmp_path / "tar")) == 4

    @pytest.mark.filterwarnings("ignore:.*nobody")
    def test_no_rows(self, lake: Path, tmp_path: Path) -> None:
        with pytest.raises(QueryError, match="selects no"):
            tiles(lake).where("cancer_type = 'nobody'").export("webdataset", tmp_path / "out")


def test_the_command(lake: Path, tmp_path: Path) -> None:
    options = ["--modality", "imc", "--mpp", "1.0", "--tile-size", "32", "--standardize", SPEC, "--limit", "5"]
    told = CliRunner().invoke(app, ["export", str(lake), str(tmp_path / "a"), "--format", "webdataset", *options])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("Exported 5 rows as webdataset")
    tiles(lake).limit(5).export("webdataset", tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.slow
def test_ray_data_reads_every_row_once_on_two_workers(lake: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    text = (Path(__file__).resolve().parents[1] / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("## Reading on a Ray cluster")[2].partition("```python\n")[2].partition("```")[0]
    use = """
        import os, sys
        from spora_db import SporaQuery
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False
        query = SporaQuery(sys.argv[1]).modality("he").tiles(size=32, mpp=1.0)
        rows = read(query.plan(), batch_size=8, concurrency=2).take_all()
        dataset = query.to_torch()
        assert sorted(row["id"] for row in rows) == list(range(len(dataset))) and len(rows) > 20
        assert all((row["image"] == dataset[row["id"]]["image"].numpy()).all() for row in rows)
    """
    script = block + textwrap.dedent(use)
    done = subprocess.run(
        [sys.executable, "-c", script, lake], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
