"""A lake in a bucket gives what its copy in a folder gives; what the network does wrong is mended, or an error."""

import errno
import os
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from http_servers import Bucket, scripted, slow_bucket
from lakes import write_lake
from spora_db import Catalog, SporaDataset, SporaQuery
from spora_db.cli import app
from spora_db.errors import ArgumentError, FileFormatError, StoreError, WriteError
from spora_db.files.stores import credentials, granules, http, mirror, ranged, so_far
from spora_db.files.stores.granules import GRANULE, Granules
from spora_db.files.stores.kept import kept_bytes_limit, trim
from spora_db.images import clear_cache, close_images, open_image, read_region, write_ometiff
from spora_db.jobs import standardize_lake, tile_lake
from spora_db.layout import layers
from spora_db.lock.locking import check_lock, make_lock
from spora_db.masks import load_tissue_mask
from spora_db.standardization.specs import parse_spec
from spora_db.tiling import TilingParameters
from spora_db.validation import validate

SPEC = "quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    lake = write_lake(folder / "b/lake")
    masks = lake / "alpha/segmentations/1_0mpp/tissue_masks"
    masks.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(3)
    for number in range(4):
        np.savez_compressed(masks / f"alpha_{number:04d}.npz", mask=draw.random((96, 96)) < 0.9)
    folder_of_tiff = lake / "gamma/he/1_0mpp/images"
    folder_of_tiff.mkdir(parents=True)
    pixels = draw.integers(0, 255, (3, 300, 500), np.uint8)
    write_ometiff(folder_of_tiff / "gamma_0000.ome.tiff", pixels, mpp=1.0)
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Read the bucket with a new cache."""
    bucket.set(fault="", list=1, latency=0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    close_images()
    clear_cache()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.001)


REMOTE = "s3://b/lake"


def flat(bucket: Bucket) -> Path:
    return bucket.folder / "b/lake"


def query(lake: object) -> SporaQuery:
    asked = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)  # type: ignore[arg-type]
    return asked.channels(kind="complete").standardize(SPEC)


def in_new_process() -> None:
    """Forget what this process knows of remote lakes, but not what is on the disk."""
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()
    ranged.SINCE.clear()


def same_samples(one: SporaQuery, other: SporaQuery) -> None:
    left, right = one.to_torch(), other.to_torch()
    assert len(left) == len(right) > 0
    for number in range(len(left)):
        assert (left[number]["image"] == right[number]["image"]).all()


class TestSameAsAFolder:
    def test_every_relation(self, bucket: Bucket) -> None:
        with Catalog(flat(bucket)) as local, Catalog(REMOTE) as remote:
            assert repr(remote).startswith("Catalog('s3://b/lake': alpha")
            for relation in local.relations:
                names = ", ".join(f'"{name}"' for name in local.columns(relation) if name != "root")
                text = f"SELECT {names} FROM {relation} ORDER BY ALL"
                assert remote.sql(text).to_arrow_table().equals(local.sql(text).to_arrow_table()), relation
            assert remote.sql("SELECT DISTINCT root FROM images").fetchall() == [(REMOTE,)]

    def test_a_script_for_spark_names_the_same_files(self, bucket: Bucket) -> None:
        with Catalog(flat(bucket)) as local, Catalog(REMOTE) as remote:
            scripts = [catalog.ddl(dialect="spark", location="s3a://b/lake") for catalog in (local, remote)]
            own = remote.ddl(dialect="spark")
        assert scripts[0] == scripts[1]
        named = [re.findall("`parquet`[.]`([^`]*)`", script) for script in (scripts[0], own)]
        assert named[0] == named[1] != []

    def test_plans_samples_and_a_second_epoch_without_a_request(self, bucket: Bucket) -> None:
        local, remote = query(flat(bucket)), query(REMOTE)
        assert remote.plan().hash == local.plan().hash
        assert remote.plan().lake == REMOTE
        same_samples(local, remote)
        bucket.set()
        clear_cache()
        same_samples(local, remote)
        counted = bucket.set()
        assert counted["get"] == counted["head"] == 0

    def test_a_second_run_reads_no_pixel_again(self, bucket: Bucket) -> None:
        same_samples(query(flat(bucket)), query(REMOTE))
        in_new_process()
        bucket.set()
        same_samples(query(flat(bucket)), query(REMOTE))
        first = bucket.set()["bytes"]
        in_new_process()
        shutil.rmtree(next(Path(os.environ["SPORA_CACHE_DIR"]).glob("lakes/*/notes")))
        bucket.set()
        same_samples(query(flat(bucket)), query(REMOTE))
        assert first < bucket.set()["bytes"] / 2

    def test_a_bucket_of_googles_interface(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GS_ENDPOINT_URL", bucket.address)
        same_samples(query(flat(bucket)), query("gs://b/lake"))

    def test_credentials_are_looked_for_once(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        looked: list[object] = []
        monkeypatch.setattr(credentials, "amazon", lambda found=credentials.amazon: looked.append(found) or found())
        same_samples(query(flat(bucket)), query(REMOTE))
        assert len(looked) == 1

    def test_masks_tiffs_and_lattices_of_bytes(self, bucket: Bucket) -> None:
        root = layers(REMOTE)[0]
        with Catalog(REMOTE):
            pass
        name = "gamma/he/1_0mpp/images/gamma_0000.ome.tiff"
        near, far = open_image(flat(bucket) / name), open_image(root / name)
        assert far.shape == near.shape
        for row, col in ((0, 0), (130, 250), (290, 490)):
            part = {"row": row, "col": col, "height": 10, "width": 10}
            assert (read_region(near, **part) == read_region(far, **part)).all()
        mask = "alpha/segmentations/1_0mpp/tissue_masks/alpha_0000.npz"
        assert (load_tissue_mask(root / mask) == load_tissue_mask(flat(bucket) / mask)).all()

    @pytest.mark.slow
    def test_validation(self, bucket: Bucket) -> None:
        found = {(item.rule, item.file) for item in validate(REMOTE, deep=True)}
        assert found == {(item.rule, item.file) for item in validate(flat(bucket), deep=True)}

    @pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    def test_workers(self, bucket: Bucket, method: str) -> None:
        local, remote = query(flat(bucket)).to_torch(), query(REMOTE).to_torch()
        remote[0]  # sockets are open in the parent
        loader = remote.loader(batch_size=9, num_workers=2, start_method=method)  # type: ignore[arg-type]
        for left, right in zip(local.loader(batch_size=9), loader, strict=True):
            assert (left["image"] == right["image"]).all()

    def test_a_lock_holds_for_both(self, bucket: Bucket) -> None:
        lock = make_lock(REMOTE, query(REMOTE).selection)
        assert lock.lake == REMOTE
        assert lock.rows == query(flat(bucket)).count()
        assert not check_lock(lock)

    @pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_a_lock_of_images_that_nobody_has_read(self, bucket: Bucket, whole: bool) -> None:
        here, there = (
            make_lock(root, query(root).selection, images=True, whole=whole) for root in (flat(bucket), REMOTE)
        )
        assert here.images
        assert there.images
        told = [{name: (own.size, own.digest) for name, own in lock.images.items()} for lock in (here, there)]
        assert told[0] == told[1]
        chunk = next(path for path in (flat(bucket) / next(iter(here.images))).glob("0/c/**/*") if path.is_file())
        before = chunk.read_bytes()
        try:
            chunk.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            in_new_process()
            assert check_lock(there)
        finally:
            chunk.write_bytes(before)


QUERIES: dict[str, Callable[[SporaQuery], SporaQuery]] = {
    "tiles": lambda lake: lake.modality("imc").tiles(size=32, mpp=1.0).standardize(SPEC),
    "where and split": lambda lake: lake.modality("imc").tiles(size=32, mpp=1.0).where("split = 'train' AND age > 45"),
    "sample": lambda lake: lake.modality("imc").tiles(size=32, mpp=1.0).sample(7, by="dataset", seed=3),
    "require": lambda lake: lake.modality("imc").tissues(mpp=1.0).channels(kind="complete", require=["CD3e"]),
    "kind": lambda lake: lake.modality("imc").tiles(size=32, mpp=1.0).channels(kind="uniprot_filtered").limit(5),
    "windows": lambda lake: lake.modality("imc").windows(size=40, stride=30, mpp=1.0).limit(6),
    "tissues of he": lambda lake: lake.modality("he").tissues(mpp=1.0).standardize("imagenet"),
    "two modalities": lambda lake: lake.modality(("he", "imc")).tiles(size=32, mpp=1.0).limit(6),
    "masks": lambda lake: lake.modality("imc").where("dataset = 'alpha'").tissues(mpp=1.0).with_masks("tissue"),
    "label": lambda lake: lake.modality("imc").tiles(size=32, mpp=1.0).label("cancer_type").limit(6),
}


def bits(value: object) -> object:
    """Return a value of a sample or of an attribute so that equal means equal to the last bit."""
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    if isinstance(value, torch.Tensor | np.ndarray):
        return str(value.dtype), value.shape, np.asarray(value).tobytes()
    return repr(value)


class TestEverySetting:
    """The same list of queries, loaders and classes gives the same on a folder and on a bucket."""

    @pytest.mark.some(3)
    @pytest.mark.parametrize("name", QUERIES)
    def test_queries(self, bucket: Bucket, name: str) -> None:
        local, remote = (QUERIES[name](SporaQuery(lake)) for lake in (flat(bucket), REMOTE))
        assert remote.to_arrow().equals(local.to_arrow())
        near, far = local.to_torch(), remote.to_torch()
        assert (far.plan.hash, far.plan.rows_hash, len(far)) == (near.plan.hash, near.plan.rows_hash, len(near))
        assert len(near) > 0
        for number in range(0, len(near), 3):
            assert bits(far[number]) == bits(near[number])

    @pytest.mark.some(2)
    @pytest.mark.parametrize("given", [{"dtype": "float16"}, {"missing_chunks": "zeros"}], ids=str)
    def test_loaders(self, bucket: Bucket, given: dict[str, Any]) -> None:
        near, far = (query(lake).to_torch(**given).loader(batch_size=20) for lake in (flat(bucket), REMOTE))
        for left, right in zip(near, far, strict=True):
            assert bits(right) == bits(left)

    def test_published_classes(self, bucket: Bucket) -> None:
        found = []
        for lake in (flat(bucket), REMOTE):
            keywords = {"imc": {"standardization": SPEC}}
            rows = SporaDataset(["alpha", "beta"], datasets_dir=lake, tile_size=32, modality_kwargs=keywords)
            imc = rows.get_dataset("alpha").get_dataset("imc")
            mask = imc.get_tissue_mask("alpha_0001").mask
            tables = [frame.to_csv() for frame in (rows.tile_index, imc.tissue_metadata, imc.channel_list)]
            pixels = [bits(part.image) for part in rows[5]["modalities"].values()]
            found.append((tables, bits(mask), pixels, bits(imc.get_tissue("alpha_0000").image)))
        assert found[0] == found[1]


class TestLayers:
    def test_what_is_made_of_a_bucket_goes_to_a_folder_over_it(self, bucket: Bucket, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        mine.mkdir()
        before = sorted(path for path in bucket.folder.rglob("*"))
        parameters = TilingParameters(tile_size=48, strategy="grid_48")
        assert tile_lake([REMOTE, mine], mpp=1.0, parameters=parameters, dataset="alpha").written
        spec = parse_spec("quantile_clipping/uq_0.95_image")
        assert standardize_lake([REMOTE, mine], modality="imc", mpp=1.0, spec=spec, dataset="alpha").written
        assert sorted(path for path in bucket.folder.rglob("*")) == before
        text = f"{REMOTE}{os.pathsep}{mine}"
        assert layers(text) == layers([REMOTE, mine])
        asked = SporaQuery(text).modality("imc").tiles(size=48, mpp=1.0, strategy="grid_48")
        assert asked.standardize("quantile_clipping/uq_0.95_image").to_torch()[0]["image"].shape[1:] == (48, 48)

    def test_a_bucket_is_not_written_to(self) -> None:
        with pytest.raises(WriteError, match=r"s3://b/lake is not written to\. .*--into mine.* aws s3 sync"):
            tile_lake(REMOTE, mpp=1.0, parameters=TilingParameters(tile_size=48))

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("s3://b/l:/me", ["s3://b/l", "/me"]),
            ("/me:s3://b/l", ["/me", "s3://b/l"]),
            ("https://host:80/l:rel", ["https://host:80/l", "rel"]),
            ("http://host/l:80", ["http://host/l", "80"]),
            ("gs://b/l:hf://datasets/a/b", ["gs://b/l", "hf://datasets/a/b"]),
            ("a:b", ["a", "b"]),
        ],
    )
    def test_a_text_of_layers_has_addresses_whole(self, text: str, parts: list[str]) -> None:
        expected = tuple(mirror.mirror(part).tree if "://" in part else Path(part) for part in parts)
        assert layers(text) == expected
        assert layers(Path(text)) == expected


def gone(*_: object, **__: object) -> Any:
    raise StoreError("gone")


def test_credentials_that_are_looked_for_keep_no_other_copy_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a child would wait which is forked meanwhile, for a thread that it does not have."""
    copies = [mirror.mirror(f"s3://b/{name}") for name in ("lake", "other")]
    opened = list[str]()

    def look(address: str) -> str:
        if address.endswith("lake"):
            other = threading.Thread(target=lambda: copies[1].store, daemon=True)
            other.start()
            other.join(10)
        opened.append(address)
        return address

    monkeypatch.setattr(mirror, "open_store", look)
    assert copies[0].store == copies[0].store == "s3://b/lake"
    assert opened == ["s3://b/other", "s3://b/lake"]


class TestFaults:
    @pytest.mark.some(2)
    @pytest.mark.parametrize("fault", ["503", "reset", "cut", "ignore"])
    def test_every_second_answer_is_bad(self, bucket: Bucket, impatient: None, fault: str) -> None:
        bucket.set(fault=f"{fault}x2")
        same_samples(query(REMOTE), query(flat(bucket)))
        assert bucket.set(fault="")["faults"] > 0

    def test_a_file_that_is_written_anew_is_refused_and_then_read_anew(self, bucket: Bucket) -> None:
        lake = bucket.folder / "b/changing"
        shutil.copytree(flat(bucket), lake)
        file = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr/more"
        file.write_bytes(b"1" * 100_000)
        copy = mirror.mirror("s3://b/changing")
        path = f"{copy.tree}/{file.relative_to(lake)}"
        assert copy.read(path, 0, 10) == b"1" * 10
        file.with_name("new").write_bytes(b"2" * 100_000)
        file.with_name("new").replace(file)
        assert copy.read(path, 5, 10) == b"1" * 10
        with pytest.raises(FileFormatError, match=r"s3://b/changing/.*/more was written again"):
            copy.read(path, 90_000, 10)
        in_new_process()
        copy = mirror.mirror("s3://b/changing")
        assert copy.read(path, 0, 10) + copy.read(path, 90_000, 10) == b"2" * 20

    def test_a_table_that_is_written_anew_is_fetched_at_the_next_opening(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = bucket.folder / "b/tables"
        shutil.copytree(flat(bucket), lake)
        with Catalog("s3://b/tables") as catalog:
            assert catalog.sql("SELECT count(*) > 0 FROM cells").fetchall() == [(False,)]
        shutil.copy(lake / "alpha/metadata/tissues.parquet", lake / "beta/metadata/tissues.parquet")
        (lake / "gamma/metadata").mkdir()
        (lake / "alpha/he/1_0mpp/images").rename(lake / "alpha/he/1_0mpp/other")
        monkeypatch.setattr(mirror, "FRESH", 0.0)
        with Catalog("s3://b/tables") as remote, Catalog(lake) as local:
            for text in ("SELECT * FROM tissues ORDER BY ALL", "SELECT path FROM images ORDER BY ALL"):
                assert remote.sql(text).fetchall() == local.sql(text).fetchall()

    def test_a_table_that_could_not_be_fetched_anew_is_asked_for_again(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake, name = bucket.folder / "b/again", "alpha/metadata/tissues.parquet"
        shutil.copytree(flat(bucket), lake)
        copy = mirror.mirror("s3://b/again")
        copy.refresh(listed=True)
        copy.fetch([copy.tree / name])
        shutil.copy(lake / "beta/metadata/tissues.parquet", lake / name)
        with monkeypatch.context() as patch:  # listed, but no table comes
            patch.setattr(type(copy.store), "read_whole", gone)
            with pytest.raises(StoreError, match="gone"):
                copy.refresh(listed=True)
        copy.refresh(listed=True)
        assert (copy.tree / name).read_bytes() == (lake / name).read_bytes()

    def test_a_table_that_another_process_fetched_before_it_changed(self, bucket: Bucket) -> None:
        lake, name = bucket.folder / "b/others", "delta/metadata/tissues.parquet"
        shutil.copytree(flat(bucket), lake)
        mine = mirror.mirror("s3://b/others")
        mine.refresh(listed=True)
        (lake / name).parent.mkdir(parents=True)
        shutil.copy(lake / "alpha/metadata/tissues.parquet", lake / name)
        other = mirror.Mirror(mine.folder)
        other.refresh(listed=True)
        other.fetch([other.tree / name])
        shutil.copy(lake / "beta/metadata/tissues.parquet", lake / name)
        mine.refresh(listed=True)
        mine.fetch([mine.tree / name])
        assert (mine.tree / name).read_bytes() == (lake / name).read_bytes()

    def test_a_full_disk_costs_speed_alone(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = query(REMOTE).to_torch()

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(granules.os, "pwrite", full)
        local = query(flat(bucket)).to_torch()
        assert all((asked[number]["image"] == local[number]["image"]).all() for number in range(5))

    @pytest.mark.parametrize(
        ("root", "said"), [("s3://nothing/lake", "nothing lies there"), ("s3://b/nothing", "nothing lies there")]
    )
    def test_nothing_is_there(self, root: str, said: str) -> None:
        with pytest.raises(StoreError, match=said):
            Catalog(root)

    def test_a_portal_in_place_of_the_bucket(self, monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
        with scripted(lambda asked: (200, {}, b"<html>Log in</html>")) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            with pytest.raises(StoreError, match="no list of a bucket"):
                Catalog("s3://b/other")


def test_a_command_tells_how_far_a_listing_is(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(so_far, "TOLD", 0.0)
    told = CliRunner().invoke(app, ["info", REMOTE])
    assert told.exit_code == 0, told.output
    assert f"spora-db: Listing {REMOTE}: 2 folders so far, now alpha" in told.stderr
    assert "spora-db: Listing lake/alpha/metadata/ in b: 1 names so far" in told.stderr
    assert "Listing" not in told.stdout


class TestKept:
    def test_the_command_tells_and_clears_what_is_kept(self, bucket: Bucket, cache: Path) -> None:
        same_samples(query(REMOTE), query(flat(bucket)))
        mine = cache / "lakes/mine"
        mine.mkdir()
        (mine / "notes.txt").touch()
        told = CliRunner().invoke(app, ["cache", "info"])
        assert told.exit_code == 0, told.output
        assert told.stdout.startswith(f"{REMOTE}: ")
        wrong = CliRunner().invoke(app, ["cache", "clear", "s3://b/typo"])
        assert isinstance(wrong.exception, ArgumentError)
        assert REMOTE in str(wrong.exception)
        told = CliRunner().invoke(app, ["cache", "clear", REMOTE])
        assert told.exit_code == 0, told.output
        assert sorted(path.name for path in (cache / "lakes").iterdir()) == ["mine"]
        in_new_process()
        same_samples(query(REMOTE), query(flat(bucket)))

    def test_images_opened_longest_ago_leave_first(self, tmp_path: Path) -> None:
        (tmp_path / "one/notes").mkdir(parents=True)
        (tmp_path / "one/address").write_text("s3://b/one", encoding="utf-8")
        for number in range(4):
            (tmp_path / f"one/notes/{number}.data").write_bytes(b"1" * 40_960)
            (tmp_path / f"one/notes/{number}.sums").touch()
            os.utime(tmp_path / f"one/notes/{number}.sums", (1_000 - number, 1_000 - number))
        (tmp_path / "other.data").write_bytes(b"1" * 40_960)
        trim(tmp_path, 2 * 40_960)
        assert sorted(path.name for path in tmp_path.rglob("*.data")) == ["0.data", "1.data", "other.data"]

    def test_an_epoch_under_a_limit_below_what_it_reads(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ranged, "TRIMMED", 1)
        monkeypatch.setenv("SPORA_CACHE_BYTES", "1")
        same_samples(query(REMOTE), query(flat(bucket)))
        monkeypatch.setenv("SPORA_CACHE_BYTES", "20 GB")
        with pytest.raises(ArgumentError, match="SPORA_CACHE_BYTES='20 GB' is no number of bytes"):
            kept_bytes_limit()


class TestGranules:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 40_000), st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 20_000)), max_size=8))
    def test_every_range_is_right_and_no_granule_is_fetched_twice(
        self, tmp_path_factory: pytest.TempPathFactory, size: int, ranges: list[tuple[int, int]]
    ) -> None:
        folder, content = tmp_path_factory.mktemp("granules"), random.Random(size).randbytes(size)
        fetched: list[tuple[int, int]] = []

        def fetch(spans: object) -> list[bytes]:
            fetched.extend(spans)  # type: ignore[arg-type]
            return [content[start : start + length] for start, length in spans]  # type: ignore[attr-defined]

        for kept in (Granules(folder / "data", folder / "sums", size) for _ in range(2)):
            for offset, length in ranges:
                offset, end = min(offset, size), min(offset + length, size)
                assert kept.read(offset, end - offset, fetch=fetch) == content[offset:end]
        numbers = [
            number for start, length in fetched for number in range(start // GRANULE, -(-(start + length) // GRANULE))
        ]
        assert len(numbers) == len(set(numbers))

    def test_what_a_power_cut_has_lost_is_fetched_anew(self, tmp_path: Path) -> None:
        content = random.Random(1).randbytes(10_000)

        def fetch(spans: object) -> list[bytes]:
            return [content[start : start + length] for start, length in spans]  # type: ignore[attr-defined]

        Granules(tmp_path / "data", tmp_path / "sums", 10_000).read(0, 10_000, fetch=fetch)
        with (tmp_path / "data").open("r+b") as file:
            file.seek(5_000)
            file.write(bytes(100))
        assert Granules(tmp_path / "data", tmp_path / "sums", 10_000).read(0, 10_000, fetch=fetch) == content


def read_until_killed(folder: Path, content: bytes, seed: int) -> None:
    """Read at random for ever."""
    draw = random.Random(seed)
    kept = Granules(folder / "data", folder / "sums", len(content))
    while True:
        offset = draw.randrange(len(content))
        kept.read(offset, 1, fetch=lambda spans: [content[start : start + length] for start, length in spans])


@pytest.mark.parametrize("count", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_writers_that_are_killed_leave_no_wrong_granule(tmp_path: Path, count: int) -> None:
    import multiprocessing

    content = random.Random(2).randbytes(4_000_000)
    context, draw = multiprocessing.get_context("fork"), random.Random(0)
    for seed in range(count):
        child = context.Process(target=read_until_killed, args=(tmp_path, content, seed))
        child.start()
        child.join(draw.random() * 0.05)
        child.kill()
        child.join()
        kept = Granules(tmp_path / "data", tmp_path / "sums", len(content))
        assert kept.read(0, len(content), fetch=lambda spans: [content[a : a + n] for a, n in spans]) == content
        os.truncate(tmp_path / "sums", 0)
