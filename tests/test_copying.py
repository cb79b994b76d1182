"""A copy of what a query needs is a lake that gives the same rows, hashes and pixels; what it left out is an error."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

from cell_lakes import write_cells, write_masks
from feature_lakes import EMBEDDING, SCORE, write_features
from http_servers import Bucket, slow_bucket
from lakes import coordinates_image, write_lake
from spora_db import Catalog, SporaQuery
from spora_db.cli import app
from spora_db.copying.tables import _texts
from spora_db.errors import (
    ArgumentError,
    FileFormatError,
    ImageNotFoundError,
    LockError,
    QueryError,
    SporaError,
    UnknownNameError,
    WriteError,
)
from spora_db.feature_sets import FeatureSet
from spora_db.files.locks import lock_file
from spora_db.files.stores import http
from spora_db.images import close_images, open_image, read_region, write_ometiff
from spora_db.images.cache import clear_cache
from spora_db.layout import locate
from spora_db.lock.lockfile import read_lock
from spora_db.lock.locking import check_lock
from spora_db.validation import validate

SPEC = "quantile_clipping/uq_0.99_image"
IMAGES = "alpha/imc/1_0mpp/images"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("copied") / "lake")
    masks = write_masks(root)
    write_cells(root / "alpha", masks, names=("row", "col"))
    write_cells(root / "beta", masks)
    (root / "alpha/metadata/dataset.json").write_text('{"license": "CC BY 4.0"}')
    (root / "alpha/LICENSE").write_text("CC BY 4.0")
    folder = root / "beta/he/1_0mpp/images"
    shutil.rmtree(folder / "beta_0000.ome.zarr")
    rgb = np.random.default_rng(0).integers(0, 255, (3, 96, 96), np.uint8)
    write_ometiff(folder / "beta_0000.ome.tiff", rgb, mpp=1.0)
    return root


def tiles(lake: object) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)  # type: ignore[arg-type]


QUERIES: dict[str, Callable[[object], SporaQuery]] = {
    "a sample": lambda lake: tiles(lake).standardize(SPEC).sample(9, by="dataset", seed=2),
    "one tissue": lambda lake: tiles(lake).where("tissue_id = 'alpha_0001'"),
    "weights that count tiles": lambda lake: tiles(lake).sample(7, weights="1.0 / n_tiles", seed=1),
    "images of one place": lambda lake: SporaQuery(lake).modality("imc", "he").tiles(size=32, mpp=1.0).limit(5),
    "one or another": lambda lake: SporaQuery(lake).modality(("imc", "he")).tiles(size=32, mpp=1.0).sample(6, seed=3),
    "classes of the whole lake": lambda lake: tiles(lake).where("cancer_type = 'LUAD'").label("cancer_type").limit(4),
    "a comparison with all tissues": lambda lake: tiles(lake).where("age > (SELECT avg(age) FROM tissues)").limit(9),
    "a marker's name": lambda lake: tiles(lake).channels(kind="uniprot_filtered", require=["CD3e"]).limit(9),
    "tissues": lambda lake: SporaQuery(lake).modality("imc").tissues(mpp=1.0).where("split = 'test'").select("age"),
    "cells": lambda lake: (
        SporaQuery(lake).modality("imc").cells(size=16, mpp=1.0).where("cell_type = 'B cell'").limit(9)
    ),
    "masks and cells": lambda lake: tiles(lake).with_masks("instances").with_cells("cell_type").limit(3),
    "filters that see around": lambda lake: (
        tiles(lake)
        .standardize("identity", filters=["gaussian_blur"], halo=True)
        .where("tissue_id = 'beta_0000' AND \"row\" = 32 AND col = 32")
    ),
    "SQL": lambda lake: (
        SporaQuery.from_sql(lake, "SELECT dataset, tissue_id, tile_id, row, col FROM tiles WHERE age > 50")  # type: ignore[arg-type]
        .modality("imc")
        .tiles(size=32, mpp=1.0)
        .limit(8)
    ),
}


def same(one: SporaQuery, other: SporaQuery) -> None:
    """Compare two queries by rows, hashes, and everything in their samples."""
    left, right = one.to_torch(), other.to_torch()
    assert one.to_arrow().equals(other.to_arrow())
    assert left.plan.hash == right.plan.hash
    assert left.plan.rows_hash == right.plan.rows_hash
    for number in range(len(left)):
        equal(left[number], right[number])


def equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            equal(one[name], other[name])
    elif hasattr(one, "numpy"):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    else:
        assert one == other


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a copy but for its lock, which has times of files."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "copy.lock.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


QUICK = ("images of one place", "SQL")


class TestSameAnswer:
    @pytest.mark.some(2)
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in QUERIES]
    )
    def test_of_the_tiles(self, lake: Path, tmp_path: Path, name: str) -> None:
        query = QUERIES[name](lake)
        report = query.copy_to(tmp_path / "small")
        assert report.rows == len(query)
        same(query, QUERIES[name](tmp_path / "small"))
        locked = SporaQuery.from_lock(tmp_path / "small/copy.lock.json")
        assert locked.plan().hash == query.plan().hash
        assert [found for found in validate(tmp_path / "small", deep=True) if found.severity == "error"] == []
        assert [path.name for path in tmp_path.iterdir()] == ["small"]

    @pytest.mark.parametrize("name", [pytest.param("a sample", marks=pytest.mark.slow), "images of one place"])
    def test_of_whole_images(self, lake: Path, tmp_path: Path, name: str) -> None:
        query = QUERIES[name](lake)
        query.copy_to(tmp_path / "small", images="whole")
        same(query, QUERIES[name](tmp_path / "small"))
        for path in query.plan().images.column("path").to_pylist():
            here, there = lake / path, tmp_path / "small" / path
            assert here.is_dir() == there.is_dir()
            if here.is_dir():
                assert content(there) == content(here)
            else:
                assert there.read_bytes() == here.read_bytes()
        assert [found for found in validate(tmp_path / "small", deep=True) if found.severity == "error"] == []

    def test_tables_alone_are_a_layer(self, lake: Path, tmp_path: Path) -> None:
        query = QUERIES["a sample"](lake)
        query.copy_to(tmp_path / "small", images="none")
        assert not list((tmp_path / "small").rglob("*.ome.zarr"))
        same(query, QUERIES["a sample"]([lake, tmp_path / "small"]))
        assert not check_lock(read_lock(tmp_path / "small/copy.lock.json"))

    def test_of_layers(self, lake: Path, tmp_path: Path) -> None:
        upper = tmp_path / "upper/alpha/metadata"
        upper.mkdir(parents=True)
        table = pd.read_parquet(lake / "alpha/metadata/tissues.parquet")
        table.assign(age=table["age"] + 1).to_parquet(upper / "tissues.parquet")
        query = QUERIES["a sample"]([lake, tmp_path / "upper"]).select("age")
        query.copy_to(tmp_path / "small")
        same(query, QUERIES["a sample"](tmp_path / "small").select("age"))

    @pytest.mark.slow
    def test_notes_and_licences_come_along(self, lake: Path, tmp_path: Path) -> None:
        QUERIES["one tissue"](lake).copy_to(tmp_path / "small")
        assert (tmp_path / "small/alpha/LICENSE").read_text() == "CC BY 4.0"
        assert (tmp_path / "small/alpha/metadata/dataset.json").is_file()


class TestTables:
    def test_rows_are_those_that_pandas_takes(self, lake: Path, tmp_path: Path) -> None:
        QUERIES["a sample"](lake).copy_to(tmp_path / "small")
        rows = QUERIES["a sample"](lake).df()
        for name in ("alpha", "beta"):
            own = rows[rows["dataset"] == name]
            for table in ("metadata/tissues", "metadata/cells", "imc/channels_per_tissue"):
                here = pd.read_parquet(lake / name / f"{table}.parquet")
                there = pd.read_parquet(tmp_path / "small" / name / f"{table}.parquet")
                ids = here["tissue_id"] if "tissue_id" in here else here.index.to_series()
                wanted = here[ids.isin(set(own["tissue_id"])).to_numpy()]
                if table == "metadata/tissues":
                    wanted = wanted[wanted["modality"] == "imc"]
                pd.testing.assert_frame_equal(
                    there.reset_index(drop=table.startswith("metadata")),
                    wanted.reset_index(drop=table.startswith("metadata")),
                )
            path = f"{name}/tiling/1_0mpp/default/32_tile_coordinates.parquet"
            chosen = set(zip(own["tissue_id"], own["tile_id"], strict=True))
            there = pd.read_parquet(tmp_path / "small" / path)
            assert set(zip(there["tissue_id"], there["tile_id"], strict=True)) == chosen

    @pytest.mark.parametrize(
        ("values", "texts"),
        [
            (["a", None], ["a", None]),
            ([12, 7], ["12", "7"]),
            ([170.0, float("nan"), 1.5, float("inf")], ["170", None, "1.5", "inf"]),
            (pd.Categorical(["b", "a"]), ["b", "a"]),
            ([True], None),
        ],
    )
    def test_identifiers_are_spelled_as_in_the_relations(self, values: Any, texts: list[str | None] | None) -> None:
        import pyarrow as pa

        found = _texts(pa.chunked_array([pa.array(values, from_pandas=False)]))
        assert texts == (None if found is None else found.to_pylist())

    @pytest.mark.slow
    def test_numbers_for_names(self, tmp_path: Path) -> None:
        root = write_lake(tmp_path / "lake", names=("alpha",))
        for number in range(4):
            for modality in ("imc", "he"):
                image = root / f"alpha/{modality}/1_0mpp/images/alpha_{number:04d}.ome.zarr"
                if image.is_dir():
                    image.rename(image.with_name(f"{number + 5}.ome.zarr"))
        for path in root.rglob("*.parquet"):
            table = pd.read_parquet(path)
            if "tissue_id" in table:
                numbers = table["tissue_id"].str[-4:].astype(float) + 5
                table.assign(tissue_id=numbers).to_parquet(path)
            elif str(table.index[0]).startswith("alpha"):
                table.set_axis([str(int(name[-4:]) + 5) for name in table.index]).to_parquet(path)
        query = tiles(root).where("tissue_id = '6'")
        query.copy_to(tmp_path / "small")
        same(query, tiles(tmp_path / "small").where("tissue_id = '6'"))
        with Catalog(tmp_path / "small") as catalog:
            assert catalog.sql("SELECT DISTINCT tissue_id FROM tile_coordinates").fetchall() == [("6",)]


@pytest.fixture
def by_plane(tmp_path: Path) -> Path:
    """Return a lake of one image whose chunks are one plane of 16 x 16 pixels; one chunk is absent."""
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    path = root / IMAGES / "alpha_0000.ome.zarr"
    shutil.rmtree(path)
    array = zarr.open_group(path, mode="w", zarr_format=3).create_array(
        "0", shape=(5, 96, 96), dtype="float32", chunks=(1, 16, 16), dimension_names=["c", "y", "x"]
    )
    array[:] = coordinates_image(5, 96, 96) + 1
    (path / "0/c/0/3/2").unlink()
    return root


class TestChunks:
    def test_only_those_that_tiles_and_channels_touch(self, by_plane: Path, tmp_path: Path) -> None:
        query = tiles(by_plane).channels(kind="uniprot_filtered").where('"row" = 32 AND col > 0').limit(1)
        (row, col) = query.df()[["row", "col"]].values.tolist()[0]
        query.copy_to(tmp_path / "small")
        folder = tmp_path / "small" / IMAGES / "alpha_0000.ome.zarr/0/c"
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        measured = {"CD3e": 1, "CD8": 2}
        assert sorted(query.to_torch()[0]["channel_names"]) == sorted(measured)
        wanted = {
            f"{page}/{r // 16}/{c // 16}"
            for page in measured.values()
            for r in range(row, row + 32)
            for c in range(col, col + 32)
        }
        assert found == wanted

    def test_an_absent_chunk_is_what_it_is_in_the_lake_and_one_left_out_an_error(
        self, by_plane: Path, tmp_path: Path
    ) -> None:
        path = by_plane / IMAGES / "alpha_0000.ome.zarr"
        query = tiles(by_plane).where('"row" = 32 AND col = 32')
        query.copy_to(tmp_path / "small")
        copied = open_image(tmp_path / "small" / IMAGES / path.name, missing_chunks="zeros")
        region = {"row": 32, "col": 32, "height": 32, "width": 32}
        expected = zarr.open_array(path / "0", mode="r")[:, 32:64, 32:64]
        assert (expected[0, 16:, :16] == 0).all()
        np.testing.assert_array_equal(read_region(copied, **region), expected)
        for choice in ("error", "zeros"):
            reader = open_image(copied.path, missing_chunks=choice)  # type: ignore[arg-type]
            with pytest.raises(ImageNotFoundError, match="was left out when the image was copied"):
                read_region(reader, row=0, col=0, height=32, width=32)
        with pytest.raises(ImageNotFoundError, match="downloaded in part"):
            read_region(open_image(copied.path), **region)
        assert zarr.open_group(copied.path, mode="r").attrs["spora_db"] == {"partial": {"empty": ["0/c/0/3/2"]}}

    def test_validation_reads_what_is_there(self, by_plane: Path, tmp_path: Path) -> None:
        tiles(by_plane).where('"row" = 64').copy_to(tmp_path / "small")
        assert {found.severity for found in validate(tmp_path / "small", deep=True)} <= {"note", "warning"}
        chunk = tmp_path / "small" / IMAGES / "alpha_0000.ome.zarr/0/c/1/4/1"
        chunk.write_bytes(chunk.read_bytes()[:-5])
        assert [found.rule for found in validate(tmp_path / "small", deep=True) if found.severity == "error"] == [
            "image_pixels"
        ]

    def test_a_broken_note_is_an_error(self, by_plane: Path, tmp_path: Path) -> None:
        document = by_plane / IMAGES / "alpha_0000.ome.zarr/zarr.json"
        told = json.loads(document.read_text())
        told["attributes"]["spora_db"] = {"partial": {"empty": 3}}
        document.write_text(json.dumps(told))
        with pytest.raises(FileFormatError, match=r"spora_db.partial is \{'empty': 3\}"):
            open_image(document.parent)


class TestCarryingOn:
    def test_a_copy_that_is_there_is_looked_at_and_left(self, lake: Path, tmp_path: Path) -> None:
        query = QUERIES["a sample"](lake)
        first = query.copy_to(tmp_path / "small")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*")}
        again = query.copy_to(tmp_path / "small")
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*")} == before
        assert (again.rows, again.files, again.bytes, again.brought) == (first.rows, first.files, first.bytes, 0)
        image = next((tmp_path / "small").rglob("*.ome.zarr/0/c/0/0/0"))
        image.write_bytes(image.read_bytes()[:-1])
        with pytest.raises(LockError, match="is not what it was"):
            query.copy_to(tmp_path / "small")

    def test_what_was_brought_is_not_brought_again(
        self, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from spora_db.copying import transfer

        real, seen = transfer._bring, list[str]()

        def stumbling(file: Any, folder: Path) -> Any:
            seen.append(file.name)
            if len(seen) == 12:
                raise WriteError("the disk is full")
            return real(file, folder)

        query = QUERIES["a sample"](lake)
        monkeypatch.setattr(transfer, "_bring", stumbling)
        monkeypatch.setattr(transfer, "AT_ONCE", 1)
        with pytest.raises(WriteError, match="the disk is full"):
            query.copy_to(tmp_path / "small")
        assert [path.name for path in tmp_path.iterdir()] == [".small.copying"]
        with (tmp_path / ".small.copying/journal").open("a") as journal:
            journal.write('["alpha/metad')
        begun = set(seen[:11])
        seen[:] = ["the line of the next file that is brought"] * 12
        query.copy_to(tmp_path / "small")
        assert len(begun) == 11
        assert not begun.intersection(seen)
        query.copy_to(tmp_path / "other")
        assert content(tmp_path / "small") == content(tmp_path / "other")

    def test_another_query_begins_anew(self, lake: Path, tmp_path: Path) -> None:
        rest = tmp_path / ".small.copying"
        (rest / "lake/alpha/imc").mkdir(parents=True)
        (rest / "lake/alpha/imc/rest.txt").write_text("of another query")
        (rest / "note.json").write_text("{}")
        QUERIES["one tissue"](lake).copy_to(tmp_path / "small")
        assert not (tmp_path / "small/alpha/imc/rest.txt").exists()

    @pytest.mark.slow
    def test_kills(self, lake: Path, tmp_path: Path) -> None:
        times = 30
        script = Path(__file__).with_name("killing_copies.py")
        done = subprocess.run(
            [sys.executable, script, lake, tmp_path, str(times), "1"], check=True, capture_output=True, text=True
        )
        seen = json.loads(done.stdout)
        assert seen["killed"] == times
        assert seen["half"] == seen["different"] == seen["left"] == []


class TestRefused:
    def test_no_rows(self, lake: Path, tmp_path: Path) -> None:
        with (
            pytest.warns(UserWarning, match="nobody"),
            pytest.raises(QueryError, match="selects no rows, so there is nothing to copy"),
        ):
            tiles(lake).where("cancer_type = 'nobody'").copy_to(tmp_path / "small")

    def test_something_else_is_there(self, lake: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/mine.txt").write_text("mine")
        for target in (tmp_path / "file", tmp_path / "folder", lake):
            with pytest.raises(WriteError, match="something else is there"):
                QUERIES["one tissue"](lake).copy_to(target)
        QUERIES["one tissue"](lake).copy_to(tmp_path / "small")
        with pytest.raises(WriteError, match="copy of another query"):
            QUERIES["a sample"](lake).copy_to(tmp_path / "small")
        assert (tmp_path / "folder/mine.txt").read_text() == "mine"

    def test_no_such_folder_around_it(self, lake: Path, tmp_path: Path) -> None:
        with pytest.raises(WriteError, match="there is no"):
            QUERIES["one tissue"](lake).copy_to(tmp_path / "no/such/small")

    def test_another_run(self, lake: Path, tmp_path: Path) -> None:
        with (
            lock_file(tmp_path / ".small.copying/run.lock"),
            pytest.raises(WriteError, match="another run does"),
        ):
            QUERIES["one tissue"](lake).copy_to(tmp_path / "small")
        QUERIES["one tissue"](lake).copy_to(tmp_path / "small")
        assert [path.name for path in tmp_path.iterdir()] == ["small"]

    def test_choices(self, lake: Path, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'whole'"):
            tiles(lake).copy_to(tmp_path / "small", images="wholes")  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="dry_run"):
            tiles(lake).copy_to(tmp_path / "small", dry_run="yes")  # type: ignore[arg-type]

    def test_rows_that_no_smaller_lake_gives(self, lake: Path, tmp_path: Path) -> None:
        counting = tiles(lake).where('"row" = 0 AND (SELECT count(*) FROM tiles) > 100')
        with pytest.raises(QueryError, match="rows that it does not select"):
            counting.copy_to(tmp_path / "small")
        fixed = SporaQuery.from_arrow(lake, counting.to_arrow()).modality("imc").tiles(size=32, mpp=1.0)
        fixed.copy_to(tmp_path / "small")
        with pytest.raises(QueryError, match=r"random\(\)"):
            tiles(lake).where("random() < 0.5").copy_to(tmp_path / "other")

    def test_a_feature_set_that_the_copy_would_not_have(self, lake: Path, tmp_path: Path) -> None:
        made = FeatureSet(
            name="own", dataset="alpha", grain="tile", columns=(EMBEDDING, SCORE), expected=9, state="complete",
            model="net", modalities=("imc",), mpp=1.0, strategy="default", tile_size=32, spec="identity",
        )  # fmt: skip
        write_features(tmp_path / "above/alpha", made, tiles(lake).where("dataset = 'alpha'").df())
        both = [lake, tmp_path / "above"]
        asked = tiles(both).join("own").where("own.score > 0")
        for query in (asked, tiles(both).where("tile_id IN (SELECT tile_id FROM feature('own') WHERE score > 0)")):
            with pytest.raises(QueryError, match="asks the feature set 'own', and a copy has none"):
                query.copy_to(tmp_path / "small")
        assert not (tmp_path / ".small.copying").exists()
        asked.copy_to(tmp_path / "layer", images="none")
        assert tiles([*both, tmp_path / "layer"]).join("own").where("own.score > 0").count() == asked.count()
        rows = SporaQuery.from_arrow(both, asked.select("score").to_arrow()).modality("imc").tiles(size=32, mpp=1.0)
        rows.where("score > 0").label("score").copy_to(tmp_path / "small")
        taken = SporaQuery.from_lock(tmp_path / "small/copy.lock.json").to_torch()
        assert (len(taken), "score" in taken[0]) == (asked.count(), True)

    def test_a_dry_run_writes_nothing(self, lake: Path, tmp_path: Path) -> None:
        told = QUERIES["a sample"](lake).copy_to(tmp_path / "small", dry_run=True)
        assert list(tmp_path.iterdir()) == []
        done = QUERIES["a sample"](lake).copy_to(tmp_path / "small")
        assert (told.files, told.bytes, told.left_out) == (done.files, done.bytes, done.left_out)
        assert str(told).startswith("Would copy 9 rows")
        lines = [path for path in (tmp_path / "small").rglob("*") if path.is_file() and path.suffix != ".parquet"]
        sizes = sum(path.stat().st_size for path in lines if path.parent != tmp_path / "small")
        assert sizes == done.bytes
        assert len(lines) - 2 == done.files


@pytest.fixture(scope="module")
def bucket(lake: Path) -> Iterator[Bucket]:
    with slow_bucket(lake.parent.parent) as server:
        yield server


@pytest.fixture
def remote(bucket: Bucket, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.001)
    bucket.set(fault="", list=1, latency=0)
    yield f"s3://{lake.parent.name}/lake"
    close_images()
    clear_cache()


class TestFromABucket:
    @pytest.mark.parametrize("name", [pytest.param("a sample", marks=pytest.mark.slow), "images of one place"])
    def test_it_is_the_copy_of_the_folder(self, lake: Path, remote: str, tmp_path: Path, name: str) -> None:
        QUERIES[name](lake).copy_to(tmp_path / "near")
        QUERIES[name](remote).copy_to(tmp_path / "far")
        near, far = content(tmp_path / "near"), content(tmp_path / "far")
        assert {path: data for path, data in near.items() if path != "copy.json"} == {
            path: data for path, data in far.items() if path != "copy.json"
        }
        same(QUERIES[name](lake), QUERIES[name](tmp_path / "far"))

    def test_faults_are_mended(self, bucket: Bucket, remote: str, lake: Path, tmp_path: Path) -> None:
        bucket.set(fault="503x2")
        QUERIES["one tissue"](remote).copy_to(tmp_path / "small", images="whole")
        bucket.set(fault="")
        same(QUERIES["one tissue"](lake), QUERIES["one tissue"](tmp_path / "small"))

    def test_an_object_that_changes_meanwhile(self, remote: str, lake: Path, tmp_path: Path) -> None:
        from spora_db.copying import transfer

        chunk = locate(lake, IMAGES) / "alpha_0001.ome.zarr/0/c/0/0/0"
        before = chunk.read_bytes()
        from spora_db.copying.places import files_below

        with Catalog(remote):
            pass
        from spora_db.layout import layers

        image = layers(remote)[0] / IMAGES / "alpha_0001.ome.zarr"
        open_image(image)
        listed = list(files_below(image, name="image"))
        try:
            chunk.write_bytes(before + b"x")
            with pytest.raises(SporaError, match=r"written again|is another"):
                transfer.bring(listed, tmp_path / "here", journal=tmp_path / "journal")
        finally:
            chunk.write_bytes(before)
        assert not (tmp_path / "here/image/0/c/0/0/0").exists()

    def test_into_a_bucket(self, remote: str, lake: Path) -> None:
        from spora_db.layout import layers

        with pytest.raises(WriteError, match="is not written to"):
            QUERIES["one tissue"](lake).copy_to(layers(remote)[0] / "small")


class TestCommand:
    def test_ways_to_say_which_rows(self, lake: Path, tmp_path: Path) -> None:
        runner = CliRunner()
        options = ["--modality", "imc", "--mpp", "1.0", "--tile-size", "32", "--where", "age > 50", "--limit", "5"]
        told = runner.invoke(app, ["copy", str(lake), str(tmp_path / "a"), *options])
        assert told.exit_code == 0, told.output
        assert told.output.startswith("Copied 5 rows")
        query = tiles(lake).where("age > 50").limit(5)
        same(query, SporaQuery.from_lock(tmp_path / "a/copy.lock.json"))
        query.lock(tmp_path / "lock.json")
        told = runner.invoke(
            app, ["copy", str(lake), str(tmp_path / "b"), "--lock", str(tmp_path / "lock.json"), "--quiet"]
        )
        assert (told.exit_code, told.output) == (0, "")
        assert content(tmp_path / "a") == content(tmp_path / "b")
        (tmp_path / "rows.sql").write_text("SELECT dataset, tissue_id FROM tissues WHERE age = 60;")
        told = runner.invoke(
            app,
            [
                "copy",
                str(lake),
                str(tmp_path / "c"),
                "--query",
                str(tmp_path / "rows.sql"),
                "--modality",
                "imc",
                "--dry-run",
            ],
        )
        assert told.output.startswith("Would copy 2 rows")
        assert not (tmp_path / "c").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "Say which rows"),
            (["--lock", "a.json", "--mpp", "1.0"], "--lock says all"),
            (["--query", "no-such.sql", "--modality", "imc"], "cannot be read"),
        ],
    )
    def test_what_cannot_be_told(self, lake: Path, tmp_path: Path, options: list[str], message: str) -> None:
        told = CliRunner().invoke(app, ["copy", str(lake), str(tmp_path / "a"), *options])
        assert isinstance(told.exception, ArgumentError)
        assert message in str(told.exception)
