"""A manifest beside a lake: what lies in it is told without a listing, and what it tells wrongly is an error."""

import hashlib
import itertools
import json
import os
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from http_servers import Asked, Bucket, scripted, slow_bucket
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.errors import AbsentObjectError, FileFormatError, StoreError, WriteError
from spora_db.files.stores import mirror, ranged
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.manifest import BESIDE, FileEntry, ManifestRow, manifest_table, read_manifest
from spora_db.files.writing import atomic_path
from spora_db.images import clear_cache, close_images, write_ometiff
from spora_db.jobs.indexing import index_images

SPEC = "quantile_clipping/uq_0.99_image"
OPENED = 10
"""Requests that opening may take."""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    lake = write_lake(folder / "b/lake")
    draw = np.random.default_rng(3)
    masks = lake / "alpha/segmentations/1_0mpp/tissue_masks"
    masks.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        np.savez_compressed(masks / f"alpha_{number:04d}.npz", mask=draw.random((96, 96)) < 0.9)
    (lake / "gamma/he/1_0mpp/images").mkdir(parents=True)
    pixels = draw.integers(0, 255, (3, 300, 500), np.uint8)
    write_ometiff(lake / "gamma/he/1_0mpp/images/gamma_0000.ome.tiff", pixels, mpp=1.0)
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
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
def copied(bucket: Bucket, tmp_path: Path) -> Callable[[str], Path]:
    """Copy the lake to a bucket's folder of a name, with the times of its files, as an upload would not."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(bucket.folder / "b/lake", bucket.folder / "b" / name))

    return copy


def uploaded(source: Path, target: Path) -> Path:
    """Copy a lake as an upload does: bytes and names, no times."""
    return Path(shutil.copytree(source, target, copy_function=shutil.copyfile))


def query(lake: object) -> SporaQuery:
    asked = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)  # type: ignore[arg-type]
    return asked.channels(kind="complete").standardize(SPEC)


def in_new_process() -> None:
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()


def same_samples(one: SporaQuery, other: SporaQuery) -> None:
    left, right = one.to_torch(), other.to_torch()
    assert len(left) == len(right) > 0
    for number in range(len(left)):
        assert (left[number]["image"] == right[number]["image"]).all()


def requests(counted: dict[str, int]) -> int:
    return counted["get"] + counted["head"] + counted["list"]


def rows(lake: object, relation: str) -> list[tuple[object, ...]]:
    with Catalog(lake) as catalog:  # type: ignore[arg-type]
        names = ", ".join(f'"{name}"' for name in catalog.columns(relation) if name != "root")
        return list(catalog.sql(f"SELECT {names} FROM {relation} ORDER BY ALL").fetchall())


class TestOpening:
    @pytest.mark.some(2)
    @pytest.mark.parametrize("scheme", ["s3", "http"])
    def test_a_lake_that_was_indexed_before_its_upload(
        self, bucket: Bucket, copied: Callable[[str], Path], scheme: str
    ) -> None:
        local = copied(f"{scheme}_local")
        index_images(local, beside=True)
        uploaded(local, bucket.folder / f"b/{scheme}_remote")
        remote = {"s3": "s3://b", "http": f"{bucket.address}/b"}[scheme] + f"/{scheme}_remote"
        bucket.set(list=0)
        with Catalog(remote) as catalog:
            assert catalog.sql("SELECT count(*) FROM images").fetchall()[0][0] > 0
            counted = bucket.set()
            assert requests(counted) <= 2 < OPENED
            catalog.sql("SELECT count(*) FROM tiles").fetchall()
            assert requests(bucket.set()) <= OPENED
            relations = catalog.relations
        for relation in relations:
            assert rows(remote, relation) == rows(local, relation), relation
        same_samples(query(remote), query(local))

    def test_what_is_forgotten_of_files_is_read_again_from_the_copy(
        self, bucket: Bucket, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        local = copied("few_local")
        index_images(local, beside=True)
        uploaded(local, bucket.folder / "b/few_remote")
        monkeypatch.setattr(mirror, "KNOWN", 2)
        monkeypatch.setattr(ranged, "KNOWN", 2)
        for _ in range(2):
            in_new_process()
            bucket.set()
            same_samples(query("s3://b/few_remote"), query(local))
        assert bucket.set()["get"] == 0
        assert len(mirror.mirror("s3://b/few_remote").files._known) <= 2

    def test_a_lake_is_listed_while_all_threads_of_the_network_ask_what_files_are(
        self, bucket: Bucket, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each waited for the other for ever: the listing for threads, they for the lock of the listing."""
        local = copied("busy")
        index_images(local, beside=True)
        images = [path for path in read_manifest(local / BESIDE)._paths.to_pylist() if path.endswith(".zarr")]
        query("s3://b/busy").plan()
        busy, learn = mirror.mirror("s3://b/busy"), mirror.lake_listing

        def listed(*given: Any, **options: Any) -> Any:
            asked = [NETWORK.threads().submit(partial(busy.states, [busy.tree / path])) for path in images]
            assert [future.result(timeout=20) for future in asked] == [[None]] * len(images)
            return learn(*given, **options)

        monkeypatch.setattr(mirror, "lake_listing", listed)
        busy.refresh(listed=True)

    def test_a_part_of_a_lake_that_was_indexed_before_its_upload_is_copied(
        self, bucket: Bucket, copied: Callable[[str], Path], tmp_path: Path
    ) -> None:
        local = copied("part_local")
        index_images(local, beside=True)
        uploaded(local, bucket.folder / "b/part_remote")
        few = query(f"{bucket.address}/b/part_remote").limit(3)
        report = few.copy_to(tmp_path / "few")
        assert report.written
        assert list((tmp_path / "few").rglob("*.npz"))
        same_samples(SporaQuery.from_lock(tmp_path / "few/copy.lock.json"), few)

    def test_an_image_is_opened_without_a_request(self, bucket: Bucket, copied: Callable[[str], Path]) -> None:
        local = copied("opened")
        index_images(local, beside=True)
        with Catalog("s3://b/opened") as catalog:
            images = catalog.sql("SELECT * FROM images WHERE height IS NOT NULL").to_arrow_table()
        assert len(images) == len(rows(local, "images"))
        bucket.set()
        for path in images.column("path").to_pylist():
            from spora_db.images import image_header
            from spora_db.layout import locate

            image_header(locate("s3://b/opened", path)) if path.endswith(".zarr") else None
        assert requests(bucket.set()) == 0

    def test_a_second_run_asks_whether_the_manifest_is_the_same_and_nothing_else(
        self, bucket: Bucket, copied: Callable[[str], Path]
    ) -> None:
        index_images(copied("again"), beside=True)
        first = query("s3://b/again").plan()
        in_new_process()
        bucket.set()
        assert query("s3://b/again").plan().hash == first.hash
        assert requests(bucket.set()) == 1

    def test_a_bucket_that_is_indexed_into_a_layer(
        self, bucket: Bucket, copied: Callable[[str], Path], tmp_path: Path
    ) -> None:
        local, mine = copied("versions"), tmp_path / "mine"
        mine.mkdir()
        report = index_images(["s3://b/versions", mine], beside=True)
        assert report.path == mine / BESIDE
        assert not report.problems
        entry = read_manifest(report.path).entry("alpha/imc/1_0mpp/images/alpha_0000.ome.zarr")
        assert entry is not None
        assert {file.etag is not None for file in entry.files} == {True}
        assert entry.layer == "s3://b/versions"
        in_new_process()
        bucket.set()
        with Catalog(["s3://b/versions", mine]) as catalog:
            unknown = "SELECT count(*) FROM images WHERE height IS NULL"
            assert catalog.sql(unknown).fetchall() == [(0,)]
        assert requests(bucket.set()) == 0
        uploaded(mine / ".spora-db", local / ".spora-db")
        in_new_process()
        bucket.set(list=0)
        same_samples(query("s3://b/versions"), query(local))
        assert bucket.set()["list"] == 0
        shutil.copytree(local, bucket.folder / "b/moved")  # to another bucket, where versions are others
        in_new_process()
        same_samples(query("s3://b/moved"), query(local))

    def test_a_new_index_of_a_lake_with_a_manifest_tells_what_was_added(
        self, bucket: Bucket, copied: Callable[[str], Path], tmp_path: Path
    ) -> None:
        local, mine = copied("grown"), tmp_path / "mine"
        mine.mkdir()
        index_images(local, beside=True)
        images = local / "alpha/imc/1_0mpp/images"
        shutil.copytree(images / "alpha_0000.ome.zarr", images / "new.ome.zarr")
        assert len(rows("s3://b/grown", "images")) + 1 == len(rows(local, "images"))
        index_images(["s3://b/grown", mine], beside=True)
        with Catalog(["s3://b/grown", mine]) as catalog:
            assert catalog.sql("SELECT count(*) FROM images WHERE tissue_id = 'new'").fetchall() == [(1,)]


def change(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


TABLE, IMAGE, SHARD = (
    "alpha/metadata/tissues.parquet",
    "gamma/he/1_0mpp/images/gamma_0000.ome.tiff",
    "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr/0/c/0/0/0",
)


def read_table(lake: str) -> None:
    rows(lake, "tissues")


def read_image(lake: str) -> None:
    from spora_db.images import open_image, read_region
    from spora_db.layout import locate

    with Catalog(lake):
        read_region(open_image(locate(lake, IMAGE)), row=290, col=490, height=9, width=9)


def read_shard(lake: str) -> None:
    query(lake).to_torch()[0]


QUICK = [(TABLE, False, False), (IMAGE, True, True), (SHARD, False, True), (SHARD, True, False)]
CASES = [
    pytest.param(name, read, gone, versions, marks=() if (name, gone, versions) in QUICK else pytest.mark.slow)
    for name, read in ((TABLE, read_table), (IMAGE, read_image), (SHARD, read_shard))
    for gone in (False, True)
    for versions in (False, True)
]


class TestStale:
    @pytest.mark.some(2)
    @pytest.mark.parametrize(("name", "read", "gone", "versions"), CASES)
    def test_what_the_manifest_tells_wrongly_is_named(
        self,
        bucket: Bucket,
        copied: Callable[[str], Path],
        tmp_path: Path,
        name: str,
        read: Callable[[str], None],
        gone: bool,
        versions: bool,
    ) -> None:
        lake = copied(tmp_path.name)
        remote = f"s3://b/{tmp_path.name}"
        if versions:
            (tmp_path / "mine").mkdir()
            index_images([remote, tmp_path / "mine"], beside=True)
            uploaded(tmp_path / "mine/.spora-db", lake / ".spora-db")
            in_new_process()
        else:
            index_images(lake, beside=True)
        file = lake / name
        if not file.is_file():
            inside = sorted(path for path in (lake / SHARD).parents[3].rglob("*") if path.is_file())
            file = next(path for path in inside if path.name != "zarr.json")
        content = file.read_bytes()
        if gone:
            file.unlink()
        else:
            change(file, content if versions else content + b"more")
        expected = AbsentObjectError if gone else FileFormatError
        with pytest.raises(expected, match=r"manifest s3://b/.*\.spora-db/index\.parquet is older than the lake: run"):
            read(remote)

    def test_a_file_of_the_same_size_that_changes_later_is_told_by_the_version_learned_at_its_first_read(
        self, bucket: Bucket, copied: Callable[[str], Path]
    ) -> None:
        lake = copied("learned")
        index_images(lake, beside=True)
        copy = mirror.mirror("s3://b/learned")
        with Catalog("s3://b/learned"):
            pass
        path = f"{copy.tree}/{IMAGE}"
        content = (lake / IMAGE).read_bytes()
        assert copy.read(path, 0, 100) == content[:100]
        change(lake / IMAGE, content)
        in_new_process()
        with Catalog("s3://b/learned"):
            pass
        copy = mirror.mirror("s3://b/learned")
        assert copy.read(path, 0, 100) == content[:100]
        with pytest.raises(FileFormatError, match="was written again"):
            copy.read(path, len(content) - 50, 50)

    @pytest.mark.parametrize("content", [b"PAR1 and nothing else", b"PAR1" * 40])
    def test_a_broken_manifest_is_named_by_its_address(
        self, copied: Callable[[str], Path], tmp_path: Path, content: bytes
    ) -> None:
        lake = copied(tmp_path.name)
        (lake / ".spora-db").mkdir()
        (lake / BESIDE).write_bytes(content)
        with pytest.raises(FileFormatError, match=rf"The index s3://b/{tmp_path.name}/{BESIDE} cannot be read"):
            Catalog(f"s3://b/{tmp_path.name}")


class TestWithout:
    def test_a_web_address_says_what_it_needs(self, bucket: Bucket) -> None:
        with pytest.raises(StoreError, match=rf"index --beside` where .*/b/lake/{BESIDE}"):
            Catalog(f"{bucket.address}/b/lake")

    def test_a_bucket_is_listed_and_one_that_must_not_be_says_so(self, bucket: Bucket) -> None:
        assert rows("s3://b/lake", "images") == rows(bucket.folder / "b/lake", "images")
        in_new_process()
        bucket.set(list=0)
        mirror.mirror("s3://b/lake")._listed_at = -mirror.FRESH
        with pytest.raises(StoreError, match="was not listed"):
            Catalog("s3://b/lake")

    def test_a_bucket_cannot_be_written_to(self) -> None:
        with pytest.raises(WriteError, match="aws s3 sync"):
            index_images("s3://b/lake", beside=True)


def hub(folder: Path, *, page: int) -> Callable[[Asked], tuple[int, dict[str, str], bytes]]:
    """Answer as a hub of datasets does: trees page by page, files of LFS at another address, those of git at once."""

    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        path, _, text = asked.path.partition("?")
        path, query = urllib.parse.unquote(path), dict(urllib.parse.parse_qsl(text))
        if path.startswith("/api/datasets/owner/name/tree/v1"):
            return tree(path.removeprefix("/api/datasets/owner/name/tree/v1").strip("/"), query, asked)
        at_cdn = path.startswith("/cdn/")
        key = path.removeprefix("/cdn/").removeprefix("/datasets/owner/name/resolve/v1/")
        if not (folder / key).is_file():
            return 404, {}, b""
        content, etag = (folder / key).read_bytes(), oid(folder / key)
        if large(key) and not at_cdn:
            told = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content)), "Location": f"/cdn/{key}"}
            return 302, told, b""
        if asked.headers.get("if-match", f'"{etag}"') != f'"{etag}"':
            return 412, {}, b""
        wanted = asked.headers.get("range", "").removeprefix("bytes=")
        headers = {"ETag": '"of-the-cdn"' if at_cdn else f'"{etag}"'}
        if asked.method == "HEAD" or not wanted:
            return 200, {**headers, "Content-Length": str(len(content))}, content
        start, _, end = wanted.partition("-")
        first = int(start) if start else max(0, len(content) - int(end))
        last = min(int(end), len(content) - 1) if start and end else len(content) - 1
        return 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1]

    def tree(inner: str, query: dict[str, str], asked: Asked) -> tuple[int, dict[str, str], bytes]:
        if not (folder / inner).is_dir():
            return 404, {}, b""
        found = sorted((folder / inner).rglob("*") if query.get("recursive") == "true" else (folder / inner).iterdir())
        start = int(query.get("cursor", 0))
        items = [item(path) for path in found[start : start + page]]
        further = urllib.parse.urlencode({**query, "cursor": start + page})
        link = f'<http://{asked.headers["host"]}{asked.path.partition("?")[0]}?{further}>; rel="next"'
        return 200, {"Link": link} if start + page < len(found) else {}, json.dumps(items).encode()

    def item(path: Path) -> dict[str, object]:
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
        size = path.stat().st_size
        lfs = {"lfs": {"oid": oid(path), "size": size}} if large(name) else {}
        return {"type": "file", "path": name, "size": size, "oid": "1" * 40 if lfs else oid(path), **lfs}

    def large(name: str) -> bool:
        return not name.endswith(".json")

    def oid(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return answer


class TestHub:
    @pytest.mark.parametrize("indexed", [pytest.param(False, marks=pytest.mark.slow), True], ids=["listed", "manifest"])
    def test_a_whole_lake(
        self, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, indexed: bool
    ) -> None:
        local = copied(f"hub_{indexed}")
        (tmp_path / "name").mkdir()
        if indexed:
            index_images(local, beside=True)
        uploaded(local, tmp_path / "name/lake")
        monkeypatch.setenv("HF_TOKEN", "secret")
        with scripted(hub(tmp_path / "name", page=7)) as server:
            monkeypatch.setenv("HF_ENDPOINT", server.address)
            remote = "hf://datasets/owner/name@v1/lake"
            with Catalog(remote):
                pass
            assert len(server.asked) <= OPENED or not indexed
            same_samples(query(remote), query(local))
            for relation in ("tissues", "images", "masks", "tiles", "standardization_stats"):
                assert rows(remote, relation) == rows(local, relation), relation
        assert {asked.headers.get("authorization") for asked in server.asked} == {"Bearer secret"}


def made(images: int) -> pa.Table:
    """Return the manifest of a lake of many images of one shard each, with a mask: as a bucket would tell it."""
    draw = np.random.default_rng(0)
    document = json.dumps({"zarr_format": 3, "shape": [43, 1000, 1000], "codecs": ["x" * 600]}).encode()
    entries = []
    for number in range(images):
        tags = [f'"{draw.bytes(16).hex()}"' for _ in range(4)]
        at = f"cohort_{number // 2000:02d}"
        names, sizes = ("zarr.json", "0/zarr.json", "0/c/0/0/0"), (800, 1500, int(draw.integers(10**6, 10**8)))
        files = tuple(
            FileEntry(name=name, size=size, etag=tag, document=document if name.endswith("json") else None)
            for name, size, tag in zip(names, sizes, tags[:3], strict=True)
        )
        height, width = draw.integers(600, 1400, 2).tolist()
        path = f"{at}/imc/1_0mpp/images/{at}_{number:06d}.ome.zarr"
        entries.append(ManifestRow(path=path, files=files, header_files=2, header=(43, height, width, "float32")))
        mask = FileEntry(name="", size=int(draw.integers(10**4, 10**5)), etag=tags[3])
        entries.append(ManifestRow(path=f"{at}/segmentations/1_0mpp/tissue_masks/{at}_{number:06d}.npz", files=(mask,)))
    return manifest_table(entries)


def test_files_are_found_where_their_rows_say_in_any_order_of_rows(tmp_path: Path) -> None:
    names = ["zarr.json", "0/zarr.json", *sorted(f"0/c/0/{row}/{col}" for row in range(3) for col in range(12))]
    stores = [f"a/imc/1_0mpp/images/t{number}.ome.zarr" for number in range(20)]
    entries = [
        ManifestRow(
            path=path, layer="s3://b/a" if number % 2 else None, header_files=2, header=(3, 9, 9, "uint8"),
            files=tuple(FileEntry(name=own, size=number, mtime_ns=at, etag=str(at)) for at, own in enumerate(names)),
        )
        for number, path in enumerate(stores)
    ]  # fmt: skip
    entries.append(ManifestRow(path="a/metadata/tissues.parquet", files=(FileEntry(name="", size=7, mtime_ns=5),)))
    table = manifest_table(entries)
    for number, order in enumerate((np.arange(len(table)), np.random.default_rng(0).permutation(len(table)))):
        pq.write_table(table.take(order), path := tmp_path / f"{number}.parquet")
        manifest = read_manifest(path)
        for address, store in itertools.product(("s3://b/a", "s3://b/other"), stores):
            inside = manifest.inside(store, address)
            assert len(inside) == len(names)
            for name in names:
                assert manifest.file(store, name, address) == inside[f"{store}/{name}"][0]
            assert manifest.file(store, "0/c/0/9/9", address) is None
        assert manifest.file("a/absent.ome.zarr", "zarr.json", "s3://b/a") is None
        assert [name for name, state in manifest.listing("s3://b/a", beside=True) if state is None] == sorted(stores)
        assert {name: len(files) for name, files, _ in manifest.headers()} == dict.fromkeys(stores, 2)


@pytest.mark.parametrize("images", [2_000, pytest.param(62_000, marks=pytest.mark.slow)])
def test_a_manifest_is_about_a_hundred_bytes_an_image(tmp_path: Path, images: int) -> None:
    from spora_db.files.parquet import write_parquet

    path = write_parquet(made(images), tmp_path / "index.parquet")
    assert 0 < path.stat().st_size / images < 130
    manifest = read_manifest(path)
    listed = dict(manifest.listing("s3://b/lake", beside=True))
    assert len(listed) == 2 * images
    assert sum(state is None for state in listed.values()) == images
    assert pq.read_table(path).num_rows == 2 * images
