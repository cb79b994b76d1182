"""What goes wrong with a lake in a bucket while it is used is told by its address, with what to do; or is mended."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from http_servers import Bucket, free_port, slow_bucket
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.errors import SporaError, StoreError, WriteError
from spora_db.files.stores import http, mirror, ranged
from spora_db.images import clear_cache, close_images
from spora_db.jobs.indexing import index_images
from spora_db.remembered.quarantine import read_quarantine

IMAGE = "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
TABLE = "alpha/metadata/tissues.parquet"
PORTAL = b"<!DOCTYPE html><html><body>Log in</body></html>"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    write_lake(folder / "b/whole")
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture
def lake(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lake that one may damage, which lies at ``s3://b/lake``, read with a new cache."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield Path(shutil.copytree(bucket.folder / "b/whole", bucket.folder / "b/lake"))
    shutil.rmtree(bucket.folder / "b/lake")
    forget()


def forget() -> None:
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()
    ranged.SINCE.clear()


def read_tables() -> None:
    with Catalog("s3://b/lake") as catalog:
        catalog.sql("SELECT * FROM tissues").fetchall()


def read_images() -> None:
    dataset = SporaQuery("s3://b/lake").modality("imc").tiles(size=32, mpp=1.0).standardize("identity").to_torch()
    for number in range(len(dataset)):
        dataset[number]


def chunk_of(lake: Path) -> Path:
    return max(path for path in (lake / IMAGE).rglob("*") if path.is_file() and path.name != "zarr.json")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("name", "read", "said"),
    [
        (TABLE, read_tables, "parquet"),
        (f"{IMAGE}/zarr.json", read_images, "JSON"),
        (f"{IMAGE}/0/zarr.json", read_images, "JSON"),
        ("", read_images, "shard"),
    ],
    ids=["a table", "an image", "an array", "a chunk"],
)
def test_a_web_page_in_place_of_a_file(lake: Path, name: str, read: Callable[[], None], said: str) -> None:
    path = lake / name if name else chunk_of(lake)
    path.write_bytes(PORTAL)
    with pytest.raises(SporaError, match=said) as caught:
        read()
    assert f"s3://b/lake/{path.relative_to(lake)}" in str(caught.value)
    assert "Upload it again to s3://b/lake, or tell its keepers." in str(caught.value)


def test_half_a_lake(lake: Path) -> None:
    chunk = chunk_of(lake)
    chunk.unlink()
    with pytest.raises(SporaError) as caught:
        read_images()
    assert f"s3://b/lake/{chunk.relative_to(lake)}" in str(caught.value)


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def denied(*_: object, **__: object) -> int:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_disk_that_is_full_before_the_tables_are_here(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match=rf"kept below {tmp_path}/cache: No space left.* Free space .*SPORA_CACHE_DIR"):
        read_tables()


def test_a_cache_that_cannot_be_made(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "file/cache"))
    with pytest.raises(WriteError, match=rf"kept below {tmp_path}/file/cache: Not a directory\. .*SPORA_CACHE_DIR"):
        read_tables()


def test_a_cache_of_another_user(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_tables()
    forget()
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    monkeypatch.setattr(Path, "open", denied)
    said = rf"{tmp_path}/cache: Permission denied, and {tmp_path}/cache/.* belongs to another user\. .*of your own"
    with pytest.raises(WriteError, match=said):
        read_tables()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user(lake: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    own.mkdir()
    own.chmod(0o777)
    script = """
import os, sys
from spora_db.errors import WriteError
from spora_db.files.stores import mirror
def read():
    copy = mirror.mirror("s3://b/lake")
    return copy.find(f"{copy.tree}/alpha/metadata/tissues.parquet")
first = read()
os.setgroups([])
os.setuid(65534)
mirror._mirror.cache_clear()
try:
    read()
except WriteError as error:
    print(error)
os.environ["SPORA_CACHE_DIR"] = sys.argv[1]
print(read() == first)
"""
    done = subprocess.run([sys.executable, "-c", script, str(own)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, same = done.stdout.splitlines()
    assert f"cannot be kept below {tmp_path}/cache: Permission denied" in said
    assert "belongs to another user" in said
    assert same == "True"


@pytest.mark.parametrize("told", ["listed", "by a manifest"])
def test_a_document_that_is_gone(lake: Path, told: str) -> None:
    image = mirror.mirror("s3://b/lake").tree / IMAGE
    (lake / IMAGE / "0/.zattrs").write_text("{}")
    found = []
    for _ in range(2):
        if told == "by a manifest":
            index_images(lake, beside=True)
        forget()
        read_tables()
        mirror.mirror("s3://b/lake").prepare(image)
        found.append((image / "0/.zattrs").exists())
        (lake / IMAGE / "0/.zattrs").unlink(missing_ok=True)
    assert found == [True, False]
    assert (image / "0/zarr.json").read_bytes() == (lake / IMAGE / "0/zarr.json").read_bytes()


@pytest.fixture
def another(lake: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> tuple[ExitStack, int]:
    """A second server of the lake, which one may end, and the port that it has."""
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    running = ExitStack()
    running.enter_context(slow_bucket(bucket.folder, port))
    return running, port


@pytest.mark.slow
def test_a_server_that_is_killed_within_an_epoch_and_comes_back(
    lake: Path, bucket: Bucket, another: tuple[ExitStack, int]
) -> None:
    running, port = another
    tiles = SporaQuery("s3://b/lake").modality("imc").tiles(size=32, mpp=1.0).standardize("identity")
    there = tiles.to_torch()
    batches = there.loader(1)
    found, back = [], ExitStack()
    later = threading.Timer(4.0, lambda: back.enter_context(slow_bucket(bucket.folder, port)))
    for number, batch in enumerate(batches):
        if not number:
            running.close()
            later.start()
        found.append(batch["image"][0].numpy())
    later.join()
    with back:
        assert Bucket(bucket.folder, f"http://127.0.0.1:{port}").set()["get"] > 0
    here = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).standardize("identity").to_torch()
    expected = [sample["image"].numpy() for sample in here]
    assert len(found) == len(expected)
    assert {image.tobytes() for image in found} == {image.tobytes() for image in expected}


def test_no_row_is_replaced_because_a_server_is_gone(
    another: tuple[ExitStack, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    tiles = SporaQuery("s3://b/lake").modality("imc").tiles(size=32, mpp=1.0).standardize("identity")
    dataset = tiles.to_torch(on_error="replace")
    monkeypatch.setattr(http, "OUTAGE", 0.5)
    monkeypatch.setattr(http, "PATIENCE", 0.5)
    another[0].close()
    with pytest.raises(StoreError, match=r"no connection: .* after \d+ tries"):
        dataset[0]
    assert not read_quarantine("s3://b/lake").num_rows


@pytest.mark.slow
def test_a_server_that_is_gone_for_good(
    lake: Path, another: tuple[ExitStack, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, port = another
    read_tables()
    monkeypatch.setattr(http, "OUTAGE", 4.0)
    monkeypatch.setattr(http, "PATIENCE", 2.0)
    running.close()
    with pytest.raises(
        StoreError, match=rf"http://127.0.0.1:{port}/b/.* failed: no connection: .* after \d+ tries in \d s"
    ):
        read_images()
